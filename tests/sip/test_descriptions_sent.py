"""Descriptions as they go on (RFC 8866 §5, RFC 3264 §8), and those that are refused wherever they come in."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.sdp import description as sdp
from engine.sip.sdp.description import usable_address
from engine.sip.sdp.fault import find_fault
from engine.sip.sdp.origin import succeed

WHOLE = (
    b"v=0\r\no=a 7 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)


def next_one(previous: bytes, body: bytes) -> bytes:
    return succeed(previous, body, lambda: 0.25)


def origin_of(body: bytes) -> tuple[str, str]:
    origin = sdp.parse(body).origin
    assert origin is not None
    return origin.session_id, origin.version


# ---- whole


def test_a_whole_description_goes_on_byte_for_byte() -> None:
    assert next_one(b"", WHOLE) is WHOLE


@pytest.mark.parametrize("without", list(itertools.chain(*(itertools.combinations("ost", n) for n in (1, 2, 3)))))
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_lines_that_are_missing_are_added_in_their_place_8866_5(without: tuple[str, ...], end: bytes) -> None:
    lines = [line for line in WHOLE.split(b"\r\n") if line[:1].decode() not in without or not line]
    written = next_one(b"", end.join(lines))
    description = sdp.parse(written)
    assert [letter for letter, _ in description.lines] == ["v", "o", "s", "c", "t"]
    assert description.media == sdp.parse(WHOLE).media
    assert written.endswith(b"\r\n") and b"\n" not in written.replace(b"\r\n", b"")
    assert next_one(b"", written) is written


@pytest.mark.parametrize(
    "line",
    ["o=", "o=-", "o=my phone 1 1 IN IP4 h", "o=- 1 -1 IN IP4 h", "o=- x 1 IN IP4 h", "o=- 1 1 IN ATM h", "o=- 1 1"],
)
def test_an_origin_that_is_none_is_ours(line: str) -> None:
    written = next_one(b"", WHOLE.replace(b"o=a 7 3 IN IP4 192.0.2.1", line.encode()))
    assert written.split(b"\r\n")[1] == b"o=- %d %d IN IP4 192.0.2.1" % (2**45, 2**45)


def test_an_empty_name_of_the_session_is_none_8866_5_3() -> None:
    assert next_one(b"", WHOLE.replace(b"s=-", b"s=")) == WHOLE


def test_what_stands_in_the_wrong_place_is_put_right_8866_5() -> None:
    odd = (
        b"v=0\r\nt=0 0\r\nr=7d 1h 0 25h\r\na=x\r\nc=IN IP4 192.0.2.1\r\ns=-\r\no=a 7 3 IN IP4 192.0.2.1\r\nb=AS:64\r\n"
    )
    written = next_one(b"", odd + b"m=audio 1 RTP/AVP 8\r\n")
    assert [letter for letter, _ in sdp.parse(written).lines] == list("voscbtra")


@pytest.mark.parametrize("body", [b"", b"x", b"\r\n", b"s=-\r\n", b"v=1\r\n", b"\xff\xfe"])
def test_what_is_no_description_goes_on_as_it_is(body: bytes) -> None:
    assert next_one(b"", body) == body and next_one(WHOLE, body) == body


# ---- one session, a version that only rises (RFC 3264 §8)


def test_the_same_again_has_the_same_version() -> None:
    assert next_one(WHOLE, WHOLE) is WHOLE
    assert next_one(WHOLE, WHOLE.replace(b"a 7 3", b"b 99 1")) is WHOLE


def test_the_peers_own_next_version_goes_on() -> None:
    following = WHOLE.replace(b"a 7 3", b"a 7 4") + b"a=sendonly\r\n"
    assert next_one(WHOLE, following) is following


@pytest.mark.parametrize(
    "origin",
    [b"a 7 3 IN IP4 192.0.2.1", b"a 7 2 IN IP4 192.0.2.1", b"b 900 9 IN IP4 192.0.2.9", b"a 7 9 IN IP6 ::1", b"x"],
)
def test_whatever_else_comes_is_the_next_version_of_the_session(origin: bytes) -> None:
    other = WHOLE.replace(b"a 7 3 IN IP4 192.0.2.1", origin).replace(b"4000", b"4002")
    assert next_one(WHOLE, other) == WHOLE.replace(b"a 7 3", b"a 7 4").replace(b"4000", b"4002")


ORIGINS = st.builds(
    b"o=%b %d %d IN IP4 192.0.2.%d".__mod__, st.tuples(st.sampled_from([b"a", b"-"]), *[st.integers(1, 5)] * 3)
)
STEPS = st.lists(
    st.tuples(st.just(b"") | ORIGINS, st.sampled_from([b"", b"s=-"]), st.integers(1, 3)), min_size=1, max_size=12
)


@given(STEPS)
def test_any_row_of_descriptions_is_one_session_3264_8(steps: list[tuple[bytes, bytes, int]]) -> None:
    said = b""
    for origin, name, port in steps:
        lines = [b"v=0", origin, name, b"c=IN IP4 192.0.2.1", b"m=audio %d RTP/AVP 8" % port, b""]
        before, said = said, next_one(said, b"\r\n".join(line for line in lines if line) + b"\r\n")
        assert b"m=audio %d " % port in said
        if before:
            (first, old), (second, new) = origin_of(before), origin_of(said)
            assert first == second
            assert int(new) > int(old) if before != said else new == old


@given(st.binary(max_size=80), st.binary(max_size=80), st.booleans())
def test_whatever_comes_raises_nothing(previous: bytes, body: bytes, begins: bool) -> None:
    start = b"v=0\r\no=a 7 3 IN IP4 192.0.2.1\r\n" if begins else b"v=0\r\n"
    once = next_one(start + previous, start + body)
    assert next_one(once, once) == once
    find_fault(start + body)


# ---- refused


@pytest.mark.parametrize(
    "body",
    [
        WHOLE,
        WHOLE.replace(b"\r\n", b"\n"),
        WHOLE.replace(b"c=IN IP4 192.0.2.1\r\n", b"") + b"c=IN IP4 192.0.2.1\r\n",
        WHOLE.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP6 2001:db8::1"),
        WHOLE.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 0.0.0.0"),
        WHOLE.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 media.example.com"),
        WHOLE.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4\r\nc=IN IP4 192.0.2.1"),
        WHOLE.replace(b"c=IN IP4 192.0.2.1\r\n", b"").replace(b"m=audio 4000", b"m=audio 0"),
        WHOLE + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:y\r\n",
        WHOLE + b"a=crypto:1 A inline:x\r\nm=video 5000 RTP/SAVP 31\r\na=crypto:1 A inline:y\r\n",
        b"v=0\r\n",
        b"",
        b"anything",
    ],
)
def test_descriptions_that_are_looked_at(body: bytes) -> None:
    assert find_fault(body) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (WHOLE + b"a=x\0y\r\n", 400),
        (WHOLE.replace(b"s=-", b"s=\0"), 400),
        (WHOLE.replace(b"c=IN IP4 192.0.2.1\r\n", b""), 488),
        (WHOLE.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4"), 488),
        (WHOLE.replace(b"192.0.2.1\r\nt", b"192.0.2.256\r\nt"), 488),
        (WHOLE.replace(b"192.0.2.1\r\nt", b"192.0.2\r\nt"), 488),
        (WHOLE.replace(b"c=IN IP4 192.0.2.1", b"c=ATM NSAP 47.0091"), 488),
        (WHOLE.replace(b"c=IN IP4 192.0.2.1\r\n", b"") + b"m=audio 1 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n", 488),
        (WHOLE + b"a=crypto:1 A inline:x\r\na=crypto:1 B inline:y\r\n", 488),
        (WHOLE + b"a=crypto:1 A inline:x\r\na=sendrecv\r\na=crypto:01 B inline:y\r\n", 488),
    ],
)
def test_descriptions_that_nobody_could_use_8866_5_7_4568_4_1(body: bytes, status: int) -> None:
    fault = find_fault(body)
    assert fault is not None and fault.status == status


@pytest.mark.parametrize("value", ["IN IP4 010.001.002.003", "in ip6 [::1]", "IN IP4 a_b.example", "IN IP4 ::1"])
def test_addresses_that_can_be_used(value: str) -> None:
    assert usable_address(value)


@pytest.mark.parametrize(
    "value", ["IN IP4 (null)", "IN IP4 1.2.3.4.5", "IN IP6 :::", "IN IP4 .", "IN IP4 1..2.3", "IN IP4 ²"]
)
def test_addresses_that_cannot(value: str) -> None:
    assert not usable_address(value)
