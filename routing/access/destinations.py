"""Which addresses a `sip:` destination may lead to, by who has named it.

A customer's leads neither to a provider, which would be a call past routes, rates and records, nor into a private
network, which would make us a scanner of it.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final, Literal
from uuid import UUID

from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, parse_uri
from routing.addresses import Address, AddressTable, parse_address
from routing.directory.directory import Directory
from routing.hostnames import parse_host_port
from routing.identifiers import NIL, PLATFORM
from routing.settings import RoutingSettings

NamedBy = Literal["operator", "platform", "customer"]
"""Who has named a destination. `operator`: the platform, for a call of its own; what it names is its own business.
`platform`: the platform, for a customer's call, which reaches no provider so. `customer`: anybody else."""

_TRUSTED: Final[tuple[NamedBy, ...]] = ("operator", "platform", "customer")

Forbidden = Literal["", "provider", "private"]

_PRIVATE: Final[AddressTable[bool]] = AddressTable()
for _network in (
    "0.0.0.0/8",  # the kernel takes it for this machine
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",  # NAT64 within a network (RFC 8215): where it leads is that network's secret
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
):
    _PRIVATE.add(_network, True)

_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_TRANSLATED: Final = ipaddress.IPv6Network("::ffff:0:0:0/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def named_by(customer_id: UUID, owner: UUID | None) -> NamedBy:
    """Who names a destination of a call of `customer_id`: `owner` wrote it down (None: nobody knows)."""
    if owner is None or owner not in (NIL, PLATFORM):
        return "customer"
    return "operator" if customer_id in (NIL, PLATFORM) else "platform"


def least_trusted(named: Iterable[NamedBy]) -> NamedBy:
    """Who counts as having named several destinations together."""
    return max(named, key=_TRUSTED.index)


def forbidden(directory: Directory, settings: RoutingSettings, host: str, named: NamedBy) -> Forbidden:
    """Why a request for a destination named by `named` does not go to the numeric address `host`; "" where it may."""
    if named == "operator":
        return ""
    address = parse_address(host)
    if address is None:
        return "private"
    meant = (address, *_within(address))
    if any(directory.provider_at(str(each)) is not None for each in meant):
        return "provider"
    if named == "platform":
        return ""
    for each in meant:
        text = str(each)
        if _PRIVATE.find(text) and not settings.allowed_destinations.find(text):
            return "private"
    return ""


def is_provider_hostname(directory: Directory, host: str) -> bool:
    """Whether a host name is that of a provider, whatever it resolves to at this moment."""
    name = host.lower().rstrip(".")
    for provider in directory.providers:
        where = parse_host_port(provider.hostname)
        if not where.address and where.host.lower().rstrip(".") == name:
            return True
    return False


def explain_destination(directory: Directory, settings: RoutingSettings, text: str) -> dict[NamedBy, str]:
    """What becomes of a SIP URI as a destination, by who names it, in sentences; empty for what is none, or one without
    anybody's host."""
    try:
        uri = parse_uri(text)
    except ParseError:
        return {}
    if not isinstance(uri, SipUri):
        return {}
    host = (uri.params.get("maddr") or uri.host_address).strip("[]")
    if parse_address(host) is not None:
        return {named: _WHY[forbidden(directory, settings, host, named)] for named in _TRUSTED}
    elsewhere = f"judged by the addresses that {host} has when it is called"
    provider = is_provider_hostname(directory, host)
    return {named: _WHY["provider"] if provider and named != "operator" else elsewhere for named in _TRUSTED}


_WHY: Final[dict[Forbidden, str]] = {
    "": "it may be called there, unless that is this engine: then it is as if its user part had been dialled",
    "provider": "refused with 403, DESTINATION_NOT_ALLOWED: it is a provider's address",
    "private": "refused with 403, DESTINATION_NOT_ALLOWED: private, and not in sip.destination_networks",
}


def _within(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses that an IPv6 address leads to on its way: compatible (RFC 4291 §2.5.5.1), translated (RFC 2765
    §2.1, RFC 6052 §2.1), 6to4 (RFC 3056 §2) and Teredo (RFC 4380 §4). Those that are mapped are IPv4 already."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    found: list[Address] = []
    if address in _NAT64 or address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += address.teredo
    return tuple(found)
