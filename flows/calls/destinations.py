"""Contacts and SIP destinations: where extensions and agents are reached, and what a `sip:` URI leads to: a peer,
ourselves, or somewhere that whoever named it may not reach."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from engine.sip.flow import Allows, Flow, is_sips
from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, parse_uri
from engine.transport.addresses import family_of
from flows.calls.address import Address
from routing.access.destinations import NamedBy, forbidden, is_provider_hostname
from routing.directory.directory import Directory
from routing.identifiers import NIL
from routing.settings import RoutingSettings

REFUSED = (403, "Forbidden")
"""What a caller hears whose destination may not be named by whoever named it."""

LONGEST_WAIT: Final = 60.0
"""Seconds that a call without a time for ringing waits for a phone which is expected back."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Contact:
    """Where a destination is reached that is named otherwise: a binding of its registration (RFC 3261 §10.3), or an
    address that is known of it.

    Attributes:
        uri: A SIP URI, what the request is for.
        customer_id: The customer whose word that is.
        q: Which contacts are preferred, from 0 to 1 (RFC 3261 §20.10): the higher ones first, equal ones at once.
        flow: The connection that it is reached by; None: wherever `uri` leads. Often there is no other way (RFC 5626).
        path: The URIs of proxies that the request goes by, in order (RFC 3327).
        flow_failed: Told that the proxy which has the connection to it has lost that (RFC 5626 §5.3.1: 430).
        extension: The name of the extension that it is a device of; "" for none.
    """

    uri: str
    customer_id: UUID = NIL
    q: float = 1.0
    flow: Flow | None = None
    path: Sequence[str] = ()
    flow_failed: Callable[[], None] | None = None
    extension: str = ""

    @property
    def secure(self) -> bool:
        """Whether it is reached over TLS, as far as we see."""
        return is_sips(self.path[0].lstrip("<")) if self.path else self.flow is not None and self.flow.secure


class ContactResolver(Protocol):
    """Who knows where extensions and agents are reached (`service.contact_center.queue_directory.QueueDirectory`)."""

    async def resolve(self, address: Address, customer_id: UUID) -> Sequence[Contact]:
        """The contacts of a destination, as a call of this customer may reach it; none of nobody."""
        ...

    async def returned(self, extension: str, at_most: float) -> bool:
        """Wait for a phone of an extension of which none is there, where one is expected back (RFC 5626 §4.5); whether
        one has come. `at_most`: seconds."""
        ...


class NoContacts:
    """Knows no extensions and no agents."""

    async def resolve(self, address: Address, customer_id: UUID) -> Sequence[Contact]:
        """None."""
        return ()

    async def returned(self, extension: str, at_most: float) -> bool:
        """Nobody."""
        return False


def by_preference(contacts: Iterable[Contact]) -> list[list[Contact]]:
    """Contacts in the order in which they are tried: by descending q, those with the same at once (RFC 3261 §16.6)."""
    ordered = sorted(contacts, key=lambda contact: -contact.q)
    return [list(group) for _, group in groupby(ordered, key=lambda contact: contact.q)]


class Way(NamedTuple):
    """What a URI leads to.

    Attributes:
        here: To ourselves: it is delivered without a packet, to whatever its user part names.
        refused: Why it may not be used, for a record; "" where it may.
        allows: Asked again for each flow that it leads to, whenever that is looked up.
    """

    uri: str
    here: bool = False
    refused: str = ""
    allows: Allows | None = None


class Locating(Protocol):
    """Who knows the way (`engine.user_agent.UserAgent`)."""

    async def locate(self, uri: str) -> tuple[list[Flow], str]: ...
    def listens_at(self, host: str, port: int) -> bool: ...


class Destinations:
    """Looks at URIs before they are dialled, by what they resolve to. `routing` changes with the configuration."""

    __slots__ = ("_agent", "_directory", "routing")

    def __init__(self, directory: Directory, routing: RoutingSettings, agent: Locating) -> None:
        self.routing = routing
        self._directory = directory
        self._agent = agent

    def at_once(self, uri: str, named: NamedBy) -> Way:
        """What can be told without asking name servers: of numeric addresses, and of names that are known."""
        parsed = _parsed(uri)
        if parsed is None:
            return Way(uri)
        if self._here(parsed):
            return Way(uri, here=True)
        host = _host(parsed)
        if family_of(host):
            may = self._may(host, named)
        else:
            may = named == "operator" or not is_provider_hostname(self._directory, host)
        return Way(uri, allows=self._allows(named)) if may else _refused(uri)

    async def way(self, uri: str, named: NamedBy) -> Way:
        """What `uri` leads to now."""
        way = self.at_once(uri, named)
        if way.here or way.refused:
            return way
        flows, _ = await self._agent.locate(uri)
        if any(self._agent.listens_at(flow.host, flow.port) for flow in flows):
            return Way(uri, here=True)
        if flows and not any(self._may(flow.host, named) for flow in flows):
            return _refused(uri)
        return way

    def _here(self, uri: SipUri) -> bool:
        """Whether it names us as it stands. A name without a port is ours at any."""
        host, port = _host(uri), uri.port
        if port is None:
            secure = uri.scheme == "sips" or uri.transport == "tls"
            port = (5061 if secure else 5060) if family_of(host) else 0
        return self._agent.listens_at(host, port)

    def _may(self, host: str, named: NamedBy) -> bool:
        return not forbidden(self._directory, self.routing, host, named)

    def _allows(self, named: NamedBy) -> Allows:
        """For the look-up when the request is sent, which may give something else. What led to a peer does not lead to
        ourselves then: it would be a request of ours, from a client that is none."""
        return lambda flow: self._may(flow.host, named) and not self._agent.listens_at(flow.host, flow.port)


def _parsed(uri: str) -> SipUri | None:
    try:
        parsed = parse_uri(uri)
    except ParseError:
        return None
    return parsed if isinstance(parsed, SipUri) else None


def _host(uri: SipUri) -> str:
    return (uri.params.get("maddr") or uri.host_address).strip("[]")


def _refused(uri: str) -> Way:
    return Way(uri, refused=f"DESTINATION_NOT_ALLOWED: {uri[:200]} leads to an address that may not be named here")
