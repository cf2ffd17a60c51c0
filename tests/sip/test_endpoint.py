"""What an endpoint answers by itself: RFC 3261 §8.2, where responses go (§18.2.2, RFC 3581), and its limits."""

import pytest

from engine.sip.core import EndpointLimits, Policy
from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.message.via import Via
from tests.simulation.stage import PEER, Stage, request, status_of

CALL = request("INVITE")


# ---- the order of §8.2


@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH"])
def test_a_known_method_that_is_not_served_is_405_with_allow_8_2_1(method: str) -> None:
    [answer] = Stage().ask(request(method))
    assert answer.status == 405
    served = {"invite", "ack", "cancel", "bye", "options", "prack", "update", "info", "message", "refer", "notify"}
    assert answer.tokens("Allow") == served


@pytest.mark.parametrize(("method", "status"), [("REFER", 403), ("NOTIFY", 481)])
def test_what_belongs_to_a_call_is_refused_outside_of_one_rfc_3515(method: str, status: int) -> None:
    [answer] = Stage().ask(request(method))
    assert answer.status == status


def test_an_unknown_method_is_501_with_allow_21_5_2() -> None:
    [answer] = Stage().ask(request("JUMP"))
    assert answer.status == 501
    assert "invite" in answer.tokens("Allow")


def test_a_method_is_case_sensitive_7_1() -> None:
    [answer] = Stage().ask(request("options"))
    assert answer.status == 501


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("sip:bob@192.0.2.250", 200),
        ("sips:bob@example.com;transport=tcp", 416),  # in the clear, and nothing listens for TLS (RFC 5630 §5.1.2)
        ("tel:+4930123456", 200),
        ("SIP:bob@example.com", 200),
        ("mailto:bob@example.com", 416),
        ("urn:service:sos", 416),
        ("sip:", 400),
        ("sip:bob@", 400),
        ("sip:bob@exa mple.com", 400),
        ("sip:bob@[::1", 400),
        ("sip:bob@example.com:99999", 400),
        ("bob", 400),
    ],
)
def test_the_request_uri_8_2_2_1(uri: str, status: int) -> None:
    stage = Stage()
    stage.receive(request("OPTIONS", uri))
    assert stage.udp.statuses() == [status]


def test_unknown_extensions_that_are_required_are_420_8_2_2_3() -> None:
    stage = Stage()
    [answer] = stage.ask(request("INVITE", headers=("Require: 100rel, Foo", "Require: bar")))
    assert (answer.status, answer.tokens("Unsupported")) == (420, {"foo", "bar"})
    [answer] = stage.ask(request("OPTIONS", branch="z9hG4bKb", headers=("Require: 100rel, timer",)))
    assert answer.status == 200
    [answer] = stage.ask(request("OPTIONS", branch="z9hG4bKc", headers=("Proxy-Require: foo",)))
    assert answer.status == 200  # not ours to look at


@pytest.mark.parametrize(
    ("headers", "status", "told"),
    [
        (("Content-Type: text/plain",), 415, ("Accept", "application/sdp, application/pidf+xml, multipart/mixed")),
        (("Content-Type: application/sdp", "Content-Encoding: gzip"), 415, ("Accept-Encoding", "identity")),
        (("Content-Type: application/sdp", "Accept: text/plain"), 406, ("", "")),
        (("Session-Expires: 60", "Supported: timer"), 422, ("Min-SE", "90")),
    ],
)
def test_an_invite_that_cannot_be_met_8_2_3(headers: tuple[str, ...], status: int, told: tuple[str, str]) -> None:
    stage = Stage()
    [answer] = stage.ask(request("INVITE", headers=headers, body=b"v=0\r\n"))
    assert (answer.status, answer.get(told[0])) == (status, told[1])
    assert stage.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Type: APPLICATION/SDP ;charset=utf-8",),
        ("Content-Type: text/plain", "Content-Disposition: render; Handling = optional"),
        ("Content-Encoding: Identity", "Content-Type: application/sdp"),
        ("Accept: text/plain, application/sdp;level=1",),
        ("Accept: */*",),
        ("Accept:",),
        ("Session-Expires: 60",),
    ],
)
def test_an_invite_that_can_be_met_opens_a_call_8_2_3(headers: tuple[str, ...]) -> None:
    stage = Stage()
    [answer] = stage.ask(request("INVITE", headers=headers, body=b"v=0\r\n"))
    assert answer.status == 100
    assert len(stage.calls) == 1


def test_an_invite_without_contact_is_400_8_1_1_8() -> None:
    [answer] = Stage().ask(request("INVITE", contact=False))
    assert (answer.status, answer.get("Warning")) == (400, '399 trunkline "an INVITE needs a Contact"')


@pytest.mark.parametrize("method", ["BYE", "PRACK", "UPDATE", "INFO"])
@pytest.mark.parametrize("to_tag", ["", "gone"])
def test_a_request_of_no_dialog_is_481_12_2_2(method: str, to_tag: str) -> None:
    stage = Stage()
    [answer] = stage.ask(request(method, to_tag=to_tag))
    assert answer.status == 481
    [again] = stage.ask(request(method, to_tag=to_tag))
    assert bytes(again) == bytes(answer)  # from the transaction


def test_options_of_no_dialog_is_481_12_2_2() -> None:
    assert [answer.status for answer in Stage().ask(request("OPTIONS", to_tag="gone"))] == [481]


def test_a_reinvite_of_no_dialog_is_481_12_2_2() -> None:
    stage = Stage()
    assert [answer.status for answer in stage.ask(request("INVITE", to_tag="gone"))] == [481]
    assert stage.calls == []


def test_options_says_what_we_can_do_11_2() -> None:
    [answer] = Stage().ask(request("OPTIONS"))
    assert answer.status == 200
    assert "invite" in answer.tokens("Allow")
    assert answer.values("Accept") == [
        "application/sdp",
        "multipart/mixed",
        "text/plain",
        "message/cpim",
        "message/sipfrag",
    ]
    assert answer.tokens("Supported") == {"100rel", "timer", "norefersub", "replaces"}
    assert answer.get("Server") == "Trunkline"
    assert answer.to_tag


def test_the_server_name_can_be_kept_back() -> None:
    [answer] = Stage(Policy(user_agent="")).ask(request("OPTIONS"))
    assert "Server" not in answer.headers


def test_the_same_request_over_another_path_is_482_8_2_2_2() -> None:
    stage = Stage()
    stage.receive(CALL)
    stage.udp.take()
    [answer] = stage.ask(request("INVITE", branch="z9hG4bKother"))
    assert answer.status == 482
    assert len(stage.calls) == 1
    # A new CSeq, another caller's tag or another Call-ID is another call.
    for number, more in enumerate(({"cseq": 2}, {"from_tag": "x"}, {"call_id": "y"})):
        [answer] = stage.ask(request("INVITE", branch=f"z9hG4bKn{number}", **more))  # type: ignore[arg-type]
        assert answer.status == 100
    assert len(stage.calls) == 4


def test_a_retransmitted_request_is_answered_by_its_transaction_17_2() -> None:
    stage = Stage()
    [first] = stage.ask(request("OPTIONS"))
    stage.run(31.9)
    [again] = stage.ask(request("OPTIONS"))
    assert bytes(first) == bytes(again)
    stage.run(0.1)
    [new] = stage.ask(request("OPTIONS"))
    assert new.to_tag != first.to_tag


# ---- malformed requests


@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        (b"From: Alice", b"X: Alice", 400, b"From is missing"),
        (b"CSeq: 1 ", b"CSeq: 1a ", 400, b"malformed CSeq"),
        (b"Max-Forwards: 70", b"Max-Forwards: 256", 400, b"Max-Forwards '256'"),
        (b"Max-Forwards: 70", b"Max-Forwards: 7 0", 400, b"Max-Forwards"),
        (b"Max-Forwards: 70", b"Max-Forwards: 70\r\nMax-Forwards: 70", 400, b"more than one Max-Forwards"),
        (b"SIP/2.0\r\n", b"SIP/3.0\r\n", 505, b"version 'SIP/3.0'"),
        (b"Call-ID: call-1", b"Call-ID: a b", 400, b"malformed Call-ID"),
        (b"Call-ID: call-1", b"Call-ID", 400, b"without a colon"),
        (b"1 OPTIONS", b"1 INVITE", 400, b"CSeq is of INVITE"),
        (b"Content-Length: 0", b"Content-Length: 1", 400, b"Content-Length 1, but"),
        (b"To: Bob", b'To: "Bob', 400, b"To: "),
    ],
)
def test_what_is_malformed_is_answered_with_the_reason_21_4_1(
    old: bytes, new: bytes, status: int, words: bytes
) -> None:
    stage = Stage()
    data = request("OPTIONS")
    assert data.count(old) == 1
    stage.receive(data.replace(old, new))
    [answer] = stage.udp.take()
    assert status_of(answer) == status
    assert words in answer and b'\r\nWarning: 399 trunkline "' in answer
    assert b"\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKa\r\n" in answer
    assert (stage.left, stage.endpoint.counters.malformed) == ({}, 1)


def test_a_malformed_requests_retransmission_gets_the_same_tag_8_2_7() -> None:
    stage = Stage()
    for _ in range(2):
        stage.receive(request("OPTIONS").replace(b"CSeq: 1 ", b"CSeq: -1 "))
    one, two = stage.udp.take()
    assert one == two and b";tag=" in one.partition(b"\r\nTo: ")[2].partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "data",
    [
        CALL.replace(b"\r\n", b"\n"),
        CALL.replace(b"\r\n", b"\r"),
        CALL.replace(b"Max-Forwards: 70", b"Subject: a\nVia: SIP/2.0/UDP evil"),  # a header of somebody else's making
        CALL.replace(b"Max-Forwards: 70", b"Subject: a\rb"),
        CALL.replace(b"Max-Forwards: 70", b"Subject: a\r"),
        CALL.replace(b"Max-Forwards: 70", b"Subject: a\0b"),
        CALL.replace(b"<sip:bob@192.0.2.250>", b"<sip:bo\0b@192.0.2.250>"),
        CALL.replace(b"sip:bob@192.0.2.250 SIP", b"sip:bo\0b@192.0.2.250 SIP"),
        CALL.replace(b"SIP/2.0\r\nVia", b"SIP/2.0\nVia"),
        CALL.replace(b"bob@192.0.2.250 SIP/2.0", b"bob@192.0.2.250 SIP/7\nX: y"),
        CALL.replace(b"\r\nTo:", b"\nTo:"),
        CALL[:-2] + b"\n",
    ],
)
def test_nul_and_bare_line_ends_get_400_where_the_via_can_be_read_7_5(data: bytes) -> None:
    stage = Stage()
    stage.receive(data)
    (answer,) = stage.udp.take()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"SIP/2.0 400 ") and not body
    assert not {10, 13, 0} & set(head.replace(b"\r\n", b""))
    assert head.count(b"\r\nVia:") == 1 and b"branch=z9hG4bKa" in head and b"evil" not in head
    assert (stage.left, stage.calls) == ({}, [])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\0" * 40,
        b"hello",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        CALL.replace(b"INVITE", b"ACK").replace(b"CSeq: 1", b"CSeq: x"),  # an ACK is never answered
        CALL.replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia").replace(b"INVITE", b"ACK"),
        b"SIP/2.0 200 OK\r\n\r\n",
        b"SIP/2.0 99 Low\r\n" + CALL.partition(b"\r\n")[2],
        b"SIP/2.0 700 High\r\n" + CALL.partition(b"\r\n")[2],
        CALL.replace(b"192.0.2.7:5060;branch", b"192.0.2.7\0:5060;branch"),  # its Via cannot be read
        CALL.replace(b"INVITE", b"ACK").replace(b"\r\n", b"\n"),
    ],
)
def test_what_cannot_be_answered_is_dropped(data: bytes) -> None:
    stage = Stage()
    stage.receive(data)
    assert (stage.udp.take(), stage.left, stage.calls) == ([], {}, [])


def test_a_reason_phrase_with_a_line_end_never_comes_through() -> None:
    """It would be relayed into a response of ours."""
    stage = Stage()
    for end in (b"\n", b"\r"):
        stage.receive(b"SIP/2.0 486 Busy" + end + b"X: y\r\n" + CALL.partition(b"\r\n")[2])
    assert stage.endpoint.counters.malformed == 2


# ---- where a response goes: §18.2.1, §18.2.2, RFC 3581 §4


def way_back(via: str, host: str = PEER, port: int = 1234) -> tuple[Via, tuple[str, int]]:
    """The topmost Via of the response and where it went."""
    stage = Stage()
    stage.receive(request("OPTIONS", via=via), host, port)
    target = stage.udp.targets()[0]
    [answer] = stage.udp.responses()
    return answer.via, target


def test_without_rport_the_response_goes_to_the_sent_by_port_18_2_2() -> None:
    assert way_back("SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bKa") == (
        Via("UDP", "192.0.2.7", 5070, {"branch": "z9hG4bKa"}),
        (PEER, 5070),
    )
    assert way_back("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa")[1] == (PEER, 5060)


@pytest.mark.parametrize("sent_by", ["alice.example.com:5070", "10.0.0.1:5070", "[2001:db8::1]:5070"])
def test_another_address_in_via_is_noted_as_received_18_2_1(sent_by: str) -> None:
    via, target = way_back(f"SIP/2.0/UDP {sent_by};branch=z9hG4bKa")
    assert (via.params["received"], "rport" in via.params, target) == (PEER, False, (PEER, 5070))
    assert via.sent_by == sent_by


@pytest.mark.parametrize(
    "parameters",
    [";branch=z9hG4bKa;rport", ";rport;branch=z9hG4bKa", ";branch=z9hG4bKa;rport;x=1", " ; rport ; branch=z9hG4bKa"],
)
@pytest.mark.parametrize("sent_by", ["192.0.2.7:5070", "10.0.0.1", "alice.example.com:5062"])
def test_with_rport_it_goes_where_the_request_came_from_rfc_3581_4(parameters: str, sent_by: str) -> None:
    via, target = way_back(f"SIP/2.0/UDP {sent_by}{parameters}")
    assert (via.received, via.rport, target) == (PEER, 1234, (PEER, 1234))
    assert (via.sent_by, via.branch) == (sent_by, "z9hG4bKa")


def test_what_a_peer_claims_of_itself_is_overwritten() -> None:
    via, target = way_back("SIP/2.0/UDP 10.0.0.1;received=198.51.100.1;rport=99;branch=z9hG4bKa")
    assert (via.received, via.rport, target) == (PEER, 1234, (PEER, 1234))


def test_a_parameter_that_only_begins_like_rport_is_none() -> None:
    via, target = way_back("SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bKa;rportable=1")
    assert (via.params, target) == ({"branch": "z9hG4bKa", "rportable": "1"}, (PEER, 5070))


@pytest.mark.parametrize("maddr", ["255.255.255.255", "224.0.1.75", "198.51.100.1"])
def test_maddr_leads_nobody_to_third_parties(maddr: str) -> None:
    """§18.2.2 would send there; whoever asks gets its answer at its own address, never by broadcast or multicast."""
    assert way_back(f"SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bKa;maddr={maddr}")[1] == (PEER, 5070)


def test_only_the_topmost_via_is_touched() -> None:
    stage = Stage()
    second = "SIP/2.0/UDP 198.51.100.9;rport;branch=z9hG4bKz"
    via = f"SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKa, {second}"
    [answer] = stage.ask(request("OPTIONS", via=via, headers=(f"Via: {second}",)))
    assert answer.values("Via")[1:] == [second, second]
    assert answer.via.received == PEER


def test_an_ipv6_peer_is_noted_without_brackets_rfc_5118_4_5() -> None:
    via, target = way_back("SIP/2.0/UDP alice.example.com:5070;branch=z9hG4bKa", host="2001:db8::7")
    assert (via.params["received"], target) == ("2001:db8::7", ("2001:db8::7", 5070))


@pytest.mark.parametrize("port", ["65536", "99999"])
def test_a_port_that_is_none_is_400_to_where_it_came_from(port: str) -> None:
    stage = Stage()
    stage.receive(request("OPTIONS", via=f"SIP/2.0/UDP 192.0.2.7:{port};branch=z9hG4bKa"), port=1234)
    assert stage.udp.targets() == [(PEER, 1234)]
    assert status_of(stage.udp.take()[0]) == 400


def test_over_a_stream_the_response_goes_back_on_the_connection_18_2_2() -> None:
    stage = Stage()
    via = "SIP/2.0/TCP 192.0.2.7:5070;branch=z9hG4bKa"
    stage.receive(request("OPTIONS", via=via), PEER, 41000, wire=stage.tcp)
    assert stage.tcp.targets() == [(PEER, 41000)]
    assert [answer.status for answer in stage.tcp.responses()] == [200]
    assert stage.left == {}  # no Timer J


# ---- limits


def overloaded(stage: Stage, data: bytes) -> None:
    """503 with Retry-After, and nothing is kept."""
    kept = stage.left
    [answer] = stage.ask(data)
    assert (answer.status, answer.get("Retry-After")) == (503, "5")
    assert answer.to_tag and stage.left == kept
    assert stage.endpoint.counters.overload == 1


def test_beyond_the_limit_of_transactions_requests_get_503_21_5_4() -> None:
    stage = Stage(Policy(limits=EndpointLimits(transactions=2)))
    assert stage.ask(request("OPTIONS"))[0].status == 200
    assert stage.ask(request("OPTIONS", branch="z9hG4bKb"))[0].status == 200
    overloaded(stage, request("OPTIONS", branch="z9hG4bKc"))
    assert stage.ask(request("OPTIONS"))[0].status == 200  # a retransmission costs nothing
    stage.run(33)
    assert stage.ask(request("OPTIONS", branch="z9hG4bKd"))[0].status == 200


def test_beyond_the_limit_of_sessions_calls_get_503() -> None:
    stage = Stage(Policy(limits=EndpointLimits(sessions=1)))
    assert stage.ask(CALL)[0].status == 100
    overloaded(stage, request("INVITE", branch="z9hG4bKb", call_id="2"))
    assert stage.ask(request("OPTIONS", branch="z9hG4bKc"))[0].status == 200
    stage.calls[0].reject(486, stage.now)
    stage.udp.take()
    assert stage.ask(request("INVITE", branch="z9hG4bKd", call_id="3"))[0].status == 100


def test_a_source_that_is_not_admitted_gets_503() -> None:
    stage = Stage()
    stage.admits = "refuse"
    overloaded(stage, CALL)
    assert stage.calls == []


def test_a_node_that_drains_takes_no_new_calls_and_says_so_to_probes() -> None:
    stage = Stage()
    stage.receive(CALL)
    stage.udp.take()
    stage.endpoint.draining = True
    overloaded(stage, request("INVITE", branch="z9hG4bKb", call_id="2"))
    assert stage.ask(request("OPTIONS", branch="z9hG4bKc"))[0].status == 503
    assert [answer.status for answer in stage.ask(request("CANCEL"))] == [200, 487]  # calls in progress go on


def test_counters_tell_what_came() -> None:
    stage = Stage()
    stage.receive(CALL)
    stage.receive(b"nonsense")
    stage.receive(request("BYE", branch="z9hG4bKb", to_tag="x"))
    stage.receive(request("JUMP", branch="z9hG4bKc"))
    stage.receive(b"SIP/2.0 200 OK\r\n" + CALL.partition(b"\r\n")[2])
    counters = stage.endpoint.counters
    assert (counters.received, counters.malformed, counters.refused, counters.stray) == (5, 1, 2, 1)


# ---- long requests


def test_a_peer_that_refused_a_stream_is_not_asked_again_for_a_while_18_1_1() -> None:
    stage = Stage()
    flow = Flow(stage.udp, PEER, 5060)
    assert stage.endpoint.stream_flow(flow, 0.0) == Flow(stage.tcp, PEER, 5060)
    stage.endpoint.remember_no_stream(flow, 0.0)
    assert stage.endpoint.stream_flow(flow, 599.9) is None
    assert stage.endpoint.stream_flow(Flow(stage.udp, PEER, 5061), 1.0) is not None
    assert stage.endpoint.stream_flow(flow, 600.0) is not None


def test_what_is_remembered_of_peers_is_bounded() -> None:
    stage = Stage()
    for port in range(5000):
        stage.endpoint.remember_no_stream(Flow(stage.udp, PEER, port), 0.0)
    assert len(stage.endpoint._no_stream) <= 4096


def test_a_cancel_of_a_call_that_its_owner_ends_at_once() -> None:
    """The owner's refusal and the CANCEL cross: one final response."""
    stage = Stage()
    stage.on_invite = lambda session: session.reject(603, stage.now)
    stage.receive(CALL)
    stage.receive(request("CANCEL"))
    answers = [parse(data) for data in stage.udp.take()]
    assert all(isinstance(answer, Response) for answer in answers)
    assert [(a.status, a.cseq_method) for a in answers if not isinstance(a, Request)] == [
        (100, "INVITE"),
        (603, "INVITE"),
        (200, "CANCEL"),
    ]


@pytest.mark.parametrize(("length", "answers"), [("0", [400]), ("4", [400]), ("6", [400]), ("5", [200]), ("", [200])])
def test_over_websocket_the_length_of_a_message_is_right_or_missing_rfc_7118_4_2(
    length: str, answers: list[int]
) -> None:
    stage = Stage()
    stage.udp.connects = False
    data = request("OPTIONS", body=b"v=0\r\n")
    line = b"Content-Length: 5\r\n"
    assert line in data
    stage_answers = stage.ask(data.replace(line, f"Content-Length: {length}\r\n".encode() if length else b""))
    assert [answer.status for answer in stage_answers] == answers
