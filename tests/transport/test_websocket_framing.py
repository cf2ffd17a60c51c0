"""WebSocket framing without a socket: however its bytes are cut, the same comes out (RFC 6455 §5.4)."""

import struct
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sip.message.framing import NotSip
from engine.transport.listen_spec import WebSocketOptions
from engine.transport.websocket_framing import WebSocketFramer
from tests.transport.test_websocket import CLOSE, CONT, PING, PONG, REQUEST, TEXT, frame, upgrade


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a server, which are short ones here."""
    found, at = [], 0
    while at < len(data):
        size, start = data[at + 1], at + 2
        if size == 126:
            [size] = struct.unpack_from(">H", data, start)
            start += 2
        found.append((data[at] & 15, data[start : start + size]))
        at = start + size
    return found


def taken(chunks: list[bytes]) -> tuple[Any, ...]:
    """What a framer makes of these bytes: messages, answers that have an order, and how it ended."""
    framer = WebSocketFramer(WebSocketOptions(), 0.0)
    messages: list[bytes] = []
    replies = b""
    try:
        for chunk in chunks:
            messages += framer.feed(chunk)
            if framer.asked is not None:
                framer.decide(None)
                messages += framer.feed(b"")
            replies += framer.replies()
    except NotSip as error:
        return (messages, str(error))
    head, _, rest = replies.partition(b"\r\n\r\n")
    ordered = [pair for pair in frames_in(rest) if pair[0] != TEXT] if head.startswith(b"HTTP/1.1 101") else rest
    return (messages, head[:12], ordered, framer.ended, type(framer.broken))


texts = st.binary(max_size=40).map(lambda rest: REQUEST + rest.hex().encode())
whole = texts.map(lambda text: frame(TEXT, text))
keepalive = st.sampled_from([frame(TEXT, b"\r\n"), frame(TEXT, b"\r\n\r\n"), frame(TEXT, b"")])
control = st.binary(max_size=10).map(lambda data: frame(PING, data)) | st.just(frame(PONG, b""))


@st.composite
def fragmented(draw: st.DrawFn) -> bytes:
    text, at = draw(texts), draw(st.integers(0, 20))
    between = draw(control)
    return (
        frame(TEXT, text[:at], fin=False)
        + between
        + frame(CONT, text[at : at + 3], fin=False)
        + frame(CONT, text[at + 3 :])
    )


last = st.sampled_from(
    [
        b"",
        frame(CLOSE, struct.pack(">H", 1000)),
        frame(3, b""),
        frame(TEXT, REQUEST, masked=False),
        frame(TEXT, b"\xff"),
        frame(TEXT, b"no sip\r\n"),
        frame(TEXT, b"x" * 70_000)[:3000],
    ]
)
heads = st.sampled_from([upgrade(), upgrade(subprotocol=None), b"GET / HTTP/1.0\r\n\r\n", REQUEST])


@settings(deadline=None)
@given(heads, st.lists(whole | keepalive | control | fragmented(), max_size=6), last, st.data())
def test_cutting_changes_nothing(head: bytes, frames: list[bytes], end: bytes, data: st.DataObject) -> None:
    stream = head + b"".join(frames) + end
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert taken(pieces) == taken([stream])


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_line_may_be_cut_anywhere(version: str) -> None:
    head = f"GET / HTTP/{version}\r\n\r\n".encode()
    for at in range(len(head)):
        assert taken([head[:at], head[at:]]) == taken([head]), head[:at]


def test_byte_by_byte_is_the_same() -> None:
    stream = upgrade() + frame(TEXT, REQUEST[:9], fin=False) + frame(PING, b"?") + frame(CONT, REQUEST[9:])
    single = taken([stream[at : at + 1] for at in range(len(stream))])
    assert single == taken([stream]) == ([REQUEST], b"HTTP/1.1 101", [(PONG, b"?")], "", type(None))


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_nothing_is_raised_but_not_sip(data: bytes, upgraded: bool) -> None:
    taken([upgrade() if upgraded else b"GET ", data])


def test_an_engine_without_such_listeners_does_not_load_the_package() -> None:
    code = "import sys, engine.user_agent, engine.transport.listeners; print('websockets' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
