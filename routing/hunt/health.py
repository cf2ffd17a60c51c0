"""The state of each provider: health, cooldown after a 503, channels and calls per second."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple
from uuid import UUID

MAX_COOLDOWN = 300.0
"""Seconds for which a Retry-After is believed at most."""
MAX_MISSES: Final = 3
"""Probes in a row without an answer, until a provider is unhealthy."""

HealthStatus = Literal["unknown", "healthy", "unhealthy"]


class TrunkReading(NamedTuple):
    """One provider's state at a moment, for metrics.

    Attributes:
        key: The provider's id as an integer.
        channels: Attempts and calls that hold a channel.
        cooldown: Seconds for which it is still left alone; 0 where it is not.
    """

    key: int
    status: HealthStatus
    channels: int
    cooldown: float


class TrunkState:
    """One provider's state. Lives on through reloads of the configuration.

    Not every trunk answers OPTIONS. The silence of one that never did is a verdict on it, as far as anybody can tell,
    and not one on its calls: it comes after the others, and a call that it responds to puts it back in its place.

    Attributes:
        status: What the probes have last shown.
        answered: Whether it has ever answered a probe.
        missed: Probes since it last answered one.
        silent: The same since it last responded to any request.
        channels: Attempts and calls that hold a channel.
        cooldown_until: Monotonic seconds; no attempt before.
        skipped: It once answered probes and does no longer, and no call either.
        last: It never answered a probe, nor a call lately: it is tried after the others.
    """

    __slots__ = (
        "_recent", "answered", "channels", "cooldown_until", "last", "missed", "silent", "skipped", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.channels = 0
        self.cooldown_until = 0.0
        self._recent: deque[float] | None = None
        self.forget()

    def forget(self) -> None:
        """Nothing is known of its health (any more)."""
        self.restore("unknown", False, 0, 0)

    def restore(self, status: HealthStatus, answered: bool, missed: int, silent: int) -> None:
        """What was known of its health earlier."""
        self.status = status
        self.answered = answered
        self.missed = missed
        self.silent = silent
        self._place()

    def probe_answered(self) -> bool:
        """It answered a probe. True where its status has changed."""
        before, self.status = self.status, "healthy"
        self.answered = True
        self.missed = self.silent = 0
        self._place()
        return before != "healthy"

    def probe_missed(self) -> bool:
        """It did not answer a probe, or said that it is out of service. True where its status has changed."""
        before = self.status
        self.missed += 1
        self.silent += 1
        if (self.silent if self.answered else self.missed) >= MAX_MISSES:
            self.status = "unhealthy"
        self._place()
        return before != self.status

    def responded(self) -> bool:
        """It responded to a request of a call's or a message's. True where its status has changed."""
        if not self.silent:
            return False
        self.silent = 0
        changed = self.skipped
        if changed:
            self.status = "healthy"
        self._place()
        return changed

    def _place(self) -> None:
        unhealthy = self.status == "unhealthy"
        self.skipped = unhealthy and self.answered
        self.last = unhealthy and not self.answered and self.silent >= MAX_MISSES

    def rate_reached(self, max_cps: int, now: float) -> bool:
        """Whether `max_cps` attempts were made within the last second."""
        recent = self._recent
        if recent is None:
            return False
        while recent and now - recent[0] >= 1.0:
            recent.popleft()
        return len(recent) >= max_cps

    def count_attempt(self, now: float) -> None:
        """An attempt is made on a provider with a limited rate."""
        if self._recent is None:
            self._recent = deque()
        self._recent.append(now)


def _nobody(_provider_id: UUID) -> None:
    """Who is told where nobody probes."""


class HealthBoard:
    """The states of all providers, by id as an integer.

    Attributes:
        recovered: Told of a provider that was skipped and is healthy again, as it responded to a call.
    """

    __slots__ = ("_states", "recovered", "transports")

    def __init__(self, transports: Iterable[str] = ("udp", "tcp")) -> None:
        """`transports` are those that we listen on: providers that ask for another one are skipped."""
        self.transports = frozenset(("", *transports))
        self.recovered: Callable[[UUID], None] = _nobody
        self._states: dict[int, TrunkState] = {}

    def state(self, key: int) -> TrunkState:
        """The provider's state; made when first asked for."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = TrunkState()
        return state

    def peek(self, key: int) -> TrunkState | None:
        """The provider's state where it has one; makes none."""
        return self._states.get(key)

    def status(self, provider_id: UUID) -> HealthStatus:
        """What the probes have last shown; unknown for one that was never probed."""
        state = self._states.get(provider_id.int)
        return "unknown" if state is None else state.status

    def cooldown(self, provider_id: UUID, until: float) -> None:
        """Leave the provider alone until then (monotonic seconds). A longer rest is not cut short."""
        state = self.state(provider_id.int)
        state.cooldown_until = max(state.cooldown_until, until)

    def channels(self, provider_id: UUID) -> int:
        """Channels in use."""
        state = self._states.get(provider_id.int)
        return 0 if state is None else state.channels

    def snapshot(self, now: float) -> list[TrunkReading]:
        """Every provider that has a state, in the order in which they got it; one that was neither called nor probed
        has none, and is unknown and idle. `now` is monotonic."""
        return [
            TrunkReading(key, state.status, state.channels, max(0.0, state.cooldown_until - now))
            for key, state in list(self._states.items())
        ]

    def keep(self, keys: set[int]) -> None:
        """Forget providers that are gone and hold no call any more. Call it after a reload."""
        for key in [key for key, state in self._states.items() if key not in keys and not state.channels]:
            del self._states[key]
