"""A simulated caller's leg: a call without a network, in simulated time.

What would take seconds takes none: the clock is put forward. The caller presses its keys when the flow asks for them,
or in a prompt that they stop; it hears all others to their end, and hangs up when it is kept waiting without end.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from engine.sip.dialog.invite_client import MAX_BREADTH
from engine.transfer import Transferred
from flows.calls.ports import CallEnded
from flows.calls.record import CallRecord

PRESS_AFTER = 0.5
"""Seconds that the caller takes for each key."""
STOPS_AFTER = 2.0
"""Seconds of a sound after which the caller presses a key that stops it. It hears a shorter one to its end."""


class SimulatedClock:
    """Seconds since the call came in; only what is simulated takes time."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class SimulatedCaller:
    """What the caller does.

    keys: Pressed when the flow asks for keys; a comma ends what is pressed at one such time, so that "1,22#" presses 1
        the first time and 22# the second.
    patience: Seconds of waiting without end after which the caller hangs up.
    hangs_up_after: Seconds after which it does so in any case; infinite for never.
    """

    __slots__ = ("_groups", "_input_started", "_pressed", "hangs_up_after", "patience")

    def __init__(self, keys: str = "", patience: float = 60.0, hangs_up_after: float = math.inf) -> None:
        self._groups = deque(deque(group) for group in keys.upper().split(","))
        self._pressed: deque[str] = deque()  # kept until the flow asks for keys
        self._input_started = False
        self.patience = patience
        self.hangs_up_after = hangs_up_after

    def start_input(self) -> None:
        """The flow begins to ask for keys."""
        if self._pressed:
            return  # those are the answer
        if self._input_started and not self._groups[0] and len(self._groups) > 1:
            self._groups.popleft()
            self._input_started = False

    def next(self, seconds: float) -> tuple[str, float]:
        """The next key that comes within `seconds`, and the seconds it takes; "" and all of them where none does."""
        if self._pressed:
            return self._pressed.popleft(), 0.0
        self._input_started = True
        if self._groups[0] and seconds >= PRESS_AFTER:
            return self._groups[0].popleft(), PRESS_AFTER
        return "", seconds

    def stops(self, until: str, seconds: float) -> tuple[str, float]:
        """The key of `until` with which the caller stops a sound of so many seconds, and when: one that waits does at
        once. "" where it stops none."""
        waiting = next((key for key in self._pressed if key in until), "")
        if waiting or self._pressed or not until or seconds <= STOPS_AFTER:
            return waiting, 0.0
        self.start_input()
        if self._groups[0] and self._groups[0][0] in until:
            self._pressed.append(self._groups[0].popleft())
            self._input_started = True
            return self._pressed[-1], STOPS_AFTER
        return "", 0.0

    def ends(self, recording: str) -> str:
        """The key of `recording` with which the caller ends one, "" where it presses none."""
        self.start_input()
        self._input_started = True
        if not self._pressed and self._groups[0] and self._groups[0][0] in recording:
            return self._groups[0].popleft()
        return ""

    def forget(self) -> None:
        """Drops the keys that were pressed before the flow asked for any."""
        self._pressed.clear()


@dataclass(slots=True)
class SimulatedFeed:
    """A sound that is played to a simulated caller. `seconds` may be infinite."""

    name: str
    seconds: float

    def next(self, codec: object) -> bytes | None:
        """Nothing sounds."""
        return None


class SimulatedLeg:
    """A `CallLeg`. `report` takes each order in words; `task` runs the flow, and is cancelled when the call ends.

    `key_listeners` are called with each key that is pressed, at its time.
    """

    direction = "incoming"
    media: dict[str, Any] | None = None
    peer_reason = ""

    __slots__ = (
        "_ended",
        "answered_at",
        "caller",
        "clock",
        "created",
        "early",
        "end_reason",
        "end_status",
        "ended_at",
        "ended_by",
        "id",
        "key_listeners",
        "report",
        "sip_call_id",
        "status",
        "talk",
        "task",
    )

    def __init__(
        self, clock: SimulatedClock, caller: SimulatedCaller, report: Callable[[str], None], talk: float = 10.0
    ) -> None:
        self.id = self.sip_call_id = str(uuid4())
        self.clock = clock
        self.caller = caller
        self.report = report
        self.talk = talk
        """Seconds after which the far end of a connect hangs up."""
        self.key_listeners: list[Callable[[str], None]] = []
        self.status = "dialing"
        self.created = clock()
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.ended_by = ""
        self.end_status = 0
        self.end_reason = ""
        self.early = False
        self.task: asyncio.Task[CallRecord] | None = None
        self._ended = asyncio.Event()

    @property
    def answered(self) -> bool:
        """Whether the flow has answered."""
        return self.answered_at is not None

    # ---- orders

    def ringing(self) -> None:
        """180."""
        self._check()
        self.status = "ringing" if not self.answered else self.status

    def progress(self, body: bytes = b"") -> None:
        """183: from now on sound is early media."""
        self.ringing()
        self.early = not self.answered

    def answer(self, body: bytes = b"") -> None:
        """200."""
        self._check()
        if not self.answered:
            self.answered_at, self.status, self.early = self.clock(), "progressing", False
            self.report("answered")

    def reject(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """The final response before the answer."""
        self._check()
        if self.answered:
            raise CallEnded("the call has been answered")
        self.report(f"{status} {reason}".rstrip())
        self._end("local", status, reason)

    def redirect(self, contacts: Sequence[str]) -> None:
        """302."""
        self.reject(302, "Moved Temporarily")

    def hangup(self, status: int = 480, cause: str = "", reason: str = "") -> None:
        """Ends the call."""
        if self.ended_at is None:
            self._end("local", 200 if self.answered else status, reason)

    # ---- what takes time

    async def wait_ended(self) -> None:
        """Until the caller's patience is over."""
        if self.ended_at is None:
            await self._pass(math.inf)

    def rest(self, on: bool = True) -> None:
        """Nothing is sent here."""

    async def sleep(self, seconds: float) -> None:
        """Puts the clock forward."""
        self._check()
        await self._pass(seconds)

    async def echo(self, seconds: float | None) -> None:
        """Answers, and puts the clock forward."""
        self.answer()
        await self._pass(math.inf if seconds is None else seconds)

    async def play(self, feed: object, until: str = "") -> str:
        """The sound, a SimulatedFeed, to its end or the caller's key."""
        assert isinstance(feed, SimulatedFeed)
        await self._open()
        endless = math.isinf(feed.seconds)
        key, seconds = self.caller.stops(until, feed.seconds)
        if key:
            self.report(f"{feed.name}  stopped by {key}" + (f" after {seconds:.1f} s" if seconds else ""))
            await self._pass(seconds)
            return key
        self.report(f"{feed.name}  without end" if endless else f"{feed.name}  {feed.seconds:.1f} s")
        await self._pass(feed.seconds)
        return ""

    async def key(self, timeout: float | None = None) -> str:  # noqa: ASYNC109 - running out of it is no error
        """The caller's next key."""
        await self._open()
        key, seconds = self.caller.next(math.inf if timeout is None else timeout)
        await self._pass(seconds)
        if key:
            for listener in self.key_listeners:
                listener(key)
        return key

    async def listen(self) -> None:
        """Answers, unless the caller hears early media."""
        await self._open()
        self.caller.start_input()

    def forget_keys(self) -> None:
        """Drops the keys that were pressed before the flow asked for any."""
        self.caller.forget()

    async def send_keys(self, digits: str, duration: float, interval: float) -> None:
        """Presses keys for the caller."""
        await self._open()
        self.report(digits)
        await self._pass(len(digits) * (duration + interval))

    def attach(self, tap: object) -> None:
        """No media: nothing is attached."""

    def detach(self, tap: object) -> None:
        """No media: nothing is attached."""

    def bridge(self, leg: "SimulatedLeg") -> "SimulatedBridge":
        """Connects the caller with a leg that was dialled."""
        self.answer()
        return SimulatedBridge(self, leg)

    @property
    def max_breadth(self) -> int:
        """No limit of its own."""
        return MAX_BREADTH

    @property
    def own_address(self) -> str:
        """An address that leads nowhere."""
        return "engine.invalid"

    async def transfer(self, refer_to: str, referred_by: str = "") -> Transferred:
        """The caller's phone accepts the REFER, and hangs up."""
        self._check()
        self.report(f"the caller is sent to {refer_to}")
        self._end("remote", 200)
        return Transferred("told", 200, "OK")

    # ---- within

    async def pass_time(self, seconds: float) -> None:
        """Puts the clock forward, unless the caller hangs up before that."""
        await self._pass(seconds)

    async def _pass(self, seconds: float) -> None:
        limit = min(self.caller.patience, seconds) if math.isinf(seconds) else seconds
        gone = math.isinf(seconds)
        if self.clock.now + limit >= self.caller.hangs_up_after:
            limit, gone = max(0.0, self.caller.hangs_up_after - self.clock.now), True
        self.clock.now += limit
        if not gone:
            await asyncio.sleep(0)
            return
        self._end("remote", 200 if self.answered else 487)
        if self.task is not None:
            self.task.cancel()
        await asyncio.get_running_loop().create_future()  # cancelled with the task, as waiting for a real call is

    async def _open(self) -> None:
        self._check()
        if not self.early:
            self.answer()

    def _check(self) -> None:
        if self.ended_at is not None:
            raise CallEnded("the call is over")

    def _end(self, by: str, status: int, reason: str = "") -> None:
        self.ended_at, self.ended_by, self.status = self.clock(), by, "hangup"
        self.end_status, self.end_reason = status, reason
        self._ended.set()


class SimulatedBridge:
    """The caller bridged with a leg that was dialled, which hangs up after the seconds of talk."""

    __slots__ = ("_leg", "_other")

    def __init__(self, leg: SimulatedLeg, other: SimulatedLeg) -> None:
        self._leg = leg
        self._other = other

    async def ended(self) -> str:
        """After the seconds of talk."""
        await self._leg.pass_time(self._leg.talk)
        self._other.hangup()
        return "callee"
