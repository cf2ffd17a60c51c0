"""IP addresses and networks, and a table that finds the entry of an address: exact ones first, then the narrowest."""

import ipaddress
from typing import Generic, TypeVar

T = TypeVar("T")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Answers by the text of the address. Sources can be forged, so it is emptied when it is full and never grows past this.
_MEMO_SIZE = 4096


def parse_network(text: str) -> Network:
    """An address or a network. Raises ValueError with a sentence that says what to write."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            meant = ipaddress.ip_network(text, strict=False)
            raise ValueError(f"{text!r} has bits set after its prefix; write {meant}") from None
        raise ValueError(f"{text!r} is no address or network; write one such as 192.0.2.1 or 192.0.2.0/24") from None
    return _unmapped_network(network)


def _unmapped_network(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def parse_address(text: str) -> Address | None:
    """The address, IPv4 where it is IPv4 in IPv6 clothes (RFC 4291 §2.5.5.2), without a zone; None for a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class AddressTable(Generic[T]):
    """Addresses and networks with a value each. What is added first keeps its place.

    Attributes:
        filled: Whether there is any. A peer is asked for in several tables with each message, and most are empty.
    """

    __slots__ = ("_exact", "_lengths", "_memo", "_networks", "filled")

    def __init__(self) -> None:
        self._exact: dict[tuple[int, int], T] = {}
        self._networks: dict[tuple[int, int, int], T] = {}
        self._lengths: dict[int, list[int]] = {4: [], 6: []}
        self._memo: dict[str, T | None] = {}
        self.filled = False

    def add(self, text: str, value: T) -> None:
        """Add an address or a network. Raises ValueError as `parse_network` does."""
        network = parse_network(text)
        self.filled = True
        version, length = network.version, network.prefixlen
        base = int(network.network_address)
        if length == network.max_prefixlen:
            self._exact.setdefault((version, base), value)
        else:
            shift = network.max_prefixlen - length
            self._networks.setdefault((version, length, base >> shift), value)
            if length not in self._lengths[version]:
                self._lengths[version].append(length)
                self._lengths[version].sort(reverse=True)
        self._memo.clear()

    def find(self, host: str) -> T | None:
        """The value for a numeric address."""
        if not self.filled:
            return None
        memo = self._memo
        try:
            return memo[host]
        except KeyError:
            pass
        if len(memo) >= _MEMO_SIZE:
            memo.clear()
        found = memo[host] = self._search(host)
        return found

    def _search(self, host: str) -> T | None:
        address = parse_address(host)
        if address is None:
            return None
        version, number = address.version, int(address)
        exact = self._exact.get((version, number))
        if exact is not None:
            return exact
        for length in self._lengths[version]:
            found = self._networks.get((version, length, number >> (address.max_prefixlen - length)))
            if found is not None:
                return found
        return None
