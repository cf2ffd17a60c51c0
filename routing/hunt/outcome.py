"""Outcomes of attempts: their kinds, the status that the caller hears, and the hangup reason of its call."""

from typing import Literal, NamedTuple

OutcomeKind = Literal["answered", "refused", "unreachable", "no_reply", "no_progress", "ring_timeout", "cancelled"]
LastOutcome = OutcomeKind | Literal[""]
"""How the last attempt ended; "" where none was made."""
RefusalCause = Literal["insufficient_balance", "charging_failed", "too_many_legs", "no_media"]
HangupReason = Literal["normal", "busy", "noanswer", "dialout", "cancel", "timeout", "failed"]

# What the caller hears where the outcome itself decides, or where no attempt had a final response: an answer, nobody
# picking up, its own hang-up (RFC 3261 §15.1.2), silence (§16.8), a dead end (§16.9; a 503, thus sent on as 500).
LOCAL_STATUS: dict[OutcomeKind, tuple[int, str]] = {
    "answered": (200, "OK"),
    "ring_timeout": (480, "Temporarily Unavailable"),
    "cancelled": (487, "Request Terminated"),
    "no_reply": (408, "Request Timeout"),
    "no_progress": (408, "Request Timeout"),
    "unreachable": (500, "Server Internal Error"),
}

NOTHING_TO_TRY = (480, "Temporarily Unavailable")

UNSUPPORTED_BODY = (415, "Unsupported Media Type")
"""What a caller hears whose body no provider takes."""

BARRED = (403, "Forbidden")
"""What a caller hears whose customer may not make this call."""

# What a provider says to us and not to the caller -> what the caller hears in its place. The attempt's record keeps
# what was said.
RELAYED_ANSWERS: dict[int, tuple[int, str]] = {
    # A redirection that is not followed. With its Contact the caller would go round us, straight to the carrier, and
    # without one a 3xx is none (RFC 3261 §21.3).
    **dict.fromkeys(range(300, 400), (480, "Temporarily Unavailable")),
    # Our credentials were refused, or we have none. A proxy would hand on the challenge (§16.7 step 7); a caller of
    # ours has no account there, and a 401 without a challenge is malformed (§22.2).
    401: (403, "Forbidden"),
    407: (403, "Forbidden"),
    # A 503 speaks of one server only (§16.7 step 6).
    503: (500, "Server Internal Error"),
}

# Final status of a call that was not answered -> its reason; all else has failed.
STATUS_REASONS: dict[int, HangupReason] = {
    486: "busy",
    600: "busy",
    408: "noanswer",
    480: "noanswer",
    487: "cancel",
}

# How an attempt ended without a final response that counts -> the call's reason.
KIND_REASONS: dict[OutcomeKind, HangupReason] = {
    "ring_timeout": "dialout",
    "cancelled": "cancel",
    "no_reply": "noanswer",
    "no_progress": "noanswer",
}


class NotAttempted(NamedTuple):
    """Why an attempt that was planned is not made after all.

    Attributes:
        sentence: The cause in words, for the attempt's record.
        status: SIP status and its reason phrase for the caller, where nobody else has said anything.
    """

    cause: RefusalCause
    sentence: str
    status: int
    reason: str


def relayed_answer(status: int, reason: str) -> tuple[int, str]:
    """Status and reason phrase that a caller hears where this was a provider's last word."""
    return RELAYED_ANSWERS.get(status, (status, reason))


def no_answer_cause(kind: LastOutcome, reason: str) -> str:
    """Why nobody said anything, for the record of a call of our own; "" for an outcome in which somebody has.

    reason: The words of the transport, or of the look-up.
    """
    if kind in ("no_reply", "no_progress"):
        return "no_reply"
    if kind != "unreachable":
        return ""
    if "resolve" in reason:
        return "unresolved"
    return "refused" if "refused" in reason else "unreachable"


def hangup_reason(*, answered: bool, status: int = 0, kind: LastOutcome = "", timed_out: bool = False) -> HangupReason:
    """Why a call is over.

    answered: Somebody picked up.
    status: The final status, 0 where there was none.
    kind: How the last attempt ended, "" where it is not known.
    timed_out: The longest call time was reached.
    """
    if timed_out:
        return "timeout"
    if answered:
        return "normal"
    return (kind and KIND_REASONS.get(kind)) or STATUS_REASONS.get(status, "failed")
