"""The text in a MESSAGE, plain or in CPIM, or the status that what is none deserves (RFC 3428, RFC 3862)."""

import encodings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from engine.sip.message.text_message import MAX_TEXT, text_of


def message(body: bytes, content_type: str = "text/plain", more: str = "") -> Request:
    head = (
        "MESSAGE sip:+15551234567@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bKm\r\n"
        "From: <sip:+15550001111@127.0.0.2>;tag=a\r\nTo: <sip:+15551234567@127.0.0.1>\r\nCall-ID: m\r\n"
        f"CSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n{more}Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    made = parse(head.encode() + body)
    assert isinstance(made, Request)
    return made


CPIM = (
    b"From: Ann <im:ann@example.com>\r\nTo: <im:+15551234567@example.com>\r\nDateTime: 2026-11-21T10:00:00Z\r\n\r\n"
    b"Content-Type: %b\r\n\r\n%b"
)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"HOURS", "text/plain", "HOURS"),
        ("Öffnungszeiten? ☎".encode(), "text/plain;charset=UTF-8", "Öffnungszeiten? ☎"),
        ("é".encode("latin-1"), 'Text/Plain; charset="ISO-8859-1"', "é"),
        ("Часы".encode("cp1251"), "text/plain;charset=windows-1251", "Часы"),
        ("営業".encode("iso2022_jp"), "text/plain;charset=ISO-2022-JP", "営業"),
        ("x".encode("utf-16"), "text/plain;charset=utf-16", "x"),
        (b"x", "text/plain;charset=us-ascii", "x"),
        (b"two\r\nlines\r\n", "text/plain", "two\r\nlines\r\n"),
        (CPIM % (b"text/plain; charset=utf-8", "grüß".encode()), "message/cpim", "grüß"),
        (CPIM % (b"text/plain", b"a\r\n\r\nb"), "Message/CPIM", "a\r\n\r\nb"),
        ((CPIM % (b"text/plain", b"x")).replace(b"\r\n", b"\n"), "message/cpim", "x"),
    ],
)
def test_what_is_text(body: bytes, content_type: str, text: str) -> None:
    assert text_of(message(body, content_type)) == text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"<x/>", "application/im-iscomposing+xml", 415),
        (b"v=0", "application/sdp", 415),
        (b"x", "text/plain;charset=klingon", 415),
        (b"x", "text/plain;charset=rot13", 415),
        (b"x", "text/plain;charset=zlib_codec", 415),
        (b"\\ud800", "text/plain;charset=unicode_escape", 415),  # which would make half a character
        (b"+2AA-", "text/plain;charset=utf-7", 415),
        (CPIM % (b"image/png", b"x"), "message/cpim", 415),
        (CPIM % (b"text/plain\r\nContent-Transfer-Encoding: base64", b"eA=="), "message/cpim", 415),
        (b"\xff\xfe", "text/plain", 400),
        (b"a\0b", "text/plain", 400),
        (b"From: x", "message/cpim", 400),
        (b"From: x\r\n\r\nno header\r\n\r\nx", "message/cpim", 400),
        (b"x", "text/plain; charset=", 400),
        (b"x" * (MAX_TEXT + 1), "text/plain", 413),
        (b"\xe9" * (MAX_TEXT // 2 + 1), "text/plain;charset=latin-1", 413),  # two octets each in UTF-8
    ],
)
def test_what_is_none_gets_its_status(body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(ParseError) as refused:
        text_of(message(body, content_type))
    assert refused.value.status == status


def test_charsets_without_end_are_not_remembered_without_end() -> None:
    before = len(encodings._cache)
    for number in range(1000):
        with pytest.raises(ParseError):
            text_of(message(b"x", f"text/plain;charset=utf-x{number}"))
    assert len(encodings._cache) - before == 0
    assert text_of(message(b"x", "text/plain;charset=utf-8")) == "x"


def test_an_encoded_body_is_not_taken() -> None:
    with pytest.raises(ParseError) as refused:
        text_of(message(b"x", more="Content-Encoding: gzip\r\n"))
    assert refused.value.status == 415


@pytest.mark.parametrize(
    ("body", "kind"), [(b"", "text/plain"), (b"", ""), (b"", "image/png"), (b" \r\n", "text/plain")]
)
def test_a_message_may_be_empty_or_blank(body: bytes, kind: str) -> None:
    assert text_of(message(body, kind)) == body.decode()


@given(body=st.binary(max_size=300), kind=st.sampled_from(["text/plain", "message/cpim", "text/plain;charset=utf-16"]))
def test_whatever_comes_nothing_but_a_parse_error_leaves(body: bytes, kind: str) -> None:
    try:
        assert text_of(message(body, kind)) or not body
    except ParseError as error:
        assert error.status in (400, 413, 415)
