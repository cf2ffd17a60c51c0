"""STUN on a SIP port: Binding requests are answered, so that phones keep their NAT open (RFC 5626 §3.5.2, RFC 8489).

No credentials, no other method, and an answer that is little longer than its request: there is nothing to gain by
having it sent to somebody else.
"""

import socket
import struct
from typing import Final
from zlib import crc32

_HEADER: Final = struct.Struct("!HH4s12s")
_ATTRIBUTE: Final = struct.Struct("!HH")
COOKIE: Final = b"\x21\x12\xa4\x42"
"""In octets 4 to 7 of every message (§5)."""
_BINDING, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111
_ERROR_CODE, _UNKNOWN, _XOR_MAPPED, _FINGERPRINT = 0x0009, 0x000A, 0x0020, 0x8028
# Of credentials, which nobody was asked for (§9): USERNAME, MESSAGE-INTEGRITY and the like mean nothing here.
_OVERLOOKED: Final = frozenset({0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E})
_OPTIONAL: Final = 0x8000  # from here on, who does not know an attribute ignores it (§14)
_UNKNOWN_ATTRIBUTE: Final = struct.pack("!HHHBB", _ERROR_CODE, 4, 0, 4, 20)
_XOR: Final = 0x5354554E

LARGEST: Final = 548
"""Octets of a request (§6.1, of IPv4); a longer one is nobody's who only keeps a NAT open."""
MOST_UNKNOWN: Final = 2
"""Attributes that an error names: more would make it longer than its request by much."""


def answer(data: bytes, host: str, port: int) -> bytes:
    """The answer to a datagram from a numeric address; b"" where it is no Binding request that gets one."""
    if not _HEADER.size <= len(data) <= LARGEST:
        return b""
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind != _BINDING or cookie != COOKIE or length & 3 or length != len(data) - _HEADER.size:
        return b""
    attributes = _attributes(data)
    if attributes is None:
        return b""
    signed = attributes[-1:] == [_FINGERPRINT]
    if signed and data[-4:] != _fingerprint(data[:-8]):
        return b""
    unknown = [name for name in attributes if name < _OPTIONAL and name not in _OVERLOOKED][:MOST_UNKNOWN]
    if unknown:
        named = struct.pack(f"!HH{len(unknown)}H", _UNKNOWN, 2 * len(unknown), *unknown)
        return _message(_ERROR, transaction, _UNKNOWN_ATTRIBUTE + named + bytes(-len(named) % 4), signed)
    return _message(_SUCCESS, transaction, _mapped(host, port, data[4:20]), signed)


def _attributes(data: bytes) -> list[int] | None:
    """The types of the attributes, in order; None where they do not fit (§14)."""
    found, at = [], _HEADER.size
    while at < len(data):
        name, size = _ATTRIBUTE.unpack_from(data, at)
        found.append(name)
        at += _ATTRIBUTE.size + size + (-size % 4)
    return found if at == len(data) else None


def _mapped(host: str, port: int, mask: bytes) -> bytes:
    """XOR-MAPPED-ADDRESS (§14.2)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = socket.inet_pton(family, host.partition("%")[0])
    hidden = bytes(octet ^ other for octet, other in zip(address, mask, strict=False))
    return struct.pack("!HHHH", _XOR_MAPPED, 4 + len(address), 2 if ":" in host else 1, port ^ 0x2112) + hidden


def _message(kind: int, transaction: bytes, attributes: bytes, signed: bool) -> bytes:
    head = _HEADER.pack(kind, len(attributes) + 8 * signed, COOKIE, transaction)
    message = head + attributes
    return message + _ATTRIBUTE.pack(_FINGERPRINT, 4) + _fingerprint(message) if signed else message


def _fingerprint(before: bytes) -> bytes:
    """The value of FINGERPRINT (§14.7), whose attribute counts in the length already."""
    return struct.pack("!I", crc32(before) ^ _XOR)
