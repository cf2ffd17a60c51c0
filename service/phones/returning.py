"""Phones that are expected back: those that have lost their connection, and all after a start (RFC 5626 §4.5).

A phone that changes its network, or whose engine was started again, is there again within seconds. A call that comes
meanwhile waits for it, in place of hearing that nobody is registered.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from routing.location import Location, LocationChange

AFTER_A_LOSS: Final = 15.0
"""Seconds in which a phone is expected that has lost its connection. Browsers try again after 2 to 4 seconds; whoever
calls one whose page was closed waits for nothing so long."""
AFTER_A_START: Final = 60.0
"""Seconds in which phones are expected that were connected when the engine ended."""
MOST_EXPECTED: Final = 100_000


class ReturningPhones:
    """Which extensions have a phone that is expected back, and the calls that wait for it."""

    __slots__ = ("_clock", "_expected", "_waiting")

    def __init__(self, location: Location, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._expected: dict[str, float] = {}  # until when
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        location.observers.append(self._changed)

    def expect(self, name: str, within: float = AFTER_A_LOSS) -> None:
        """A phone of this extension has been there and is expected back, within so many seconds."""
        expected = self._expected
        known = expected.pop(name, 0.0)  # the latest stand last
        if len(expected) >= MOST_EXPECTED:
            del expected[next(iter(expected))]
        expected[name] = max(known, self._clock() + within)

    def there(self, name: str) -> None:
        """It is there: who waits goes on."""
        self._expected.pop(name, None)
        for waiting in self._waiting.pop(name, ()):
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self, name: str, at_most: float) -> bool:
        """Wait until a phone of this extension is there, for so many seconds and no longer than it is expected; False
        where none has come, or none is expected."""
        left = min(self._expected.get(name, 0.0) - self._clock(), at_most)
        if left <= 0:
            return False
        back = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(back)
        try:
            async with asyncio.timeout(left):
                await back
        except TimeoutError:
            return False
        finally:
            others = self._waiting.get(name)
            if others is not None:
                others.discard(back)
                if not others:
                    del self._waiting[name]
        return True

    def _changed(self, change: LocationChange) -> None:
        if change.event in ("registered", "refreshed"):
            if change.name in self._expected:
                self.there(change.name)
        elif change.event == "expired" and not change.binding.lasts:
            flow = change.binding.flow
            if flow is not None and not flow.connected:
                self.expect(change.name)
