"""Connection reuse (RFC 5923): what the topmost Via says of it, ours and a peer's."""

import pytest

from engine.sip.flow import Flow, TlsTerms, identity_of
from tests.simulation.network import Network, Node
from tests.simulation.peer import Peer, dial
from tests.simulation.stage import request

SHOWN = TlsTerms(certificate="cert.pem", key="key.pem")


class Secure(Node):
    name, via_name, reliable = "tls", "TLS", True


class Stream:
    """A connection that notes what it is said to be another way to."""

    usable, error = True, ""

    def __init__(self) -> None:
        self.aliases: list[int] = []

    def alias(self, port: int) -> None:
        self.aliases.append(port)


@pytest.mark.parametrize(
    ("kind", "terms", "alias"),
    [(Secure, SHOWN, True), (Secure, TlsTerms(), False), (Secure, None, False), (Node, SHOWN, False)],
)
def test_we_ask_for_it_where_we_show_a_certificate(kind: type[Node], terms: TlsTerms | None, alias: bool) -> None:
    network = Network()
    node, peer = kind(network, "10.0.0.2"), Peer(network)
    session, _ = dial(node, flow=Flow(node, "10.0.0.1", 5060, domain="carrier.example", tls=terms))
    (invite,) = peer.requests("INVITE")
    assert ("alias" in invite.via.params) == alias and "rport" in invite.via.params
    peer.answer(invite, 180)
    session.cancel(network.now)
    network.run(0.01)
    (cancel,) = peer.requests("CANCEL")
    assert str(cancel.via) == str(invite.via)


@pytest.mark.parametrize(
    ("via", "identity", "ports"),
    [
        ("SIP/2.0/TLS proxy.example:5071;branch=z9hG4bK1;alias", "carrier.example", [5071]),
        ("SIP/2.0/TLS proxy.example;alias;branch=z9hG4bK1", "carrier.example", [5061]),
        ("SIP/2.0/TLS proxy.example:5071;rport;alias;branch=z9hG4bK1", "carrier.example", [5071]),
        ("SIP/2.0/TLS proxy.example:5071;branch=z9hG4bK1", "carrier.example", []),
        ("SIP/2.0/TLS proxy.example:5071;branch=z9hG4bK1;alias", "", []),
        ("SIP/2.0/TLS proxy.example:5071;branch=z9hG4bK1;x=;alias=", "carrier.example", []),
    ],
)
def test_a_peer_is_asked_for_a_certificate(via: str, identity: str, ports: list[int]) -> None:
    network = Network()
    node, stream = Secure(network, "10.0.0.2"), Stream()
    party = identity_of([identity], "10.0.0.1")
    node.endpoint.receive(
        request("OPTIONS", via=via),
        Flow(node, "10.0.0.1", 40_000, identity=party, connection=stream),  # type: ignore[arg-type]
        network.now,
    )
    assert stream.aliases == ports
