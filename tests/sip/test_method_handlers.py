"""A method added from outside: one row, and it is served, shown in Allow and answered once (RFC 3261 §8.2.1)."""

import pytest

from engine.sip.core import EndpointLimits, Policy
from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.transaction.server import ServerTransaction
from tests.simulation.known import Known
from tests.simulation.stage import PEER, Stage, request


class Registrar:
    """Answers each REGISTER with how many there were."""

    def __init__(self, stage: Stage, **options: bool) -> None:
        self.stage = stage
        self.asked: list[Request] = []
        self.status = 200
        stage.endpoint.handle("REGISTER", self, **options)

    def __call__(self, transaction: ServerTransaction, asked: Request, source: Flow, now: float) -> None:
        assert (source.host, now) == (PEER, self.stage.now)
        self.asked.append(asked)
        transaction.respond(self.status, now, headers=f"X-Count: {len(self.asked)}\r\n")


def test_it_is_served_and_shown_in_allow() -> None:
    stage = Stage()
    assert [answer.status for answer in stage.ask(request("REGISTER"))] == [405]
    Registrar(stage)
    assert [answer.status for answer in stage.ask(request("REGISTER", branch="z9hG4bKb"))] == [200]
    for method, branch in (("OPTIONS", "z9hG4bKc"), ("SUBSCRIBE", "z9hG4bKd"), ("FROB", "z9hG4bKe")):
        [answer] = stage.ask(request(method, branch=branch))
        assert {"register", "invite", "cancel", "message"} <= answer.tokens("Allow")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("status", [200, 202])
def test_a_retransmission_gets_the_same_response(known: bool, status: int) -> None:
    stage = Stage(peers=Known(*[PEER] if known else []))
    registrar = Registrar(stage)
    registrar.status = status
    stage.receive(request("REGISTER"))
    stage.receive(request("REGISTER"))
    first, second = stage.udp.take()
    assert first == second and len(registrar.asked) == 1
    stage.run(40)
    assert stage.left == {}


def test_what_cannot_be_served_is_refused_before_it() -> None:
    stage = Stage()
    registrar = Registrar(stage)
    assert [answer.status for answer in stage.ask(request("REGISTER", headers=["Require: outbound"]))] == [420]
    assert [answer.status for answer in stage.ask(request("REGISTER", "mailto:a@b", branch="z9hG4bKb"))] == [416]
    assert registrar.asked == []


@pytest.mark.parametrize(("limited", "status"), [(True, 503), (False, 200)])
def test_limits_apply_where_it_says_so(limited: bool, status: int) -> None:
    stage = Stage()
    Registrar(stage, limited=limited)
    stage.admits = "refuse"
    assert [answer.status for answer in stage.ask(request("REGISTER"))] == [status]


def test_within_a_dialog_it_is_the_dialogs() -> None:
    stage = Stage()
    registrar = Registrar(stage)
    stage.on_invite = lambda session: session.accept(stage.now, b"v=0\r\n")
    stage.receive(request("INVITE"))
    [ok] = [answer for answer in map(parse, stage.udp.take()) if isinstance(answer, Response) and answer.status == 200]
    stage.receive(request("ACK", to_tag=ok.to_tag, branch="z9hG4bKb"))
    again = request("REGISTER", to_tag=ok.to_tag, branch="z9hG4bKc", cseq=2)
    assert [answer.status for answer in stage.ask(again)] == [501]
    assert registrar.asked == []


def test_where_there_is_no_room_it_is_not_asked() -> None:
    stage = Stage(Policy(limits=EndpointLimits(transactions=0)))
    registrar = Registrar(stage)
    assert [answer.status for answer in stage.ask(request("REGISTER"))] == [503]
    assert registrar.asked == []


def test_who_watches_connections_hears_of_each_that_is_lost() -> None:
    stage = Stage()
    heard: list[tuple[str, Flow, str, float]] = []
    for name in "ab":
        stage.endpoint.watch_connections(lambda flow, error, now, name=name: heard.append((name, flow, error, now)))
    flow = Flow(stage.udp, PEER, 40_000)
    stage.endpoint.closed(flow, "connection reset by peer", 7.0)
    assert heard == [(name, flow, "connection reset by peer", 7.0) for name in "ab"]
