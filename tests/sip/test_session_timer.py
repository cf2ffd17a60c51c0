"""Session timers, RFC 4028: what is agreed on, who refreshes, and the end of a call that nobody refreshes."""

import pytest

from engine.sip.core import Policy
from engine.sip.dialog.session_timer import SessionTimer, agree_as_client, agree_as_server, read, read_min_se, too_small
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from tests.simulation.network import Network, Node, Owner
from tests.simulation.peer import ANSWER, OFFER, STEP, Peer, dial, nothing_left


def request(headers: str = "") -> Request:
    message = parse(
        "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\n"
        f"Call-ID: c\r\nCSeq: 1 INVITE\r\n{headers}Content-Length: 0\r\n\r\n".encode()
    )
    assert isinstance(message, Request)
    return message


def response(headers: str = "") -> Response:
    message = parse(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\n"
        f"Call-ID: c\r\nCSeq: 1 INVITE\r\n{headers}Content-Length: 0\r\n\r\n".encode()
    )
    assert isinstance(message, Response)
    return message


TIMER = "Supported: timer\r\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1800", (1800, "")),
        ("1800;refresher=uas", (1800, "uas")),
        ("90 ; x=1; Refresher = UAC ;y", (90, "uac")),
        ("90;refresher=me", (90, "")),
        ("-5", (0, "")),
        ("99999999999", (0, "")),
        ("", (0, "")),
        ("soon", (0, "")),
    ],
)
def test_session_expires_is_read(value: str, expected: tuple[int, str]) -> None:
    assert read(request(f"Session-Expires: {value}\r\n")) == expected
    assert read(request(f"x: {value}\r\n")) == expected  # §4: the compact form


@pytest.mark.parametrize(("value", "least"), [("90", 90), ("90;x=1", 90), ("-1", 0), ("x", 0), ("²", 0)])
def test_min_se_is_read(value: str, least: int) -> None:
    assert read_min_se(request(f"Min-SE: {value}\r\n")) == least


def test_only_who_knows_422_gets_it_9() -> None:
    assert too_small(request(f"Session-Expires: 89\r\n{TIMER}"), 90)
    assert not too_small(request(f"Session-Expires: 90\r\n{TIMER}"), 90)
    assert not too_small(request("Session-Expires: 30\r\n"), 90)
    assert not too_small(request(TIMER), 90)


@pytest.mark.parametrize(
    ("headers", "timer", "lines"),
    [
        # The caller's wish is taken; it refreshes unless it said otherwise.
        (f"Session-Expires: 600\r\n{TIMER}", SessionTimer(600, False), "600;refresher=uac\r\nRequire: timer"),
        (f"Session-Expires: 600;refresher=uac\r\n{TIMER}", SessionTimer(600, False), "600;refresher=uac\r\nRequire"),
        (f"Session-Expires: 600;refresher=uas\r\n{TIMER}", SessionTimer(600, True), "600;refresher=uas\r\n"),
        # It knows the extension and asks for nothing: our wish, and we refresh.
        (TIMER, SessionTimer(1800, True), "1800;refresher=uas\r\n"),
        (f"Min-SE: 3600\r\n{TIMER}", SessionTimer(3600, True), "3600;refresher=uas\r\n"),
        # It does not know it, a proxy asked: only we can refresh, and the interval is not raised.
        ("Session-Expires: 600;refresher=uac\r\n", SessionTimer(600, True), "600;refresher=uas\r\n"),
        ("Session-Expires: 90\r\n", SessionTimer(90, True), "90;refresher=uas\r\n"),
        ("Session-Expires: 89\r\n", None, ""),
        ("Session-Expires: 30\r\n", None, ""),
        ("Supported: 100rel\r\n", None, ""),
        ("", None, ""),
    ],
)
def test_what_a_server_agrees_to_9(headers: str, timer: SessionTimer | None, lines: str) -> None:
    agreed, said = agree_as_server(request(headers), 1800, 90)
    assert agreed == timer
    assert lines in said and bool(said) == bool(timer)
    assert ("Require: timer" in said) == (timer is not None and not timer.we_refresh)


def test_a_server_without_a_wish_asks_for_nothing() -> None:
    assert agree_as_server(request(TIMER), 0, 90) == (None, "")


@pytest.mark.parametrize(
    ("headers", "timer"),
    [
        ("Session-Expires: 600;refresher=uac\r\n", SessionTimer(600, True)),
        ("Session-Expires: 600;refresher=uas\r\n", SessionTimer(600, False)),
        ("Session-Expires: 600\r\n", SessionTimer(600, True)),
        ("", None),
    ],
)
def test_what_a_client_agrees_to_7_2(headers: str, timer: SessionTimer | None) -> None:
    assert agree_as_client(response(headers)) == timer


def test_the_refresh_comes_at_half_and_the_end_a_little_before_the_interval_10() -> None:
    assert (SessionTimer(1800, True).refresh_in(), SessionTimer(1800, True).expires_in()) == (900, 1768)
    assert SessionTimer(90, True).expires_in() == 60


# ---- in a call


class World:
    def __init__(self, headers: str, we_call: bool = False, allow: str = "Allow: INVITE, UPDATE\r\n") -> None:
        self.network = Network()
        self.node = Node(self.network, "10.0.0.2", Policy(session_expires=600))
        self.peer = Peer(self.network)
        self.owner = Owner()
        if we_call:
            self.session, _ = dial(self.node)
            invite = self.peer.requests("INVITE")[0]
            self.peer.answer(invite, 200, allow + headers, ANSWER)
            self.peer.call_id, self.peer.remote_tag, self.peer.cseq = invite.call_id, invite.from_tag, 100
        else:
            self.peer.invite(allow + headers)
            self.session = self.node.calls[0]  # type: ignore[assignment]
            self.session.accept(self.network.now, ANSWER)  # type: ignore[attr-defined]
            self.network.run(STEP)
            self.peer.final("INVITE")
            self.peer.ack()
        self.session.user = self.owner
        self.start = self.network.now

    def at(self, seconds: float) -> None:
        """Go on until so long after the answer."""
        self.network.run(self.start + seconds - self.network.now)


def test_our_invite_asks_for_a_timer_7_1() -> None:
    invite = World("", we_call=True).peer.requests("INVITE")[0]
    assert (invite.get("Session-Expires"), invite.get("Min-SE")) == ("600", "90")
    assert "timer" in invite.tokens("Supported")


@pytest.mark.parametrize(("we_call", "who"), [(True, "uac"), (False, "uas")])
def test_we_refresh_by_update_7_4(we_call: bool, who: str) -> None:
    world = World(f"{TIMER}Session-Expires: 600;refresher={who}\r\n", we_call)
    world.at(299)
    assert world.peer.requests("UPDATE") == []
    world.at(300.1)
    update = world.peer.requests("UPDATE")[0]
    assert update.body == b""
    assert update.get("Session-Expires") == "600;refresher=uac"  # of this transaction, the client is we
    world.peer.answer(update, 200, "Session-Expires: 600;refresher=uac\r\n")
    world.at(599)
    assert len({update.branch for update in world.peer.requests("UPDATE")}) == 1
    world.at(601)
    assert len({update.branch for update in world.peer.requests("UPDATE")}) == 2


def test_we_refresh_by_reinvite_with_the_same_description_where_update_is_unknown_7_4() -> None:
    world = World(f"{TIMER}Session-Expires: 600;refresher=uas\r\n", allow="Allow: INVITE, ACK, BYE\r\n")
    world.at(300.1)
    invite = world.peer.requests("INVITE")[0]
    assert invite.body == ANSWER
    world.peer.answer(invite, 200, "Session-Expires: 600;refresher=uac\r\n", OFFER)
    assert world.peer.requests("ACK")[0].cseq == invite.cseq
    world.at(590)
    assert not world.session.ended


def test_an_update_that_is_refused_after_all_is_followed_by_a_reinvite() -> None:
    world = World(f"{TIMER}Session-Expires: 600;refresher=uas\r\n")
    world.at(300.1)
    world.peer.answer(world.peer.requests("UPDATE")[0], 405)
    world.at(300.3)
    assert world.peer.requests("INVITE")[0].body == ANSWER


def test_a_refresh_that_failed_is_tried_again_before_the_end() -> None:
    world = World(f"{TIMER}Session-Expires: 600;refresher=uas\r\n")
    world.at(300.1)
    world.peer.answer(world.peer.requests("UPDATE")[0], 500)
    world.at(376)
    again = world.peer.requests("UPDATE")[-1]
    assert again.cseq == world.peer.requests("UPDATE")[0].cseq + 1
    world.peer.answer(again, 200, "Session-Expires: 600;refresher=uac\r\n")
    world.at(600)
    assert not world.session.ended


@pytest.mark.parametrize("agreed", ["Session-Expires: 600;refresher=uac\r\n", ""])
def test_a_call_without_descriptions_is_refreshed_and_acknowledged(agreed: str) -> None:
    network = Network()
    node, peer = Node(network, "10.0.0.2", Policy(session_expires=600)), Peer(network)
    peer.invite(TIMER, b"")
    node.calls[0].accept(network.now)
    network.run(STEP)
    peer.final("INVITE")
    peer.ack()
    network.run(301)
    invite = peer.requests("INVITE")[0]
    peer.answer(invite, 200, agreed)
    assert [ack.cseq for ack in peer.requests("ACK")] == [invite.cseq]


@pytest.mark.parametrize("we_call", [False, True])
def test_a_call_that_the_peer_does_not_refresh_ends_10(we_call: bool) -> None:
    who = "uas" if we_call else "uac"
    world = World(f"{TIMER}Session-Expires: 600;refresher={who}\r\n", we_call)
    world.at(567)
    assert not world.session.ended
    world.at(569)
    assert "session timer expired" in world.peer.requests("BYE")[0].get("Reason")
    assert world.owner.events == [("ended", "local")]
    assert nothing_left(world.node)


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_the_peers_refresh_starts_the_interval_anew_9(method: str) -> None:
    world = World(f"{TIMER}Session-Expires: 600;refresher=uac\r\n")
    world.at(300)
    world.peer.request(method, f"{TIMER}Session-Expires: 600;refresher=uac\r\n")
    assert world.peer.final(method).get("Session-Expires") == "600;refresher=uac"
    if method == "INVITE":
        world.peer.ack()
    world.at(860)
    assert not world.session.ended
    world.at(870)
    assert world.session.ended


def test_a_refresh_may_switch_the_timer_off_7_4() -> None:
    world = World("Session-Expires: 600;refresher=uas\r\n", we_call=True)
    world.at(100)
    world.peer.request("UPDATE")
    world.at(5000)
    assert not world.session.ended


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_a_refresh_with_too_small_an_interval_is_422_9(method: str) -> None:
    world = World(f"{TIMER}Session-Expires: 600;refresher=uac\r\n")
    world.peer.request(method, f"{TIMER}Session-Expires: 60\r\n", OFFER)
    assert world.peer.final(method).status == 422
    assert world.peer.final(method).get("Min-SE") == "90"
    assert world.owner.events == [] and not world.session.ended


def test_a_422_to_our_refresh_is_followed_7_4() -> None:
    world = World("Session-Expires: 600;refresher=uac\r\n", we_call=True)
    world.at(300.1)
    world.peer.answer(world.peer.requests("UPDATE")[0], 422, "Min-SE: 1200\r\n")
    again = world.peer.requests("UPDATE")[-1]
    assert again.get("Session-Expires") == "1200;refresher=uac"
    world.peer.answer(again, 200, "Session-Expires: 1200;refresher=uac\r\n")
    world.at(800)
    assert not world.session.ended


def test_two_engines_keep_a_call_alive_for_a_day_over_a_bad_network() -> None:
    network = Network(3, loss=0.2, duplicates=0.1, jitter=0.1)
    network.keep_log = False
    caller, callee = Node(network, "10.0.0.1"), Node(network, "10.0.0.2")
    session, owner = dial(caller, "sip:10.0.0.2:5060")
    network.run(5)
    callee.calls[0].user = Owner()
    callee.calls[0].accept(network.now, ANSWER)
    network.run(86_400)
    assert owner.outcome == ("answered", 200)
    assert not session.ended and not callee.calls[0].ended
    session.bye(network.now)
    assert nothing_left(caller) and nothing_left(callee)


def test_a_peer_that_has_vanished_is_noticed_by_both_roles() -> None:
    network = Network()
    caller, callee = Node(network, "10.0.0.1"), Node(network, "10.0.0.2")
    session, _ = dial(caller, "sip:10.0.0.2:5060")
    callee.calls[0].user = Owner()
    callee.calls[0].accept(network.now, ANSWER)
    network.run(1)
    network.drop = lambda data: True
    network.run(1800)
    assert session.ended and callee.calls[0].ended
    assert nothing_left(caller) and nothing_left(callee)
