"""Requests of ours: composed for their flow, long ones by a stream (RFC 3261 §18.1.1), the next hop when one fails
(RFC 3263 §4.3), CANCEL (§9.1)."""

import pytest

from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.request import LARGEST_DATAGRAM, OutgoingRequest
from tests.simulation.stage import PEER, Stage, Wire, response

HEAD = (
    "Route: <sip:proxy;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@y>\r\n"
    "Call-ID: c\r\nCSeq: 7 {}\r\n"
)


class User:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[int | str] = []

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        self.told.append(response.status)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        self.told.append(cause)


def prepared(stage: Stage, method: str = "OPTIONS", body: bytes = b"", tail: str = "") -> tuple[OutgoingRequest, User]:
    user = User()
    contact = method == "INVITE"
    head = HEAD.format(method)
    return OutgoingRequest(
        stage.endpoint, user, method=method, uri="sip:b@y", head=head, tail=tail, body=body, contact=contact
    ), user


def sent(wire: Wire) -> list[Request]:
    found = [parse(data) for data in wire.take()]
    assert all(isinstance(message, Request) for message in found)
    return [message for message in found if isinstance(message, Request)]


def padded(size: int, stage: Stage) -> OutgoingRequest:
    """A request of exactly `size` bytes on the wire."""
    request, _ = prepared(stage, "INVITE")
    flow = Flow(stage.udp, PEER, 5060)
    branch = "z9hG4bKt2"  # as long as the one that will be drawn
    base = len(request.compose(flow, branch))
    request.tail = f"Subject: {'x' * (size - base - len('Subject: ' + chr(13) + chr(10)))}\r\n"
    assert len(request.compose(flow, branch)) == size
    return request


def test_via_and_contact_are_those_of_the_hop_8_1_1_7() -> None:
    stage = Stage()
    request, _ = prepared(stage, "INVITE", b"v=0\r\n", "Content-Type: application/sdp\r\n")
    over_udp = parse(request.compose(Flow(stage.udp, PEER, 5060), "z9hG4bKx"))
    assert over_udp.get("Via") == "SIP/2.0/UDP 192.0.2.250:5060;rport;branch=z9hG4bKx"
    assert over_udp.get("Contact") == "<sip:192.0.2.250:5060>"
    over_tcp = parse(request.compose(Flow(stage.tcp, PEER, 5060), "z9hG4bKx"))
    assert over_tcp.get("Via") == "SIP/2.0/TCP 192.0.2.250:5060;rport;branch=z9hG4bKx"
    assert over_tcp.get("Contact") == "<sip:192.0.2.250:5060;transport=tcp>"
    assert (over_tcp.body, over_tcp.get("Content-Length")) == (b"v=0\r\n", "5")
    assert "Contact" not in parse(prepared(stage)[0].compose(Flow(stage.udp, PEER, 5060), "z9hG4bKx")).headers


def test_each_request_gets_a_branch_of_its_own_8_1_1_7() -> None:
    stage = Stage()
    for _ in range(3):
        prepared(stage)[0].send("sip:b@y", stage.now)
    branches = {message.branch for message in sent(stage.udp)}
    assert len(branches) == 3 and all(branch.startswith("z9hG4bK") for branch in branches)


def test_the_response_reaches_the_user() -> None:
    stage = Stage()
    request, user = prepared(stage)
    request.send("sip:b@y", stage.now)
    [data] = stage.udp.take()
    stage.receive(response(data, 404))
    assert user.told == [404]
    stage.run(10)
    assert stage.left == {}


def test_a_name_that_does_not_resolve_is_a_failure() -> None:
    stage = Stage()
    stage.flows = []
    request, user = prepared(stage)
    request.send("sip:b@nowhere", stage.now)
    assert (user.told, stage.udp.take(), stage.left) == (["name does not resolve"], [], {})


def test_up_to_1300_bytes_go_in_a_datagram_18_1_1() -> None:
    stage = Stage()
    padded(LARGEST_DATAGRAM, stage).send("sip:b@y", stage.now)
    assert (len(stage.udp.sent), len(stage.tcp.sent)) == (1, 0)
    stage = Stage()
    padded(LARGEST_DATAGRAM + 1, stage).send("sip:b@y", stage.now)
    assert (len(stage.udp.sent), len(stage.tcp.sent)) == (0, 1)
    assert LARGEST_DATAGRAM == 1300


def test_a_long_request_goes_by_a_stream_with_that_streams_via_18_1_1() -> None:
    stage = Stage()
    request, user = prepared(stage, "INVITE", b"x" * 1300)
    request.send("sip:b@y", stage.now)
    assert stage.udp.take() == []
    assert stage.tcp.targets() == [(PEER, 5060)]
    [message] = sent(stage.tcp)
    assert message.get("Via").startswith("SIP/2.0/TCP ")
    assert message.get("Contact").endswith(";transport=tcp>")
    stage.receive(response(bytes(message), 200), wire=stage.tcp)
    assert user.told == [200]


def test_without_a_stream_listener_a_long_request_is_a_datagram() -> None:
    stage = Stage()
    stage.streams = False
    request, _ = prepared(stage, "INVITE", b"x" * 1300)
    request.send("sip:b@y", stage.now)
    assert [message.get("Via")[:12] for message in sent(stage.udp)] == ["SIP/2.0/UDP "]


def test_a_refused_stream_falls_back_to_the_datagram_and_is_remembered_18_1_1() -> None:
    stage = Stage()
    request, user = prepared(stage, "INVITE", b"x" * 1300)
    request.send("sip:b@y", stage.now)
    [data] = stage.tcp.take()
    stage.endpoint.failed(Flow(stage.tcp, PEER, 5060), data, "connection refused", stage.now)
    [message] = sent(stage.udp)
    assert message.get("Via").startswith("SIP/2.0/UDP ") and len(message.body) == 1300
    assert user.told == []
    again, _ = prepared(stage, "INVITE", b"x" * 1300)
    again.send("sip:b@y", stage.now)
    assert (len(stage.udp.take()), stage.tcp.take()) == (1, [])


def test_a_long_request_to_a_stream_hop_is_not_sent_twice() -> None:
    stage = Stage()
    stage.flows = [Flow(stage.tcp, PEER, 5060)]
    request, user = prepared(stage, "INVITE", b"x" * 1300)
    request.send("sip:b@y", stage.now)
    [data] = stage.tcp.take()
    stage.endpoint.failed(Flow(stage.tcp, PEER, 5060), data, "connection refused", stage.now)
    assert (user.told, stage.udp.take()) == (["connection refused"], [])


def test_the_next_hop_is_tried_when_one_fails_rfc_3263_4_3() -> None:
    stage = Stage()
    stage.flows = [Flow(stage.udp, host, 5060) for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3")]
    request, user = prepared(stage)
    request.send("sip:b@y", stage.now)
    [data] = [data for _, data, _, _ in stage.udp.sent]
    stage.endpoint.failed(stage.flows[0], data, "no route", stage.now)
    assert stage.udp.targets() == [("192.0.2.1", 5060), ("192.0.2.2", 5060)]
    first, second = sent(stage.udp)
    assert first.branch != second.branch  # another transaction (RFC 3263 §4.3)
    assert (first.call_id, first.cseq) == (second.call_id, second.cseq)
    stage.run(31.9)
    assert user.told == [] and {host for host, _ in stage.udp.targets()} == {"192.0.2.2"}
    stage.udp.take()
    stage.run(32.2)
    assert {host for host, _ in stage.udp.targets()} == {"192.0.2.3"}  # silence moves on as well (Timer F)
    assert user.told == ["timeout"]
    assert stage.left == {}


def test_a_hop_that_was_given_up_is_not_heard_as_the_present_one() -> None:
    """try_next: the old transaction sends no more; what it still says of ringing is answered with CANCEL."""
    stage = Stage()
    stage.flows = [Flow(stage.udp, host, 5060) for host in ("192.0.2.1", "192.0.2.2")]
    request, user = prepared(stage, "INVITE")
    request.send("sip:b@y", stage.now)
    [old] = stage.udp.take()
    assert request.try_next(stage.now)
    [new] = stage.udp.take()
    assert not request.try_next(stage.now)
    stage.receive(response(old, 180))
    stage.receive(response(old, 180))
    [cancel] = sent(stage.udp)
    assert (cancel.method, cancel.branch) == ("CANCEL", parse(old).branch)
    stage.receive(response(bytes(cancel), 200))
    stage.receive(response(old, 487))
    assert user.told == []
    stage.udp.take()
    stage.receive(response(new, 180))
    assert user.told == [180]


def test_a_cancel_is_its_invite_but_for_the_method_9_1() -> None:
    stage = Stage()
    request, _ = prepared(stage, "INVITE", b"v=0\r\n", "Content-Type: application/sdp\r\nRequire: 100rel\r\n")
    request.send("sip:b@y", stage.now)
    [data] = stage.udp.take()
    invite = parse(data)
    assert isinstance(invite, Request)
    stage.receive(response(data, 180))
    assert request.transaction is not None
    request.cancel(request.transaction, 'SIP;cause=200;text="answered elsewhere"', stage.now)
    [cancel] = sent(stage.udp)
    assert (cancel.method, cancel.uri_text) == ("CANCEL", invite.uri_text)
    for name in ("Via", "Route", "From", "To", "Call-ID", "Max-Forwards"):
        assert cancel.lines(name) == invite.lines(name)
    assert (cancel.cseq, cancel.cseq_method) == (invite.cseq, "CANCEL")
    assert cancel.get("Reason") == 'SIP;cause=200;text="answered elsewhere"'
    assert cancel.body == b"" and not {"Require", "Contact", "Content-Type"} & set(cancel.headers)


def test_a_cancel_is_retransmitted_and_given_up_like_any_request_9_1() -> None:
    stage = Stage()
    request, user = prepared(stage, "INVITE")
    request.send("sip:b@y", stage.now)
    stage.receive(response(stage.udp.take()[0], 180))
    assert request.transaction is not None
    request.cancel(request.transaction, "", stage.now)
    stage.run(33)
    assert [message.method for message in sent(stage.udp)] == ["CANCEL"] * 11
    assert stage.left == {}  # §9.1: the INVITE itself is given up after 64*T1
    assert user.told[0] == 180


def test_an_ack_has_no_transaction_17() -> None:
    stage = Stage()
    request, _ = prepared(stage, "ACK")
    request.send("sip:b@y", stage.now)
    assert [message.method for message in sent(stage.udp)] == ["ACK"]
    stage.run(40)
    assert (stage.udp.take(), stage.left) == ([], {})


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_nothing_is_reported_after_abandoning(method: str) -> None:
    stage = Stage()
    request, user = prepared(stage, method)
    request.send("sip:b@y", stage.now)
    [data] = stage.udp.take()
    if method == "INVITE":
        stage.receive(response(data, 100))
    user.told.clear()
    request.abandon(stage.now)
    stage.run(100)
    assert (user.told, stage.left) == ([], {})
