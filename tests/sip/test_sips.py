"""SIPS URIs (RFC 5630): taken over TLS alone, never sent any other way, and answered with one."""

import pytest

from engine.sip.dialog.snapshot import DialogSnapshot, restore, take_snapshot
from engine.sip.flow import NOT_SECURE, Flow
from engine.sip.message.message import Request
from engine.sip.out_of_dialog import OutOfDialogRequest, RequestSpec
from tests.simulation.network import Network, Node, Owner
from tests.simulation.peer import ANSWER, OFFER, Peer, dial

HERE, THERE = "10.0.0.2", "10.0.0.1"
UPDATES = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO\r\n"
SIPS = f"sips:b@{HERE}"


class Secure(Node):
    """A node that is reached over TLS."""

    name, via_name, reliable = "tls", "TLS", True


class World:
    def __init__(self, kind: type[Node] = Secure) -> None:
        self.network = Network()
        self.node = kind(self.network, HERE)
        self.node.endpoint.select = lambda name, host: self.node if name == self.node.name else None
        self.node.on_invite = self.took
        self.peer = Peer(self.network)
        self.peer.transport = self.node.via_name
        self.owner = Owner()
        self.session: object = None

    def took(self, session: object) -> None:
        session.user = self.owner  # type: ignore[attr-defined]
        self.session = session

    def accept(self) -> str:
        """The Contact of our 200."""
        self.session.accept(self.network.now, ANSWER)  # type: ignore[attr-defined]
        self.network.run(0.01)
        return self.peer.final("INVITE").get("Contact")


@pytest.fixture
def world() -> World:
    return World()


# ---- what comes


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "MESSAGE"])
@pytest.mark.parametrize(("listens", "status", "warning"), [(False, 416, ""), (True, 480, "380 ")])
def test_a_sips_request_in_the_clear_is_refused(method: str, listens: bool, status: int, warning: str) -> None:
    world = World(Node)
    if listens:  # for TLS too, but it did not come by that
        world.node.endpoint.select = lambda name, host: world.node
    world.peer.request(method, UPDATES, OFFER if method == "INVITE" else b"", uri=SIPS)
    answer = world.peer.final(method)
    assert answer.status == status and answer.get("Warning").startswith(warning)
    assert world.session is None


def test_a_sips_request_within_a_dialog_in_the_clear_is_refused() -> None:
    world = World(Node)
    world.peer.invite(UPDATES)
    world.accept()
    world.peer.ack()
    world.peer.request("BYE", uri="SIPS:b@10.0.0.2")
    assert world.peer.statuses("BYE") == [416]


@pytest.mark.parametrize(
    ("uri", "headers", "contact", "sips"),
    [
        (SIPS, "", "<sips:peer@10.0.0.1>", True),
        ("SIPS:b@10.0.0.2", "", "<sip:peer@10.0.0.1>", True),
        ("sip:b@10.0.0.2", "", "<sip:peer@10.0.0.1>", False),
        ("sip:b@10.0.0.2", "", "<sips:peer@10.0.0.1>", True),
        ("sip:b@10.0.0.2", "Record-Route: <sips:10.0.0.1;lr>\r\n", "<sip:peer@10.0.0.1>", True),
        ("sip:b@10.0.0.2", "Record-Route: <sip:10.0.0.1;lr>\r\n", "<sips:peer@10.0.0.1>", False),
        ("sip:b@10.0.0.2", "Record-Route: <sip:10.0.0.1;lr>, <sips:far;lr>\r\n", "<sip:peer@10.0.0.1>", False),
    ],
)
def test_our_contact_in_the_answer_12_1_1(world: World, uri: str, headers: str, contact: str, sips: bool) -> None:
    world.peer.invite(headers + UPDATES, uri=uri, contact=contact)
    expected = "<sips:10.0.0.2:5060>" if sips else "<sip:10.0.0.2:5060;transport=tls>"
    assert world.accept() == expected
    world.peer.ack()
    world.peer.request("UPDATE", UPDATES, OFFER)
    assert world.peer.final("UPDATE").get("Contact") == expected
    world.session.refresh(world.network.now)  # type: ignore[attr-defined]
    world.network.run(0.01)
    assert world.peer.requests("UPDATE")[0].get("Contact") == expected


def test_a_sips_contact_over_udp_is_called_over_tls_alone() -> None:
    """It came in the clear, and a sip URI was asked for: the answer's Contact is one that leads here."""
    world = World(Node)
    world.peer.invite(UPDATES, contact="<sips:peer@10.0.0.1>")
    assert world.accept() == "<sip:10.0.0.2:5060>"
    world.peer.ack()
    world.session.bye(world.network.now)  # type: ignore[attr-defined]
    world.network.run(0.01)
    assert not world.peer.requests("BYE")


# ---- what goes


def test_a_call_to_a_sips_uri(world: World) -> None:
    session, owner = dial(world.node, request_uri="sips:b@10.0.0.1", destination="sips:10.0.0.1")
    (invite,) = world.peer.requests("INVITE")
    assert invite.get("Contact") == "<sips:10.0.0.2:5060>" and invite.via.transport == "TLS"
    world.peer.answer(invite, 200, UPDATES, ANSWER, contact="<sip:peer@10.0.0.1;transport=tls>")
    session.refresh(world.network.now)
    world.network.run(0.01)
    (update,) = world.peer.requests("UPDATE")
    assert update.get("Contact") == "<sips:10.0.0.2:5060>"
    assert owner.outcome == ("answered", 200)


def test_an_answer_with_a_sips_contact_is_followed_as_one(world: World) -> None:
    session, _ = dial(world.node)
    (invite,) = world.peer.requests("INVITE")
    assert invite.get("Contact") == "<sip:10.0.0.2:5060;transport=tls>"
    world.peer.answer(invite, 200, UPDATES, ANSWER, contact="<sips:peer@10.0.0.1>")
    session.refresh(world.network.now)
    world.network.run(0.01)
    (update,) = world.peer.requests("UPDATE")
    assert update.uri_text.startswith("sips:") and update.get("Contact") == "<sips:10.0.0.2:5060>"


@pytest.mark.parametrize("uri", ["sips:b@10.0.0.1", "SIPS:b@10.0.0.1"])
def test_a_sips_uri_is_never_sent_in_the_clear(uri: str) -> None:
    world = World(Node)
    _, owner = dial(world.node, request_uri=uri)
    assert owner.outcome == ("unreachable", 503) and not world.peer.heard
    said: list[str] = []
    spec = RequestSpec(
        method="MESSAGE", uri=uri, destination="sip:10.0.0.1", from_="<sip:a@b>", to=f"<{uri}>", contact=False
    )
    OutOfDialogRequest(world.node.endpoint, spec, lambda response, cause: said.append(cause))
    world.network.run(0.01)
    assert said == [NOT_SECURE] and not world.peer.heard


def test_a_secure_call_whose_peer_moves_to_udp_is_not_followed_there(world: World) -> None:
    """Its connection is gone, and its Contact names what is reached in the clear."""
    plain = Node(world.network, HERE, port=5070)
    world.peer.invite(UPDATES, uri=SIPS)
    world.accept()
    world.peer.ack()
    world.node.connected = lambda flow: False  # type: ignore[method-assign]
    world.node.endpoint.locate = lambda uri, done: done([Flow(plain, THERE, 5060)])  # type: ignore[assignment]
    world.session.dialog.flow = None  # type: ignore[attr-defined]
    world.session.bye(world.network.now)  # type: ignore[attr-defined]
    world.network.run(0.01)
    assert not [message for message in world.peer.heard if isinstance(message, Request)]


def test_a_secure_dialog_that_is_carried_on_elsewhere_stays_one(world: World) -> None:
    world.peer.invite(UPDATES, uri=SIPS)
    world.accept()
    world.peer.ack()
    snapshot = DialogSnapshot.read(take_snapshot(world.session, world.network.now).document())  # type: ignore[arg-type]
    assert snapshot.secure and snapshot.own_address == "10.0.0.2:5060"
    elsewhere = Secure(world.network, "10.0.0.9")
    elsewhere.endpoint.select = lambda name, host: elsewhere
    restore(elsewhere.endpoint, snapshot, world.network.now).refresh(world.network.now)
    world.network.run(0.01)
    assert world.peer.requests("UPDATE")[0].get("Contact") == "<sips:10.0.0.9:5060>"


def test_the_ack_of_a_secure_call_is_not_sent_in_the_clear(world: World) -> None:
    plain = Node(world.network, HERE, port=5070)
    dial(world.node, request_uri="sips:b@10.0.0.1")
    (invite,) = world.peer.requests("INVITE")
    world.node.connected = lambda flow: False  # type: ignore[method-assign]
    world.node.endpoint.locate = lambda uri, done: done([Flow(plain, THERE, 5060)])  # type: ignore[assignment]
    world.peer.answer(invite, 200, UPDATES, ANSWER, contact="<sip:peer@10.0.0.1>")
    assert not world.peer.requests("ACK")
