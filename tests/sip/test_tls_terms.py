"""What is asked of a peer over TLS goes with the request, and with all requests of the dialog that it opens."""

import json

import pytest

from engine.sip.dialog.snapshot import DialogSnapshot, restore, take_snapshot
from engine.sip.flow import Flow, TlsTerms
from engine.sip.out_of_dialog import OutOfDialogRequest, RequestSpec
from engine.sip.peers import Everybody
from tests.simulation.network import Network, Node, Owner
from tests.simulation.peer import ANSWER, OFFER, Peer, dial

HERE, THERE = "10.0.0.2", "10.0.0.1"
TERMS = TlsTerms(ca="carrier.pem", names=("carrier.example",))


class Carrier(Everybody):
    """One address is a provider's."""

    def tls(self, host: str) -> tuple[str, TlsTerms | None]:
        return ("carrier.example", TERMS) if host == THERE else ("", None)


class Secure(Node):
    """A node over TLS, which notes the flows that it sends by."""

    name, via_name, reliable = "tls", "TLS", True

    def __init__(self, network: Network, host: str) -> None:
        super().__init__(network, host, peers=Carrier())
        self.flows: list[tuple[str, str, TlsTerms | None]] = []
        self.endpoint.select = lambda name, host: self
        self.domain = ""
        self.endpoint.locate = lambda uri, done: done([Flow(self, THERE, 5060, domain=self.domain)])

    def send(self, data: bytes, flow: Flow) -> None:
        method = data.split(b" ", 1)[0].decode()
        if method != "SIP/2.0":
            self.flows.append((method, flow.domain, flow.tls))
        super().send(data, flow)


class World:
    def __init__(self) -> None:
        self.network = Network()
        self.node = Secure(self.network, HERE)
        self.peer = Peer(self.network)
        self.peer.transport = "TLS"


@pytest.fixture
def world() -> World:
    return World()


def test_a_request_outside_of_a_dialog_has_them(world: World) -> None:
    world.node.domain = "carrier.example"
    spec = RequestSpec(
        method="OPTIONS", uri="sip:x", destination="sip:carrier.example", from_="<sip:a@b>", to="<sip:x>", tls=TERMS
    )
    OutOfDialogRequest(world.node.endpoint, spec, lambda answer, cause: None)
    assert world.node.flows == [("OPTIONS", "carrier.example", TERMS)]


def test_a_call_keeps_them_though_its_contact_is_an_address(world: World) -> None:
    """INVITE and CANCEL, ACK and BYE; the name is that of the provider where the Contact has none."""
    node = world.node
    node.domain = "carrier.example"
    session, _ = dial(node, "sip:carrier.example", tls=TERMS)
    invite = world.peer.requests("INVITE")[0]
    world.peer.answer(invite, 180)
    world.network.run(0.1)
    session.cancel(world.network.now)
    assert node.flows == [("INVITE", "carrier.example", TERMS), ("CANCEL", "carrier.example", TERMS)]
    node.flows.clear()
    session, _ = dial(node, "sip:carrier.example", tls=TERMS)
    node.domain = ""
    world.peer.answer(world.peer.requests("INVITE")[-1], 200, "", ANSWER)
    session.bye(world.network.now)
    assert node.flows == [(method, "carrier.example", TERMS) for method in ("INVITE", "ACK", "BYE")]


def test_they_outlive_their_node(world: World) -> None:
    node = world.node
    node.domain = "carrier.example"
    session, _ = dial(node, "sip:carrier.example", tls=TERMS)
    world.peer.answer(world.peer.requests("INVITE")[0], 200, "", ANSWER)
    kept = DialogSnapshot.read(json.loads(json.dumps(take_snapshot(session, world.network.now).document())))
    assert (kept.domain, kept.tls) == ("carrier.example", TERMS)
    other = Secure(Network(), HERE)
    restored = restore(other.endpoint, kept, 0.0)
    restored.user = Owner()
    restored.bye(0.0)
    assert other.flows == [("BYE", "carrier.example", TERMS)]


def test_a_call_of_the_providers_has_them_too(world: World) -> None:
    node, owner, sessions = world.node, Owner(), []

    def took(session: object) -> None:
        session.user = owner  # type: ignore[attr-defined]
        sessions.append(session)

    node.on_invite = took
    world.peer.request("INVITE", "", OFFER)
    sessions[0].accept(world.network.now, ANSWER)  # type: ignore[attr-defined]
    world.network.run(0.01)
    dialog = sessions[0].dialog  # type: ignore[attr-defined]
    assert (dialog.domain, dialog.tls) == ("carrier.example", TERMS)


@pytest.mark.parametrize(
    ("has", "domain", "given", "expected"),
    [
        (None, "", (TERMS, "carrier.example"), (TERMS, "carrier.example")),
        (None, "gateway.carrier.example", (TERMS, "carrier.example"), (TERMS, "gateway.carrier.example")),
        (TlsTerms(), "", (TERMS, "carrier.example"), (TlsTerms(), "")),
        (None, "", (None, ""), (None, "")),
    ],
)
def test_a_flow_takes_what_it_does_not_have(
    world: World, has: TlsTerms | None, domain: str, given: tuple[TlsTerms | None, str], expected: object
) -> None:
    flow = Flow(world.node, THERE, 5061, domain=domain, tls=has).under(*given)
    assert (flow.tls, flow.domain) == expected
    assert Flow(Node(world.network, "10.0.0.7"), THERE, 5060).under(*given).tls is None
