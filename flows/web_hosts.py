"""Hosts of the web that others may send this engine to: those of the open Internet."""

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import unquote

from flows.calls.address import PLACEHOLDER

# RFC 6890 and the registry that it began: what is not on the open Internet, or leads back from there.
_NOT_PUBLIC: Final = tuple(
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_UNICAST: Final = IPv6Network("2000::/3")
"""All that there is of the open Internet in IPv6 (RFC 4291 §2.4); fec0::/10, ::/96 and the like are outside."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052 §2.1; 64:ff9b:1::/48 is for networks of one's own (RFC 8215)."""
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
"""The middle of an address with IPv4 at its end (RFC 5214 §6.1)."""
_LOW: Final = 0xFFFFFFFF


def is_public(text: str) -> bool:
    """Whether an address belongs to the open Internet. IPv4 within IPv6 counts as what it leads to."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    number = int(address)
    if address in _NAT64 or address in _MAPPED:
        return _is_public_v4(IPv4Address(number & _LOW))
    return address in _UNICAST and address.is_global and all(map(_is_public_v4, _within(address)))


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC)


def _within(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that routers would make of it."""
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    number = int(address)
    if number >> 32 & _LOW in _ISATAP:
        yield IPv4Address(number & _LOW)


_AUTHORITY: Final = re.compile(r"https?:[/\\]*([^/\\?#]*)", re.IGNORECASE)


def private_host(uri: str) -> str:
    """The host of a web address where it is evidently none of the open Internet, however it is written; "" for all
    others: what a name leads to is looked at when it is asked."""
    found = _AUTHORITY.match(uri.strip())
    if found is None or PLACEHOLDER in found[1]:
        return ""
    host = _host(found[1])
    address = host.strip("[]") if host.startswith("[") else _as_v4(host)
    if address:
        return "" if is_public(address) else host
    # RFC 6761 §6.3: a name for this very machine, whatever a name server says.
    return host if host == "localhost" or host.endswith(".localhost") else ""


def _host(authority: str) -> str:
    """Without user and port, as a resolver would see it: percent signs and wide digits are digits in the end."""
    text = unicodedata.normalize("NFKC", unquote(authority.rpartition("@")[2])).lower().replace("\u3002", ".")
    text = text.rpartition("@")[2]
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0].rstrip(".")


def _as_v4(host: str) -> str:
    """The address that a resolver takes this for: 2130706433, 0x7f.1, 127.1 and 0 are some. "" for a name."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if host and " " not in host else ""
    except (OSError, ValueError):  # the latter of a NUL, and of what is no UTF-8
        return ""


__all__ = ["is_public", "private_host"]
