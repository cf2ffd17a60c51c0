"""What is known of each provider at this moment: its health, its rest after a 503, and how much of it is in use."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

LONGEST_COOLDOWN = 300.0
"""Seconds for which a Retry-After is believed at most."""


class TrunkReading(NamedTuple):
    """One provider's state at a moment, for metrics.

    Attributes:
        key: The provider's id as an integer.
        channels: Attempts and calls that hold a channel.
        cooldown: Seconds for which it is still left alone; 0 where it is not.
    """

    key: int
    healthy: bool
    channels: int
    cooldown: float


class TrunkState:
    """One provider's state. Lives on through reloads of the configuration.

    Attributes:
        healthy: What the prober last said; True until it says otherwise.
        channels: Attempts and calls that hold a channel.
        cooldown_until: Monotonic seconds; no attempt before.
    """

    __slots__ = ("_recent", "channels", "cooldown_until", "healthy")

    def __init__(self) -> None:
        self.healthy = True
        self.channels = 0
        self.cooldown_until = 0.0
        self._recent: deque[float] | None = None

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


class HealthBoard:
    """The states of all providers, by id as an integer."""

    __slots__ = ("_states", "transports")

    def __init__(self, transports: Iterable[str] = ("udp", "tcp")) -> None:
        """`transports` are those that we listen on: providers that ask for another one are skipped."""
        self.transports = frozenset(("", *transports))
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

    def healthy(self, provider_id: UUID) -> bool:
        """Whether the provider is thought to take calls; True for one that was never probed."""
        state = self._states.get(provider_id.int)
        return state is None or state.healthy

    def set_healthy(self, provider_id: UUID, healthy: bool) -> None:
        """What a prober found."""
        self.state(provider_id.int).healthy = healthy

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
        has none, and is healthy and idle. `now` is monotonic."""
        return [
            TrunkReading(key, state.healthy, state.channels, max(0.0, state.cooldown_until - now))
            for key, state in list(self._states.items())
        ]

    def keep(self, keys: set[int]) -> None:
        """Forget providers that are gone and hold no call any more. Call it after a reload."""
        for key in [key for key, state in self._states.items() if key not in keys and not state.channels]:
            del self._states[key]
