"""The server name in a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3), read before a certificate is chosen.

OpenSSL's own call-back for it would write a line of Python's for every name that is not ASCII, and change the context
of a connection that has begun.
"""

from typing import Final

HANDSHAKE: Final = 22
"""The type of a TLS record that begins a handshake (RFC 8446 §5.1)."""
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0


class Incomplete(Exception):
    """More bytes have to come before it can be said."""


def server_name(data: bytes) -> str:
    """The name that a client asks for, in lower case; "" where it asks for none, or what comes is no ClientHello.
    Raises Incomplete."""
    if len(data) < 5:
        raise Incomplete
    length = int.from_bytes(data[3:5])
    if data[0] != HANDSHAKE or length > 1 << 14:
        return ""
    if len(data) < 5 + length:
        raise Incomplete
    try:
        return _name_in(_Reader(data[5 : 5 + length]))
    except IndexError:  # cut off, or spread over several records: nobody's client does that
        return ""


class _Reader:
    """Takes values from the front of some bytes; IndexError where there are not enough."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def bytes(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise IndexError
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size))

    def vector(self, size: int) -> "_Reader":
        """What a length of `size` bytes stands before."""
        return _Reader(self.bytes(self.number(size)))


def _name_in(record: _Reader) -> str:
    if record.number(1) != _CLIENT_HELLO:
        return ""
    hello = record.vector(3)
    hello.bytes(2 + 32)  # version, random
    hello.vector(1)  # session
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression
    extensions = hello.vector(2) if hello else _Reader(b"")
    while extensions:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            names = body.vector(2)
            while names:
                if names.number(1) == _HOST_NAME:
                    return _text(names.bytes(names.number(2)))
                names.vector(2)
    return ""


def _text(name: bytes) -> str:
    return name.decode("ascii").lower().rstrip(".") if name.isascii() else ""
