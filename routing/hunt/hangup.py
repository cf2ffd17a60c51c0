"""The word for how a call ended."""

from typing import Literal

HangupReason = Literal["normal", "busy", "noanswer", "dialout", "cancel", "timeout", "failed"]

# Final status of a call that was not answered -> its reason; all else has failed.
STATUS_REASONS: dict[int, HangupReason] = {
    486: "busy",
    600: "busy",
    408: "noanswer",
    480: "noanswer",
    487: "cancel",
}

# How an attempt ended without a final response that counts -> the call's reason.
KIND_REASONS: dict[str, HangupReason] = {
    "ring_timeout": "dialout",
    "cancelled": "cancel",
    "no_reply": "noanswer",
    "no_progress": "noanswer",
}


def hangup_reason(*, answered: bool, status: int = 0, kind: str = "", timed_out: bool = False) -> HangupReason:
    """Why a call is over.

    answered: Somebody picked up.
    status: The final status, 0 where there was none.
    kind: The outcome's kind ("ring_timeout", "cancelled", ...), "" where it is not known.
    timed_out: The longest call time was reached.
    """
    if timed_out:
        return "timeout"
    if answered:
        return "normal"
    return KIND_REASONS.get(kind) or STATUS_REASONS.get(status, "failed")
