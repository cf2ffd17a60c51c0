"""When a dialled call first said how it is doing: RFC 6076 §4.3.1, what post-dial delay is measured to."""

from engine.sip.dialog.invite_client import InviteClient
from tests.simulation.network import Network, Node
from tests.simulation.peer import ANSWER, Peer, dial


def replied(*statuses: int) -> tuple[InviteClient, list[float]]:
    """A call that gets these responses, a tenth of a second between them, and when each came."""
    network = Network()
    node, peer = Node(network, "10.0.0.2"), Peer(network)
    session, _ = dial(node)
    invite = peer.requests("INVITE")[0]
    came = []
    for status in statuses:
        network.run(0.1)
        came.append(network.now)
        peer.answer(invite, status, body=ANSWER if status == 200 else b"")
    return session, came


def test_trying_says_nothing_of_the_call_and_ringing_does() -> None:
    session, came = replied(100, 180)
    assert session.first_reply is not None
    assert came[1] <= session.first_reply < came[1] + 0.1


def test_an_answer_without_ringing_is_the_first_that_is_heard() -> None:
    session, came = replied(100, 200)
    assert session.first_reply is not None
    assert came[1] <= session.first_reply < came[1] + 0.1


def test_early_media_is_heard_too_and_later_ringing_changes_nothing() -> None:
    session, came = replied(183, 180)
    assert session.first_reply is not None
    assert came[0] <= session.first_reply < came[1]


def test_a_call_that_was_refused_after_trying_was_never_heard_of() -> None:
    session, _ = replied(100, 503)
    assert session.first_reply is None
