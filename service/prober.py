"""Asks every provider now and then whether it is there (OPTIONS), so that calls skip one that is dead.

Not every trunk answers OPTIONS, and one that never did says nothing by its silence: only a provider that has answered
before is called unhealthy, after several failures in a row. One answer makes it healthy again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from engine.user_agent import UserAgent
from flows.contracts import Log
from routing.directory import Directory
from routing.health import HealthBoard
from routing.models import Provider
from routing.trunk import destination

FAILURES: Final = 3
"""In a row, until a provider is unhealthy."""
PATIENCE: Final = 4.0
"""Seconds that an answer is waited for: the default of `no_reply_timeout`."""
AT_ONCE: Final = 16
# A gateway that is there and out of service says so (RFC 3261 §21.5.4); every other answer shows that it is at work.
OUT_OF_SERVICE: Final = 503

Status = Literal["unknown", "healthy", "unhealthy"]
Changed = Callable[[Provider, bool, str], None]
"""Told when a provider becomes healthy (True) or unhealthy, and why."""


@dataclass(slots=True)
class Health:
    """What is known of one provider."""

    status: Status = "unknown"
    checked_at: datetime | None = None
    failures: int = 0


class Prober:
    """One task that goes round the providers every `interval` seconds."""

    def __init__(
        self,
        agent: UserAgent,
        directory: Directory,
        board: HealthBoard,
        log: Log,
        *,
        interval: float,
        domain: Callable[[], str],
        utc_now: Callable[[], datetime],
        changed: Changed,
    ) -> None:
        """`domain`: host of our From."""
        self._agent = agent
        self._directory = directory
        self._board = board
        self._log = log
        self._interval = interval
        self._domain = domain
        self._utc_now = utc_now
        self._changed = changed
        self._known: dict[UUID, Health] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="prober")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def health(self, provider_id: UUID) -> tuple[Status, datetime | None]:
        """What was last found, and when."""
        known = self._known.get(provider_id)
        return ("unknown", None) if known is None else (known.status, known.checked_at)

    async def _run(self) -> None:
        while True:
            await self.round()
            await asyncio.sleep(self._interval)

    async def round(self) -> None:
        """Ask every provider that is in use, some at a time."""
        providers = {provider.id: provider for provider in self._directory.providers if provider.enabled}
        self._known = {key: health for key, health in self._known.items() if key in providers}
        at_once = asyncio.Semaphore(AT_ONCE)

        async def ask(provider: Provider) -> None:
            async with at_once:
                await self._ask(provider)

        async with asyncio.TaskGroup() as group:
            for provider in providers.values():
                group.create_task(ask(provider))

    async def _ask(self, provider: Provider) -> None:
        uri = f"sip:{provider.hostname}"
        try:
            status, reason = await self._agent.ping(uri, destination(provider), self._domain(), PATIENCE)
        except Exception as error:  # a fault of ours with one provider is not the others'
            self._log.error("provider not probed", provider=provider.name, error=repr(error))
            return
        health = self._known.setdefault(provider.id, Health())
        health.checked_at = self._utc_now()
        if status and status != OUT_OF_SERVICE:
            health.failures = 0
            self._put(provider, health, "healthy", f"answered {status}")
            return
        health.failures += 1
        if health.status == "healthy" and health.failures >= FAILURES:
            said = f"answered {status} {reason}" if status else reason
            self._put(provider, health, "unhealthy", f"{said}, {health.failures} times in a row")

    def _put(self, provider: Provider, health: Health, status: Status, why: str) -> None:
        before, health.status = health.status, status
        if before == status:
            return
        healthy = status == "healthy"
        self._board.set_healthy(provider.id, healthy)
        if before == "unknown":
            return  # that it is as everybody took it to be is no news
        tell = self._log.info if healthy else self._log.warning
        tell(f"provider {status}", provider=provider.name or str(provider.id), why=why)
        self._changed(provider, healthy, why)
