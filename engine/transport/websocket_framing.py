"""WebSocket framing of SIP (RFC 6455, RFC 7118 §4): the upgrade from HTTP, and one SIP message in each message.

The state of the protocol is that of the `websockets` package, which is loaded with the first connection. No extensions:
compression would keep a window for each connection, and would tell who can add to a message what else is in it.
"""

import logging
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from engine.sip.message.framing import NotSip, is_sip
from engine.sip.message.grammar import ParseError
from engine.transport.listen_spec import WebSocketOptions

if TYPE_CHECKING:
    from websockets.frames import Frame
    from websockets.http11 import Request
    from websockets.protocol import Protocol
    from websockets.server import ServerProtocol

SUBPROTOCOL: Final = "sip"  # RFC 7118 §4.1
LARGEST_HEAD: Final = 16 * 1024
"""Octets of the HTTP request, of which cookies of the page may be the most."""
LARGEST_MESSAGE: Final = 64 * 1024
MOST_FRAMES: Final = 256
"""Frames in one read that end no message: a peer that sends many, of nothing or of pings, costs more than it says."""

_SLICE: Final = 4096
_END: Final = b"\r\n\r\n"
_CONTINUATION, _TEXT, _BINARY = 0, 1, 2  # opcodes, RFC 6455 §11.8
_PING, _PONG = b"\r\n\r\n", b"\r\n"
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) [^\x00-\x20\x7f]{1,8192} HTTP/1\.[01]")
_BEGINNING = re.compile(rb"[A-Z]{1,16}(?: [^\x00-\x20\x7f]{0,8192}(?: [A-Z/01.]{0,8})?)?")

# The package writes whole frames into its log at DEBUG, credentials among them; the trace has the messages.
_SILENT: Final = logging.Logger("websocket", logging.CRITICAL + 1)

WHAT_THIS_IS: Final = (
    "This port speaks SIP over WebSocket (RFC 7118): connect to it with a SIP client in a browser, such as JsSIP or "
    "SIP.js, by a ws:// or wss:// address."
)


@dataclass(slots=True, frozen=True)
class Asked:
    """An upgrade that may be granted. `forwarded`: the addresses that proxies have noted of whom they connect for
    (X-Forwarded-For), the last one by who connects to us."""

    request: "Request"
    server: "ServerProtocol"
    forwarded: str


@dataclass(slots=True, frozen=True)
class HttpRefusal:
    """The answer to a request that is not granted: an HTTP status, and a sentence for who reads it."""

    status: int
    sentence: str


class WebSocketFramer:
    """One connection, from its HTTP request on; see `Framer`. Does no I/O.

    A request that may be granted waits in `asked`: nothing further is read before `decide`.

    Attributes:
        asked: The upgrade that waits for `decide`; None before and after.
        heard_at: When the peer sent something last; the connection's to set, as `pinged_at`.
        pinged_at: When it was sent a ping that it has not answered.
    """

    __slots__ = (
        "_broken",
        "_buffer",
        "_options",
        "_parts",
        "_protocol",
        "_replies",
        "_text",
        "asked",
        "ended",
        "heard_at",
        "pinged_at",
        "ready",
    )

    def __init__(self, options: WebSocketOptions, now: float) -> None:
        self._options = options
        self._buffer = bytearray()  # the HTTP request, and what came with it
        self._protocol: Protocol | None = None  # once the upgrade is granted
        self._parts: bytearray | None = None  # of a message that came in fragments
        self._text = False  # whether these are text
        self._replies: list[bytes] = []
        self._broken: ParseError | None = None
        self.asked: Asked | None = None
        self.ready = False
        self.ended = ""
        self.heard_at = now
        self.pinged_at: float | None = None

    @property
    def upgraded(self) -> bool:
        """Whether it is, or has been, a WebSocket."""
        return self._protocol is not None

    @property
    def partial(self) -> bool:
        """True until the upgrade, and while a fragmented message waits for its end."""
        return not self.ready or self._parts is not None

    @property
    def broken(self) -> ParseError | None:
        """What the peer did wrong, after the upgrade."""
        return self._broken

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete with `data`. NotSip where it begins as no HTTP request does."""
        if self.ended:
            return []
        if not self.ready:
            self._buffer += data
            if self.asked is None:
                self._read_head()
            return []
        if self._buffer:
            data, self._buffer = bytes(self._buffer) + data, bytearray()
        messages: list[bytes] = []
        self._read_frames(data, messages)
        return messages

    def replies(self) -> bytes:
        """What has to be written back: answers to the upgrade, pongs, the answer to a close."""
        if not self._replies:
            return b""
        written, self._replies = self._replies, []
        return b"".join(written)

    def encode(self, message: bytes) -> bytes:
        """One message in one frame, of text where it is UTF-8 (RFC 7118 §4.2 takes both)."""
        assert self._protocol is not None
        try:
            message.decode()
        except UnicodeDecodeError:
            self._protocol.send_binary(message)
        else:
            self._protocol.send_text(message)
        return self._written()

    def ping(self) -> bytes:
        """A ping, while `ready` (RFC 7118 §6)."""
        assert self._protocol is not None
        self._protocol.send_ping(b"")
        return self._written()

    def farewell(self) -> bytes:
        """A close frame: this end goes away (RFC 6455 §7.4.1)."""
        if not self.ready or self._protocol is None:
            return b""
        self._protocol.send_close(1001)
        self._end("closed by us", None)
        return self._written()

    # -- the upgrade

    def _read_head(self) -> None:
        buffer = self._buffer
        line_end = buffer.find(b"\r\n", 0, LARGEST_HEAD)
        line = bytes(buffer[: LARGEST_HEAD if line_end < 0 else line_end])
        if line_end < 0:
            if not _BEGINNING.fullmatch(line.removesuffix(b"\r")) and line:
                raise NotSip("neither a request for a WebSocket nor any of HTTP")
        elif not _REQUEST_LINE.fullmatch(line):
            raise NotSip("neither a request for a WebSocket nor any of HTTP")
        end = buffer.find(_END)
        if (len(buffer) if end < 0 else end) > LARGEST_HEAD:
            self._refuse_raw(431, f"A request of more than {LARGEST_HEAD} octets is not read.")
        elif end >= 0:
            if line.startswith(b"GET ") and line.endswith(b" HTTP/1.1"):
                head, self._buffer = bytes(buffer[: end + 4]), buffer[end + 4 :]
                self._read_request(head)
            elif line.startswith(b"GET "):
                self._refuse_raw(426, WHAT_THIS_IS, "Upgrade: websocket\r\n")
            else:
                self._refuse_raw(405, WHAT_THIS_IS, "Allow: GET\r\n")

    def _read_request(self, head: bytes) -> None:
        from websockets.http11 import Request
        from websockets.server import ServerProtocol
        from websockets.typing import Subprotocol

        protocol = ServerProtocol(subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=LARGEST_MESSAGE, logger=_SILENT)
        protocol.receive_data(head)
        request = next(iter(protocol.events_received()), None)
        if not isinstance(request, Request):
            self._refuse_raw(400, "This is no request that HTTP/1.1 knows.")
            return
        refusal = _refusal(request, self._options)
        if refusal is not None:
            self._refuse(refusal)
            return
        self.asked = Asked(request, protocol, ",".join(request.headers.get_all("X-Forwarded-For")))

    def decide(self, refusal: HttpRefusal | None) -> None:
        """Grants the upgrade that was asked for, or refuses it."""
        from websockets.protocol import SERVER, Protocol

        asked, self.asked = self.asked, None
        assert asked is not None
        if refusal is not None:
            self._refuse(refusal)
            return
        response = asked.server.accept(asked.request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            asked.server.send_response(response)
            self._replies += asked.server.data_to_send()
            # Not the one that has read the request, which it would keep, with all cookies, as long as it lives.
            self._protocol = Protocol(SERVER, max_size=LARGEST_MESSAGE, logger=_SILENT)
            self.ready = True
        else:  # a key or a version that RFC 6455 §4.2.2 has not
            self._refuse(HttpRefusal(response.status_code, bytes(response.body or b"").decode().strip()))

    def _refuse(self, refusal: HttpRefusal) -> None:
        upgrade = "Upgrade: websocket\r\n" if refusal.status == HTTPStatus.UPGRADE_REQUIRED else ""
        self._refuse_raw(refusal.status, refusal.sentence, upgrade)

    def _refuse_raw(self, status: int, sentence: str, headers: str = "") -> None:
        body = f"{sentence}\n".encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{headers}Connection: close\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._replies.append(head.encode() + body)
        self._buffer.clear()
        self.ended = f"upgrade refused with {status}"

    # -- frames

    def _read_frames(self, data: bytes, messages: list[bytes]) -> None:
        from websockets.frames import Frame

        protocol = self._protocol
        assert protocol is not None
        idle = 0
        for start in range(0, len(data), _SLICE):
            protocol.receive_data(data[start : start + _SLICE])
            for frame in protocol.events_received():
                before = len(messages)
                if isinstance(frame, Frame):
                    self._read_frame(frame, messages)
                if self.ended:
                    break
                idle = 0 if len(messages) > before else idle + 1
            if idle > MOST_FRAMES and not self.ended:
                self._fail(1008, "many frames, and no message")
            self._replies += self._written_parts()
            if self.ended:
                return
            if protocol.close_expected():
                self._closing()
                return

    def _read_frame(self, frame: "Frame", messages: list[bytes]) -> None:
        opcode = frame.opcode
        if opcode in (_TEXT, _BINARY):
            self._text = opcode == _TEXT
            if frame.fin:
                self._read_message(bytes(frame.data), messages)
            else:
                self._parts = bytearray(frame.data)
        elif opcode == _CONTINUATION and self._parts is not None:
            self._parts += frame.data
            if frame.fin:
                whole, self._parts = bytes(self._parts), None
                self._read_message(whole, messages)

    def _read_message(self, data: bytes, messages: list[bytes]) -> None:
        if self._text:
            try:
                data.decode()
            except UnicodeDecodeError:
                self._fail(1007, "text that is not UTF-8")
                return
        message = data.lstrip(b"\r\n")  # RFC 3261 §7.5: empty lines before the start line
        if not message:
            protocol = self._protocol
            assert protocol is not None
            if data.startswith(_PING) and not protocol.close_expected():  # RFC 5626 §3.5.1, as on any stream
                protocol.send_text(_PONG)
            return
        try:
            is_sip(message, 0, 0)
        except NotSip as error:
            self._fail(1008, str(error), error)
        else:
            messages.append(message)

    def _fail(self, code: int, words: str, error: ParseError | None = None) -> None:
        protocol = self._protocol
        assert protocol is not None
        if not protocol.close_expected():
            protocol.fail(code, words)
        self._end(words, error or ParseError(words))

    def _closing(self) -> None:
        """The protocol has closed the connection, or answered the peer's close."""
        protocol = self._protocol
        assert protocol is not None
        if protocol.parser_exc is not None:
            words = str(protocol.parser_exc)
            self._end(words, ParseError(words))
        else:
            code = 0 if protocol.close_rcvd is None else protocol.close_rcvd.code
            self._end(f"closed by the peer ({code})", None)

    def _end(self, words: str, error: ParseError | None) -> None:
        self.ready = False
        self.ended = words
        self._broken = error
        self._parts = None

    def _written(self) -> bytes:
        return b"".join(self._written_parts())

    def _written_parts(self) -> list[bytes]:
        assert self._protocol is not None
        return self._protocol.data_to_send()


def _refusal(request: "Request", options: WebSocketOptions) -> HttpRefusal | None:
    """Why an HTTP request is not granted, as far as the listener's options say so."""
    headers = request.headers
    if "websocket" not in ",".join(headers.get_all("Upgrade")).lower():
        return HttpRefusal(426, WHAT_THIS_IS)
    if request.path.partition("?")[0] != options.path:
        return HttpRefusal(404, f"There is nothing here: SIP over WebSocket is at {options.path}.")
    origins = [origin.strip().lower() for origin in headers.get_all("Origin")]
    if options.origins and any(origin not in options.origins for origin in origins):
        return HttpRefusal(403, "Pages of this origin may not connect: see sip.websocket.origins.")
    offered = [name.strip() for name in ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")]
    if SUBPROTOCOL not in offered:
        return HttpRefusal(400, "The subprotocol sip has to be asked for: Sec-WebSocket-Protocol: sip (RFC 7118 §4.1).")
    return None
