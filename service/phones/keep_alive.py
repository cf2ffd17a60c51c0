"""Registrations that end by themselves, and OPTIONS to phones behind NATs.

A NAT forgets a phone that nothing is sent to, and a phone whose network is gone says no goodbye. So what came by UDP
from elsewhere than its Contact says is asked whether it is there, in turn and at a bounded rate, by one loop for all.
(RFC 5626 §3.5 is for phones that can do more.)
"""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final

from engine.log import Log
from engine.sip.binding import Binding
from engine.sip.core import Core
from engine.sip.message.message import Response
from engine.sip.request import OutgoingRequest
from engine.worker import Worker
from routing.location import Location, LocationChange

TURN: Final = 0.1  # s
ASKED_A_TURN: Final = 40
"""At most so many OPTIONS each turn: 400 a second."""
SWEPT_A_TURN: Final = 2_000  # extensions
PATIENCE: Final = 4.0  # s for each answer
MISSES: Final = 3
"""So many OPTIONS without an answer, one after the other, end a registration."""
JITTER: Final = 0.2
"""The interval is so much longer or shorter, by chance: phones that came at once are not asked at once for ever."""


class KeepAlive:
    """Looks after the bindings of a location.

    Attributes:
        interval: Seconds between two OPTIONS to a phone behind a NAT; 0 sends none. Replaced when the configuration is
            reloaded.
        sent: OPTIONS since the start.
    """

    def __init__(
        self,
        location: Location,
        endpoint: Callable[[], Core],
        domain: Callable[[], str],
        registers: Callable[[str], bool],
        log: Log,
        *,
        interval: float,
        clock: Callable[[], float],
        chance: random.Random | None = None,
    ) -> None:
        """`endpoint`: there once the engine has started; `domain`: that of our From; `registers`: whether there is such
        an extension; `clock`: monotonic seconds."""
        self.interval = interval
        self.sent = 0
        self._location = location
        self._endpoint = endpoint
        self._domain = domain
        self._registers = registers
        self._log = log
        self._to_sweep: list[str] = []
        self._clock = clock
        self._chance = chance or random.Random()
        self._asked: dict[Binding, _Asking] = {}
        self._heap: list[tuple[float, int, _Asking]] = []
        self._order = count()
        self._worker = Worker("keep-alive", self._turn, first=TURN, every=TURN, failed=self._failed)
        location.observers.append(self._changed)

    def __len__(self) -> int:
        """How many phones are asked."""
        return len(self._asked)

    def start(self) -> None:
        """Begin. What is there already, from before, is asked in the course of the first interval."""
        for name in self._location.names():
            for binding in self._location.bindings(name):
                self._look_after(name, binding, self._chance.random() * self.interval)
        self._worker.start()

    async def close(self) -> None:
        """End."""
        await self._worker.close()
        self._asked.clear()
        self._heap.clear()

    def sweep(self) -> None:
        """Extensions have changed: those that are gone have no phones any more. Looked for in the turns to come."""
        self._to_sweep = self._location.names()

    def _changed(self, change: LocationChange) -> None:
        if change.event in ("registered", "refreshed"):
            if change.replaced is not None:
                self._let_go(change.replaced)
            if change.binding.natted:
                self._look_after(change.name, change.binding, self._pause())
            else:
                self._let_go(change.binding)
        else:
            self._let_go(change.binding)

    def _look_after(self, name: str, binding: Binding, pause: float) -> None:
        if binding.natted and binding not in self._asked and self.interval:
            asking = self._asked[binding] = _Asking(self, name, binding)
            self._at(self._clock() + pause, asking)

    def _let_go(self, binding: Binding) -> None:
        asking = self._asked.pop(binding, None)
        if asking is not None:
            asking.abandon(self._clock())

    def _at(self, when: float, asking: "_Asking") -> None:
        heappush(self._heap, (when, next(self._order), asking))

    def _pause(self) -> float:
        return self.interval * (1 + JITTER * (2 * self._chance.random() - 1))

    # ---- a turn

    async def _turn(self) -> None:
        now = self._clock()
        self._location.expire(now)
        some, self._to_sweep = self._to_sweep[:SWEPT_A_TURN], self._to_sweep[SWEPT_A_TURN:]
        for name in some:
            if not self._registers(name):
                for binding in list(self._location.bindings(name)):
                    self._location.remove(name, binding, "unregistered", "no such extension")
        left = ASKED_A_TURN
        while left and self._heap and self._heap[0][0] <= now:
            asking = heappop(self._heap)[2]
            if self._asked.get(asking.binding) is asking and self._next(asking, now):
                left -= 1

    def _next(self, asking: "_Asking", now: float) -> bool:
        """One OPTIONS, or the end; whether something was sent."""
        if asking.waits:
            asking.missed += 1
            asking.abandon(now)
            if asking.missed >= MISSES:
                cause = f"no answer to {MISSES} OPTIONS"
                self._location.remove(asking.name, asking.binding, "expired", cause)
                return False
        elif not self.interval:
            del self._asked[asking.binding]
            return False
        self.sent += 1
        asking.ask(self._endpoint(), self._domain(), now)
        self._at(now + PATIENCE, asking)
        return True

    def heard(self, asking: "_Asking", now: float) -> None:
        """It is alive."""
        # Its entry for the end of our patience is not taken out of the heap: it becomes none of a living one's.
        if self._asked.get(asking.binding) is asking:
            fresh = self._asked[asking.binding] = _Asking(self, asking.name, asking.binding)
            self._at(now + self._pause(), fresh)

    def _failed(self, error: Exception) -> float:
        self._log.error("keep-alive", error=repr(error))
        return 1.0


class _Asking:
    """OPTIONS to one phone, until it answers."""

    __slots__ = ("_keeper", "_request", "_sent_at", "binding", "missed", "name")

    def __init__(self, keeper: KeepAlive, name: str, binding: Binding) -> None:
        self._keeper = keeper
        self._request: OutgoingRequest | None = None
        self._sent_at = 0.0
        self.name = name
        self.binding = binding
        self.missed = 0

    @property
    def waits(self) -> bool:
        """Whether one is on its way."""
        return self._request is not None

    def ask(self, endpoint: Core, domain: str, now: float) -> None:
        """Send one over the flow that the phone has registered by."""
        binding, token = self.binding, endpoint.token
        assert binding.flow is not None
        head = (
            f"Max-Forwards: 70\r\nFrom: <sip:{domain}>;tag={token()}\r\nTo: <{binding.uri}>\r\n"
            f"Call-ID: {token()}\r\nCSeq: 1 OPTIONS\r\n"
        )
        tail = f"Accept: application/sdp\r\n{endpoint.agent_line}"
        self._sent_at = now
        self._request = OutgoingRequest(
            endpoint, self, method="OPTIONS", uri=binding.uri, head=head, tail=tail, contact=True
        )
        self._request.send_to([binding.flow], now)

    def abandon(self, now: float) -> None:
        """Wait no more."""
        request, self._request = self._request, None
        if request is not None:
            if request.transaction is not None:
                request.transaction.quiet(now)
            request.abandon(now)

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """Whatever it says, it is there; what comes late, too."""
        if request is self._request:
            self.binding.rtt = now - self._sent_at
        self._request = None
        self._keeper.heard(self, now)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """It counts when its time is over: an ICMP message can be forged."""
