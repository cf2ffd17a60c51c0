"""Messages cut out of a stream (RFC 3261 §18.3, §7.5; RFC 5626 §3.5.1)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.framing import NotSip, StreamFramer
from engine.sip.message.grammar import ParseError


def message(body: bytes = b"", length: bytes | None = None, name: bytes = b"Content-Length") -> bytes:
    size = b"%d" % len(body) if length is None else length
    return (
        b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n"
        + name
        + b": "
        + size
        + b"\r\nTo: <sip:l:9@b>\r\n\r\n"
        + body
    )


def in_chunks(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


PIECES = st.one_of(
    st.binary(max_size=40).map(message),
    st.binary(max_size=40).map(lambda body: message(body, name=b"l")),
    st.sampled_from([b"\r\n", b"\r\n\r\n", message(b"\r\n\r\n"), message(b"l: 5\r\n\r\n")]),
)


@given(pieces=st.lists(PIECES, max_size=8), cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_any_chunking_gives_the_same_messages_and_pongs(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces) + message(b"end")
    whole = StreamFramer()
    expected = whole.feed(stream)
    assert expected == [piece for piece in pieces if piece.strip(b"\r\n")] + [message(b"end")]
    chunked = StreamFramer()
    assert [m for chunk in in_chunks(stream, cuts) for m in chunked.feed(chunk)] == expected
    assert chunked.replies() == whole.replies()
    assert not chunked.partial


@given(
    stream=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(
                [b"\r\n", b"\r", b"\n", b"l", b":", b" ", b"5", b"-1", b"Content-Length", b"A: b", b"\0", b"x" * 90]
            ),
            max_size=40,
        ).map(b"".join),
    ),
    cuts=st.lists(st.integers(0, 500), max_size=8),
)
def test_arbitrary_bytes_raise_only_a_parse_error_and_stay_bounded(stream: bytes, cuts: list[int]) -> None:
    framer = StreamFramer(header_size=200, body_size=50)
    got: list[bytes] = []
    try:
        for chunk in in_chunks(stream, cuts):
            got += framer.feed(chunk)
    except ParseError:
        assert framer.broken is not None
    assert all(m in stream for m in got)
    whole = StreamFramer(header_size=200, body_size=50)
    try:
        expected = whole.feed(stream)
    except ParseError:
        expected = []
    # A header that is too long is noticed sooner in small chunks than in one that brings its end along, never later.
    assert got == expected
    assert (framer.broken is None) == (whole.broken is None)


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 4",
        b"content-length:4",
        b"CONTENT-LENGTH \t : \t 4 ",
        b"l: 4",
        b"L:4",
        b"Content-Length:\r\n 4",
        b"l : 0004",
        b"l: 4\r\nContent-Length: 4",
        b"X: l: 9\r\n l: 9\r\nl: 4",
        b"Xl: 9\r\nl: 4",
    ],
)
def test_content_length_in_all_its_forms(header: bytes) -> None:
    data = b"OPTIONS sip:a SIP/2.0\r\n" + header + b"\r\n\r\nbody"
    assert StreamFramer().feed(data + b"NEXT") == [data]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"X: y", "missing"),
        (b"X: Content-Length: 4", "missing"),
        (b"Content-Length: 4\r\nl: 5", "twice"),
        (b"Content-Length: 4\r\nl: 04", "twice"),
        (b"Content-Length:", "not a number"),
        (b"Content-Length: -1", "not a number"),
        (b"Content-Length: +1", "not a number"),
        (b"Content-Length: 4 4", "not a number"),
        (b"Content-Length: 0x4", "not a number"),
        ("Content-Length: ٤".encode(), "not a number"),
        (b"Content-Length: 262145", "longer than 262144"),
        (b"Content-Length: " + b"9" * 5000, "longer than 262144"),
    ],
)
def test_a_stream_that_cannot_be_framed_is_refused_once_and_for_all(header: bytes, said: str) -> None:
    framer = StreamFramer()
    with pytest.raises(ParseError, match=said):
        framer.feed(b"OPTIONS sip:a SIP/2.0\r\n" + header + b"\r\n\r\nbody")
    with pytest.raises(ParseError, match=said):
        framer.feed(message())


def test_messages_before_a_fault_are_not_lost() -> None:
    framer = StreamFramer()
    assert framer.feed(message(b"1") + message(b"2") + message(b"3", length=b"x")) == [message(b"1"), message(b"2")]
    assert framer.broken is not None
    with pytest.raises(ParseError):
        framer.feed(b"")


def test_header_and_body_are_bounded_whichever_way_they_arrive() -> None:
    for size in (1, 7, 1000):
        framer = StreamFramer(header_size=100)
        with pytest.raises(ParseError, match="longer than 100"):
            for _ in range(1000 // size):
                framer.feed(b"x" * size)
    with pytest.raises(ParseError, match="longer than 100"):
        StreamFramer(header_size=100).feed(b"A sip:a SIP/2.0\r\nX: " + b"x" * 200 + b"\r\nl: 0\r\n\r\n")
    exact = message(b"x" * 50)
    assert StreamFramer(header_size=len(exact) - 50, body_size=50).feed(exact) == [exact]


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n",  # the rest of it is not waited for
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS ClientHello
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x01\x00\x00",  # STUN, which is for UDP
        b"\r\n\r\n\x03\x00",
        b"{}\r\n",
        b"GET / HTTP/1.0\n\n",
        b"hello\x00world",
        b"EHLO a\rx",
    ],
)
def test_what_is_no_sip_is_told_from_sip_that_is_malformed_7_1(said: bytes) -> None:
    with pytest.raises(NotSip):
        StreamFramer().feed(said)
    framer = StreamFramer()
    with pytest.raises(NotSip):
        for at in range(len(said)):
            framer.feed(said[at : at + 1])


@pytest.mark.parametrize("said", [b"l: x", b"l: 1\r\nl: 2", b"X: 1"])
def test_malformed_sip_is_no_other_protocol_18_3(said: bytes) -> None:
    for start in (b"OPTIONS sip:a SIP/2.0", b"sip/2.0 200 OK", b"INVITE sip:a SIP/7.0"):
        with pytest.raises(ParseError) as raised:
            StreamFramer().feed(start + b"\r\n" + said + b"\r\n\r\n")
        assert not isinstance(raised.value, NotSip)


def test_one_crlf_is_a_pong_and_two_are_a_ping_rfc_5626_3_5_1() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n") == []
    assert not framer.partial  # a peer that answered our ping owes us nothing
    assert framer.feed(message()) == [message()]
    assert framer.replies() == b""
    assert framer.feed(b"\r\n\r\n") == []
    assert framer.replies() == b"\r\n"
    assert framer.replies() == b""
    assert framer.feed(b"\r\n\r\n\r\n\r\n\r\n" + message(b"x")) == [message(b"x")]
    assert framer.replies() == b"\r\n\r\n"


def test_a_ping_inside_a_body_is_body() -> None:
    framer = StreamFramer()
    assert framer.feed(message(b"\r\n\r\n\r\n\r\n")) == [message(b"\r\n\r\n\r\n\r\n")]
    assert framer.replies() == b""


def test_partial_while_a_message_is_incomplete() -> None:
    framer = StreamFramer()
    assert not framer.partial
    framer.feed(b"O")
    assert framer.partial
    framer.feed(b"PTIONS sip:a SIP/2.0\r\nl: 2\r\n\r\nh")
    assert framer.partial
    assert len(framer.feed(b"i")) == 1
    assert not framer.partial


def test_a_whole_message_is_passed_on_without_a_copy() -> None:
    data = message(b"body")
    assert StreamFramer().feed(data)[0] is data


def test_a_header_fed_byte_by_byte_is_not_searched_again_each_time() -> None:
    framer = StreamFramer()
    data = message(b"hi")
    for byte in data[:-3]:
        framer.feed(bytes([byte]))
        assert framer._scanned >= len(framer._buffer) - 3
