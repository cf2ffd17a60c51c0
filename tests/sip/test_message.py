"""Messages: parse and serialise (RFC 3261 §7, §18.3, §20), header names, bounds, and the time hostile ones take."""

import time

import pytest

from engine.sip.message import header_names
from engine.sip.message.grammar import ParseError
from engine.sip.message.header_names import COMPACT, canonical
from engine.sip.message.message import Message, Request, Response, response_to
from engine.sip.message.parsing import MAX_HEADERS, MAX_MESSAGE, BadMessage, parse, parse_whole
from engine.sip.message.status import reason_phrase
from tests.simulation.stage import request

PLAIN = request("INVITE", body=b"v=0\r\n")


def asked(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def refused(data: bytes) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        parse(data)
    return caught.value


def with_line(line: bytes, method: str = "INVITE") -> bytes:
    return request(method).replace(b"Max-Forwards: 70", line)


def test_what_every_message_is_matched_by() -> None:
    message = asked(PLAIN)
    assert (message.method, message.uri_text) == ("INVITE", "sip:bob@192.0.2.250")
    assert (message.branch, message.sent_by) == ("z9hG4bKa", "192.0.2.7:5060")
    assert (message.call_id, message.cseq, message.cseq_method) == ("call-1", 1, "INVITE")
    assert (message.from_tag, message.to_tag, message.body) == ("alice", "", b"v=0\r\n")


def test_empty_lines_before_the_start_line_are_ignored_7_5() -> None:
    assert parse(b"\r\n\r\n\r\n" + PLAIN) == parse(PLAIN)


def test_a_response_7_2() -> None:
    data = b"SIP/2.0 180 Ringing now \r\n" + PLAIN.partition(b"\r\n")[2]
    message = parse(data)
    assert isinstance(message, Response)
    assert (message.status, message.reason, message.cseq_method) == (180, "Ringing now ", "INVITE")
    assert bytes(message).startswith(b"SIP/2.0 180 Ringing now \r\n")


@pytest.mark.parametrize(
    "line", [b"SIP/2.0 200", b"SIP/2.0 20 OK", b"SIP/2.0 2000 OK", b"SIP/2.0  200 OK", b"SIP/3.0 200 OK"]
)
def test_a_malformed_status_line_is_refused_7_2(line: bytes) -> None:
    assert refused(line + b"\r\n" + PLAIN.partition(b"\r\n")[2]).partial is None


def test_compact_forms_have_one_spelling_7_3_3() -> None:
    for letter, name in COMPACT.items():
        assert (
            canonical(letter) == canonical(letter.upper()) == canonical(name.lower()) == canonical(name.upper()) == name
        )
    assert canonical("x-UNKNOWN-header") == "X-Unknown-Header"
    assert canonical("CALL-id ") == "Call-ID"
    assert canonical("www-authenticate") == "WWW-Authenticate"


def test_invented_header_names_do_not_fill_the_memory() -> None:
    for number in range(5000):
        canonical(f"x-{number}")
        canonical(f"{'y' * 1000}-{number}")
    assert len(header_names.memo) <= header_names.MEMO_LIMIT
    assert max(map(len, header_names.memo)) <= 64


def test_values_and_lines_of_a_list_header_7_3_1() -> None:
    data = with_line(b'Route: <sip:a;lr>, "x, y" <sip:b,c@d>\r\nroute : <sip:e>\r\nSupported:')
    message = asked(data)
    assert message.values("Route") == ["<sip:a;lr>", '"x, y" <sip:b,c@d>', "<sip:e>"]
    assert message.lines("Route") == ['<sip:a;lr>, "x, y" <sip:b,c@d>', "<sip:e>"]
    assert message.headers["Route"] == message.lines("Route")
    assert (message.values("Supported"), message.values("Require"), message.get("Require", "no")) == ([], [], "no")
    assert "Supported" in message.headers and message.tokens("Supported") == set()


def test_tokens_are_compared_without_case_and_a_malformed_list_has_none() -> None:
    assert asked(with_line(b"Require: 100REL , timer")).tokens("Require") == {"100rel", "timer"}
    assert asked(with_line(b"Require: a,,b")).tokens("Require") == set()


def test_an_address_header_20_10() -> None:
    message = asked(with_line(b'P-Asserted-Identity: "Al" <tel:+49301>, <sip:x>'))
    assert message.address("P-Asserted-Identity").display == "Al"
    with pytest.raises(ParseError, match="Diversion is missing"):
        message.address("Diversion")


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Via"])
def test_what_is_mandatory_8_1_1(name: str) -> None:
    lines = [line for line in PLAIN.split(b"\r\n") if not line.startswith(name.encode() + b":")]
    error = refused(b"\r\n".join(lines))
    assert (error.status, str(error)) == (400, f"{name} is missing")
    assert error.partial is not None and error.partial.method == "INVITE"


@pytest.mark.parametrize(
    "line",
    [
        b"From: <sip:a@b>;tag=2",
        b"t: <sip:a@b>",
        b"i: other",
        b"CSeq: 1 INVITE",
        b"l: 5",
        b"Expires: 1\r\nExpires: 1",
        b"c: a/b\r\nContent-Type: a/b",
        b"Date: x\r\nDATE: x",
        b"Session-Expires: 90\r\nx: 90",
    ],
)
def test_what_may_stand_once_only_7_3_1(line: bytes) -> None:
    assert "more than one" in str(refused(with_line(line)))


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        (b"Max-Forwards: 0", True),
        (b"Max-Forwards: 255", True),
        (b"Max-Forwards: 0068", True),
        (b"Max-Forwards: 256", False),
        (b"Max-Forwards: -1", False),
        (b"Max-Forwards: ", False),
        ("Max-Forwards: ٣".encode(), False),
        (b"Max-Forwards: 7\xb2", False),
        (b"Expires: 4294967295", True),
        (b"Expires: 4294967296", False),
        (b"Contact: *", True),
        (b"Contact: <sip:a@b>, <sip:c@d>", True),
        (b"Contact: <sip:a@b>,", False),
        (b"Contact: <a b>", False),
        (b"Subject", False),
        (b": value", False),
        (b"Sub ject: value", False),
        (b"Subject\t : value", True),
        (b"S\xc3\xbc: value", False),
    ],
)
def test_scalars_and_shapes_20(line: bytes, fine: bool) -> None:
    data = with_line(line, "OPTIONS")
    if fine:
        parse(data)
    else:
        assert refused(data).status == 400


@pytest.mark.parametrize(
    ("number", "fine"), [("0", True), ("2147483647", True), ("2147483648", False), ("9" * 25, False)]
)
def test_cseq_is_below_2_to_the_31_8_1_1_5(number: str, fine: bool) -> None:
    data = PLAIN.replace(b"CSeq: 1 ", f"CSeq: {number} ".encode())
    if fine:
        assert asked(data).cseq == int(number)
    else:
        refused(data)


@pytest.mark.parametrize(("length", "body"), [("5", b"v=0\r\n"), ("0005", b"v=0\r\n"), ("3", b"v=0"), ("0", b"")])
def test_content_length_cuts_the_body_18_3(length: str, body: bytes) -> None:
    assert asked(PLAIN.replace(b"Content-Length: 5", f"Content-Length: {length}".encode())).body == body


@pytest.mark.parametrize("length", ["6", "-1", "+5", "5 5", "", "0x5", "5.0", "\u0665", "9" * 5000])
def test_a_content_length_that_is_none_is_400_18_3(length: str) -> None:
    error = refused(PLAIN.replace(b"Content-Length: 5", f"Content-Length: {length}".encode()))
    assert error.status == 400 and error.partial is not None


@pytest.mark.parametrize("length", ["0", "4", "6", "05x"])
def test_in_a_frame_a_content_length_is_right_or_400_rfc_7118_4_2(length: str) -> None:
    data = PLAIN.replace(b"Content-Length: 5", f"Content-Length: {length}".encode())
    with pytest.raises(BadMessage) as caught:
        parse_whole(data)
    assert caught.value.status == 400 and caught.value.partial is not None
    assert caught.value.partial.get("Call-ID") == asked(PLAIN).call_id


@pytest.mark.parametrize("line", [b"Content-Length: 5\r\n", b"Content-Length: 0005\r\n", b"l: 5\r\n", b""])
def test_in_a_frame_it_may_be_missing_rfc_7118_4_2(line: bytes) -> None:
    message = parse_whole(PLAIN.replace(b"Content-Length: 5\r\n", line))
    assert message.body == b"v=0\r\n"


def test_without_content_length_the_body_is_all_the_rest_18_3() -> None:
    assert asked(PLAIN.replace(b"Content-Length: 5\r\n", b"") + b"more").body == b"v=0\r\nmore"


def test_bytes_that_are_no_utf_8_survive() -> None:
    data = with_line(b"Subject: \xff\xfe caf\xe9 \xc3\xa9")
    assert b"\r\nSubject: \xff\xfe caf\xe9 \xc3\xa9\r\n" in bytes(parse(data))


def test_a_written_message_has_its_own_length_and_equals_what_it_was_read_from() -> None:
    message = asked(PLAIN)
    message.body = b"longer body"
    again = parse(bytes(message))
    assert again.get("Content-Length") == "11"
    assert again == message != parse(PLAIN)
    assert message != "message"
    assert repr(message) == "<'INVITE sip:bob@192.0.2.250 SIP/2.0' 'call-1'>"
    with pytest.raises(TypeError):
        hash(message)


def test_messages_differ_by_start_line_by_any_header_and_by_body() -> None:
    assert parse(PLAIN) == parse(PLAIN.replace(b"Max-Forwards: 70", b"MAX-FORWARDS :70"))
    for old, new in ((b"bob@", b"bib@"), (b"Max-Forwards: 70", b"Max-Forwards: 71"), (b"v=0", b"v=1")):
        assert parse(PLAIN) != parse(PLAIN.replace(old, new, 1))
    response = Response(200, "OK", asked(PLAIN).headers, b"v=0\r\n")
    assert response != parse(PLAIN)
    assert isinstance(response, Message) and response.via.branch == "z9hG4bKa"


def test_a_message_can_be_made_by_hand() -> None:
    made = Request("OPTIONS", "sip:x", {"Via": ["SIP/2.0/UDP h;branch=z9hG4bKq"], "Empty": []}, b"")
    assert bytes(made) == b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKq\r\nContent-Length: 0\r\n\r\n"
    assert made.via.host == "h"
    with pytest.raises(ParseError):
        _ = Request("OPTIONS", "sip:x", {}).via
    with pytest.raises(ParseError):
        _ = Request("OPTIONS", "sip:", {}).uri


# ---- bounds


def test_too_many_header_fields_are_400() -> None:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADERS))
    error = refused(with_line(lines + b"Z: z"))
    assert (error.status, str(error)) == (400, "more than 256 header fields")
    assert error.partial is not None and error.partial.get("Via")
    few = b"\r\n".join(b"X-%d: y" % number for number in range(MAX_HEADERS - 7))
    parse(with_line(few))


def test_a_message_beyond_every_datagram_is_513_21_4_11() -> None:
    """It can only come by a stream."""
    assert asked(request("INVITE", body=b"x" * (MAX_MESSAGE - 400))).method == "INVITE"
    error = refused(request("INVITE", body=b"x" * MAX_MESSAGE))
    assert error.status == 513 and error.partial is not None and error.partial.get("Call-ID") == "call-1"


def test_a_cut_off_request_is_answered_400() -> None:
    """RFC 4475 §3.1.2.15 comes without the empty line."""
    head = PLAIN.partition(b"\r\n\r\n")[0]
    for data in (head, head + b"\r\n", head + b"\r\n\r"):
        error = refused(data)
        assert (error.status, str(error)) == (400, "no empty line ends the header")
        assert error.partial is not None and error.partial.get("Call-ID") == "call-1"
    assert refused(b"INVITE sip:x").partial is None


@pytest.mark.parametrize("fault", [b"a\nb", b"a\rb", b"a\0b", b"\n", b"a\r"])
@pytest.mark.parametrize("where", [b"Max-Forwards: 70", b"bob@192.0.2.250", b"call-1"])
def test_no_line_end_or_nul_inside_a_line_comes_through(fault: bytes, where: bytes) -> None:
    """Relayed, it would become a header of somebody else's making."""
    error = refused(PLAIN.replace(where, where + fault, 1))
    assert error.status == 400
    if error.partial is not None:  # what an answer is made of
        partial = error.partial
        assert not set("\r\n\0") & {*partial.uri_text, *(char for field in partial.fields for char in "".join(field))}


def test_the_start_line_says_what_is_wrong() -> None:
    rest = PLAIN.partition(b"\r\n")[2]
    assert refused(b"INVITE sip:x SIP/2.1\r\n" + rest).status == 505
    assert refused(b"INVITE sip:x sip/9\r\n" + rest).status == 505
    for line in (b"INVITE sip:x y SIP/2.0", b"INVITE  sip:x SIP/2.0", b"INVITE SIP/2.0", b"INVITE sip:x SIP/2.0 "):
        error = refused(line + b"\r\n" + rest)
        assert (error.status, error.partial is None) == (400, False), line
    for line in (b"INVITE sip:x", b"INV(TE sip:x SIP/2.0", b"", b" INVITE sip:x SIP/2.0", b"ACK sip:x y SIP/2.0"):
        assert refused(line + b"\r\n" + rest).partial is None, line


def test_a_response_without_a_transaction_8_2_6() -> None:
    message = asked(with_line(b"Via: SIP/2.0/UDP second"))
    answer = parse(response_to(message, 503, "", "tag1", "Retry-After: 5\r\n"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.reason, answer.to_tag) == (503, "Service Unavailable", "tag1")
    assert answer.values("Via") == message.values("Via")
    assert (answer.get("Retry-After"), answer.get("CSeq"), answer.body) == ("5", "1 INVITE", b"")
    tagged = asked(request("BYE", to_tag="old"))
    assert parse(response_to(tagged, 400, "Odd", "new")).to_tag == "old"


@pytest.mark.parametrize(
    ("status", "phrase"), [(200, "OK"), (486, "Busy Here"), (499, "Bad Request"), (799, "Unknown")]
)
def test_reason_phrases_8_1_3_2(status: int, phrase: str) -> None:
    assert reason_phrase(status) == phrase


# ---- time


def big(line: bytes) -> bytes:
    return PLAIN.replace(b"Max-Forwards: 70", line, 1)


SIZE = 60_000
HOSTILE = {
    "folded blanks": big(b"Subject: a" + b" " * SIZE + b"b \r\nX-Y: z"),
    "blanks before a colon": big(b"Subject" + b" " * SIZE + b"x: y"),
    "tabs": big(b"Subject: a" + b"\t" * SIZE + b"b\t"),
    "folds": big(b"Subject: a" + b"\r\n b" * (SIZE // 4)),
    "one value": big(b"Subject: " + b"x" * SIZE),
    "commas": big(b"Route: " + b"," * SIZE),
    "routes": big(b"Route: " + b"<sip:a;lr>," * (SIZE // 11) + b"<sip:a;lr>"),
    "quotes": big(b'Contact: "' + b'\\"' * (SIZE // 2)),
    "quoted pairs": PLAIN.replace(b"From: Alice", b'From: "' + b"\\a" * (SIZE // 2) + b'"'),
    "open quotes": PLAIN.replace(b"To: Bob", b'To: "' + b'""' * (SIZE // 2)),
    "angles": PLAIN.replace(b"To: Bob", b"To: " + b"<" * SIZE),
    "display name": PLAIN.replace(b"To: Bob <", b"To: " + b"a " * (SIZE // 2)),
    "parameters": PLAIN.replace(b";tag=alice", b";a" * (SIZE // 2)),
    "semicolons": PLAIN.replace(b";tag=alice", b";" * SIZE),
    "many tags": PLAIN.replace(b"To: Bob <sip:bob@192.0.2.250>", b"To: <sip:a>" + b";tag=b" * (SIZE // 6)),
    "Via parameters": PLAIN.replace(b";branch=z9hG4bKa", b";x=y" * (SIZE // 4)),
    "Vias": PLAIN.replace(b"Via: ", b"Via: " + b"SIP/2.0/UDP a, " * (SIZE // 15)),
    "user": PLAIN.replace(b"<sip:alice@", b"<sip:" + b"a;b=" * (SIZE // 4) + b"@"),
    "escapes": PLAIN.replace(b"<sip:alice@", b"<sip:" + b"%41" * (SIZE // 3) + b"@"),
    "host": PLAIN.replace(b"alice@192.0.2.7>", b"a." * (SIZE // 2) + b">"),
    "at signs": PLAIN.replace(b"<sip:alice@", b"<sip:" + b"a@" * (SIZE // 2)),
    "Call-ID": PLAIN.replace(b"call-1", b"@" * SIZE),
    "CSeq": PLAIN.replace(b"CSeq: 1", b"CSeq: " + b"1" * SIZE),
    "Content-Length": PLAIN.replace(b"Length: 5", b"Length: " + b"0" * SIZE),
    "fields": big(b"\r\n".join(b"A%d: b" % number for number in range(SIZE // 9))),
    "same field": big(b"\r\n".join([b"Via: SIP/2.0/UDP h"] * (SIZE // 20))),
    "colons": big(b"\r\n".join([b":"] * (SIZE // 3))),
    "start line": b"INVITE " + b"a " * (SIZE // 2) + b"SIP/2.0\r\n" + PLAIN.partition(b"\r\n")[2],
    "line ends": b"\r\n" * (SIZE // 2) + PLAIN,
    "NULs": big(b"Subject: " + b"\\\0" * (SIZE // 2)),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_datagram_full_of_malice_costs_milliseconds(name: str) -> None:
    """Time grows with the length: what is quadratic takes seconds here."""
    data = HOSTILE[name]
    assert len(data) > SIZE // 2
    begin = time.process_time()
    try:
        message: Message | None = parse(data)
    except BadMessage as error:
        message = error.partial
    if message is not None:
        for field in ("Via", "Route", "Contact", "From", "To"):
            try:
                message.values(field)
                message.address(field)
            except ParseError:
                continue
    assert time.process_time() - begin < 0.25
