"""OPTIONS ping of providers, so that calls skip one that is dead.

What an answer and a silence mean is `routing.hunt.health`'s to say. What is found is kept in the store, and outlives a
restart: a provider that is dead then is not taken for a good one again by the first calls.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol
from uuid import UUID

from engine.log import Log
from engine.user_agent import UserAgent
from engine.worker import Worker
from routing.directory.directory import Directory
from routing.directory.trunk import destination
from routing.hunt.health import MAX_COOLDOWN, HealthBoard, HealthStatus
from routing.models.provider import Provider
from store.resources.health import Finding

AT_ONCE: Final = 16
# A gateway that is there and out of service says so (RFC 3261 §21.5.4); every other answer shows that it is at work.
OUT_OF_SERVICE: Final = 503

Changed = Callable[[Provider, bool, str], None]
"""Told when a provider becomes healthy (True) or unhealthy, and why."""


class HealthStore(Protocol):
    """Where findings outlive a restart (`service.workers.provider_health`). Neither method raises."""

    async def load(self) -> Sequence[Finding]: ...
    async def save(self, findings: Sequence[Finding]) -> None: ...


class Prober:
    """A worker that goes round the providers every `interval` seconds, and those that wait for answers."""

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
        health_store: HealthStore | None = None,
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
        self._health_store = health_store
        self._checked: dict[UUID, datetime] = {}
        self._asked: dict[UUID, str] = {}  # where each was asked: what was found elsewhere says nothing any more
        self.asking: dict[UUID, asyncio.Task[None]] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._worker = Worker("prober", self._turn, every=interval)
        board.recovered = self._recovered

    async def restore(self) -> None:
        """What was found before the last stop, where somebody probes now. Before the first call."""
        if self._health_store is None or not self._interval:
            return
        providers = self._providers()
        for found in await self._health_store.load():
            provider = providers.get(found.provider_id)
            if provider is not None and found.destination == destination(provider):
                state = self._board.state(provider.id.int)
                state.restore(found.status, found.answered, found.missed, found.silent)
                self._asked[provider.id] = found.destination
                if found.checked_at is not None:
                    self._checked[provider.id] = found.checked_at

    def start(self) -> None:
        """Begin to ask."""
        self._worker.start()

    async def close(self) -> None:
        """End, and keep what was found."""
        await self._worker.close()
        tasks = [*self.asking.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._save()

    def health(self, provider_id: UUID) -> tuple[HealthStatus, datetime | None]:
        """What was last found, and when."""
        return self._board.status(provider_id), self._checked.get(provider_id)

    async def _turn(self) -> None:
        self._begin()
        await self._save()

    async def round(self) -> None:
        """Ask every provider that is in use, some at a time, and wait for what they say."""
        self._begin()
        if self.asking:
            await asyncio.wait(self.asking.values())

    def _providers(self) -> dict[UUID, Provider]:
        """Those that are asked."""
        return {each.id: each for each in self._directory.providers if each.enabled and each.probe}

    def _begin(self) -> None:
        """Ask each that is not being asked. One whose silence takes long keeps nobody else from their turn."""
        providers = self._providers()
        for gone in self._asked.keys() - providers.keys():
            self._forget(gone)
        loop, now = asyncio.get_running_loop(), self._agent.now()
        for identifier, provider in providers.items():
            where = destination(provider)
            if self._asked.setdefault(identifier, where) != where:
                self._forget(identifier)
                self._asked[identifier] = where
            state = self._board.state(identifier.int)
            if identifier in self.asking or now < state.cooldown_until:
                continue  # RFC 3261 §21.5.4: for so long nothing is sent there
            task = self.asking[identifier] = loop.create_task(self._ask(provider), name=f"probe of {provider.name}")
            task.add_done_callback(partial(self._done, identifier))

    def _done(self, provider_id: UUID, task: "asyncio.Task[None]") -> None:
        if self.asking.get(provider_id) is task:
            del self.asking[provider_id]

    def _forget(self, provider_id: UUID) -> None:
        if (task := self.asking.pop(provider_id, None)) is not None:
            task.cancel()
        del self._asked[provider_id]
        self._checked.pop(provider_id, None)
        if (state := self._board.peek(provider_id.int)) is not None:
            state.forget()

    async def _ask(self, provider: Provider) -> None:
        async with self._at_once:
            uri = f"sip:{provider.hostname}"
            patience = provider.no_reply_timeout
            try:
                where, domain = destination(provider), self._domain()
                status, reason, rest = await self._agent.ping(uri, where, domain, patience, provider)
            except Exception as error:  # a fault of ours with one provider is not the others'
                self._log.error("provider not probed", provider=provider.name, error=repr(error))
                return
        self._checked[provider.id] = self._utc_now()
        state, before = self._board.state(provider.id.int), self._board.status(provider.id)
        if status and status != OUT_OF_SERVICE:
            if state.probe_answered():
                await self._tell(provider, before, f"answered {status}")
            return
        if status and rest:
            self._board.cooldown(provider.id, self._agent.now() + min(rest, MAX_COOLDOWN))
        if state.probe_missed():
            said = f"answered {status} {reason}" if status else reason
            await self._tell(provider, before, f"{said}, {state.missed} times in a row")

    def _recovered(self, provider_id: UUID) -> None:
        provider = next((each for each in self._directory.providers if each.id == provider_id), None)
        if provider is not None:
            self._say(provider, "unhealthy", "responded to a call")

    async def _tell(self, provider: Provider, before: HealthStatus, why: str) -> None:
        self._say(provider, before, why)
        await self._save()

    def _say(self, provider: Provider, before: HealthStatus, why: str) -> None:
        status = self._board.status(provider.id)
        healthy = status == "healthy"
        if healthy and before == "unknown":
            return  # that it is as everybody took it to be is no news
        tell = self._log.info if healthy else self._log.warning
        tell(f"provider {status}", provider=provider.name or str(provider.id), why=why)
        self._changed(provider, healthy, why)

    async def _save(self) -> None:
        """What is known now, for the next start."""
        if self._health_store is None:
            return
        findings = []
        for provider_id, where in self._asked.items():
            state = self._board.peek(provider_id.int)
            if state is not None and provider_id in self._checked:
                findings.append(
                    Finding(
                        provider_id=provider_id,
                        destination=where,
                        status=state.status,
                        answered=state.answered,
                        missed=state.missed,
                        silent=state.silent,
                        checked_at=self._checked[provider_id],
                    )
                )
        if findings:
            await self._health_store.save(findings)
