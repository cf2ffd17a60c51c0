"""Known peers: providers, trusted networks, our own edge proxies, and addresses where a phone has logged in."""

from collections.abc import Callable
from typing import Literal

from engine.sip.flow import TlsTerms, address_of, is_web_page
from engine.sip.peers import UNNOTED, Misdeed
from routing.access.bans import BanTable
from routing.addresses import AddressTable
from routing.directory.directory import Directory
from routing.directory.trunk import certified
from routing.hostnames import parse_host_port
from routing.models.provider import Provider
from routing.settings import Nat, RoutingSettings

PeerKind = Literal["provider", "trusted", "proxy", "phone", "stranger"]

PHONE_TTL = 3600.0
"""Seconds that an address stays known where a phone logged in, where it is not registered for longer."""
MAX_PHONES = 65_536
_DECLARED = ("provider", "trusted", "proxy")  # they are never banned


class KnownPeers:
    """`engine.sip.peers.Peers` for a directory and settings. `clock`: monotonic seconds.

    Attributes:
        directory: Providers and their addresses.
        settings: Replaced when the configuration is reloaded.
        bans: Whom what they have done has banned.
        denied: Whom the operator has banned, by `sip.deny_file`; None for nobody.
    """

    __slots__ = ("_clock", "_phones", "bans", "denied", "directory", "settings")

    def __init__(self, directory: Directory, settings: RoutingSettings, clock: Callable[[], float]) -> None:
        self.directory = directory
        self._clock = clock
        self.bans = BanTable(clock)
        self.denied: AddressTable[bool] | None = None
        self._phones: dict[str, float] = {}  # where a phone logged in, and until when; the longest unheard goes first
        self.settings = settings

    def kind(self, party: str) -> PeerKind:
        """Who `party` is, a numeric address or more (`engine.sip.flow.Flow.party`). A provider is one before anything
        else (`routing.access.admission.identify`)."""
        settings = self.settings
        host, page = (address_of(party), is_web_page(party)) if "@" in party else (party, False)
        if not page:
            if self.directory.provider_at(party) is not None:
                return "provider"
            if settings.trusted.filled and settings.trusted.find(host):
                return "trusted"
            if settings.edges.filled and settings.edges.find(host):
                return "proxy"
        until = self._phones.get(host)
        return "phone" if until is not None and self._clock() < until else "stranger"

    def known(self, host: str) -> bool:
        """See `engine.sip.peers.Peers`."""
        return self.kind(host) != "stranger"

    def declared(self, host: str) -> bool:
        """See `engine.sip.peers.Peers`."""
        return self.kind(host) in _DECLARED

    def reserved(self, host: str, source: str) -> bool:
        """See `engine.sip.peers.Peers`: a provider's address, on any port, or its name, for everybody but that
        provider; see `one_party`."""
        if host == source:
            return False  # nearly every peer names itself
        directory = self.directory
        provider = directory.provider_at(host) or directory.provider_with_hostname(host)
        if provider is None:
            return False
        return not one_party(provider, directory.provider_at(source))

    def allied(self, host: str, source: str) -> bool:
        """See `engine.sip.peers.Peers`: both are this provider's."""
        provider = self.directory.provider_at(host)
        return provider is not None and one_party(provider, self.directory.provider_at(source))

    def nat(self, host: str) -> Nat:
        """See `engine.sip.peers.Peers`: a provider's own word goes before the setting."""
        provider = self.directory.provider_at(host)
        return self.settings.nat if provider is None or provider.nat == "auto" else provider.nat

    def contact_host(self, host: str) -> str:
        """See `engine.sip.peers.Peers`."""
        provider = self.directory.provider_at(host)
        return "" if provider is None else provider.contact_host

    def tls(self, host: str) -> tuple[str, TlsTerms | None]:
        """See `engine.sip.peers.Peers`."""
        provider = self.directory.provider_at(host)
        if provider is None:
            return "", None
        where = parse_host_port(provider.hostname)
        return "" if where.address else where.host.lower().rstrip("."), provider.tls_terms

    def edge(self, host: str) -> bool:
        """See `engine.sip.peers.Peers`."""
        edges = self.settings.edges
        return edges.filled and bool(edges.find(address_of(host)))

    def banned(self, host: str) -> bool:
        """See `engine.sip.peers.Peers`: providers, trusted networks and edges never are."""
        if not self.bans.banned and self.denied is None:
            return False  # asked for each message
        address = address_of(host)
        found = self.bans.find(address) or (is_web_page(host) and self.bans.find(host))
        if not found and (self.denied is None or not self.denied.find(address)):
            return False
        return self.kind(host) not in _DECLARED

    def accuse(self, host: str, misdeed: Misdeed, mark: int = 0) -> bool:
        """See `engine.sip.peers.Peers`."""
        if self.kind(host) in _DECLARED:
            return False
        address, page = address_of(host), is_web_page(host)
        banned = self.bans.add(host if page else address, misdeed, mark) is not None
        if banned and not page:
            self.forget(address)
        return True

    def phone_at(self, host: str, seconds: float = 0.0) -> None:
        """A phone has logged in from here: it may have mistyped its password before that. `host`: as for `accuse`;
        `seconds`: how long it is registered."""
        address = address_of(host)
        if address == UNNOTED:
            return
        self.bans.clear(host)
        until = max(self._clock() + max(seconds, PHONE_TTL), self._phones.pop(address, 0.0))
        if len(self._phones) >= MAX_PHONES:
            del self._phones[next(iter(self._phones))]
        self._phones[address] = until

    def forget(self, host: str) -> None:
        """This address has been banned: that a phone was there counts no more."""
        self._phones.pop(host, None)


def one_party(provider: Provider | None, other: Provider | None) -> bool:
    """Whether two providers are one carrier: the same, or at one hostname, or known by one name in certificates."""
    if provider is None or other is None:
        return False
    if other.id == provider.id or other.hostname == provider.hostname:
        return True
    return not {*certified(provider)}.isdisjoint(certified(other))
