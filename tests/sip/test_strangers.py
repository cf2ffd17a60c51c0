"""What a stranger is refused with: one answer to one request, and nothing is kept (RFC 3261 §8.2.7, §26.3.2.4)."""

import re

import pytest

from engine.sip import stateless
from engine.sip.core import EndpointLimits, Policy
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from engine.sip.stateless import WAITS, Refusal, Refused
from tests.simulation.known import Known
from tests.simulation.stage import PEER, Stage, request, status_of

HOSTS = [PEER, "2001:db8::7", "198.51.100.77"]
# A request, and what it is refused with; the screen of the test refuses calls for carol, dave and erin.
REFUSED = [
    ("INVITE", "sip:carol@192.0.2.250", (), 404),
    ("INVITE", "sip:dave@192.0.2.250", (), 401),
    ("INVITE", "sip:erin@192.0.2.250", (), 484),
    ("INVITE", "sip:bob@192.0.2.250", ("Require: teleport",), 420),
    ("INVITE", "mailto:bob@example.com", (), 416),
    ("INVITE", "sip:bob@192.0.2.250", ("Accept: text/plain",), 406),
    ("INVITE", "sip:bob@192.0.2.250", ("Session-Expires: 10", "Supported: timer"), 422),
    ("REGISTER", "sip:192.0.2.250", (), 405),
    ("SUBSCRIBE", "sip:bob@192.0.2.250", (), 405),
    ("PUBLISH", "sip:bob@192.0.2.250", (), 405),
    ("FROB", "sip:bob@192.0.2.250", (), 501),
    ("REFER", "sip:bob@192.0.2.250", ("Refer-To: <sip:x@y>",), 403),
    ("NOTIFY", "sip:bob@192.0.2.250", (), 481),
    ("BYE", "sip:bob@192.0.2.250", (), 481),
    ("PRACK", "sip:bob@192.0.2.250", (), 481),
    ("MESSAGE", "sip:bob@192.0.2.250", (), 405),
    ("INVITE", "sip:bob@192.0.2.250", ("Max-Forwards: x",), 400),
]
ANSWERS = {"carol": 404, "dave": 401, "erin": 484}


def screen(asked: Request) -> Refusal | None:
    user = asked.uri_text.partition(":")[2].partition("@")[0]
    if user not in ANSWERS:
        return None
    challenge = 'WWW-Authenticate: Digest realm="x", nonce="y"\r\n' if user == "dave" else ""
    return Refusal(status=ANSWERS[user], headers=challenge, cause=user)


def a_stage(*known: str) -> Stage:
    stage = Stage(Policy(trying_after=0.2), peers=Known(*known))
    stage.screen = screen
    return stage


def to_tag(data: bytes) -> str:
    found = re.search(rb"\r\nTo: [^\r]*;tag=([^\r;]+)", data)
    assert found is not None, data
    return found[1].decode()


def message(method: str, uri: str, headers: tuple[str, ...], **more: str) -> bytes:
    data = request(method, uri, headers, **more)
    return data.replace(b"Max-Forwards: 70\r\n", b"") if "Max-Forwards: x" in headers else data


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("method", "uri", "headers", "status"), REFUSED)
def test_one_answer_to_one_request_and_nothing_is_kept(
    method: str, uri: str, headers: tuple[str, ...], status: int, host: str
) -> None:
    stage = a_stage()
    data = message(method, uri, headers)
    stage.receive(data, host)
    [answer] = stage.udp.take()
    assert status_of(answer) == status
    assert (stage.left, stage.calls) == ({}, [])
    stage.run(40)
    assert stage.udp.take() == []
    stage.receive(data, host)  # retransmitted: the same answer, and the same tag (§8.2.7)
    [again] = stage.udp.take()
    assert (status_of(again), to_tag(again)) == (status, to_tag(answer))
    assert len(to_tag(answer)) >= 8  # 32 random bits (§19.3)
    assert (stage.left, stage.refused) == ({}, [(host, stage.refused[0][1])])  # counted once


@pytest.mark.parametrize(("method", "uri", "headers", "status"), [row for row in REFUSED if row[3] != 400])
def test_a_known_peer_keeps_its_transaction(method: str, uri: str, headers: tuple[str, ...], status: int) -> None:
    stage = a_stage(PEER)
    stage.on_invite = lambda session: session.reject(ANSWERS[session.invite.uri_text[4:].partition("@")[0]], stage.now)
    data = message(method, uri, headers)
    stage.receive(data)
    answers = [answer for answer in stage.udp.take() if status_of(answer) > 100]
    assert [status_of(answer) for answer in answers] == [status]
    assert stage.left["servers"] == 1
    stage.receive(data)
    assert stage.udp.take() == answers  # as it was, whatever it holds
    assert stage.refused == []


def test_calls_are_told_apart_by_their_tags() -> None:
    stage = a_stage()
    tags = set()
    for number in range(50):
        for cseq in (1, 2):
            stage.receive(
                request("INVITE", "sip:carol@x", branch=f"z9hG4bK{number}.{cseq}", call_id=f"{number}", cseq=cseq)
            )
            tags.add(to_tag(stage.udp.take()[0]))
    assert len(tags) == 100
    other = a_stage()
    other.endpoint._secret = b"another"
    other.receive(request("INVITE", "sip:carol@x", branch="z9hG4bK0.1", call_id="0"))
    assert to_tag(other.udp.take()[0]) not in tags


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("user", list(ANSWERS))
def test_the_ack_and_the_cancel_of_what_was_refused_are_ignored(user: str, host: str) -> None:
    stage = a_stage()
    stage.receive(request("INVITE", f"sip:{user}@x"), host)
    tag = to_tag(stage.udp.take()[0])
    stage.receive(request("ACK", f"sip:{user}@x", to_tag=tag), host)
    stage.receive(request("CANCEL", f"sip:{user}@x"), host)
    assert stage.udp.take() == []
    assert stage.left == {}


def test_a_cancel_of_what_never_was_is_481_once() -> None:
    """§9.2; its retransmission gets the same."""
    stage = a_stage()
    for _ in range(2):
        stage.receive(request("CANCEL", call_id="nothing"))
        assert stage.udp.statuses() in ([481], [])
    assert stage.left == {}


def test_options_are_answered_without_a_transaction() -> None:
    stage = a_stage()
    data = request("OPTIONS", "sip:192.0.2.250")
    stage.receive(data)
    [answer] = stage.udp.take()
    assert (status_of(answer), stage.left) == (200, {})
    assert b"\r\nAllow: " in answer
    assert len(answer) < 3 * len(data)


@pytest.mark.parametrize(("method", "uri", "headers", "status"), REFUSED)
def test_what_is_answered_is_no_more_than_a_small_multiple_of_what_came(
    method: str, uri: str, headers: tuple[str, ...], status: int
) -> None:
    stage = a_stage()
    data = message(method, uri, headers)
    stage.receive(data)
    stage.run(64)
    assert sum(map(len, stage.udp.take())) < 5 * len(data)


# ---- calls that begin


def test_a_call_that_begins_is_refused_with_a_transaction() -> None:
    stage = a_stage()
    stage.receive(request("INVITE"))
    assert stage.udp.take() == []  # a 100 comes after 200 ms, as anybody gets it
    stage.run(0.3)
    assert stage.udp.statuses() == [100]
    [session] = stage.calls
    session.reject(486, stage.now)
    stage.run(3.9)
    assert stage.udp.statuses() == [486] * 4
    assert stage.refused == []


def test_a_call_that_is_refused_on_the_spot_has_not_begun() -> None:
    stage = a_stage()
    stage.on_invite = lambda session: session.reject(603, stage.now)
    for _ in range(2):
        stage.receive(request("INVITE"))
        assert (stage.udp.statuses(), stage.left) == ([603], {})
    stage.run(40)
    assert stage.udp.take() == []


def test_who_heard_it_ring_gets_the_final_response_until_it_acknowledges() -> None:
    stage = a_stage()

    def ring(session: object) -> None:
        session.provisional(180, stage.now)  # type: ignore[attr-defined]
        session.reject(480, stage.now)  # type: ignore[attr-defined]

    stage.on_invite = ring
    stage.receive(request("INVITE"))
    stage.run(1.6)
    assert stage.udp.statuses() == [180, 480, 480, 480]


def test_a_call_that_is_answered_is_like_any_other() -> None:
    stage = a_stage()
    stage.on_invite = lambda session: session.accept(stage.now, b"v=0\r\n")
    stage.receive(request("INVITE"))
    [ok] = stage.udp.take()
    stage.receive(request("INVITE"))  # absorbed (RFC 6026)
    assert stage.udp.take() == []
    stage.receive(request("ACK", to_tag=to_tag(ok), branch="z9hG4bKb"))
    stage.receive(request("BYE", to_tag=to_tag(ok), branch="z9hG4bKc", cseq=2))
    assert stage.udp.statuses() == [200]


# ---- what cannot be decided at once


def waiting() -> tuple[Stage, Request]:
    stage = a_stage()
    asked: list[Request] = []

    def wait(invite: Request) -> Refusal:
        asked.append(invite)
        return WAITS

    stage.screen = wait
    stage.receive(request("INVITE"))
    stage.run(5)
    stage.receive(request("INVITE"))  # as clients do
    assert (len(asked), stage.udp.take(), stage.left) == (1, [], {"servers": 1})
    return stage, asked[0]


@pytest.mark.parametrize("status", [404, 401, 503])
def test_a_refusal_that_comes_later_is_as_stateless(status: int) -> None:
    stage, invite = waiting()
    flow = stage.flows[0]
    stage.endpoint.decided(invite, flow, Refusal(status=status, headers="X: y\r\n"), stage.now)
    [answer] = stage.udp.take()
    assert (status_of(answer), stage.left) == (status, {})
    assert b"\r\nX: y\r\n" in answer
    stage.run(40)
    assert stage.udp.take() == []
    stage.screen = lambda _: Refusal(status=status)
    stage.receive(request("INVITE"))
    assert to_tag(stage.udp.take()[0]) == to_tag(answer)
    assert len(stage.refused) == 1


def test_a_call_that_is_let_in_later_goes_on() -> None:
    stage, invite = waiting()
    stage.endpoint.decided(invite, stage.flows[0], None, stage.now)
    [session] = stage.calls
    session.accept(stage.now, b"v=0\r\n")
    assert stage.udp.statuses() == [200]


def test_one_that_is_cancelled_meanwhile_is_487_and_never_begins() -> None:
    stage, invite = waiting()
    stage.receive(request("CANCEL"))
    assert stage.udp.statuses() == [200, 487]
    stage.endpoint.decided(invite, stage.flows[0], None, stage.now)
    assert (stage.calls, stage.udp.take()) == ([], [])
    stage.run(64)
    assert stage.left == {}


# ---- bounds


def test_what_is_remembered_of_refused_calls_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stateless, "REMEMBERED", 10)
    refused = Refused()
    for number in range(1000):
        assert refused.add("h", f"call-{number}", 404)
        assert not refused.add("h", f"call-{number}", 404)
        assert len(refused) <= 10
    assert ("h", "call-999") in refused
    assert ("h", "call-1") not in refused


def test_another_status_of_the_same_call_counts_once_more() -> None:
    refused = Refused()
    assert [refused.add("h", "c", status) for status in (401, 401, 403, 403, 401)] == [True, False, True, False, False]
    assert refused.add("other", "c", 401)


@pytest.mark.parametrize(("admission", "answers"), [("refuse", [503]), ("drop", []), ("take", [])])
def test_a_limit_may_answer_or_not(admission: stateless.Admission, answers: list[int]) -> None:
    stage = a_stage()
    stage.admits = admission
    stage.receive(request("INVITE"))
    assert stage.udp.statuses() == answers
    stage.receive(parse_again(request("MESSAGE", branch="z9hG4bKm", call_id="m")))
    assert stage.udp.statuses() == (answers or ([405] if admission == "take" else []))


def parse_again(data: bytes) -> bytes:
    assert isinstance(parse(data), Request)
    return data


@pytest.mark.parametrize("limits", [EndpointLimits(transactions=4), EndpointLimits(sessions=4)])
def test_what_strangers_fill_leaves_room_for_known_peers(limits: EndpointLimits) -> None:
    stage = Stage(Policy(limits=limits), peers=Known("192.0.2.77"))

    def asked(number: int, host: str) -> int:
        stage.udp.take()
        via = f"SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number}"
        stage.receive(request("INVITE", via=via, call_id=f"{number}"), host)
        return status_of(stage.udp.take()[-1])

    assert [asked(number, f"198.51.100.{number}") for number in range(4)] == [100, 100, 100, 503]
    assert [asked(number, "192.0.2.77") for number in (7, 8)] == [100, 503]
