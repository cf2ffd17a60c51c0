"""The next hop of requests within a dialog, and where it must not be (RFC 3261 §12.2.1.1, §18.1.1; RFC 3581).

Contact, Route and Record-Route are under the peer's control. They are followed where they are usable, and never to a
provider's address nor to our own, unless the peer is at that address.
"""

import ipaddress
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Final, NamedTuple

from engine.sip.core import Core
from engine.sip.dialog.dialog import Dialog, contact_of
from engine.sip.flow import NOT_SECURE, Flow
from engine.sip.message.grammar import ParseError, host_address, is_nobodys
from engine.sip.message.message import Request
from engine.sip.message.name_addr import NameAddr
from engine.sip.message.uri import SipUri, parse_uri
from engine.sip.peers import Peers

MISLEADING: Final = "the peer names an address that is not its own"
"""Why a request is not sent, or refused: its next hop is a provider's, or ours."""

_UNREACHABLE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "::/127", "fc00::/7", "fe80::/10", "fec0::/10"),
    )
)


MOST_NAMES: Final = 8
"""Names that are looked up for one request: a Contact, a Record-Route, and the first of Route. We send to no later one,
and a list of hundreds would make us ask the name servers of as many."""


class Place(NamedTuple):
    """Where a URI leads, as far as it says so itself: to a numeric address, or to a name that has to be looked up."""

    address: str
    """IPv4 also where it is written as IPv6 (RFC 4291 §2.5.5.2); "" where there is a name."""
    name: str
    """In lower case; "" where there is an address."""
    port: int
    """That of the transport where none is written."""


@lru_cache(maxsize=4096)
def place_of(uri: str) -> Place:
    """Raises ParseError where it is no SIP URI."""
    parsed = parse_uri(uri)
    if not isinstance(parsed, SipUri):
        raise ParseError("not a SIP URI")
    host = host_address((parsed.params.get("maddr") or parsed.host).lower())  # §19.1.1: maddr overrides the host
    secure = parsed.scheme == "sips" or parsed.transport == "tls"
    port = (5061 if secure else 5060) if parsed.port is None else parsed.port
    address = numeric(host)
    return Place(address, "" if address else host.rstrip("."), port)


@lru_cache(maxsize=4096)
def is_gruu(uri: str) -> bool:
    """Whether a URI is one device's, as its domain names it (RFC 5627 §5.1). Raises ParseError on what is no URI."""
    parsed = parse_uri(uri)
    return isinstance(parsed, SipUri) and "gr" in parsed.params


@lru_cache(maxsize=4096)
def numeric(host: str) -> str:
    """A numeric address in the one way of writing it, without a zone, IPv4 where it is mapped; "" for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@lru_cache(maxsize=4096)
def is_private(address: str) -> bool:
    """Whether a numeric address means something else to everybody: private, loopback, link-local (RFC 6890)."""
    found = ipaddress.ip_address(address)
    return any(found in network for network in _UNREACHABLE if network.version == found.version)


@lru_cache(maxsize=4096)
def _distance(address: str) -> int:
    """How far away a numeric address is at least: this machine, its link, its network, or anywhere."""
    found = ipaddress.ip_address(address)
    return 0 if found.is_loopback else 1 if found.is_link_local else 2 if is_private(address) else 3


# ---- where they go


def way_back(dialog: Dialog, peers: Peers) -> Flow | None:
    """The peer itself, where requests go there in place of what its Contact and Record-Route say. None: they follow
    these, and what a name in them stands for decides (`after_lookup`)."""
    source = dialog.source
    if source is None:
        return None
    rule = peers.nat(dialog.peer)
    if rule == "always" or not source.transport.connects or _leads_nowhere(dialog):
        return source
    if rule == "never" or dialog.route_set:
        return None
    if source.transport.reliable and dialog.direct:
        return source  # its connection is there; what it calls itself need not take another
    place = place_of(dialog.remote_target)
    if place.address == source.host:  # nearly every peer
        return source if dialog.behind_nat else None
    if place.address:
        return source if _astray(dialog, (place.address,), peers) else None
    return None


def _leads_nowhere(dialog: Dialog) -> bool:
    """Whether the next hop has a name that is nobody's (RFC 2606 §2): so phones in browsers write that they have no
    address (RFC 7118 §5), and only the flow leads to them."""
    if not dialog.route_set and "invalid" not in dialog.remote_target.lower():
        return False  # nearly every peer
    try:
        name = place_of(dialog.route()[2] if dialog.route_set else dialog.remote_target).name
    except ParseError:
        return False
    return name != "" and is_nobodys(name)


def after_lookup(dialog: Dialog, flows: list[Flow], peers: Peers) -> list[Flow]:
    """What the peer's Contact has turned out to be: those flows, or the peer itself. Asked of addresses too, which
    count for a peer whose connection is gone (`way_back`)."""
    source = dialog.source
    if source is None or (rule := peers.nat(dialog.peer)) == "never":
        return flows
    if rule == "always":
        return [source]
    if dialog.route_set:
        # A stranger's proxy, or a phone's, is not nearer to us than it is itself: within our network there are others.
        nearer = any(_distance(numeric(flow.host)) < _distance(numeric(source.host)) for flow in flows)
        obeyed = peers.declared(dialog.peer) and peers.known(dialog.party)
        return [source] if nearer and not obeyed else flows
    astray = _astray(dialog, tuple(numeric(flow.host) for flow in flows), peers)
    return [source] if astray else flows


def _astray(dialog: Dialog, addresses: tuple[str, ...], peers: Peers) -> bool:
    """Whether a Contact at these addresses is evidently no use, or none that a stranger may send us to."""
    source = dialog.source
    assert source is not None
    if numeric(source.host) in addresses:
        return dialog.behind_nat  # RFC 3581: else another port is the one that it listens on
    if addresses and all(peers.allied(address, dialog.peer) for address in addresses):
        return False
    if all(is_private(address) for address in addresses):  # no address, too: the name does not resolve
        return True
    return dialog.one_via and not peers.known(dialog.peer)


def misleads(endpoint: Core, host: str, port: int, dialog: Dialog) -> bool:
    """Whether no request within this dialog may go there: it is another party's that is not to be reached so, or our
    own place. `host`: numeric, or a name in lower case."""
    if endpoint.peers.reserved(host, dialog.party):
        return True
    return not dialog.returned and endpoint.listens_at(host, port) and not _named_by_us(dialog)


def _named_by_us(dialog: Dialog) -> bool:
    """Whether the peer is a device that calls itself by its GRUU, in which our place stands where it is ours (RFC 5627
    §4.4): it is reached the way that it came."""
    return not dialog.route_set and is_gruu(dialog.remote_target)


def find_flows(endpoint: Core, dialog: Dialog, done: Callable[[list[Flow], str], None]) -> None:
    """Tell `done` where a request within the dialog goes, now or when names have been looked up: the flows, best first,
    or none and why (MISLEADING among it). Raises ParseError on a route set that is unusable."""
    direct = dialog.way_back()
    if direct is not None:
        done([direct.under(dialog.tls, dialog.domain)], "")
        return

    next_hop = dialog.route()[2]
    place = place_of(next_hop)
    if place.name and misleads(endpoint, place.name, place.port, dialog):
        done([], MISLEADING)
        return

    endpoint.locate_named(next_hop, dialog.party, partial(_located, endpoint, dialog, done))


def _located(
    endpoint: Core,
    dialog: Dialog,
    done: Callable[[list[Flow], str], None],
    flows: list[Flow],
    cause: str = "name does not resolve",
) -> None:
    """What the next hop of the dialog has turned out to be."""
    if _named_by_us(dialog) and any(endpoint.listens_at(flow.host, flow.port) for flow in flows):
        flows = [] if dialog.source is None else [dialog.source]
    allows = None if dialog.returned else dialog.allows
    for flow in flows:
        if misleads(endpoint, flow.host, flow.port, dialog) or not (
            allows is None or flow == dialog.source or allows(flow)
        ):
            done([], MISLEADING)
            return
    found = after_lookup(dialog, flows, endpoint.peers)
    if dialog.tls is not None or dialog.domain:
        found = [flow.under(dialog.tls, dialog.domain) for flow in found]
    if dialog.secure and found:
        found, cause = [flow for flow in found if flow.secure], NOT_SECURE
    done(found, cause)


# ---- where they must not


Named = tuple[str, bool]
"""A URI in a request, and whether we may be meant by it."""


def misleading(endpoint: Core, request: Request, peer: str, returned: bool) -> tuple[bool, list[Named]]:
    """Whether a request of `peer` names an address that is not its own as where requests to it are to go; and the
    names in it that have to be looked up before that is known. `returned`: it is one of ours that has come back, so
    that we are its sender."""
    names = []
    for uri, may_be_ours in _named_in(request):
        try:
            place = place_of(uri)
        except ParseError:
            continue  # nothing can be sent there
        if endpoint.peers.reserved(place.address or place.name, peer):
            return True, []
        may_be_ours = may_be_ours or returned
        if not may_be_ours and endpoint.listens_at(place.address or place.name, place.port):
            return True, []
        if place.name and not is_nobodys(place.name):
            names.append((uri, may_be_ours))
    return False, names[:MOST_NAMES]


def _named_in(request: Request) -> list[Named]:
    found = []
    first = request.first
    with suppress(ParseError):  # it is refused for that, or the target stays what it was
        if "Contact" in first:
            contact = contact_of(request)
            found.append((contact, is_gruu(contact)))
        elif request.method == "INVITE":
            found.append((contact_of(request, "From"), False))  # see `Dialog.as_callee`
    if "Record-Route" in first:
        with suppress(ParseError):
            found.append((NameAddr.parse(request.values("Record-Route")[0]).uri_text, False))
    if "Route" in first:
        with suppress(ParseError):
            # The topmost one has brought the request to us (§16.4).
            routes = request.values("Route")
            found += [(NameAddr.parse(value).uri_text, index == 0) for index, value in enumerate(routes)]
    return found


def leads_astray(endpoint: Core, dialog: Dialog) -> bool:
    """Whether what a new dialog's peer has named is not its own, as far as that is known without looking names up.
    Raises ParseError on a route set that is unusable."""
    place = place_of(dialog.remote_target)
    # A GRUU that we have given names us; behind its proxy, it is by the route that it is reached.
    ours = (
        dialog.route_set
        and is_gruu(dialog.remote_target)
        and endpoint.listens_at(place.address or place.name, place.port)
    )
    if not ours and misleads(endpoint, place.address or place.name, place.port, dialog):
        return True
    if not dialog.route_set:
        return False
    place = place_of(dialog.route()[2])
    return misleads(endpoint, place.address or place.name, place.port, dialog)


def look_up(endpoint: Core, names: list[Named], peer: str, done: Callable[[bool], None]) -> None:
    """Whether one of these names stands for an address that is not the peer's own: `done` is called once."""
    waiting = len(names)

    def judge(may_be_ours: bool, flows: list[Flow], _cause: str = "") -> None:
        nonlocal waiting
        if not waiting:
            return
        waiting -= 1
        named = any(
            endpoint.peers.reserved(flow.host, peer) or (not may_be_ours and endpoint.listens_at(flow.host, flow.port))
            for flow in flows
        )
        if named:
            waiting = 0
        if not waiting:
            done(named)

    for uri, may_be_ours in names:
        endpoint.locate_named(uri, peer, partial(judge, may_be_ours))
