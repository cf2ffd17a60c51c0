"""A simulated dialler: every outbound call ends in the way chosen for the run, in simulated time."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from engine.dial import DialSpec, Outcome
from flows.simulation.leg import SimulatedCaller, SimulatedClock, SimulatedLeg

Ending = Literal["answered", "busy", "noanswer", "failed"]

RINGS = 3.0
"""Seconds of ringing before an answer or a refusal."""
RINGS_OUT = 30.0
"""Seconds of ringing without an answer, where no timeout is given."""

_REFUSALS = {
    "busy": (486, "Busy Here"),
    "noanswer": (480, "Temporarily Unavailable"),
    "failed": (503, "Service Unavailable"),
}


class SimulatedDialler:
    """A `Dialler`. `leg` is the caller's, whose time passes; it is set when the call begins."""

    def __init__(self, clock: SimulatedClock, ending: Ending) -> None:
        self.clock = clock
        self.ending: Ending = ending
        self.leg: SimulatedLeg | None = None

    def dial(self, spec: DialSpec, caller: object = None, early_media: bool = True) -> "DialledLeg":
        """A leg that ends in the way chosen for the run; one without a caller is never answered."""
        return DialledLeg(self, spec, caller is not None)


class DialledLeg(SimulatedLeg):
    """A call that was not dialled."""

    direction = "outgoing"

    __slots__ = ("_attended", "_dialler", "_spec", "first_reply", "on_end", "on_status")

    def __init__(self, dialler: SimulatedDialler, spec: DialSpec, attended: bool) -> None:
        super().__init__(dialler.clock, SimulatedCaller(), lambda words: None)
        self.on_status: Callable[[DialledLeg], None] | None = None
        self.on_end: Callable[[DialledLeg], None] | None = None
        self.first_reply: float | None = None
        self._dialler = dialler
        self._spec = spec
        self._attended = attended

    async def outcome(self) -> Outcome:
        """How dialling ended."""
        ending, leg = self._dialler.ending, self._dialler.leg
        if not self._attended or leg is None:
            self._end("local", 480)
            return Outcome(kind="unreachable", status=0, reason="not dialled: this is a simulation")
        rings_out = min(self._spec.ring_timeout or RINGS_OUT, RINGS_OUT)
        await leg.pass_time(rings_out if ending == "noanswer" else RINGS)
        self.first_reply = self.created
        if ending == "answered":
            self.answered_at, self.status = self.clock(), "progressing"
            return Outcome(kind="answered", status=200, reason="OK", retry_after=0, first_reply=self.first_reply)
        status, reason = _REFUSALS[ending]
        self._end("remote", status, reason)
        return Outcome(kind="refused", status=status, reason=reason, retry_after=0, first_reply=self.first_reply)

    def cancel(self, cause: str = "") -> None:
        """Cancels it."""
        self.hangup()

    def overhear(self, caller: object, callee: object) -> None:
        """No media: nothing is fed."""

    @property
    def anchored(self) -> bool:
        """No media is relayed."""
        return False

    async def passed(self) -> dict[str, Any] | None:
        """Nothing."""
        return None

    def reject(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """A call that was dialled is not rejected."""
        self.hangup(status)
