"""What an attempt's end means for the hunt: the policy as a table."""

from typing import Literal

from routing.trunk import Terms

OutcomeKind = Literal["answered", "refused", "unreachable", "no_reply", "no_progress", "ring_timeout", "cancelled"]
SkipCause = Literal["disabled", "max_channels", "max_cps", "unhealthy", "cooldown", "unknown_provider"]

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

# RFC 3261 §16.7 step 6: a 503 speaks of one server only, so it is not passed on.
PASSED_ON: dict[int, tuple[int, str]] = {503: (500, "Server Internal Error")}

SKIP_SENTENCES: dict[str, str] = {
    "disabled": "the provider is disabled",
    "max_channels": "all of its channels are in use",
    "max_cps": "it was called as often as it may be within a second",
    "unhealthy": "it does not answer health probes",
    "cooldown": "it asked to be left alone for a while (503 with Retry-After)",
    "unknown_provider": "there is no such provider",
}


def try_next(terms: Terms, kind: str, status: int) -> bool:
    """Whether the next provider is tried after this outcome. Raises KeyError for an unknown kind."""
    decided = TRY_NEXT[kind]
    if decided is None:
        return status in terms.failover and status not in terms.stop
    return decided
