"""Peers: what the host of the engine knows of the addresses that requests come from and go to.

Hosts are numeric addresses as a `Flow` holds them. Who makes a request is its flow's `party`: an address too, unless a
certificate says more.
"""

import ipaddress
from functools import lru_cache
from typing import Final, Literal, Protocol

from engine.sip.flow import TlsTerms, is_web_page, web_page_at
from engine.sip.message.grammar import ParseError, host_address
from engine.sip.message.message import Request
from engine.sip.message.via import Via

Misdeed = Literal["credentials", "not_sip", "handshake", "scanner", "unacknowledged"]
"""What an address can be banned for: a wrong password or a user that does not exist; bytes that are no SIP; those that
are no TLS where TLS is to be; a tool that looks for victims; a 2xx that it did not acknowledge. All but the first count
over streams only, whose addresses cannot be forged; a digest answers a nonce that was sent there (RFC 3261 §26.1.1)."""

Nat = Literal["auto", "always", "never"]


class Peers(Protocol):
    """Tells known peers from strangers. Asked for every request: it answers from memory."""

    def known(self, host: str) -> bool:
        """Whether this is a known peer's address: limits for strangers do not count for it, and it is served first."""

    def declared(self, host: str) -> bool:
        """Whether this is a machine that the operator has named: a carrier's, of a trusted network, or an edge. Phones
        that have logged in are known, and are not."""

    def reserved(self, host: str, source: str) -> bool:
        """Whether `host` is a party's that takes our requests for calls that somebody pays for, so that none goes there
        because a peer at `source` names it in Contact, Route or Record-Route. False where `source` is that party's.
        `host` may be a name too, in lower case."""

    def allied(self, host: str, source: str) -> bool:
        """Whether both addresses are one such party's."""

    def nat(self, host: str) -> Nat:
        """Where requests to this peer go within its dialogs: see `engine.sip.dialog.next_hop`."""

    def contact_host(self, host: str) -> str:
        """What this peer is shown in place of our address, in Contact and Via; "": our address. See
        `engine.sip.flow.Flow.sent_by`."""

    def tls(self, host: str) -> tuple[str, TlsTerms | None]:
        """The name that this peer's certificate has, and what else is asked of it, where we have to connect to an
        address that it names; "" and None for a peer that nothing is said of."""

    def edge(self, host: str) -> bool:
        """Whether this is one of our own edge proxies: its requests come from others (`source_of`)."""

    def banned(self, host: str) -> bool:
        """Whether nothing from here is to be looked at. Asked for every message and connection, before anything."""

    def accuse(self, host: str, misdeed: Misdeed, mark: int = 0) -> bool:
        """Something that counts for a ban came from here; False for one who is never banned. The same `mark`, other
        than 0, counts once. `host`: a `Flow.party`; what a web page does is not held against its reader's phones."""


class Everybody:
    """An engine on its own: every peer is known, no address is reserved, and none banned."""

    def known(self, host: str) -> bool:
        """See `Peers`."""
        return True

    def declared(self, host: str) -> bool:
        """See `Peers`: who is known, here."""
        return self.known(host)

    def reserved(self, host: str, source: str) -> bool:
        """See `Peers`."""
        return False

    def tls(self, host: str) -> tuple[str, TlsTerms | None]:
        """See `Peers`."""
        return "", None

    def edge(self, host: str) -> bool:
        """See `Peers`."""
        return False

    def banned(self, host: str) -> bool:
        """See `Peers`."""
        return False

    def accuse(self, host: str, misdeed: Misdeed, mark: int = 0) -> bool:
        """See `Peers`."""
        return False

    def allied(self, host: str, source: str) -> bool:
        """See `Peers`."""
        return False

    def nat(self, host: str) -> Nat:
        """See `Peers`."""
        return "auto"

    def contact_host(self, host: str) -> str:
        """See `Peers`."""
        return ""


EVERYBODY: Peers = Everybody()


UNNOTED: Final = "0.0.0.0"
"""The source of a request that an edge has forwarded from where nobody can read: a stranger like any other, and one
with all who write such a Via. As the edge itself, who is known, it would have no limits and could guess without end."""


@lru_cache(maxsize=8192)
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


def source_of(request: Request, host: str, peers: Peers) -> str:
    """The source of a request that came from `host`: of one that an edge proxy has forwarded, the address that the edge
    took it from, as it noted in the Via below its own (`received`, else sent-by; RFC 3261 §18.2.1)."""
    if not peers.edge(host) or _of_web_page(request):
        return host
    try:
        below = Via.parse(request.values("Via")[1])
    except IndexError:
        return host  # a request of the edge's own
    except ParseError:
        return UNNOTED
    received = below.params.get("received")
    try:
        noted = ipaddress.ip_address(host_address(received or below.host))
    except ValueError:
        return UNNOTED if received else host
    mapped = noted.ipv4_mapped if isinstance(noted, ipaddress.IPv6Address) else None
    return str(mapped or noted)


def accused(request: Request, source: str) -> str:
    """Whom what is wrong with a request is held against (`Peers.accuse`). `source`: as of `source_of`."""
    return web_page_at(source) if _of_web_page(request) else source


def _of_web_page(request: Request) -> bool:
    return request.source is not None and is_web_page(request.source.party)


SCANNERS = (
    "friendly-scanner",  # SIPVicious: svmap, svwar, svcrack
    "sipvicious",
    "sipcli",
    "vaxsipuseragent",  # robots that try out passwords and numbers, built with that SDK
    "pplsip",
    "sundayddr",
)
"""Tools that look for victims, by the User-Agent that they show by default. Those who change it are met by the bans;
but most of what knocks at port 5060 is one of these, and need cost nothing. `sipsak` is none of them: those who run a
server ask it how that is."""


def is_scanner(user_agent: str) -> bool:
    """Whether a request with this User-Agent comes from a scanner, whatever version stands behind the name."""
    return user_agent.lower().startswith(SCANNERS)
