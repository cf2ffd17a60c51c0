"""Who asks: the address at the other end, or whom a proxy of ours says that it asks for (X-Forwarded-For).

Anybody can write that header. It counts as far as it was written by proxies that are trusted: it is read from the
right, where the last proxy has added whom it heard, and the first address that is no trusted proxy's is the client's.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from engine.transport.addresses import family_of, unmapped
from routing.addresses import AddressTable

_HEADER: Final = b"x-forwarded-for"
_MOST_HOPS: Final = 32
"""Entries that are looked at: nobody has more proxies than that."""


class Clients:
    """`trusted`: addresses and networks of proxies whose X-Forwarded-For counts."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted: AddressTable[bool] = AddressTable()
        for network in trusted:
            self._trusted.add(network, True)

    def address(self, scope: Any) -> str:
        """The address that a request counts for; "" where nobody knows it."""
        address = self.peer(scope.get("client"))
        if not self._trusted.find(address):
            return address
        for entry in _forwarded(scope["headers"]):
            said = _read(entry)
            if not said:  # whatever the client wrote: whoever passed it on is as far as we know
                break
            address = said
            if not self._trusted.find(address):
                break
        return address

    @staticmethod
    def peer(client: Sequence[Any] | None) -> str:
        """The address at the other end of a connection, as a server tells it; "" where it does not."""
        return unmapped(client[0]) if client else ""


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The entries of all such headers, the last one first: several lines are one list (RFC 9110 §5.3)."""
    whole = b",".join(value for name, value in headers if name == _HEADER)
    entries = whole.rsplit(b",", _MOST_HOPS)[-_MOST_HOPS:] if whole else []
    return [entry.decode("latin-1").strip(" \t") for entry in reversed(entries)]


def _read(entry: str) -> str:
    """An entry as an address; some proxies write the port, too (RFC 7239 §6). "" for anything else."""
    host, port = entry, ""
    if entry.startswith("["):
        host, closed, port = entry[1:].partition("]")
        if not closed or ":" not in host:
            return ""
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
        port = f":{port}"
    if port and not (port[0] == ":" and 1 < len(port) <= 6 and port[1:].isascii() and port[1:].isdigit()):
        return ""
    # A zone is an interface of the proxy's and means nothing here.
    return unmapped(host) if family_of(host) and "%" not in host else ""


__all__ = ["Clients"]
