"""An established call: re-INVITE (RFC 3261 §14), UPDATE (RFC 3311), glare, INFO, OPTIONS, BYE, and what is refused."""

from collections.abc import Callable
from functools import partial

import pytest

from engine.sip.dialog.session import Session
from engine.sip.message.message import Request, Response
from engine.sip.transaction.server import ServerTransaction
from tests.simulation.network import Network, Node, Owner
from tests.simulation.peer import ANSWER, OFFER, STEP, Peer, content, dial, nothing_left


class SlowOwner(Owner):
    """Keeps what it is asked, to be answered by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[ServerTransaction] = []

    def on_reinvite(self, session: Session, request: Request, now: float) -> None:
        self.events.append(("reinvite", request.body))

    def on_request(self, session: Session, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.events.append((request.method, request.body))
        self.asked.append(transaction)


class World:
    """One established call, from a raw peer to a node or (`we_call`) the other way round."""

    def __init__(self, we_call: bool = False, allow: str = "Allow: INVITE, ACK, BYE, UPDATE\r\n") -> None:
        self.network = Network()
        self.node = Node(self.network, "10.0.0.2")
        self.peer = Peer(self.network)
        self.owner = SlowOwner()
        self.finals: list[int] = []
        self.session: Session
        if we_call:
            self.session, _ = dial(self.node)
            invite = self.peer.requests("INVITE")[0]
            self.peer.answer(invite, 200, allow, ANSWER)
            self.peer.call_id, self.peer.remote_tag, self.peer.cseq = invite.call_id, invite.from_tag, 100
        else:
            self.peer.invite(allow)
            self.session = self.node.calls[0]
            self.node.calls[0].accept(self.network.now, ANSWER)
            self.wait()
            self.peer.final("INVITE")
            self.peer.ack()
        self.session.user = self.owner
        self.peer.forget()

    @property
    def now(self) -> float:
        return self.network.now

    def wait(self, seconds: float = STEP) -> None:
        self.network.run(seconds)

    def noted(self, status: int, response: Response | None, now: float) -> None:
        self.finals.append(status)

    def renegotiate(self, method: str = "INVITE", body: bytes = OFFER, **more: bool) -> None:
        self.session.renegotiate(method, body, self.now, self.noted, **more)
        self.wait()

    def last(self, method: str) -> Request:
        return self.peer.requests(method)[-1]


@pytest.fixture(params=[False, True], ids=["they called", "we called"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture
def called() -> World:
    return World()


# ---- the peer's re-INVITE


def test_a_reinvite_is_answered_and_moves_the_target_14_2(world: World) -> None:
    world.peer.invite(contact="<sip:moved@10.0.0.1>")
    assert ("reinvite", OFFER) in world.owner.events
    assert world.session.accept_reinvite(world.now, ANSWER)
    world.wait()
    ok = world.peer.final("INVITE")
    assert (ok.status, content(ok.body), ok.get("Contact")) == (200, content(ANSWER), "<sip:10.0.0.2:5060>")
    world.peer.ack()
    assert world.session.dialog.remote_target == "sip:moved@10.0.0.1"
    world.session.bye(world.now)
    world.wait()
    assert world.last("BYE").uri_text == "sip:moved@10.0.0.1"


def test_a_refused_reinvite_leaves_the_session_as_it_was_14_2(world: World) -> None:
    before = world.session.dialog.remote_target
    branch = world.peer.invite(contact="<sip:moved@10.0.0.7>")
    world.session.refuse_reinvite(488, world.now)
    world.wait()
    assert world.peer.statuses("INVITE") == [100, 488]
    world.peer.request("ACK", branch=branch, cseq=world.peer.cseq)
    assert world.session.dialog.remote_target == before
    assert not world.session.ended and world.session.last_body in (OFFER, ANSWER)
    world.wait(40)
    assert world.peer.requests("BYE") == []


def test_a_2xx_to_a_reinvite_without_ack_is_bye_after_64_t1(called: World) -> None:
    called.peer.invite()
    called.session.accept_reinvite(called.now, ANSWER)
    called.wait(33)
    assert len(called.peer.requests("BYE")) >= 1
    assert nothing_left(called.node)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [("Content-Type: text/plain\r\n", b"hello", 415), ("Session-Expires: 1\r\nSupported: timer\r\n", OFFER, 422)],
)
def test_after_a_reinvite_that_was_refused_at_once_the_next_one_is_taken_14_2(
    called: World, headers: str, body: bytes, status: int
) -> None:
    called.peer.request("INVITE", headers, body)
    assert called.peer.final("INVITE").status == status
    called.peer.ack()
    called.peer.request("INVITE", body=OFFER)
    assert called.owner.events == [("reinvite", OFFER)]


def test_a_second_reinvite_before_the_first_is_answered_is_500_with_retry_after_14_2(called: World) -> None:
    called.peer.invite()
    called.peer.invite()
    last = called.peer.final("INVITE")
    assert last.status == 500 and 0 <= int(last.get("Retry-After")) <= 10
    called.session.accept_reinvite(called.now, ANSWER)
    called.wait()
    assert called.peer.statuses("INVITE")[-1] == 200


@pytest.mark.parametrize("tag", [None, ""])
def test_a_cancelled_reinvite_is_487_and_the_call_stays_9_2(called: World, tag: str | None) -> None:
    branch = called.peer.invite()
    called.peer.cancel(branch, to_tag=tag)
    assert called.peer.statuses("CANCEL") == [200]
    assert called.peer.statuses("INVITE") == [100, 487]
    assert not called.session.accept_reinvite(called.now, ANSWER)
    assert not called.session.ended


def test_bye_ends_a_pending_reinvite_with_487_15_1_2(called: World) -> None:
    called.peer.invite()
    called.peer.request("BYE")
    assert called.peer.statuses("BYE") == [200]
    assert called.peer.statuses("INVITE") == [100, 487]
    assert nothing_left(called.node)


# ---- ours


def test_our_reinvite_is_acknowledged_and_keeps_the_answer_14_1(world: World) -> None:
    world.renegotiate()
    invite = world.last("INVITE")
    assert content(invite.body) == content(OFFER) and invite.get("Contact") == "<sip:10.0.0.2:5060>"
    world.peer.answer(invite, 200, body=ANSWER, contact="<sip:moved@10.0.0.1>")
    world.peer.again()
    acks = world.peer.requests("ACK")
    assert [ack.cseq for ack in acks] == [invite.cseq] * 2
    assert acks[0].uri_text == "sip:moved@10.0.0.1"
    assert world.finals == [200] and world.session.last_body == invite.body


def test_our_refused_reinvite_leaves_the_session_as_it_was_14_1(world: World) -> None:
    before = world.session.last_body
    world.renegotiate(body=b"v=0\r\nnew\r\n")
    world.peer.answer(world.last("INVITE"), 488)
    assert world.finals == [488]
    assert world.session.last_body == before and not world.session.ended


def test_an_offerless_reinvite_is_acknowledged_when_its_answer_is_there_14_1(world: World) -> None:
    world.renegotiate(body=b"")
    invite = world.last("INVITE")
    world.peer.answer(invite, 200, body=OFFER)
    world.peer.again()
    assert world.peer.requests("ACK") == []
    world.session.acknowledge_reinvite(invite.cseq, ANSWER, world.now)
    world.wait()
    world.peer.again()
    assert [content(ack.body) for ack in world.peer.requests("ACK")] == [content(ANSWER)] * 2


@pytest.mark.parametrize("status", [481, 408])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_481_and_408_end_the_dialog_12_2_1_2(world: World, status: int, method: str) -> None:
    world.renegotiate(method)
    world.peer.answer(world.last(method), status)
    assert world.finals == [status]
    assert world.owner.events[-1] == ("ended", "local")
    assert len(world.peer.requests("BYE")) == 1
    assert nothing_left(world.node)


def test_silence_to_a_reinvite_ends_the_dialog_12_2_1_2(called: World) -> None:
    called.renegotiate()
    called.wait(33)
    assert called.finals == [408]
    assert called.session.ended
    assert nothing_left(called.node)


def test_a_call_that_ends_during_our_reinvite_tells_its_outcome_and_leaves_nothing(called: World) -> None:
    called.renegotiate()
    called.peer.answer(called.last("INVITE"), 100)
    called.peer.request("BYE")
    assert called.finals == [487]
    assert nothing_left(called.node)


def test_our_reinvite_waits_for_the_ack_of_our_200_14_1() -> None:
    """Both sides of a bridge may renegotiate right after one another: the second is late and no glare."""
    network = Network()
    node, peer, owner = Node(network, "10.0.0.2"), Peer(network), Owner()
    finals: list[int] = []
    peer.invite()
    session = node.calls[0]
    session.user = owner
    session.accept(network.now, ANSWER)
    session.renegotiate("INVITE", OFFER, network.now, lambda status, *_: finals.append(status))
    session.renegotiate("INVITE", OFFER, network.now, lambda status, *_: finals.append(status), retry_glare=True)
    network.run(0.02)
    assert finals == [491] and peer.requests("INVITE") == []  # one at a time
    peer.final("INVITE")
    peer.ack()
    network.run(0.02)
    assert len({invite.branch for invite in peer.requests("INVITE")}) == 1


def test_our_reinvite_that_waits_for_an_ack_in_vain_ends_14_1() -> None:
    network = Network()
    node, peer = Node(network, "10.0.0.2"), Peer(network)
    finals: list[int] = []
    peer.invite()
    session = node.calls[0]
    session.user = Owner()
    session.accept(network.now, ANSWER)
    session.renegotiate("INVITE", OFFER, network.now, lambda status, *_: finals.append(status))
    network.run(40)
    assert session.ended and finals == [487] and peer.requests("INVITE") == []


# ---- glare


def test_a_reinvite_while_ours_is_under_way_is_491_14_2(world: World) -> None:
    world.renegotiate()
    world.peer.invite()
    assert world.peer.statuses("INVITE")[-1] == 491
    assert ("reinvite", OFFER) not in world.owner.events


def test_491_is_reported_when_no_retry_was_asked_for(world: World) -> None:
    world.renegotiate()
    world.peer.answer(world.last("INVITE"), 491)
    assert world.finals == [491]


@pytest.mark.parametrize(("we_call", "least", "most"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_the_owner_of_the_call_id_waits_longer_14_1(we_call: bool, least: float, most: float) -> None:
    for random in (0.0, 0.5, 0.9999):
        world = World(we_call)
        world.node.endpoint.random = lambda random=random: random
        world.renegotiate(retry_glare=True)
        world.peer.answer(world.last("INVITE"), 491)
        start, before = world.now, len(world.peer.requests("INVITE"))
        while len(world.peer.requests("INVITE")) == before:
            world.wait()
            assert world.now - start < 5
        waited = world.now - start
        assert least - 0.03 <= waited <= most + 0.03
        assert world.finals == []
        world.peer.answer(world.last("INVITE"), 200, body=ANSWER)
        assert world.finals == [200]


def test_during_the_back_off_the_peers_reinvite_is_taken_14_1() -> None:
    world = World(we_call=True)
    world.renegotiate(retry_glare=True)
    world.peer.answer(world.last("INVITE"), 491)
    count = len(world.peer.requests("INVITE"))
    world.peer.invite()
    assert ("reinvite", OFFER) in world.owner.events
    world.wait(6)
    assert len(world.peer.requests("INVITE")) == count  # not while theirs is open
    world.session.accept_reinvite(world.now, ANSWER)
    world.wait()
    world.peer.ack()
    world.wait(5)
    assert len(world.peer.requests("INVITE")) > count


def test_two_user_agents_in_glare_settle_14_1() -> None:
    for seed in range(20):
        network = Network(seed)
        a, b = Node(network, "10.0.0.1"), Node(network, "10.0.0.2")
        owner = Owner()
        b.on_invite = _accepting(b, owner)
        caller, _ = dial(a, "sip:10.0.0.2:5060")
        network.run(1)
        callee = b.calls[0]
        finals: dict[Session, int] = {}
        for session in (caller, callee):
            note = partial(_note, finals, session)
            session.renegotiate("INVITE", OFFER, network.now, note, retry_glare=True)
        network.run(10)
        assert finals == {caller: 200, callee: 200}
        caller.bye(network.now)
        assert nothing_left(a) and nothing_left(b)


def _note(finals: dict[Session, int], session: Session, status: int, response: object, now: float) -> None:
    finals[session] = status


def _accepting(node: Node, owner: Owner) -> Callable[[Session], None]:
    def came(session: Session) -> None:
        node.calls.append(session)  # type: ignore[arg-type]
        session.user = owner
        session.accept(node.network.now, ANSWER)  # type: ignore[attr-defined]

    return came


# ---- UPDATE


def test_an_update_with_an_offer_is_the_owners_rfc_3311_5_2(world: World) -> None:
    world.peer.request("UPDATE", body=OFFER, contact="<sip:moved@10.0.0.1>")
    world.session.reply(world.owner.asked[0], 200, world.now, body=ANSWER)
    world.wait()
    ok = world.peer.final("UPDATE")
    assert (ok.status, content(ok.body)) == (200, content(ANSWER)) and "Contact" in ok.first
    assert world.session.dialog.remote_target == "sip:moved@10.0.0.1"


def test_a_refused_update_moves_nothing_rfc_3311_5_2(world: World) -> None:
    before = world.session.dialog.remote_target
    world.peer.request("UPDATE", body=OFFER, contact="<sip:moved@10.0.0.7>")
    world.session.reply(world.owner.asked[0], 488, world.now)
    world.wait()
    assert world.peer.final("UPDATE").status == 488
    assert world.session.dialog.remote_target == before


def test_an_update_without_an_offer_is_answered_at_once(world: World) -> None:
    world.peer.request("UPDATE")
    assert world.peer.statuses("UPDATE") == [200]
    assert world.owner.asked == []


def test_an_update_while_our_offer_is_open_is_491_rfc_3311_5_2(world: World) -> None:
    world.renegotiate("UPDATE")
    world.peer.request("UPDATE", body=OFFER)
    assert world.peer.statuses("UPDATE") == [491]
    world.peer.request("UPDATE")  # without an offer there is no glare
    assert world.peer.statuses("UPDATE") == [491, 200]
    world.peer.answer(world.last("UPDATE"), 200, body=ANSWER)
    assert world.finals == [200]


def test_a_second_update_before_the_first_is_answered_is_500_rfc_3311_5_2(world: World) -> None:
    world.peer.request("UPDATE", body=OFFER)
    world.peer.request("UPDATE", body=OFFER)
    assert world.peer.statuses("UPDATE") == [500]
    assert 0 <= int(world.peer.final("UPDATE").get("Retry-After")) <= 10
    world.session.reply(world.owner.asked[0], 200, world.now, body=ANSWER)
    world.wait()
    assert world.peer.statuses("UPDATE") == [500, 200]


@pytest.mark.parametrize("by_us", [True, False])
def test_an_update_that_waits_when_the_call_ends_is_487_15_1_2(world: World, by_us: bool) -> None:
    world.peer.request("UPDATE", body=OFFER)
    if by_us:
        world.session.bye(world.now)
        world.wait()
        world.peer.answer(world.last("BYE"), 200)
    else:
        world.peer.request("BYE")
    assert world.peer.statuses("UPDATE") == [487]
    assert nothing_left(world.node)


def test_an_update_with_an_offer_while_a_reinvite_is_open_is_500(world: World) -> None:
    world.peer.invite()
    world.peer.request("UPDATE", body=OFFER)
    assert world.peer.statuses("UPDATE") == [500]


def test_our_offerless_update_does_not_hold_up_a_reinvite(world: World) -> None:
    world.renegotiate("UPDATE", b"")
    world.peer.invite()
    assert ("reinvite", OFFER) in world.owner.events


# ---- INFO, OPTIONS, and what is not served


def test_info_is_the_owners_and_answered_once(world: World) -> None:
    world.peer.request("INFO", "Content-Type: application/dtmf-relay\r\n", b"Signal=5\r\n")
    assert world.owner.events == [("INFO", b"Signal=5\r\n")]
    for status in (200, 500):
        world.session.reply(world.owner.asked[0], status, world.now)
    world.wait()
    assert world.peer.statuses("INFO") == [200]


def test_our_info_and_its_answer(world: World) -> None:
    world.session.request("INFO", world.now, "Content-Type: text/plain\r\n", b"5", world.noted)
    world.wait()
    info = world.last("INFO")
    assert info.body == b"5" and "Contact" not in info.first
    world.peer.answer(info, 100)
    world.peer.answer(info, 415)
    assert world.finals == [415] and not world.session.ended


def test_481_to_info_ends_the_dialog_12_2_1_2(world: World) -> None:
    world.session.request("INFO", world.now, on_final=world.noted)
    world.wait()
    world.peer.answer(world.last("INFO"), 481)
    assert world.finals == [481] and world.session.ended


def test_options_within_the_call_11_2(world: World) -> None:
    world.peer.request("OPTIONS")
    answer = world.peer.final("OPTIONS")
    assert answer.status == 200
    assert "invite" in answer.tokens("Allow") and "timer" in answer.tokens("Supported")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("FROBNICATE", "", 501),
        ("INFO", "Require: gruu\r\n", 420),
        ("PRACK", "RAck: 1 1 INVITE\r\n", 481),
    ],
)
def test_what_is_not_served_is_refused_and_the_call_stays(
    called: World, method: str, headers: str, status: int
) -> None:
    called.peer.request(method, headers)
    assert called.peer.statuses(method) == [status]
    assert status not in (405, 501) or "invite" in called.peer.final(method).tokens("Allow")
    assert not called.session.ended


def test_a_request_out_of_order_is_500_12_2_2(world: World) -> None:
    world.peer.request("INFO", cseq=150)
    world.peer.request("INFO", cseq=149)
    assert world.peer.statuses("INFO") == [500]
    assert len(world.owner.asked) == 1
    world.peer.request("BYE", cseq=10)
    assert world.peer.statuses("BYE") == [500] and not world.session.ended


def test_a_retransmitted_request_is_answered_and_reported_once_17_2_2(world: World) -> None:
    world.peer.request("INFO")
    world.session.reply(world.owner.asked[0], 200, world.now)
    world.wait()
    world.peer.again()
    assert world.peer.statuses("INFO") == [200, 200]
    assert len(world.owner.asked) == 1


@pytest.mark.parametrize("tag", ["wrong", "peertag"])
def test_a_request_for_an_unknown_dialog_is_481_12_2_2(called: World, tag: str) -> None:
    called.peer.request("BYE", to_tag=tag)
    assert called.peer.statuses("BYE") == [481]
    assert not called.session.ended


# ---- the end


def test_byes_that_cross_end_both_sides(world: World) -> None:
    world.session.bye(world.now)
    world.peer.request("BYE")
    assert world.peer.statuses("BYE") in ([481], [200])
    assert world.owner.events == [("ended", "local")]
    world.peer.answer(world.last("BYE"), 200)
    assert nothing_left(world.node)


def test_a_bye_that_nobody_answers_leaves_nothing(world: World) -> None:
    world.session.bye(world.now)
    world.session.bye(world.now)
    assert nothing_left(world.node)
    assert len({bye.branch for bye in world.peer.requests("BYE")}) == 1
    assert len(world.owner.events) == 1


def test_the_longest_call_time_ends_the_call(called: World) -> None:
    called.session.limit(called.now + 3600)
    called.session.timer = None
    called.wait(1)
    assert called.peer.requests("BYE") == []
    called.session._start_timer(None, called.now)
    called.wait(3600)
    assert "longest call time" in called.last("BYE").get("Reason")
    assert called.session.end_reason == "longest call time reached"
    assert nothing_left(called.node)


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ("Content-Type: application/json\r\n", ("Accept", "application/sdp, application/pidf+xml, multipart/mixed")),
        ("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", ("Accept-Encoding", "identity")),
    ],
)
def test_an_offer_that_is_no_description_is_415_8_2_3(method: str, headers: str, accepted: tuple[str, str]) -> None:
    world = World()
    world.peer.request(method, headers, b"{}")
    final = world.peer.final(method)
    assert (final.status, final.get(accepted[0])) == (415, accepted[1])
    assert world.owner.events == [] and not world.session.ended
