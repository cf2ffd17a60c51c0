"""A connection that closes is no answer: an INVITE goes on, and its responses come by another (RFC 3261 §18.2.2)."""

from dataclasses import dataclass

import pytest

from engine.sip.dialog.invite_client import InviteClient
from engine.sip.flow import Flow
from tests.simulation.network import Network, Node
from tests.simulation.peer import ANSWER, Dialler, Peer, dial, nothing_left
from tests.simulation.stage import PEER, Stage, request

CLOSED = "connection closed by peer"


class World:
    """A node over TCP, and the peer that it calls."""

    def __init__(self, connects: bool = True) -> None:
        self.network = Network()
        self.node = Node(self.network, "10.0.0.2")
        self.node.reliable, self.node.name, self.node.via_name = True, "tcp", "TCP"
        self.node.connects = connects
        self.peer = Peer(self.network)
        self.peer.transport = "TCP"
        self.session, self.owner = self.call()
        [self.invite] = self.peer.requests("INVITE")

    def call(self) -> tuple[InviteClient, Dialler]:
        return dial(self.node, no_reply_timeout=4.0, no_progress_timeout=15.0, ring_timeout=60.0)

    def close_connection(self) -> None:
        self.node.endpoint.failed(Flow(self.node, "10.0.0.1", 5060), None, CLOSED, self.network.now)

    def wait(self, seconds: float = 0.1) -> None:
        self.network.run(seconds)


@pytest.mark.parametrize("said", [(), (100,), (180,), (100, 183)])
def test_an_answer_that_comes_by_another_connection_is_one(said: tuple[int, ...]) -> None:
    world = World()
    for status in said:
        world.peer.answer(world.invite, status)
    world.close_connection()
    assert world.owner.outcome is None
    world.wait(2)
    world.peer.answer(world.invite, 200, body=ANSWER)
    assert world.owner.outcome == ("answered", 200)
    assert len(world.peer.requests("ACK")) == 1
    world.session.bye(world.network.now)
    world.wait()
    assert world.peer.requests("BYE")


@pytest.mark.parametrize(
    ("said", "seconds", "outcome"),
    [((), 4.0, "no_reply"), ((100,), 15.0, "no_progress"), ((180,), 60.0, "ring_timeout")],
)
def test_its_timers_run_on(said: tuple[int, ...], seconds: float, outcome: str) -> None:
    world = World()
    for status in said:
        world.peer.answer(world.invite, status)
    world.close_connection()
    world.wait(seconds - 0.5)
    assert world.owner.outcome is None
    world.wait(0.7)
    assert world.owner.outcome is not None and world.owner.outcome[0] == outcome


def test_a_refusal_that_comes_by_another_connection_is_one() -> None:
    world = World()
    world.peer.answer(world.invite, 180)
    world.close_connection()
    world.peer.answer(world.invite, 486)
    assert world.owner.outcome == ("refused", 486)
    assert len(world.peer.requests("ACK")) == 1
    assert nothing_left(world.node)


def test_what_is_given_up_after_that_is_cancelled_and_its_late_answer_ended() -> None:
    world = World()
    world.peer.answer(world.invite, 180)
    world.close_connection()
    world.session.cancel(world.network.now)
    world.wait()
    assert world.peer.requests("CANCEL")
    world.peer.answer(world.invite, 200, body=ANSWER)
    world.wait()
    assert [len(world.peer.requests(method)) for method in ("ACK", "BYE")] == [1, 1]


@pytest.mark.parametrize("late", [5.0, 20.0, 34.0])
def test_a_silent_attempt_is_remembered_for_64_t1_after_it_was_given_up(late: float) -> None:
    world = World()
    world.close_connection()
    world.wait(late)
    assert world.owner.outcome == ("no_reply", 408)
    world.peer.answer(world.invite, 200, body=ANSWER)
    world.wait()
    assert [len(world.peer.requests(method)) for method in ("ACK", "BYE")] == [1, 1]
    world.peer.answer(world.peer.requests("BYE")[0], 200)
    assert nothing_left(world.node)


def test_over_websocket_there_is_no_other_connection() -> None:
    world = World(connects=False)
    world.close_connection()
    assert world.owner.outcome == ("unreachable", 503)


def test_a_bye_that_was_under_way_has_failed() -> None:
    """It asks for nothing that anybody would come back with."""
    world = World()
    world.peer.answer(world.invite, 200, body=ANSWER)
    world.session.bye(world.network.now)
    world.wait()
    world.close_connection()
    assert nothing_left(world.node)


# ---- a caller that has gone before it is told whether somebody answers: RFC 3261 §9.1, §17.1.1.2


def test_an_invite_that_nobody_has_answered_is_asked_on_until_it_can_be_cancelled() -> None:
    network = Network()
    node, peer = Node(network, "10.0.0.2"), Peer(network)
    session, owner = dial(node)
    session.cancel(network.now)
    assert owner.outcome == ("cancelled", 487)
    network.run(8)
    assert len(peer.requests("INVITE")) >= 4 and not peer.requests("CANCEL")
    peer.answer(peer.requests("INVITE")[0], 180)
    network.run(0.1)
    [cancel] = peer.requests("CANCEL")
    peer.answer(cancel, 200)
    peer.answer(peer.requests("INVITE")[0], 487)
    asked = len(peer.requests("INVITE"))
    network.run(40)
    assert len(peer.requests("INVITE")) == asked
    assert nothing_left(node)


def test_a_silent_peer_is_asked_no_more() -> None:
    network = Network()
    node, peer = Node(network, "10.0.0.2"), Peer(network)
    _, owner = dial(node, no_reply_timeout=2.0)
    network.run(30)
    assert owner.outcome == ("no_reply", 408)
    assert len(peer.requests("INVITE")) == 3  # at 0, 0.5 and 1.5 s
    assert nothing_left(node)


# ---- our own responses


@dataclass(eq=False)
class Lost:
    """A connection that is not used here."""

    usable: bool = True


@pytest.mark.parametrize(
    ("sent_by", "port"),
    [("192.0.2.7:5070", 5070), ("192.0.2.7", 5060), ("pc.example:5099", 5099), ("[2001:db8::9]", 5060)],
)
@pytest.mark.parametrize("rport", ["", ";rport", ";rport;alias"])
def test_responses_go_by_the_connection_and_without_it_to_the_port_in_the_via(
    sent_by: str, port: int, rport: str
) -> None:
    stage = Stage()
    source = Flow(stage.tcp, PEER, 41000, connection=Lost())  # type: ignore[arg-type]
    flows: list[Flow] = []
    stage.tcp.send = lambda data, flow: flows.append(flow)  # type: ignore[method-assign]
    via = f"SIP/2.0/TCP {sent_by};branch=z9hG4bKa{rport}"
    stage.endpoint.receive(request("OPTIONS", via=via), source, stage.now)
    [flow] = flows
    assert (flow.host, flow.port) == (PEER, port) and flow.connection is source.connection
