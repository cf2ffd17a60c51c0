"""Cuts a byte stream into SIP messages (RFC 3261 §18.3) and answers keep-alives in between (RFC 5626 §3.5.1)."""

import re

from engine.sip.message.grammar import ParseError

_END = b"\r\n\r\n"
_PING = b"\r\n\r\n"
_PONG = b"\r\n"

# A folded value continues on lines that begin with white space (RFC 3261 §7.3.1). The start line is not looked at:
# every header follows a CRLF.
_CONTENT_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE)

# RFC 3261 §7.1, §25.1: a method is a token.
_TOKEN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")
# An empty line that ends a header in another way than by CRLFs.
_BARE_END = re.compile(rb"\n\r?\n|\r\r(?!\n)")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class NotSip(ParseError):
    """A stream begins as no SIP message does: its sender speaks another protocol."""


class Unframed(ParseError):
    """A message of a stream of which nobody can tell where it ends; `head` is its header, for an answer."""

    head: bytes

    def __init__(self, message: str, head: bytes) -> None:
        super().__init__(message)
        self.head = head


class StreamFramer:
    """One direction of one connection: bytes in, whole messages out. Does no I/O.

    A message is cut at the length that Content-Length (or its compact form ``l``) gives. CRLFs between messages are
    skipped; two together are a ping, and `replies` then holds the pong.
    """

    __slots__ = (
        "_body_size",
        "_broken",
        "_buffer",
        "_header_size",
        "_needed",
        "_pings",
        "_scanned",
        "_started",
    )

    def __init__(self, header_size: int = 64 * 1024, body_size: int = 256 * 1024) -> None:
        """`header_size` and `body_size` bound one message, in bytes."""
        self._buffer = bytearray()
        self._header_size = header_size
        self._body_size = body_size
        self._needed = 0
        self._scanned = 0
        self._started = False
        self._pings = 0
        self._broken: ParseError | None = None

    @property
    def partial(self) -> bool:
        """True while the beginning of a message waits for its end."""
        return len(self._buffer) > 3 or (len(self._buffer) > 0 and self._buffer[0] != 13)

    ready, ended = True, ""
    """SIP on a stream begins with its first message, and has no farewell."""

    @property
    def broken(self) -> ParseError | None:
        """Why nothing more can be cut out of this stream; None while it is sound."""
        return self._broken

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete with `data`, in order.

        Raises ParseError when the stream cannot be framed any further. Messages before the fault are not lost: they
        are returned, `broken` is set, and the next call raises.
        """
        if self._broken is not None:
            raise self._broken
        messages: list[bytes] = []
        try:
            if self._buffer:
                self._buffer += data
                if len(self._buffer) >= self._needed:
                    taken = self._cut(self._buffer, messages)
                    del self._buffer[:taken]
            else:
                taken = self._cut(data, messages)  # the usual case, whole messages: nothing is copied
                if taken < len(data):
                    self._buffer += data[taken:] if taken else data
        except ParseError as error:
            self._broken = error
            self._buffer.clear()
            if not messages:
                raise
        return messages

    def replies(self) -> bytes:
        """What has to be written back for what was fed since the last call: a pong for each ping, as a rule b""."""
        if not self._pings:
            return b""
        pings, self._pings = self._pings, 0
        return _PONG * pings

    def encode(self, message: bytes) -> bytes:
        """A message is written as it is."""
        return message

    def farewell(self) -> bytes:
        """Nothing is said before the stream is closed."""
        return b""

    def _cut(self, data: bytes | bytearray, messages: list[bytes]) -> int:
        """Appends the messages found to `messages`; the count of bytes that are done with."""
        at = 0
        size = len(data)
        while True:
            if not self._needed:
                at = self._skip(data, at)
                if at == size or (size - at == 1 and data[at] == 13):
                    self._scanned = 0
                    return at
                if not self._started:
                    self._started = is_sip(data, at, at + self._scanned)
                end = data.find(_END, at + self._scanned)
                if end < 0:
                    bare = _BARE_END.search(data, at + self._scanned)
                    if bare is not None:
                        raise Unframed("a line ends without CRLF (RFC 3261 §7)", bytes(data[at : bare.end()]))
                    if size - at > self._header_size:
                        raise ParseError(f"header is longer than {self._header_size} bytes", 513)
                    self._scanned = max(0, size - at - 3)  # the end may straddle this chunk and the next
                    return at
                self._needed = self._message_size(data, at, end)
            if size - at < self._needed:
                return at
            messages.append(bytes(data[at : at + self._needed]))
            at += self._needed
            self._needed = self._scanned = 0
            self._started = False

    def _skip(self, data: bytes | bytearray, at: int) -> int:
        # RFC 3261 §7.5: CRLFs before a start line are ignored. RFC 5626 §3.5.1: two of them are a ping, a single one
        # is a pong.
        while data.startswith(_PONG, at):
            if data.startswith(_PING, at):
                self._pings += 1
                at += 4
            elif len(data) - at < 4 and _PING.startswith(bytes(data[at:])):
                return at  # half a ping, perhaps
            else:
                at += 2
        return at

    def _message_size(self, data: bytes | bytearray, at: int, end: int) -> int:
        header_size = end + 4 - at
        if header_size > self._header_size:
            raise ParseError(f"header is longer than {self._header_size} bytes", 513)
        try:
            return header_size + self._body_length(data, at, end)
        except ParseError as error:
            raise Unframed(str(error), bytes(data[at : end + 4])) from None

    def _body_length(self, data: bytes | bytearray, at: int, end: int) -> int:
        """What Content-Length says (RFC 3261 §18.3). Raises ParseError."""
        lengths = {value.strip(b" \t\r\n") for value in _CONTENT_LENGTH.findall(data, at, end)}
        if not lengths:
            raise ParseError("Content-Length is missing on a stream (RFC 3261 §18.3)")
        if len(lengths) > 1:
            raise ParseError("Content-Length is given twice with different values")
        text = lengths.pop()
        if not text.isdigit():
            raise ParseError("Content-Length is not a number")
        # int() refuses thousands of digits with an error of its own, and zeros may pad any number.
        if len(text.lstrip(b"0")) > 9 or int(text) > self._body_size:
            raise ParseError(f"body is longer than {self._body_size} bytes")
        return int(text)


def is_sip(data: bytes | bytearray, at: int, scanned: int) -> bool:
    """Whether what begins at `at` is the start line of a message; False while that cannot be told, without a CRLF from
    `scanned` on. Raises NotSip."""
    if data.startswith(_PONG, at):
        return False  # half a ping
    end = data.find(_PONG, scanned)
    if data[at] not in _TOKEN or (end >= 0 and b"SIP/" not in data[at:end].upper()):
        raise NotSip("neither a request nor a response")
    if end < 0:
        control = _CONTROL.search(data, scanned, len(data) - data.endswith(b"\r"))
        if control is None:
            return False
        # SIP whose lines end by CR or LF alone is told that it does (§7).
        if control[0] not in b"\r\n" or b"SIP/" not in data[at : control.start()].upper():
            raise NotSip("a control character in the start line")
    return True
