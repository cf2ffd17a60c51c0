"""Ends a call that runs, from outside of its flow: by its id, or because what it may cost or last is used up."""

from flows.calls.causes import CAUSES
from flows.calls.ports import CallLeg
from flows.calls.record import CallRecord
from flows.calls.registry import CallLog


def hang_up(calls: CallLog, call_id: str, cause: str = "normal") -> bool:
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


def end(leg: CallLeg, record: CallRecord, cause: str) -> None:
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
