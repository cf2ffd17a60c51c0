"""Bencoding: integers, byte strings, lists and dictionaries, as rtpengine's ng protocol writes them.

Strict about lengths and numbers, and bounded, since it comes from the network. Keys may stand in any order: rtpengine
does not sort them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

MAX_DEPTH: Final = 16
"""How deep values may be nested; rtpengine's statistics need six."""

MAX_VALUES: Final = 10_000
"""Values in one message."""

_MAX_DIGITS: Final = 20  # of a number: 64 bits and a sign

Value = int | bytes | list["Value"] | dict[bytes, "Value"]
Plain = int | str | bytes | Sequence["Plain"] | Mapping[str, "Plain"]


class BencodeError(ValueError):
    """What is no bencoded value; the text says where."""


def encode(value: Plain) -> bytes:
    """The bytes of a value. Text is written in UTF-8, and the keys of a dictionary in order."""
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Plain, parts: list[bytes]) -> None:
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        parts.append(b"%d:%b" % (len(value), value))
    elif isinstance(value, int):
        parts.append(b"i%de" % value)
    elif isinstance(value, Mapping):
        parts.append(b"d")
        for key in sorted(value):
            _write(key, parts)
            _write(value[key], parts)
        parts.append(b"e")
    else:
        parts.append(b"l")
        for item in value:
            _write(item, parts)
        parts.append(b"e")


def decode(data: bytes) -> Value:
    """The one value that `data` is. Raises BencodeError."""
    reader = _Reader(data)
    value = reader.read(0)
    if reader.at != len(data):
        raise BencodeError(f"something follows the value at {reader.at}")
    return value


class _Reader:
    __slots__ = ("at", "data", "left")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.left = MAX_VALUES

    def read(self, depth: int) -> Value:
        self.left -= 1
        if depth > MAX_DEPTH or self.left < 0:
            raise BencodeError(f"too deep or too many values at {self.at}")
        kind = self.data[self.at : self.at + 1]
        if kind.isdigit():
            return self._string()
        self.at += 1
        if kind == b"i":
            return self._number(b"e", signed=True)
        if kind == b"l":
            items: list[Value] = []
            while not self._ends():
                items.append(self.read(depth + 1))
            return items
        if kind == b"d":
            found: dict[bytes, Value] = {}
            while not self._ends():
                key = self._string()
                if key in found:
                    raise BencodeError(f"a key stands twice before {self.at}")
                found[key] = self.read(depth + 1)
            return found
        raise BencodeError(f"no value begins at {self.at - 1}")

    def _ends(self) -> bool:
        if self.data[self.at : self.at + 1] != b"e":
            return False
        self.at += 1
        return True

    def _string(self) -> bytes:
        length = self._number(b":", signed=False)
        end = self.at + length
        if end > len(self.data):
            raise BencodeError(f"a string runs past the end at {self.at}")
        text = self.data[self.at : end]
        self.at = end
        return text

    def _number(self, stop: bytes, *, signed: bool) -> int:
        end = self.data.find(stop, self.at, self.at + _MAX_DIGITS + 1)
        text = self.data[self.at : end] if end >= 0 else b""
        digits = text[1:] if signed and text[:1] == b"-" else text
        if not digits.isdigit() or (digits[:1] == b"0" and text != b"0"):
            raise BencodeError(f"no number at {self.at}")
        self.at = end + 1
        return int(text)
