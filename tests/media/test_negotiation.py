"""Offer and answer of a media port, RFC 3264: what is agreed, and that the memo never changes an answer.

Which codec, whose events, where RTCP goes and with what keys: `test_negotiated_formats.py`.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media import negotiation
from engine.media.negotiation import NotAcceptable

HOST, PORT = "192.0.2.1", 16384


def description(*media: str, address: str = "198.51.100.1", session: int = 1, head: str = "IN IP4") -> bytes:
    lines = ["v=0", f"o=peer {session} {session} {head} {address}", "s=-", f"c={head} {address}", "t=0 0", *media]
    return "".join(f"{line}\r\n" for line in lines).encode()


PLAIN = description("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000")
PHONE = description(
    "m=audio 4000 RTP/AVP 9 8 0 96",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:96 telephone-event/8000",
    "a=fmtp:96 0-15",
    "a=ptime:30",
    "a=sendonly",
)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    negotiation.memo.clear()


def test_a_plain_offer_is_answered() -> None:
    answer, agreed = negotiation.answer(PLAIN, HOST, PORT, 7, 8)
    assert answer == (
        b"v=0\r\no=- 7 8 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        b"m=audio 16384 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )
    assert (agreed.remote, agreed.listening, agreed.payload_types, agreed.events) == (
        ("198.51.100.1", 4000),
        True,
        {0: 0},
        None,
    )


def test_a_phones_offer_on_hold_with_events() -> None:
    answer, agreed = negotiation.answer(PHONE, HOST, PORT, 7, 7)
    lines = answer.decode().splitlines()
    assert "m=audio 16384 RTP/AVP 8 0 96" in lines  # its order, its numbers, G.722 left out
    assert "a=rtpmap:96 telephone-event/8000" in lines
    assert "a=ptime:30" in lines
    assert lines[-1] == "a=recvonly"
    assert (agreed.remote, agreed.listening, agreed.events) == (("198.51.100.1", 4000), False, 96)
    assert agreed.payload_types == {8: 8, 0: 0, 96: 96}


def test_the_second_answer_is_the_one_the_full_path_would_write() -> None:
    for offer in (PLAIN, PHONE):
        negotiation.answer(offer, HOST, PORT, 1, 1)
        tail = offer.partition(b"m=audio 4000 ")[2]
        assert (tail, negotiation.CODECS) in negotiation.memo
        other = offer.replace(b"m=audio 4000", b"m=audio 5002").replace(b"198.51.100.1", b"203.0.113.77")
        for host in (HOST, "2001:db8::1"):
            short = negotiation.answer(other, host, 20000, 99, 100)
            assert short == negotiation.full_answer(other, host, 20000, 99, 100)
            assert short[1].remote == ("203.0.113.77", 5002)


HEADS = st.sampled_from(["v=0", "o=- 1 1 IN IP4 192.0.2.9", "o=x", "s=-", "s=", "s=\0", "c=IN IP4 192.0.2.9"])
MIDDLE = st.sampled_from(["c=IN IP4 0.0.0.0", "c=IN IP6 ::", "c=IN IP6 2001:DB8::1", "t=0 0", "t=1 2", "b=AS:64"])
MEDIA = st.sampled_from(
    [
        "m=audio 4000 RTP/AVP 0",
        "m=audio 4000 RTP/AVP 8 0 101",
        "m=audio 4000 RTP/SAVP 0",
        "m=audio 99999 RTP/AVP 0",
        "m=audio 0 RTP/AVP 0",
        "m=video 4002 RTP/AVP 31",
        "a=sendonly",
        "a=inactive",
        "a=rtcp-mux",
        "a=rtcp:5000",
        "a=maxptime:10",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:0 PCMA/8000",
        "c=IN IP4 192.0.2.77",
    ]
)


def _result(path: object, offer: bytes) -> object:
    try:
        return path(offer, HOST, PORT, 5, 6)  # type: ignore[operator]
    except NotAcceptable as error:
        return (error.status, str(error))


ORDERLY = st.tuples(
    st.just("v=0"), HEADS, HEADS, MIDDLE | st.just("c=IN IP4 192.0.2.9"), st.just("t=0 0"), MEDIA, MEDIA, MEDIA
)


@given(st.lists(HEADS | MIDDLE | MEDIA, max_size=10) | ORDERLY, st.sampled_from(["\r\n", "\r\n", "\n"]))
def test_the_memo_never_changes_what_is_answered(lines: list[str] | tuple[str, ...], end: str) -> None:
    offer = "".join(line + end for line in lines).encode()
    full = _result(negotiation.full_answer, offer)
    assert _result(negotiation.answer, offer) == full
    assert _result(negotiation.answer, offer) == full


def test_the_memo_is_bounded_and_forgets_the_oldest() -> None:
    for number in range(negotiation.MEMO_SIZE + 10):
        negotiation.answer(description("m=audio 4000 RTP/AVP 0", f"a=x:{number}"), HOST, PORT, 1, 1)
    assert len(negotiation.memo) == negotiation.MEMO_SIZE
    assert not any(b"a=x:3\r\n" in tail for tail, _ in negotiation.memo)
    negotiation.answer(description("m=audio 4000 RTP/AVP 0", f"a=x:{'y' * 5000}"), HOST, PORT, 1, 1)
    assert not any(len(tail) > negotiation.MEMO_TAIL for tail, _ in negotiation.memo)


@pytest.mark.parametrize(
    ("offer", "status"),
    [
        (b"", 400),
        (b"\0\xff" * 40, 400),
        (b"v=0\r\nm=audio x RTP/AVP 0\r\n", 400),
        (b"v=0\r\n" + b"a=x\r\n" * 20000, 413),
        (description(), 488),
        (description("m=audio 0 RTP/AVP 0"), 488),
        (description("m=video 4000 RTP/AVP 31"), 488),
        (description("m=audio 4000 RTP/SAVP 0"), 488),
        (description("m=audio 4000 RTP/AVP 18"), 488),
        (description("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"), 488),
        (b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n", 488),
        (b"v=0\r\no=- 1 1 IN IP4\r\n", 400),
    ],
)
def test_what_cannot_be_agreed_on_says_so(offer: bytes, status: int) -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiation.answer(offer, HOST, PORT, 1, 1)
    assert caught.value.status == status


def test_other_media_are_refused_beside_the_audio() -> None:
    offer = description("m=video 4002 RTP/AVP 31", "m=audio 4000 RTP/AVP 18", "m=audio 4004 RTP/AVP 0")
    answer, agreed = negotiation.answer(offer, HOST, PORT, 1, 1)
    media = [line for line in answer.decode().splitlines() if line.startswith("m=")]
    assert media == ["m=video 0 RTP/AVP 31", "m=audio 0 RTP/AVP 18", "m=audio 16384 RTP/AVP 0"]
    assert agreed.remote == ("198.51.100.1", 4004)


def test_a_media_address_of_its_own_goes_before_the_sessions() -> None:
    offer = description("m=audio 4000 RTP/AVP 0", "c=IN IP4 203.0.113.5")
    for _ in range(2):
        assert negotiation.answer(offer, HOST, PORT, 1, 1)[1].remote == ("203.0.113.5", 4000)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.44"])
def test_the_old_hold_address_is_no_one_elses_memo(host: str) -> None:
    """RFC 3264 §8.4: c=0.0.0.0 asks for silence, whichever of the two comes first."""
    for address in (host, "192.0.2.44", "0.0.0.0"):
        offer = description("m=audio 4000 RTP/AVP 0", address=address)
        answer, agreed = negotiation.answer(offer, HOST, PORT, 1, 1)
        assert agreed.listening == (address != "0.0.0.0")
        assert answer.endswith(b"a=recvonly\r\n" if address == "0.0.0.0" else b"a=sendrecv\r\n")


def test_ipv6_addresses_have_one_spelling() -> None:
    for _ in range(2):
        offer = description("m=audio 4000 RTP/AVP 0", address="2001:DB8:0:0::1", head="IN IP6")
        answer, agreed = negotiation.answer(offer, "2001:db8::2", PORT, 1, 1)
        assert agreed.remote == ("2001:db8::1", 4000)
        assert b"c=IN IP6 2001:db8::2\r\n" in answer


def test_an_answer_to_our_offer() -> None:
    ours = negotiation.offer(HOST, PORT, 1, 1)
    theirs = description("m=audio 4000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000", "a=sendonly")
    agreed = negotiation.accept(ours, theirs)
    assert (agreed.remote, agreed.listening, agreed.events) == (("198.51.100.1", 4000), False, 96)
    assert agreed.payload_types == {8: 8, 101: 96, 96: 96}


@pytest.mark.parametrize(
    ("formats", "events"),
    [
        (("8 96", "96 telephone-event/8000"), {101, 96}),  # §5.1 wants our 101; many gateways send their own
        (("8 101", "101 telephone-event/8000"), {101}),
        (("8 122 97", "122 telephone-event/8000", "97 iLBC/8000"), {101, 122}),
        (("0 8", "0 PCMU/8000"), set()),
    ],
)
def test_keys_are_taken_under_either_sides_number(formats: tuple[str, ...], events: set[int]) -> None:
    first, *maps = formats
    theirs = description(f"m=audio 4000 RTP/AVP {first}", *(f"a=rtpmap:{line}" for line in maps))
    agreed = negotiation.accept(negotiation.offer(HOST, PORT, 1, 1), theirs)
    assert set(agreed.event_types) == events <= set(agreed.payload_types)


def test_a_number_that_means_something_else_is_no_key() -> None:
    ours = negotiation.offer(HOST, PORT, 1, 1).replace(b"RTP/AVP 0 8 101", b"RTP/AVP 0 96 101")
    ours = ours.replace(b"a=rtpmap:8 PCMA", b"a=rtpmap:96 PCMA")
    theirs = description("m=audio 4000 RTP/AVP 8 96", "a=rtpmap:8 PCMA/8000", "a=rtpmap:96 telephone-event/8000")
    agreed = negotiation.accept(ours, theirs)
    assert agreed.event_types == {101: 8000} and agreed.payload_types == {96: 8, 101: 96}


# ---- audio that is taken away and comes again (RFC 3264 §8.2)


@pytest.mark.parametrize(
    "lines",
    [
        ("m=audio 0 RTP/AVP 0",),
        ("m=audio 0 RTP/AVP 0 8 101", "a=rtpmap:101 telephone-event/8000", "a=inactive"),
        ("m=audio 0 RTP/SAVP 0",),
        ("m=audio 0 RTP/AVP 99",),
        ("m=audio 0 RTP/AVP 0", "m=video 5000 RTP/AVP 31"),
        ("m=audio 0 RTP/AVP 0", "m=audio 0 RTP/AVP 8"),
    ],
)
def test_audio_on_port_0_is_answered_by_port_0_and_comes_again(lines: tuple[str, ...]) -> None:
    _, first = negotiation.answer(PLAIN, HOST, PORT, 7, 7)
    body, agreed = negotiation.answer(description(*lines), HOST, PORT, 7, 8, previous=first)
    streams = [line for line in body.decode().splitlines() if line.startswith("m=")]
    assert [line.split()[1] for line in streams] == ["0"] * len([line for line in lines if line.startswith("m=")])
    assert (agreed.listening, agreed.talking, agreed.remote) == (False, False, first.remote)
    body, again = negotiation.answer(PLAIN, HOST, PORT, 7, 9, previous=agreed)
    assert b"m=audio 16384 " in body and again.listening and again.talking


@pytest.mark.parametrize("lines", [("m=audio 0 RTP/AVP 0",), ("m=video 0 RTP/AVP 31",)])
def test_a_call_does_not_begin_without_audio(lines: tuple[str, ...]) -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiation.answer(description(*lines), HOST, PORT, 7, 7)
    assert (caught.value.status, caught.value.warning) == (488, 304)


@pytest.mark.parametrize("lines", [("m=video 5000 RTP/AVP 31",), ()])
def test_nor_does_one_go_on_with_an_offer_that_says_nothing_of_it(lines: tuple[str, ...]) -> None:
    _, first = negotiation.answer(PLAIN, HOST, PORT, 7, 7)
    with pytest.raises(NotAcceptable) as caught:
        negotiation.answer(description(*lines), HOST, PORT, 7, 8, previous=first)
    assert caught.value.status == 488


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 400),
        (description(), 400),
        (description("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31"), 400),
        (description("m=audio 0 RTP/AVP 0"), 488),
        (description("m=audio 4000 RTP/AVP 18"), 488),
        (description("m=audio 4000 RTP/SAVP 0"), 488),
        (b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n", 488),
    ],
)
def test_an_answer_that_agrees_on_nothing(answer: bytes, status: int) -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiation.accept(negotiation.offer(HOST, PORT, 1, 1), answer)
    assert caught.value.status == status
