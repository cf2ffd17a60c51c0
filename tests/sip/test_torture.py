"""RFC 4475 and RFC 5118: every message to the parser and to the endpoint; then what the fields of the good ones say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.sip.dialog.invite_server import InviteServer
from engine.sip.message.message import Message, Request, Response
from engine.sip.message.name_addr import NameAddr, parse_name_addrs
from engine.sip.message.parsing import BadMessage, parse
from engine.sip.message.uri import OtherUri, SipUri, parse_uri
from engine.sip.message.via import Via
from engine.sip.sdp.description import parse as parse_sdp
from tests.simulation.stage import MESSAGES, PEER, Stage, request, rfc4475, rfc5118, status_of
from tests.sip.torture import DROP, RFC4475, RFC5118, Verdict

ALL = [pytest.param(rfc4475(name), verdict, id=name) for name, verdict in RFC4475.items()]
ALL += [pytest.param(rfc5118(name), verdict, id=name) for name, verdict in RFC5118.items()]


def busy(stage: Stage) -> None:
    """Every call is refused with 486."""

    def refuse(session: InviteServer) -> None:
        stage.calls.append(session)
        session.reject(486, stage.now)

    stage.on_invite = refuse


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    busy(stage)
    yield stage
    stage.run(200)
    assert stage.left == {}


def test_the_tables_hold_every_message() -> None:
    assert {path.stem for path in (MESSAGES / "rfc4475").iterdir()} == set(RFC4475)
    assert {path.name for path in (MESSAGES / "rfc5118").iterdir()} == set(RFC5118)
    assert (len(RFC4475), len(RFC5118)) == (50, 12)


def test_the_messages_are_the_archives_bytes() -> None:
    """No tool has touched line ends or binary parts."""
    assert b"\x82\x01\x52" in rfc4475("mpart01")
    for name in RFC4475:
        assert b"\r\n" in rfc4475(name)
    for name in RFC5118:
        assert b"\r" not in Path(MESSAGES / "rfc5118" / name).read_bytes()


@pytest.mark.parametrize(("data", "verdict"), ALL)
def test_the_parsers_verdict(data: bytes, verdict: Verdict) -> None:
    if verdict.parses:
        message = parse(data)
        assert parse(bytes(message)) == message
    else:
        with pytest.raises(BadMessage) as caught:
            parse(data)
        assert caught.value.status == (verdict.status or 400)
        assert (caught.value.partial is None) == (verdict.status == DROP)


@pytest.mark.parametrize(("data", "verdict"), ALL)
def test_the_endpoints_verdict(stage: Stage, data: bytes, verdict: Verdict) -> None:
    stage.receive(data)
    finals = [status for status in stage.udp.statuses() if status >= 200]
    assert finals == ([verdict.status] if verdict.status else [])


def test_after_all_of_them_it_answers_and_holds_nothing(stage: Stage) -> None:
    for round_ in range(3):
        for name in RFC4475:
            stage.receive(rfc4475(name), port=5060 + round_)
        for name in RFC5118:
            stage.receive(rfc5118(name), host="2001:db8::77")
    stage.udp.take()
    [answer] = stage.ask(request("OPTIONS", branch="z9hG4bKafter"))
    assert answer.status == 200
    stage.run(33)
    assert stage.left == {}
    assert stage.endpoint.counters.malformed >= 3 * 20


@pytest.mark.parametrize("name", sorted(RFC4475))
def test_no_answer_goes_anywhere_but_to_the_sender(stage: Stage, name: str) -> None:
    """§3.3.10: never to a broadcast address, whatever Via says."""
    stage.receive(rfc4475(name))
    stage.run(40)
    assert {host for host, _ in stage.udp.targets()} <= {PEER}


def test_a_refusal_says_why(stage: Stage) -> None:
    """RFC 3261 §20.43: a Warning with our words, not a log line."""
    stage.receive(rfc4475("scalar02"))
    [answer] = stage.udp.take()
    assert b'\r\nWarning: 399 trunkline "CSeq 36893488147419103232 is not below 2**31"\r\n' in answer
    stage.receive(rfc4475("badinv01"))
    [answer] = stage.udp.take()
    assert status_of(answer) == 400 and b"\r\nWarning: 399 trunkline " in answer


# ---- what the good ones say


def asked(name: str) -> Request:
    message = parse(rfc4475(name))
    assert isinstance(message, Request)
    return message


def sip(text: str) -> SipUri:
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    return uri


def test_wsinv_3_1_1_1() -> None:
    message = asked("wsinv")
    assert message.method == "INVITE"
    assert sip(message.uri_text).params == {"unknownparam": None}
    to = message.address("To")
    assert (to.display, to.uri_text, to.tag) == ("", "sip:vivekg@chair-dnrc.example.com", "1918181833n")
    from_ = message.address("From")
    assert (from_.display, from_.uri_text, from_.tag) == ('J Rosenberg \\"', "sip:jdrosen@example.com", "98asjd8")
    assert (message.to_tag, message.from_tag) == ("1918181833n", "98asjd8")
    assert message.get("Max-Forwards") == "0068"
    assert (message.call_id, message.cseq, message.cseq_method) == ("wsinv.ndaksdj@192.0.2.1", 9, "INVITE")
    vias = [Via.parse(value) for value in message.values("Via")]
    assert [(via.transport, via.sent_by, via.branch) for via in vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.get("Subject", "none") == ""
    assert message.get("Newfangledheader") == "newfangled value continued newfangled value"
    assert message.get("Unknownheaderwithunusualvalue") == ";;,,;;,;"
    [route] = parse_name_addrs(message.values("Route"))
    assert isinstance(route.uri, SipUri)
    assert route.uri.params == {"lr": None, "unknownwith": "value", "unknown-no-value": None}
    [contact] = parse_name_addrs(message.values("Contact"))
    assert (contact.display, contact.uri_text) == ('Quoted string ""', "sip:jdrosen@example.com")
    assert contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert len(message.body) == 150


def test_intmeth_3_1_1_2() -> None:
    message = asked("intmeth")
    assert message.method == message.cseq_method == "!interesting-Method0123456789_*+`.%indeed'~"
    uri = sip(message.uri_text)
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert uri.host == "example.com"
    assert message.branch == "z9hG4bK-.!%66*_+`'~"
    assert message.address("To").display == "BEL:\x07 NUL:\0 DEL:\x7f"
    from_ = message.address("From")
    assert from_.display == "token1~` token2'+_ token3*%!.-"
    assert from_.params["fromparam''~+*_!.-%"] == '"работающий"'
    assert message.from_tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.cseq == 139122385
    assert message.get("Max-Forwards") == "255"
    assert message.get("Extensionheader-!.%*+_`'~") == "\ufeff大停電"


def test_esc01_3_1_1_3() -> None:
    message = asked("esc01")
    uri = sip(message.uri_text)
    assert (uri.user, uri.user_text, uri.host) == ("sips%3Auser%40example.com", "sips:user@example.com", "example.net")
    assert sip(message.address("To").uri_text).user_text == "user"
    assert sip(message.address("From").uri_text).user_text == "I have spaces"
    contact = message.address("Contact").uri
    assert isinstance(contact, SipUri)
    assert contact.user_text == "caller"
    # The names are lr and name; the value is "value%41" and never "valueA", so it stands as it came.
    assert contact.params == {"lr": None, "name": "v%61lue%25%34%31"}
    assert contact.lr
    assert (message.call_id, message.cseq) == ("esc01.239409asdfakjkn23onasd0-3234", 234234)


def test_escnull_3_1_1_4() -> None:
    message = asked("escnull")
    assert sip(message.address("To").uri_text).user_text == "null-\0-null"
    first, second = parse_name_addrs(message.values("Contact"))
    assert isinstance(first.uri, SipUri) and isinstance(second.uri, SipUri)
    assert (first.uri.user_text, second.uri.user_text) == ("\0", "\0\0")
    assert not first.uri.equivalent(second.uri)


def test_esc02_3_1_1_5() -> None:
    message = asked("esc02")
    assert message.method == "RE%47IST%45R"
    assert message.address("To").display == message.address("From").display == "%Z%45"
    assert message.branch == "z9hG4bK209%fzsnel234"
    # C%6Fntact is a field of its own.
    assert [contact.uri_text for contact in parse_name_addrs(message.values("Contact"))] == [
        "sip:alias1@host1.example.com",
        "sip:alias3@host3.example.com",
    ]


def test_lwsdisp_3_1_1_6() -> None:
    from_ = asked("lwsdisp").address("From")
    assert (from_.display, from_.uri_text, from_.tag) == ("caller", "sip:caller@example.com", "323")


def test_longreq_3_1_1_7() -> None:
    message = asked("longreq")
    assert len(message.values("Via")) == 34
    assert [Via.parse(value).host for value in message.values("Via")][:3] == [
        "sip33.example.com",
        "sip32.example.com",
        "sip31.example.com",
    ]
    assert Via.parse(message.values("Via")[-1]).received == "192.0.2.5"
    assert message.address("To").display.endswith("extreme proportion")
    to = message.address("To").uri
    assert isinstance(to, SipUri) and to.port == 6000
    assert message.from_tag.startswith("12982982982") and len(message.from_tag) > 100
    assert len(message.call_id) > 100
    assert len(message.body) == 150


def test_dblreq_3_1_1_8() -> None:
    message = asked("dblreq")
    assert (message.method, message.body) == ("REGISTER", b"")
    assert message.call_id.startswith("dblreq.0ha0isndaksdj99")


def test_semiuri_3_1_1_9() -> None:
    message = asked("semiuri")
    uri = sip(message.uri_text)
    assert (uri.user, uri.user_text, uri.host, uri.params) == (
        "user;par=u%40example.net",
        "user;par=u@example.net",
        "example.com",
        {},
    )
    assert message.values("Accept") == [
        "application/sdp",
        "application/pkcs7-mime",
        "multipart/mixed",
        "multipart/signed",
        "message/sip",
        "message/sipfrag",
    ]


def test_transports_3_1_1_10() -> None:
    vias = [Via.parse(value) for value in asked("transports").values("Via")]
    assert [via.transport for via in vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_mpart01_3_1_1_11() -> None:
    data = rfc4475("mpart01")
    message = asked("mpart01")
    assert message.body == data.partition(b"\r\n\r\n")[2] and len(message.body) == 553
    assert message.get("Content-Type") == "multipart/mixed;boundary=7a9cbec02ceef655"
    parts = message.body.split(b"--7a9cbec02ceef655")
    assert parts[1].endswith(b"\r\n\r\nHello\r\n")
    assert b"\0" in parts[2] and b"\x86\x48\x86\xf7" in parts[2]
    assert parts[3] == b"--\r\n"


def test_unreason_and_noreason_3_1_1_12_and_13() -> None:
    message = parse(rfc4475("unreason"))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "= 2**3 * 5**2 но сто девяносто девять - простое")
    message = parse(rfc4475("noreason"))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (100, "")


def test_escruri_has_headers_that_nobody_follows_3_1_2_11(stage: Stage) -> None:
    assert sip(asked("escruri").uri_text).headers == "Route=%3Csip:example.com%3E"
    stage.receive(rfc4475("escruri"))
    [session] = stage.calls
    assert session.dialog.route_set == []


def test_badbranch_matches_by_rfc_2543_3_2_1(stage: Stage) -> None:
    """The same bare cookie in two requests is no retransmission; the same request again is."""
    data = rfc4475("badbranch")
    assert asked("badbranch").branch == "z9hG4bK"
    [first] = stage.ask(data)
    [again] = stage.ask(data)
    [other] = stage.ask(data.replace(b"badbranch.", b"other."))
    assert first.to_tag == again.to_tag != other.to_tag


def test_unknown_schemes_are_kept_as_they_are_3_3_2_to_4() -> None:
    assert isinstance(parse_uri(asked("unkscm").uri_text), OtherUri)
    assert isinstance(parse_uri(asked("novelsc").uri_text), OtherUri)
    message = asked("unksm2")
    assert [message.address(name).uri_text for name in ("To", "From", "Contact")] == [
        "isbn:2983792873",
        "http://www.example.com",
        "name:John_Smith",
    ]
    assert message.from_tag == "3234233"


def test_bext01_names_what_is_not_supported_3_3_5(stage: Stage) -> None:
    [answer] = stage.ask(rfc4475("bext01"))
    assert answer.tokens("Unsupported") == {"nothingsupportsthis", "nothingsupportsthiseither"}


def test_invut_names_what_is_accepted_3_3_6(stage: Stage) -> None:
    [answer] = stage.ask(rfc4475("invut"))
    assert answer.values("Accept") == ["application/sdp", "application/pidf+xml", "multipart/mixed"]


def test_zeromf_3_3_11() -> None:
    assert asked("zeromf").get("Max-Forwards") == "0"


def test_cparam_3_3_12_and_13() -> None:
    """Without <> the parameter is the header's, within them the URI's."""
    outside = asked("cparam01").address("Contact")
    assert (outside.uri_text, outside.params) == ("sip:+19725552222@gw1.example.net", {"unknownparam": None})
    inside = asked("cparam02").address("Contact")
    assert (inside.uri_text, inside.params) == ("sip:+19725552222@gw1.example.net;unknownparam", {})


def test_regescrt_3_3_14() -> None:
    contact = asked("regescrt").address("Contact").uri
    assert isinstance(contact, SipUri) and contact.headers == "Route=%3Csip:sip.example.com%3E"


WITHOUT_TAG = b"\r\nFrom: <sip:+13035551111@ift.client.example.net;user=phone>\r\n"


def tagged_inv2543() -> bytes:
    """The message of §3.4.1 with a From tag: without it, it is refused."""
    data = rfc4475("inv2543")
    assert data.count(WITHOUT_TAG) == 1
    return data.replace(WITHOUT_TAG, WITHOUT_TAG[:-2] + b";tag=old\r\n")


def test_inv2543_3_4_1(stage: Stage) -> None:
    """No From tag: what we sent in the dialog would be a new call for whoever got it."""
    stage.receive(rfc4475("inv2543"))
    [refusal] = stage.udp.responses()
    assert (refusal.status, refusal.get("From")) == (400, "<sip:+13035551111@ift.client.example.net;user=phone>")
    assert not stage.endpoint.sessions


def test_inv2543_with_a_from_tag(stage: Stage) -> None:
    """No branch, no Contact, no Content-Length: the call is taken, and can be ended."""
    message = parse(tagged_inv2543())
    assert isinstance(message, Request)
    assert (message.branch, message.from_tag, message.to_tag) == ("", "old", "")
    assert len(message.body) == len(rfc4475("inv2543").partition(b"\r\n\r\n")[2]) > 100
    stage.on_invite = lambda session: session.accept(stage.now, b"v=0\r\n")
    stage.receive(tagged_inv2543())
    trying, ok = stage.udp.responses()
    assert (trying.status, ok.status) == (100, 200)
    ack = bytes(Request("ACK", message.uri_text, {**message.headers, "CSeq": ["56 ACK"], "To": [ok.get("To")]}))
    stage.receive(ack)
    assert stage.endpoint.counters.stray == 0
    [session] = list(stage.endpoint.sessions)
    session.bye(stage.now)
    [bye] = stage.udp.take()
    assert bye.startswith(b"BYE sip:UserB@example.com;maddr=ss1.example.com SIP/2.0\r\n")  # a strict router's way
    assert b"\r\nRoute: <sip:+13035551111@ift.client.example.net;user=phone>\r\n" in bye


# ---- RFC 5118


def asked6(name: str) -> Request:
    message = parse(rfc5118(name))
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("ipv6-good", "2001:db8::10", None),
        ("port-ambiguous", "2001:db8::10:5070", None),
        ("port-unambiguous", "2001:db8::10", 5070),
        ("ipv6-correct-abnf-2-colons", "2001:db8::192.0.2.1", None),
        ("ipv6-bug-abnf-3-colons", "2001:db8::192.0.2.1", None),
        ("mult-ip-in-header", "host.example.net", None),
    ],
)
def test_the_request_uris_host_and_port_rfc_5118(name: str, host: str, port: int | None) -> None:
    uri = sip(asked6(name).uri_text)
    assert (uri.host_address, uri.port) == (host, port)


@pytest.mark.parametrize("name", ["via-received-param-with-delim", "via-received-param-no-delim"])
def test_both_forms_of_received_give_the_same_address_rfc_5118_4_5(name: str) -> None:
    via = asked6(name).via
    assert (via.host, via.port, via.received) == ("[2001:db8::9:1]", None, "2001:db8::9:255")


def test_ipv4_and_ipv6_in_via_rfc_5118_4_7() -> None:
    vias = [Via.parse(value) for value in asked6("mult-ip-in-header").values("Via")]
    assert [(via.transport, via.host, via.port, via.received) for via in vias] == [
        ("UDP", "[2001:db8::9:1]", 6050, ""),
        ("UDP", "192.0.2.1", None, ""),
        ("TCP", "[2001:db8::9:255]", None, "192.0.2.200"),
    ]


def test_an_ipv4_address_inside_an_ipv6_one_rfc_5118_4_9() -> None:
    message = asked6("ipv4-mapped-ipv6")
    vias = [Via.parse(value) for value in message.values("Via")]
    assert [(via.host, via.port) for via in vias] == [("[::ffff:192.0.2.10]", 19823), ("[::ffff:192.0.2.2]", None)]
    contact = message.address("Contact")
    assert contact.display == "T. desk phone"
    assert isinstance(contact.uri, SipUri) and contact.uri.host_address == "::ffff:192.0.2.2"


def test_the_body_of_ipv6_in_sdp_rfc_5118_4_6() -> None:
    """Its Content-Length is the RFC's mistake; with the true one everything is read."""
    data = rfc5118("ipv6-in-sdp")
    with pytest.raises(BadMessage, match="Content-Length 268, but the body has 251 bytes") as caught:
        parse(data)
    assert caught.value.partial is not None and caught.value.partial.via.host == "[2001:db8::20]"
    message = parse(data.replace(b"Content-Length: 268", b"Content-Length: 251"))
    assert isinstance(message, Message) and message.call_id == "SSG9559905523997077@hlau_4100"
    assert NameAddr.parse(message.get("Contact")).uri_text == "sip:caller@[2001:db8::20]"
    description = parse_sdp(message.body)
    assert len(description.media) == 2


def test_ipv4_and_ipv6_in_one_session_description_rfc_5118_4_8() -> None:
    assert b"c=IN IP6 2001:db8::1" in asked6("mult-ip-in-sdp").body
