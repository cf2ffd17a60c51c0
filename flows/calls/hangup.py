"""Ends of calls: the reasons for them, as the far end is told, and orders to end a call from outside of its flow.

Before the answer the far end is told by a final response, after it by a Q.850 cause (RFC 3326).
"""

from typing import Final, NamedTuple

from flows.calls.ports import CallLeg
from flows.calls.record import CallRecord
from flows.calls.registry import CallRegistry


class Cause(NamedTuple):
    """The SIP status for a call that was never answered, and the value of the Reason header (RFC 3326, Q.850)."""

    status: int
    header: str


ELSEWHERE: Final = 'SIP;cause=200;text="Call completed elsewhere"'
"""The Reason value (RFC 3326 §2) for who was given up as somebody else has answered: without it a phone would show a
missed call."""

CAUSES: dict[str, Cause] = {
    "normal": Cause(480, 'Q.850;cause=16;text="Normal call clearing"'),
    "busy": Cause(486, 'Q.850;cause=17;text="User busy"'),
    "noanswer": Cause(480, 'Q.850;cause=19;text="No answer from user"'),
    "cancel": Cause(487, 'Q.850;cause=31;text="Normal, unspecified"'),
    "dialout": Cause(480, 'Q.850;cause=18;text="No user responding"'),
    "timeout": Cause(480, 'Q.850;cause=102;text="Recovery on timer expiry"'),
    "failed": Cause(500, 'Q.850;cause=41;text="Temporary failure"'),
}


def hangup_by_id(calls: CallRegistry, call_id: str, cause: str = "normal") -> bool:
    """Ends a call, whoever made it: a final response or CANCEL before the answer, BYE after it.

    cause: One of CAUSES; the record gives it as `hangup_reason`, `cancel` where it is `normal` and nobody had answered.
    Returns False where the call is over or not known, and nothing is done. Raises KeyError for an unknown cause.
    """
    if cause not in CAUSES:
        raise KeyError(f"no such cause: {cause!r}; known are {', '.join(CAUSES)}")
    running = calls.running(call_id)
    if running is None:
        return False
    running.hang_up(cause)
    return True


def end_leg(leg: CallLeg, record: CallRecord, cause: str) -> None:
    """Ends the leg that a record is about, and notes why. Nothing when its end is under way."""
    if leg.ended_at is not None or leg.status in ("terminating", "canceling"):
        return
    note_cause(record, cause, leg.answered)
    leg.hangup(CAUSES[cause].status, CAUSES[cause].header)


def note_cause(record: CallRecord, cause: str, answered: bool) -> None:
    """What the record will give as the reason."""
    if cause == "normal":
        record.cause = "" if answered else "cancel"
    else:
        record.cause = cause
