"""Outgoing calls until they are answered or refused: RFC 3261 §13.2, §9.1, §22; RFC 3262 §4; RFC 3263 §4.3."""

from collections.abc import Callable

import pytest

from engine.sip.auth.credentials import Credentials
from engine.sip.dialog.invite_client import Invitation, InviteClient
from engine.sip.flow import Flow
from engine.sip.message.message import Request
from tests.simulation.network import Network, Node
from tests.simulation.peer import ANSWER, LOGIN, OFFER, Dialler, Peer, dial, nothing_left


class World:
    def __init__(self) -> None:
        self.network = Network()
        self.node = Node(self.network, "10.0.0.2")
        self.peer = Peer(self.network)

    def wait(self, seconds: float = 0.01) -> None:
        self.network.run(seconds)

    @property
    def invites(self) -> list[Request]:
        return self.peer.requests("INVITE")


@pytest.fixture
def world() -> World:
    return World()


# ---- the answer


def test_an_answered_call_13_2_2_4(world: World) -> None:
    session, owner = dial(world.node)
    invite = world.invites[0]
    assert invite.body == OFFER and invite.to_tag == ""
    world.peer.answer(invite, 180)
    world.peer.answer(invite, 200, body=ANSWER)
    assert owner.events == [("progress", 180), ("answered", 200)]
    ack = world.peer.requests("ACK")[0]
    assert ack.uri_text == "sip:peer@10.0.0.1:5060"
    assert (ack.cseq, ack.from_tag, ack.to_tag, ack.call_id) == (1, invite.from_tag, "peertag", invite.call_id)
    assert ack.branch != invite.branch  # §13.2.2.4: the ACK of a 2xx is a transaction of its own
    session.bye(world.network.now, "Q.850;cause=16")
    world.wait()
    bye = world.peer.requests("BYE")[0]
    assert (bye.cseq, bye.get("Reason")) == (2, "Q.850;cause=16")
    world.peer.answer(bye, 200)
    assert owner.events[-1] == ("ended", "local")
    assert nothing_left(world.node)


def test_the_ack_is_repeated_for_every_2xx_13_2_2_4(world: World) -> None:
    _, owner = dial(world.node)
    world.peer.answer(world.invites[0], 200, body=ANSWER)
    for _ in range(3):
        world.peer.again()
    acks = [raw for raw in world.peer.raw if raw.startswith(b"ACK")]
    assert len(acks) == 4 and len(set(acks)) == 1
    assert owner.events == [("answered", 200)]


def test_requests_follow_the_route_of_the_answer_reversed_12_1_2(world: World) -> None:
    session, _ = dial(world.node)
    proxy = Peer(world.network, "10.0.0.7")
    world.peer.answer(world.invites[0], 200, "Record-Route: <sip:far;lr>\r\nRecord-Route: <sip:10.0.0.7;lr>\r\n")
    assert proxy.requests("ACK")[0].values("Route") == ["<sip:10.0.0.7;lr>", "<sip:far;lr>"]
    session.bye(world.network.now)
    world.wait()
    assert proxy.requests("BYE")[0].uri_text == "sip:peer@10.0.0.1:5060"


def test_a_strict_router_gets_its_own_uri_12_2_1_1(world: World) -> None:
    dial(world.node)
    proxy = Peer(world.network, "10.0.0.7")
    world.peer.answer(world.invites[0], 200, "Record-Route: <sip:10.0.0.7>\r\n")
    ack = proxy.requests("ACK")[0]
    assert ack.uri_text == "sip:10.0.0.7"
    assert ack.values("Route") == ["<sip:peer@10.0.0.1:5060>"]


def test_late_offer_the_ack_answers_13_2_2_4(world: World) -> None:
    session, owner = dial(world.node, body=b"")
    assert "Content-Type" not in world.invites[0].first
    owner.acknowledges = False
    world.peer.answer(world.invites[0], 200, body=OFFER)
    world.peer.again()
    assert world.peer.requests("ACK") == []  # there is no answer yet
    session.acknowledge(world.network.now, ANSWER)
    world.wait()
    world.peer.again()
    assert [ack.body for ack in world.peer.requests("ACK")] == [ANSWER, ANSWER]


def test_a_bye_never_goes_out_before_the_ack_that_is_owed_13_2_2_4(world: World) -> None:
    session, owner = dial(world.node, body=b"")
    owner.acknowledges = False
    world.peer.answer(world.invites[0], 200, body=OFFER)
    session.bye(world.network.now)
    world.wait()
    assert world.peer.kinds()[-2:] == ["ACK", "BYE"]


# ---- forks


def test_each_to_tag_is_an_early_dialog_of_its_own_12_1_2(world: World) -> None:
    _, owner = dial(world.node)
    for tag in ("one", "two", "three"):
        world.peer.answer(world.invites[0], 180, tag=tag)
    assert world.node.leftovers()["dialogs"] == 3
    world.peer.answer(world.invites[0], 200, body=ANSWER, tag="two")
    assert world.node.leftovers()["dialogs"] == 1
    assert world.peer.requests("ACK")[0].to_tag == "two"
    assert owner.outcome == ("answered", 200)


def test_every_other_2xx_gets_ack_and_bye_13_2_2_4(world: World) -> None:
    session, owner = dial(world.node)
    world.peer.answer(world.invites[0], 200, body=ANSWER, tag="kept")
    world.peer.answer(world.invites[0], 200, body=ANSWER, tag="other", contact="<sip:other@10.0.0.1>")
    assert world.peer.requests("ACK")[-1].to_tag == "other"
    bye = world.peer.requests("BYE")[0]
    assert (bye.to_tag, bye.uri_text) == ("other", "sip:other@10.0.0.1")
    world.peer.again()
    assert [ack.to_tag for ack in world.peer.requests("ACK")] == ["kept", "other", "other"]
    assert len(world.peer.requests("BYE")) == 1
    assert not session.ended and owner.outcome == ("answered", 200)


def test_even_the_twentieth_fork_is_hung_up_13_2_2_4(world: World) -> None:
    dial(world.node)
    for number in range(20):
        world.peer.answer(world.invites[0], 183, "Require: 100rel\r\nRSeq: 1\r\n", tag=f"fork{number}")
    for number in range(20):
        world.peer.answer(world.invites[0], 200, body=ANSWER, tag=f"fork{number}")
    assert {bye.to_tag for bye in world.peer.requests("BYE")} == {f"fork{n}" for n in range(1, 20)}


def test_an_answer_without_tag_is_not_ended_by_a_second_one(world: World) -> None:
    session, _ = dial(world.node)
    world.peer.answer(world.invites[0], 200, body=ANSWER, tag="")
    world.peer.answer(world.invites[0], 200, body=ANSWER, tag="fork")
    assert not session.ended
    assert [bye.to_tag for bye in world.peer.requests("BYE")] == ["fork"]


# ---- CANCEL


def test_cancel_waits_for_a_provisional_response_9_1(world: World) -> None:
    session, owner = dial(world.node)
    session.cancel(world.network.now, "SIP;cause=200")
    world.wait(1)
    assert world.peer.requests("CANCEL") == []
    assert owner.outcome == ("cancelled", 487)
    invite = world.invites[0]
    world.peer.answer(invite, 100)
    cancel = world.peer.requests("CANCEL")[0]
    assert (cancel.branch, cancel.cseq, cancel.uri_text) == (invite.branch, invite.cseq, invite.uri_text)
    assert (cancel.get("To"), cancel.get("From")) == (invite.get("To"), invite.get("From"))
    assert cancel.get("Reason") == "SIP;cause=200"
    world.peer.answer(cancel, 200)
    world.peer.answer(invite, 180)
    world.wait(1)
    assert len(world.peer.requests("CANCEL")) == 1
    world.peer.answer(invite, 487)
    assert world.peer.requests("ACK")[0].branch == invite.branch
    assert nothing_left(world.node)


def test_cancel_goes_out_once_after_a_provisional_response_9_1(world: World) -> None:
    session, _ = dial(world.node)
    world.peer.answer(world.invites[0], 180)
    session.cancel(world.network.now)
    world.wait()
    world.peer.answer(world.peer.requests("CANCEL")[0], 200)
    world.peer.answer(world.invites[0], 183)
    world.peer.answer(world.invites[0], 180)
    assert len(world.peer.requests("CANCEL")) == 1


def test_an_answer_that_crosses_the_cancel_gets_ack_and_bye_9_1(world: World) -> None:
    session, owner = dial(world.node)
    world.peer.answer(world.invites[0], 180)
    session.cancel(world.network.now)
    world.wait()
    world.peer.answer(world.invites[0], 200, body=ANSWER)
    assert [kind for kind in world.peer.kinds() if kind in ("ACK", "BYE")] == ["ACK", "BYE"]
    assert owner.outcome == ("cancelled", 487)
    assert session.ended
    for request in (world.peer.requests("CANCEL")[0], world.peer.requests("BYE")[0]):
        world.peer.answer(request, 200)
    assert nothing_left(world.node)


def test_an_answer_to_a_call_cancelled_before_any_reply_gets_ack_and_bye(world: World) -> None:
    session, _ = dial(world.node)
    session.cancel(world.network.now)
    world.wait()
    world.peer.answer(world.invites[0], 200, body=ANSWER)
    assert world.peer.kinds()[-2:] == ["ACK", "BYE"]
    assert nothing_left(world.node)


def test_a_cancelled_invite_is_over_after_64_t1_without_a_final_response_9_1(world: World) -> None:
    session, _ = dial(world.node)
    world.peer.answer(world.invites[0], 180)
    session.cancel(world.network.now)
    world.wait(31)
    assert not session.ended
    world.wait(2)
    assert session.ended
    assert nothing_left(world.node)


def test_a_call_given_up_while_its_name_is_looked_up_never_goes_out(world: World) -> None:
    found: list[Callable[[list[Flow]], None]] = []
    world.node.endpoint.locate = lambda uri, done: found.append(done)
    session, owner = dial(world.node)
    session.cancel(world.network.now)
    found[0]([Flow(world.node, "10.0.0.1", 5060)])
    world.wait(1)
    assert world.peer.heard == []
    assert owner.outcome == ("cancelled", 487)
    assert nothing_left(world.node)


# ---- refusals


@pytest.mark.parametrize("status", [302, 404, 486, 500, 603])
def test_a_refusal_is_reported_and_acknowledged(world: World, status: int) -> None:
    session, owner = dial(world.node)
    world.peer.answer(world.invites[0], status)
    assert owner.outcome == ("refused", status)
    assert session.ended and session.end_status == status
    assert world.peer.kinds() == ["INVITE", "ACK"]
    assert nothing_left(world.node)


def test_nobody_answers(world: World) -> None:
    _, owner = dial(world.node, no_reply_timeout=5.0)
    world.wait(4.9)
    assert owner.outcome is None
    world.wait(0.1)
    assert owner.outcome == ("no_reply", 408)
    count = len(world.invites)
    assert nothing_left(world.node)
    assert len(world.invites) == count  # nothing more is asked of a silent peer


def test_timer_b_is_no_reply_17_1_1_2(world: World) -> None:
    _, owner = dial(world.node, no_reply_timeout=100.0)
    world.wait(32.1)
    assert owner.outcome == ("no_reply", 408)
    assert len(world.invites) == 7
    assert nothing_left(world.node)


def test_nothing_but_100_is_no_progress(world: World) -> None:
    _, owner = dial(world.node, no_progress_timeout=10.0)
    world.peer.answer(world.invites[0], 100)
    world.wait(10.1)
    assert owner.outcome == ("no_progress", 408)
    assert len(world.peer.requests("CANCEL")) >= 1
    assert nothing_left(world.node)


def test_ringing_has_an_end(world: World) -> None:
    _, owner = dial(world.node, ring_timeout=30.0)
    world.peer.answer(world.invites[0], 180)
    world.wait(29)
    assert owner.outcome is None
    world.wait(2)
    assert owner.outcome == ("ring_timeout", 408)
    assert nothing_left(world.node)


def test_the_callee_may_not_end_an_early_dialog_by_bye_15(world: World) -> None:
    _, owner = dial(world.node)
    invite = world.invites[0]
    world.peer.answer(invite, 180)
    world.peer.call_id, world.peer.remote_tag = invite.call_id, invite.from_tag
    world.peer.request("BYE")
    assert world.peer.statuses("BYE") == [481]
    assert owner.outcome is None


# ---- credentials


CHALLENGE = 'Digest realm="r", nonce="n1", algorithm=MD5, qop="auth"'


@pytest.mark.parametrize(
    ("status", "asked", "told"),
    [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")],
)
def test_a_challenge_is_answered_once_22_2(world: World, status: int, asked: str, told: str) -> None:
    _, owner = dial(world.node, credentials=LOGIN)
    world.peer.answer(world.invites[0], status, f"{asked}: {CHALLENGE}\r\n")
    first, second = world.invites
    assert told not in first.first
    assert 'username="alice"' in second.get(told) and "nc=00000001" in second.get(told)
    assert (second.cseq, second.call_id, second.from_tag) == (2, first.call_id, first.from_tag)
    assert second.branch != first.branch and second.to_tag == ""
    world.peer.answer(second, status, f"{asked}: {CHALLENGE}\r\n")
    assert len(world.invites) == 2
    assert owner.outcome == ("refused", status)
    assert nothing_left(world.node)


def test_a_stale_nonce_is_no_refusal_rfc_7616_3_3(world: World) -> None:
    _, owner = dial(world.node, credentials=LOGIN)
    world.peer.answer(world.invites[0], 401, f"WWW-Authenticate: {CHALLENGE}\r\n")
    stale = CHALLENGE.replace("n1", "n2") + ", stale=true"
    world.peer.answer(world.invites[1], 401, f"WWW-Authenticate: {stale}\r\n")
    assert 'nonce="n2"' in world.invites[2].get("Authorization")
    world.peer.answer(world.invites[2], 401, f"WWW-Authenticate: {stale}\r\n")
    assert len(world.invites) == 3
    assert owner.outcome == ("refused", 401)


def test_a_proxy_and_the_server_behind_it_each_get_their_own_22_3(world: World) -> None:
    dial(world.node, credentials=LOGIN)
    world.peer.answer(world.invites[0], 407, f"Proxy-Authenticate: {CHALLENGE}\r\n")
    world.peer.answer(world.invites[1], 401, f"WWW-Authenticate: {CHALLENGE}\r\n")
    last = world.invites[2]
    assert "nc=00000002" in last.get("Proxy-Authorization") and "nc=00000001" in last.get("Authorization")


@pytest.mark.parametrize("credentials", [None, Credentials("alice", "secret", realm="elsewhere")])
def test_without_fitting_credentials_a_challenge_is_a_refusal(world: World, credentials: Credentials | None) -> None:
    _, owner = dial(world.node, credentials=credentials)
    world.peer.answer(world.invites[0], 401, f"WWW-Authenticate: {CHALLENGE}\r\n")
    assert owner.outcome == ("refused", 401)


@pytest.mark.parametrize(
    "challenge", ["Digest realm", 'realm="r", nonce="n"', 'Digest realm="r", realm="s", nonce="n"']
)
def test_a_malformed_challenge_is_a_refusal(world: World, challenge: str) -> None:
    _, owner = dial(world.node, credentials=LOGIN)
    world.peer.answer(world.invites[0], 401, f"WWW-Authenticate: {challenge}\r\n")
    assert owner.outcome == ("refused", 401)
    assert len(world.invites) == 1
    assert nothing_left(world.node)


def test_later_requests_log_in_too_22_1_22_3(world: World) -> None:
    session, _ = dial(world.node, credentials=LOGIN)
    world.peer.answer(world.invites[0], 407, f"Proxy-Authenticate: {CHALLENGE}\r\n")
    world.peer.answer(world.invites[1], 200, body=ANSWER)
    ack = world.peer.requests("ACK")[-1]
    assert ack.get("Proxy-Authorization") == world.invites[1].get("Proxy-Authorization")
    session.bye(world.network.now)
    world.wait()
    assert "nc=00000002" in world.peer.requests("BYE")[0].get("Proxy-Authorization")


def answered_by_a_server_that_challenges(world: World) -> InviteClient:
    session, _ = dial(world.node, credentials=LOGIN)
    world.peer.answer(world.invites[0], 200, body=ANSWER)
    peer, invite = world.peer, world.invites[0]
    peer.call_id, peer.remote_tag, peer.cseq = invite.call_id, invite.from_tag, 700
    return session


def test_a_refer_is_sent_again_with_credentials_and_its_notifications_name_that_rfc_3515_2_4_6(world: World) -> None:
    session, peer = answered_by_a_server_that_challenges(world), world.peer
    ends: list[tuple[str, int]] = []
    session.refer("sip:x@10.9.9.9", "", world.network.now, lambda end: ends.append((end.ended, end.status)))
    world.wait()
    peer.answer(peer.requests("REFER")[0], 401, f"WWW-Authenticate: {CHALLENGE}\r\n")
    world.wait()
    first, second = peer.requests("REFER")
    assert "nc=00000001" in second.get("Authorization") and second.get("Refer-To") == first.get("Refer-To")
    peer.answer(second, 202)
    event = f"Event: refer;id={second.cseq}\r\nSubscription-State: terminated;reason=noresource\r\n"
    peer.request("NOTIFY", event + "Content-Type: message/sipfrag\r\n", b"SIP/2.0 200 OK\r\n")
    assert (peer.statuses("NOTIFY"), ends) == ([200], [("told", 200)])


def test_a_notify_is_sent_again_with_credentials_and_the_next_waits_for_it(world: World) -> None:
    session, peer = answered_by_a_server_that_challenges(world), world.peer
    peer.request("REFER", "Refer-To: <sip:x@10.9.9.9>\r\nContact: <sip:peer@10.0.0.1>\r\n")
    assert session.subscription is not None
    session.subscription.accept(world.network.now)
    world.wait()
    session.subscription.final(200, "OK", world.network.now)
    peer.answer(peer.requests("NOTIFY")[0], 407, f"Proxy-Authenticate: {CHALLENGE}\r\n")
    world.wait()
    first, second = peer.requests("NOTIFY")
    assert (second.body, second.get("Event")) == (first.body, first.get("Event"))
    peer.answer(second, 200)
    world.wait()
    third = peer.requests("NOTIFY")[2]
    assert b"200 OK" in third.body and "nc=00000002" in third.get("Proxy-Authorization")


# ---- 422


def test_422_is_tried_again_with_the_interval_it_asks_for_rfc_4028_7_1(world: World) -> None:
    _, owner = dial(world.node, credentials=LOGIN)
    assert world.invites[0].get("Session-Expires") == "1800"
    world.peer.answer(world.invites[0], 422, "Min-SE: 3600\r\n")
    world.peer.answer(world.invites[1], 401, f"WWW-Authenticate: {CHALLENGE}\r\n")
    last = world.invites[2]
    assert (last.get("Session-Expires"), last.get("Min-SE")) == ("3600", "3600")
    world.peer.answer(last, 422, "Min-SE: 7200\r\n")
    again = world.invites[3]
    assert again.get("Min-SE") == "7200" and "Authorization" in again.first
    world.peer.answer(again, 422, "Min-SE: 7200\r\n")
    assert owner.outcome == ("refused", 422)


@pytest.mark.parametrize("header", ["", "Min-SE: 10\r\n", "Min-SE: 99999999\r\n", "Min-SE: x\r\n"])
def test_a_422_that_cannot_be_followed_is_a_refusal(world: World, header: str) -> None:
    _, owner = dial(world.node)
    world.peer.answer(world.invites[0], 422, header)
    assert owner.outcome == ("refused", 422)


# ---- the next hop


class TwoFlows(World):
    """A name with two addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.second = Peer(self.network, "10.0.0.3")
        self.node.endpoint.locate = self.find

    def find(self, uri: str, done: Callable[[list[Flow]], None]) -> None:
        if uri == "sip:name":
            done([Flow(self.node, "10.0.0.1", 5060), Flow(self.node, "10.0.0.3", 5060)])
        else:
            self.node.locate(uri, done)


def test_503_tries_the_next_address_rfc_3263_4_3() -> None:
    world = TwoFlows()
    _, owner = dial(world.node, "sip:name")
    world.peer.answer(world.invites[0], 503)
    invite = world.second.requests("INVITE")[0]
    assert invite.branch != world.invites[0].branch
    assert owner.outcome is None
    world.second.answer(invite, 503)
    assert owner.outcome == ("refused", 503)
    assert nothing_left(world.node)


def test_silence_tries_the_next_address_and_the_first_is_cancelled_when_it_wakes_rfc_3263_4_3() -> None:
    world = TwoFlows()
    _, owner = dial(world.node, "sip:name", no_reply_timeout=2.0)
    world.wait(2)
    invite = world.second.requests("INVITE")[0]
    world.second.answer(invite, 180)
    world.peer.answer(world.invites[0], 180)
    world.wait(0.3)
    assert len(world.peer.requests("CANCEL")) == 1
    assert owner.events == [("progress", 180)]  # the one that is asked now
    world.peer.answer(world.peer.requests("CANCEL")[0], 200)
    world.peer.answer(world.invites[0], 487)
    world.second.answer(invite, 200, body=ANSWER)
    assert owner.outcome == ("answered", 200)
    assert len(world.second.requests("ACK")) == 1


def test_a_late_answer_of_the_first_address_is_hung_up_rfc_3263_4_3() -> None:
    world = TwoFlows()
    session, owner = dial(world.node, "sip:name", no_reply_timeout=2.0)
    world.wait(2)
    invite = world.second.requests("INVITE")[0]
    world.second.answer(invite, 180, tag="second")
    world.peer.answer(world.invites[0], 200, body=ANSWER, tag="first")
    assert world.peer.kinds()[-2:] == ["ACK", "BYE"]
    assert owner.outcome is None and not session.ended
    world.peer.answer(world.peer.requests("BYE")[0], 200)
    world.second.answer(invite, 200, body=ANSWER, tag="second")
    assert owner.outcome == ("answered", 200)
    assert session.dialog.remote_tag == "second"
    world.second.call_id, world.second.remote_tag, world.second.tag = invite.call_id, invite.from_tag, "second"
    world.second.request("BYE")
    assert nothing_left(world.node)


def test_a_cancelled_old_address_that_never_ends_leaves_nothing() -> None:
    world = TwoFlows()
    session, _ = dial(world.node, "sip:name", no_reply_timeout=2.0)
    world.wait(2)
    world.peer.answer(world.invites[0], 180)  # and nothing after its CANCEL
    world.second.answer(world.second.requests("INVITE")[0], 486)
    assert session.ended
    assert nothing_left(world.node)


def test_a_name_that_does_not_resolve_is_unreachable(world: World) -> None:
    world.node.endpoint.locate = lambda uri, done: done([])
    _, owner = dial(world.node)
    assert owner.outcome == ("unreachable", 503)
    assert nothing_left(world.node)


def test_a_refused_connection_is_unreachable(world: World) -> None:
    _, owner = dial(world.node)
    data = world.peer.raw[0]
    world.node.endpoint.failed(Flow(world.node, "10.0.0.1", 5060), data, "connection refused", world.network.now)
    assert owner.outcome == ("unreachable", 503)
    assert nothing_left(world.node)


# ---- reliable provisional responses


def test_a_reliable_response_gets_a_prack_once_rfc_3262_4(world: World) -> None:
    _, owner = dial(world.node)
    assert "100rel" in world.invites[0].tokens("Supported")
    world.peer.answer(world.invites[0], 183, "Require: 100rel\r\nRSeq: 77\r\n", ANSWER)
    prack = world.peer.requests("PRACK")[0]
    assert (prack.get("RAck"), prack.to_tag, prack.cseq) == ("77 1 INVITE", "peertag", 2)
    world.peer.answer(prack, 200)
    world.peer.answer(world.invites[0], 183, "Require: 100rel\r\nRSeq: 77\r\n", ANSWER)
    assert len(world.peer.requests("PRACK")) == 1
    assert owner.events == [("progress", 183)]
    world.peer.answer(world.invites[0], 200)
    assert world.peer.requests("ACK")[0].cseq == 1


def test_a_gap_in_rseq_is_not_acknowledged_rfc_3262_4(world: World) -> None:
    _, owner = dial(world.node)
    world.peer.answer(world.invites[0], 180, "Require: 100rel\r\nRSeq: 7\r\n")
    world.peer.answer(world.invites[0], 183, "Require: 100rel\r\nRSeq: 9\r\n")
    world.peer.answer(world.invites[0], 183, "Require: 100rel\r\nRSeq: x\r\n")
    assert {prack.get("RAck") for prack in world.peer.requests("PRACK")} == {"7 1 INVITE"}
    assert owner.events == [("progress", 180)]


def test_rseq_counts_on_rfc_3262_4(world: World) -> None:
    _, owner = dial(world.node)
    for status, rseq in ((180, 7), (183, 8)):
        world.peer.answer(world.invites[0], status, f"Require: 100rel\r\nRSeq: {rseq}\r\n")
        world.peer.answer(world.peer.requests("PRACK")[-1], 200)
    assert [prack.get("RAck") for prack in world.peer.requests("PRACK")] == ["7 1 INVITE", "8 1 INVITE"]
    assert owner.events == [("progress", 180), ("progress", 183)]


@pytest.mark.parametrize(("rseq", "acknowledged"), [("2147483647", 1), ("10000000000", 0), ("²", 0), ("", 0)])
def test_rseq_is_a_number_of_ten_digits_at_most_rfc_3262_7_1(world: World, rseq: str, acknowledged: int) -> None:
    dial(world.node)
    world.peer.answer(world.invites[0], 180, f"Require: 100rel\r\nRSeq: {rseq}\r\n")
    assert len(world.peer.requests("PRACK")) == acknowledged


def test_ringing_without_an_offer_is_acknowledged_at_once_rfc_3262_5(world: World) -> None:
    session, _ = dial(world.node, body=b"")
    world.peer.answer(world.invites[0], 180, "Require: 100rel\r\nRSeq: 7\r\n")
    assert len(world.peer.requests("PRACK")) == 1 and not session.holds_prack


def test_each_fork_counts_its_own_rseq_rfc_3262_4(world: World) -> None:
    dial(world.node)
    world.peer.answer(world.invites[0], 180, "Require: 100rel\r\nRSeq: 7\r\n", tag="one")
    world.peer.answer(world.invites[0], 180, "Require: 100rel\r\nRSeq: 900\r\n", tag="two")
    assert [(p.to_tag, p.get("RAck")) for p in world.peer.requests("PRACK")] == [
        ("one", "7 1 INVITE"),
        ("two", "900 1 INVITE"),
    ]


def test_an_early_offer_is_answered_in_the_prack_rfc_3262_5(world: World) -> None:
    session, _ = dial(world.node, body=b"")
    world.peer.answer(world.invites[0], 183, "Require: 100rel\r\nRSeq: 7\r\n", OFFER)
    assert world.peer.requests("PRACK") == [] and session.holds_prack
    session.prack(world.network.now, ANSWER)
    world.wait()
    prack = world.peer.requests("PRACK")[0]
    assert (prack.body, prack.get("Content-Type")) == (ANSWER, "application/sdp")
    assert not session.holds_prack


def test_a_call_that_may_not_ask_for_100rel_does_not(world: World) -> None:
    dial(world.node, reliable=False)
    assert world.invites[0].tokens("Supported") == {"timer"}


def test_prack_follows_the_early_route_rfc_3262_4(world: World) -> None:
    proxy = Peer(world.network, "10.0.0.7")
    dial(world.node)
    headers = "Require: 100rel\r\nRSeq: 7\r\nRecord-Route: <sip:10.0.0.7;lr>\r\n"
    world.peer.answer(world.invites[0], 183, headers, contact="<sip:deep@192.0.2.9>")
    prack = proxy.requests("PRACK")[0]
    assert (prack.uri_text, prack.get("Route")) == ("sip:deep@192.0.2.9", "<sip:10.0.0.7;lr>")


def test_an_unusable_route_in_a_provisional_does_not_end_the_call(world: World) -> None:
    _, owner = dial(world.node)
    world.peer.answer(world.invites[0], 183, "Require: 100rel\r\nRSeq: 7\r\nRecord-Route: <sip:x\r\n")
    world.peer.answer(world.invites[0], 486)
    assert owner.outcome == ("refused", 486)
    assert nothing_left(world.node)


def test_a_connection_that_carried_the_invite_carries_the_rest(world: World) -> None:
    world.node.reliable, world.node.name, world.node.via_name = True, "tcp", "TCP"
    session, _ = dial(world.node)
    assert world.invites[0].get("Contact") == "<sip:10.0.0.2:5060;transport=tcp>"
    world.peer.answer(world.invites[0], 200, body=ANSWER, contact="<sip:peer@10.9.9.9;transport=tcp>")
    session.bye(world.network.now)
    world.wait()
    assert world.peer.kinds() == ["INVITE", "ACK", "BYE"]


def test_refused_before_it_is_sent(world: World) -> None:
    owner = Dialler()
    session = InviteClient(
        world.node.endpoint,
        Invitation(request_uri="sip:b@x", destination="sip:x", from_="<sip:a@x>", to="<sip:b@x>"),
        owner,
    )
    session.refuse_locally(483, "Too Many Hops", 0.0)
    assert owner.outcome == ("refused", 483)
    assert nothing_left(world.node)
