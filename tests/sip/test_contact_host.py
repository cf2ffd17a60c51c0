"""What one peer is shown in place of our address: in Via and Contact of everything that it gets."""

import pytest

from engine.sip.dialog.invite_client import InviteClient
from engine.sip.dialog.snapshot import DialogSnapshot, restore, take_snapshot
from engine.sip.message.message import Message, Request
from engine.sip.out_of_dialog import OutOfDialogRequest, RequestSpec
from engine.sip.peers import Everybody
from tests.simulation.network import Network, Node, Owner
from tests.simulation.peer import ANSWER, OFFER, Peer, dial

SHOWN = "sbc1.example.com:5061"
UPDATES = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO, PRACK\r\n"


class Teams(Everybody):
    """One address is a peer that is shown a name."""

    def contact_host(self, host: str) -> str:
        return SHOWN if host == "10.0.0.1" else ""


class World:
    def __init__(self) -> None:
        self.network = Network()
        self.node = Node(self.network, "10.0.0.2", peers=Teams())
        self.node.on_invite = self.took
        self.peer = Peer(self.network)
        self.owner = Owner()

    def took(self, session: object) -> None:
        session.user = self.owner  # type: ignore[attr-defined]
        self.session = session

    def outgoing(self, contact_host: str = SHOWN, headers: str = UPDATES) -> InviteClient:
        """A call that the peer has answered."""
        session, _ = dial(self.node, contact_host=contact_host)
        invite = self.peer.requests("INVITE")[0]
        self.peer.call_id, self.peer.remote_tag, self.peer.cseq = invite.call_id, invite.from_tag, 500
        self.peer.answer(invite, 200, headers, ANSWER)
        return session

    def everywhere(self, shown: str = SHOWN) -> None:
        """No message says where we really are."""
        for message in self.peer.heard:
            shows(message, shown)


def shows(message: Message, shown: str) -> None:
    if isinstance(message, Request):
        assert message.via.sent_by == shown and "rport" in message.via.params
    if "Contact" in message.first:
        assert message.get("Contact") == f"<sip:{shown}>"


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("refresh", ["UPDATE", "INVITE"])
def test_invite_ack_and_what_follows_in_the_dialog(world: World, refresh: str) -> None:
    session = world.outgoing(headers=UPDATES if refresh == "UPDATE" else "")
    session.request("INFO", world.network.now)
    session.refresh(world.network.now)
    session.bye(world.network.now)
    world.network.run(0.1)
    kinds = world.peer.kinds()
    assert kinds[:4] == ["INVITE", "ACK", "INFO", refresh] and kinds[-1] == "BYE"
    assert all("Contact" in message.first for message in world.peer.requests(refresh))
    world.everywhere()


def test_the_acks_of_refusals_and_a_cancel_have_the_vias_of_their_invites(world: World) -> None:
    dial(world.node, contact_host=SHOWN)
    (invite,) = world.peer.requests("INVITE")
    world.peer.answer(invite, 486)
    (ack,) = world.peer.requests("ACK")
    assert ack.via.sent_by == SHOWN and ack.branch == invite.branch
    world.peer.forget()
    session, _ = dial(world.node, contact_host=SHOWN)
    (invite,) = world.peer.requests("INVITE")
    world.peer.answer(invite, 180)
    session.cancel(world.network.now)
    world.network.run(0.1)
    (cancel,) = world.peer.requests("CANCEL")
    assert cancel.via.sent_by == SHOWN and cancel.branch == invite.branch


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_answers_within_a_dialog_that_we_opened(world: World, method: str) -> None:
    world.outgoing()
    world.peer.request(method, UPDATES, OFFER)
    answer = world.peer.final(method)
    assert answer.status == 200 and answer.get("Contact") == f"<sip:{SHOWN}>"
    world.everywhere()


def test_a_call_that_comes_from_the_peer(world: World) -> None:
    world.peer.invite("Supported: 100rel\r\n" + UPDATES)
    session = world.session
    session.provisional(180, world.network.now)  # type: ignore[attr-defined]
    session.provisional(183, world.network.now, ANSWER, reliable=True)  # type: ignore[attr-defined]
    world.network.run(0.01)
    rseq = next(r for r in world.peer.responses("INVITE") if "RSeq" in r.first)
    world.peer.remote_tag = rseq.to_tag
    world.peer.request("PRACK", f"RAck: {rseq.get('RSeq')} 1 INVITE\r\n")
    session.accept(world.network.now)  # type: ignore[attr-defined]
    world.network.run(0.01)
    assert world.peer.final("INVITE").get("Contact") == f"<sip:{SHOWN}>"
    world.peer.ack(cseq=1)
    session.bye(world.network.now)  # type: ignore[attr-defined]
    world.network.run(0.01)
    assert world.peer.kinds()[-1] == "BYE"
    world.everywhere()


def test_other_peers_are_shown_our_address(world: World) -> None:
    other = Peer(world.network, "10.0.0.7")
    other.invite(UPDATES)
    world.session.accept(world.network.now, ANSWER)  # type: ignore[attr-defined]
    world.network.run(0.01)
    assert other.final("INVITE").get("Contact") == "<sip:10.0.0.2:5060>"
    world.outgoing(contact_host="")
    world.everywhere("10.0.0.2:5060")


def test_without_a_port_the_listeners_follows(world: World) -> None:
    world.outgoing(contact_host="sbc1.example.com")
    world.everywhere("sbc1.example.com:5060")


def test_requests_outside_of_dialogs(world: World) -> None:
    for contact in (True, False):
        spec = RequestSpec(
            method="OPTIONS",
            uri="sip:10.0.0.1",
            destination="sip:10.0.0.1",
            from_=f"<sip:{SHOWN}>",
            to="<sip:10.0.0.1>",
            contact=contact,
            contact_host=SHOWN,
        )
        OutOfDialogRequest(world.node.endpoint, spec, lambda response, cause: None)
    world.network.run(0.01)
    assert len(world.peer.heard) == 2
    world.everywhere()


def test_a_dialog_that_is_carried_on_elsewhere_shows_the_same(world: World) -> None:
    session = world.outgoing()
    snapshot = DialogSnapshot.read(take_snapshot(session, world.network.now).document())
    assert (snapshot.contact_host, snapshot.own_address) == (SHOWN, SHOWN)
    elsewhere = Node(world.network, "10.0.0.9")
    world.peer.forget()
    restored = restore(elsewhere.endpoint, snapshot, world.network.now)
    restored.bye(world.network.now)
    world.network.run(0.01)
    assert world.peer.kinds() == ["BYE"]
    world.everywhere()
