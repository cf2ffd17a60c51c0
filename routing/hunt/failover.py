"""What an attempt's end means for the hunt: the policy as a table."""

from typing import Literal

from routing.directory.trunk import Terms

OutcomeKind = Literal["answered", "refused", "unreachable", "no_reply", "no_progress", "ring_timeout", "cancelled"]
SkipCause = Literal["disabled", "max_channels", "max_cps", "unhealthy", "cooldown", "unknown_provider", "no_listener"]

MOST_ATTEMPTS = 10
"""Attempts in one call; loops and storms end here."""

# Kind of outcome -> is the next provider tried? None: the final status decides, by the provider's and route's codes.
TRY_NEXT: dict[str, bool | None] = {
    "answered": False,
    "refused": None,
    "unreachable": True,  # the name does not resolve, connection refused, ICMP unreachable
    "no_reply": True,  # no response at all
    "no_progress": True,  # 100 and nothing more
    "ring_timeout": False,  # the callee's phone rang
    "cancelled": False,  # the caller is gone
}

# What the caller hears where the outcome itself decides, or where no attempt had a final response: an answer, nobody
# picking up, its own hang-up (RFC 3261 §15.1.2), silence (§16.8), a dead end (§16.9; a 503, thus sent on as 500).
LOCAL_STATUS: dict[str, tuple[int, str]] = {
    "answered": (200, "OK"),
    "ring_timeout": (480, "Temporarily Unavailable"),
    "cancelled": (487, "Request Terminated"),
    "no_reply": (408, "Request Timeout"),
    "no_progress": (408, "Request Timeout"),
    "unreachable": (500, "Server Internal Error"),
}

NOTHING_TO_TRY = (480, "Temporarily Unavailable")

BARRED = (403, "Forbidden")
"""What a caller hears whose customer may not make this call."""

# What a provider says to us and not to the caller -> what the caller hears in its place. The attempt's record keeps
# what was said.
PASSED_ON: dict[int, tuple[int, str]] = {
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

SKIP_SENTENCES: dict[str, str] = {
    "disabled": "the provider is disabled",
    "max_channels": "all of its channels are in use",
    "max_cps": "it was called as often as it may be within a second",
    "unhealthy": "it does not answer health probes any more",
    "cooldown": "it asked to be left alone for a while (503 with Retry-After)",
    "unknown_provider": "there is no such provider",
    "no_listener": "there is no listener for its transport under sip.listen",
}


def passed_on(status: int, reason: str) -> tuple[int, str]:
    """Status and reason phrase that a caller hears where this was a provider's last word."""
    return PASSED_ON.get(status, (status, reason))


def silence(kind: str, reason: str) -> str:
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


def try_next(terms: Terms, kind: str, status: int) -> bool:
    """Whether the next provider is tried after this outcome. Raises KeyError for an unknown kind."""
    decided = TRY_NEXT[kind]
    if decided is None:
        return status in terms.failover and status not in terms.stop
    return decided
