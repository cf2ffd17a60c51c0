"""The settings of routing, as plain values."""

from dataclasses import dataclass, field, replace
from typing import Literal

from routing.addresses import AddressTable
from routing.hostnames import parse_host_port

Nat = Literal["auto", "always", "never"]


@dataclass(slots=True, kw_only=True)
class RoutingSettings:
    """Plain values; `config` has the words for them. Raises ValueError for a network or domain that is none.

    Attributes:
        allow_guests: Whether sources that are neither trunk nor client may call our own numbers.
        logins: Whether guests are asked for credentials before they are refused.
        trusted_networks: Addresses and networks of clients that may dial out.
        proxies: Addresses and networks of edges of our own: known peers without rights of their own.
        nat: Where requests in a dialog go: to where the peer's came from always, never, or where its Contact is no use.
        destination_networks: Private networks that `sip:` destinations of customers may name all the same.
        default_country: ISO 3166 code of the country whose national numbers are understood; "" understands none.
        international_prefixes: What callers dial in place of `+`.
        short_numbers: Numbers that are dialled as they stand, beside those of the default country's plan.
        strict: Own numbers must be valid in their numbering plan, not only possible.
        reserved_virtual_prefix: Virtual numbers of the platform itself; "" reserves none.
        realm: What extensions log in to, and what their passwords are kept for.
        from_domain: Host in From and in identity headers where neither the provider nor the engine names one.
    """

    allow_guests: bool = True
    logins: bool = False
    trusted_networks: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    nat: Nat = "auto"
    destination_networks: tuple[str, ...] = ()
    default_country: str = ""
    international_prefixes: tuple[str, ...] = ("00",)
    short_numbers: frozenset[str] = frozenset()
    strict: bool = False
    reserved_virtual_prefix: str = "+899000"
    realm: str = "trunkline"
    from_domain: str = "anonymous.invalid"
    trusted: AddressTable[bool] = field(init=False, repr=False, compare=False)
    edges: AddressTable[bool] = field(init=False, repr=False, compare=False)
    allowed_destinations: AddressTable[bool] = field(init=False, repr=False, compare=False)
    _of_countries: "dict[str, RoutingSettings]" = field(init=False, repr=False, compare=False)

    def in_country(self, country: str) -> "RoutingSettings":
        """These settings with another `default_country`; themselves for ""."""
        if not country or country == self.default_country:
            return self
        found = self._of_countries.get(country)
        if found is None:
            found = self._of_countries[country] = replace(self, default_country=country)
        return found

    def __post_init__(self) -> None:
        parse_host_port(self.from_domain)
        self.trusted_networks = tuple(self.trusted_networks)
        # Where one prefix begins another, the longer one is meant.
        self.international_prefixes = tuple(sorted(self.international_prefixes, key=len, reverse=True))
        self._of_countries = {}
        self.trusted = _table(self.trusted_networks)
        self.edges = _table(self.proxies)
        self.allowed_destinations = _table(self.destination_networks)


def _table(networks: tuple[str, ...]) -> AddressTable[bool]:
    table: AddressTable[bool] = AddressTable()
    for network in networks:
        table.add(network, True)
    return table
