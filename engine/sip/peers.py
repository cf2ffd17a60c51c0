"""What is known of the addresses that requests come from and go to. Whoever runs the engine knows it; it is asked here.

Hosts are numeric addresses as a `Hop` holds them.
"""

from typing import Protocol


class Peers(Protocol):
    """Tells known peers from strangers. Asked for every request: it answers from memory."""

    def known(self, host: str) -> bool:
        """Whether this is a known peer's address: limits for strangers do not count for it, and it is served first."""

    def reserved(self, host: str, source: str) -> bool:
        """Whether `host` is a party's that takes our requests for calls that somebody pays for, so that none goes there
        because a peer at `source` names it in Contact, Route or Record-Route. False where `source` is that party's."""


class Everybody:
    """An engine on its own: every peer is known, and no address is reserved."""

    def known(self, host: str) -> bool:
        """See `Peers`."""
        return True

    def reserved(self, host: str, source: str) -> bool:
        """See `Peers`."""
        return False


EVERYBODY: Peers = Everybody()


def counted_source(host: str) -> str:
    """What a limit for each source counts: an IPv4 address, of IPv6 the /64, which is one customer's (RFC 6177)."""
    if ":" not in host:
        return host
    head, gap, tail = host.partition("%")[0].lower().partition("::")
    groups = head.split(":") if head else []
    if gap:
        last = tail.split(":") if tail else []
        groups += ["0"] * (8 - len(groups) - len(last) - ("." in tail)) + last
    return ":".join(group.lstrip("0") or "0" for group in groups[:4]) + "::/64"
