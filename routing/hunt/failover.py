"""Failover: whether the next provider is tried after an outcome, as a table."""

from routing.directory.trunk import Terms
from routing.hunt.outcome import OutcomeKind

MAX_ATTEMPTS = 10
"""Attempts in one call; loops and storms end here."""

# Kind of outcome -> is the next provider tried? None: the final status decides, by the provider's and route's codes.
TRY_NEXT: dict[OutcomeKind, bool | None] = {
    "answered": False,
    "refused": None,
    "unreachable": True,  # the name does not resolve, connection refused, ICMP unreachable
    "no_reply": True,  # no response at all
    "no_progress": True,  # 100 and nothing more
    "ring_timeout": False,  # the callee's phone rang
    "cancelled": False,  # the caller is gone
}


def try_next(terms: Terms, kind: OutcomeKind, status: int) -> bool:
    """Whether the next provider is tried after this outcome. Raises KeyError for an unknown kind."""
    decided = TRY_NEXT[kind]
    if decided is None:
        return status in terms.failover and status not in terms.stop
    return decided
