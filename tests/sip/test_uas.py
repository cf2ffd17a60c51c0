"""Incoming calls until they are answered or refused: RFC 3261 §13.3, §9.2, §15; RFC 3262 §3."""

import pytest

from engine.sip.dialog.invite_server import InviteServer
from engine.sip.message.message import Response
from engine.sip.message.parsing import parse
from tests.simulation.network import Network, Node, Owner
from tests.simulation.peer import ANSWER, OFFER, Peer, nothing_left
from tests.simulation.stage import Stage, request


class World:
    def __init__(self) -> None:
        self.network = Network()
        self.node = Node(self.network, "10.0.0.2")
        self.peer = Peer(self.network)
        self.owner = Owner()
        self.node.on_invite = self.came
        self.session: InviteServer

    def came(self, session: InviteServer) -> None:
        session.user = self.owner
        self.session = session
        self.node.calls.append(session)

    @property
    def now(self) -> float:
        return self.network.now

    def wait(self, seconds: float = 0.01) -> None:
        self.network.run(seconds)

    def accept(self, body: bytes = ANSWER) -> None:
        self.session.accept(self.now, body)
        self.wait()


@pytest.fixture
def world() -> World:
    return World()


def rack(peer: Peer, cseq: int = 1) -> str:
    response = next(r for r in reversed(peer.responses("INVITE")) if "RSeq" in r.first)
    peer.remote_tag = response.to_tag
    return f"RAck: {response.get('RSeq')} {cseq} INVITE\r\n"


# ---- the answer


def test_an_answered_call_13_3_1_4(world: World) -> None:
    world.peer.invite()
    world.session.provisional(180, world.now)
    world.wait()
    world.accept()
    assert world.peer.statuses("INVITE") == [100, 180, 200]
    ringing, ok = world.peer.responses("INVITE")[1:]
    assert ringing.to_tag == ok.to_tag != ""
    assert ok.body == ANSWER and ok.get("Content-Type") == "application/sdp"
    assert ok.get("Contact") == "<sip:10.0.0.2:5060>"
    assert "UPDATE" in ok.tokens("Allow") or "update" in ok.tokens("Allow")
    world.peer.final("INVITE")
    world.peer.ack()
    assert ("acknowledged", b"") in world.owner.events
    world.peer.request("BYE", "Reason: Q.850;cause=16\r\n")
    assert world.peer.statuses("BYE") == [200]
    assert world.owner.events[-1] == ("ended", "remote")
    assert nothing_left(world.node)


def test_record_route_is_echoed_in_what_makes_a_dialog_12_1_1(world: World) -> None:
    world.peer.invite("Record-Route: <sip:10.0.0.1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n")
    world.session.provisional(180, world.now)
    world.accept()
    for response in world.peer.responses("INVITE")[1:]:
        assert response.values("Record-Route") == ["<sip:10.0.0.1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]
    assert world.peer.responses("INVITE")[0].values("Record-Route") == []


def test_the_2xx_is_sent_again_until_its_ack_13_3_1_4(world: World) -> None:
    world.peer.invite()
    start = world.now
    world.accept()
    world.wait(13)
    sent = [at - start for at, source, _, data in world.network.log if source == "10.0.0.2" and b" 200 OK" in data[:20]]
    assert sent == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 11.5])  # T1 doubling up to T2
    world.peer.final("INVITE")
    world.peer.ack()
    world.peer.forget()
    world.wait(60)
    assert world.peer.heard == []


def test_a_2xx_without_ack_is_bye_after_64_t1_13_3_1_4(world: World) -> None:
    world.peer.invite()
    world.accept()
    world.wait(31.9)
    assert world.peer.requests("BYE") == []
    world.wait(0.2)
    assert len(world.peer.requests("BYE")) == 1
    assert world.owner.events[-1] == ("ended", "local")
    assert world.session.end_reason == "no ACK"
    assert nothing_left(world.node)


def test_the_ack_of_another_invite_does_not_stop_the_2xx(world: World) -> None:
    world.peer.invite()
    world.accept()
    world.peer.final("INVITE")
    world.peer.ack(cseq=9)
    assert world.session.awaits_ack


def test_our_bye_waits_for_the_ack_15(world: World) -> None:
    world.peer.invite()
    world.accept()
    world.session.bye(world.now, "Q.850;cause=16")
    world.wait()
    assert world.peer.requests("BYE") == []
    world.peer.final("INVITE")
    world.peer.ack()
    bye = world.peer.requests("BYE")[0]
    assert bye.get("Reason") == "Q.850;cause=16"
    world.peer.answer(bye, 200)
    assert world.owner.events[-1] == ("ended", "local")
    assert nothing_left(world.node)


def test_a_bye_that_waits_for_an_ack_goes_out_after_64_t1_15(world: World) -> None:
    world.peer.invite()
    world.accept()
    world.session.bye(world.now)
    world.wait(33)
    assert len(world.peer.requests("BYE")) >= 1
    assert nothing_left(world.node)


def test_the_peers_bye_before_its_ack_ends_the_call(world: World) -> None:
    world.peer.invite()
    world.accept()
    world.peer.final("INVITE")
    world.peer.request("BYE")
    world.peer.forget()
    world.wait(40)
    assert world.peer.heard == []
    assert world.owner.events[-1] == ("ended", "remote")
    assert nothing_left(world.node)


def test_late_offer_the_200_offers_and_the_ack_answers_13_3_1_4(world: World) -> None:
    world.peer.invite(body=b"")
    world.accept(OFFER)
    assert world.peer.final("INVITE").body == OFFER
    world.peer.ack(ANSWER)
    assert ("acknowledged", ANSWER) in world.owner.events


def test_our_requests_follow_the_callers_route_12_2_1_1(world: World) -> None:
    other = Peer(world.network, "10.0.0.7")
    world.peer.contact = "<sip:deep@192.0.2.1>"
    world.peer.invite("Record-Route: <sip:10.0.0.7;lr>\r\nRecord-Route: <sip:far;lr>\r\n")
    world.accept()
    world.peer.final("INVITE")
    world.peer.ack()
    world.session.bye(world.now)
    world.wait()
    bye = other.requests("BYE")[0]
    assert bye.uri_text == "sip:deep@192.0.2.1"
    assert bye.values("Route") == ["<sip:10.0.0.7;lr>", "<sip:far;lr>"]
    assert (bye.from_tag, bye.to_tag) == (world.peer.remote_tag, world.peer.tag)


# ---- refusal, CANCEL, BYE


def test_a_refusal_is_final_and_acknowledged_hop_by_hop(world: World) -> None:
    branch = world.peer.invite()
    world.session.reject(486, world.now, "Retry-After: 7\r\n")
    world.wait()
    assert world.peer.final("INVITE").status == 486
    assert world.peer.final("INVITE").get("Retry-After") == "7"
    world.peer.request("ACK", branch=branch, cseq=1)
    world.peer.forget()
    world.wait(40)
    assert world.peer.heard == []
    assert world.owner.events == [("ended", "local")]
    assert nothing_left(world.node)


def test_cancel_is_answered_and_ends_the_invite_with_487_9_2(world: World) -> None:
    branch = world.peer.invite()
    world.session.provisional(180, world.now)
    world.wait()
    world.peer.cancel(branch, "Reason: SIP;cause=200\r\n")
    assert world.peer.statuses("CANCEL") == [200]
    assert world.peer.statuses("INVITE") == [100, 180, 487]
    assert world.owner.events == [("ended", "remote")]
    assert nothing_left(world.node)


def test_cancel_after_the_200_changes_nothing_9_2(world: World) -> None:
    branch = world.peer.invite()
    world.accept()
    world.peer.cancel(branch)
    assert world.peer.statuses("CANCEL") == [200]
    assert set(world.peer.statuses("INVITE")) == {100, 200}
    assert not world.session.ended


def test_a_cancel_of_nothing_is_481_9_2(world: World) -> None:
    world.peer.cancel("z9hG4bKnone")
    assert world.peer.statuses("CANCEL") == [481]


def test_bye_of_the_caller_in_an_early_dialog_15_1_2(world: World) -> None:
    world.peer.invite()
    world.session.provisional(180, world.now)
    world.wait()
    world.peer.remote_tag = world.peer.responses("INVITE")[-1].to_tag
    world.peer.request("BYE")
    assert world.peer.statuses("BYE") == [200]
    assert world.peer.statuses("INVITE")[-1] == 487
    assert world.owner.events == [("ended", "remote")]
    assert nothing_left(world.node)


def test_orders_after_the_end_do_nothing(world: World) -> None:
    branch = world.peer.invite()
    world.peer.cancel(branch)
    world.peer.forget()
    world.session.provisional(180, world.now)
    world.session.accept(world.now, ANSWER)
    world.session.reject(486, world.now)
    world.session.bye(world.now)
    world.wait(0.3)
    assert world.peer.heard == []


# ---- what is refused before there is a call


@pytest.mark.parametrize(
    ("headers", "body", "status", "header", "value"),
    [
        (
            "Content-Type: text/plain\r\n",
            b"hello",
            415,
            "Accept",
            "application/sdp, application/pidf+xml, multipart/mixed",
        ),
        ("Content-Encoding: gzip\r\n", OFFER, 415, "Accept-Encoding", "identity"),
        ("Require: path, 100rel\r\n", OFFER, 420, "Unsupported", "path"),
        ("Session-Expires: 30\r\nSupported: timer\r\n", OFFER, 422, "Min-SE", "90"),
        ("Accept: text/plain\r\n", OFFER, 406, "", ""),
    ],
)
def test_invites_that_cannot_be_served(
    world: World, headers: str, body: bytes, status: int, header: str, value: str
) -> None:
    world.peer.invite(headers, body)
    assert world.peer.statuses("INVITE")[-1] == status
    assert header == "" or world.peer.final("INVITE").get(header) == value
    assert world.node.calls == []
    assert nothing_left(world.node)


def test_an_optional_body_of_another_kind_is_left_unread(world: World) -> None:
    world.peer.invite("Content-Type: text/plain\r\nContent-Disposition: render;handling=optional\r\n", b"hello")
    assert world.peer.statuses("INVITE") == [100]


@pytest.mark.parametrize("contact", ["", "*", "<tel:+15551234567>"])
def test_an_invite_without_usable_contact_is_400_8_1_1_8(world: World, contact: str) -> None:
    world.peer.invite(contact=contact)
    assert world.peer.statuses("INVITE") == [400]
    assert nothing_left(world.node)


def test_the_same_call_over_another_path_is_482_8_2_2_2(world: World) -> None:
    world.peer.invite()
    world.peer.invite(cseq=1)  # another branch
    assert world.peer.statuses("INVITE") == [100, 482]
    assert len(world.node.calls) == 1


def test_the_same_call_over_another_path_is_482_even_after_a_prack_8_2_2_2(world: World) -> None:
    world.peer.invite("Require: 100rel\r\n")
    world.session.provisional(180, world.now)
    world.wait()
    world.peer.request("PRACK", rack(world.peer))
    world.peer.invite(cseq=1, to_tag="")
    assert world.peer.statuses("INVITE")[-1] == 482


# ---- the way back to the caller


def test_a_caller_behind_a_nat_is_reached_where_it_sends_from(world: World) -> None:
    world.peer.via_host = "192.168.1.5"
    world.peer.contact = "<sip:a@192.168.1.5:5060>"
    world.peer.invite()
    assert world.peer.responses("INVITE")[0].via.received == "10.0.0.1"
    world.accept()
    world.peer.final("INVITE")
    world.peer.ack()
    world.session.bye(world.now)
    world.wait()
    assert world.peer.requests("BYE")[0].uri_text == "sip:a@192.168.1.5:5060"


def test_a_name_in_via_is_no_nat_and_contact_counts(world: World) -> None:
    other = Peer(world.network, "192.0.2.7")
    world.peer.via_host = "sbc.example.com"
    world.peer.contact = "<sip:a@192.0.2.7>"
    world.peer.invite()
    world.accept()
    world.peer.final("INVITE")
    world.peer.ack()
    world.session.bye(world.now)
    world.wait()
    assert len(other.requests("BYE")) == 1


def test_a_caller_on_a_connection_is_reached_over_it(world: World) -> None:
    world.node.reliable, world.node.name, world.node.via_name = True, "tcp", "TCP"
    world.peer.transport = "TCP"
    world.peer.contact = "<sip:a@10.9.9.9;transport=tcp>"
    world.peer.invite()
    world.accept()
    assert world.peer.final("INVITE").get("Contact") == "<sip:10.0.0.2:5060;transport=tcp>"
    world.peer.ack()
    world.session.bye(world.now)
    world.wait()
    assert len(world.peer.requests("BYE")) == 1


# ---- reliable provisional responses


def test_required_100rel_makes_every_provisional_reliable_rfc_3262_3(world: World) -> None:
    world.peer.invite("Require: 100rel\r\n")
    world.session.provisional(180, world.now)
    world.wait()
    ringing = world.peer.responses("INVITE")[-1]
    assert ringing.get("Require") == "100rel"
    assert 1 <= int(ringing.get("RSeq")) < 2**31
    assert "RSeq" not in world.peer.responses("INVITE")[0].first


def test_supported_100rel_is_used_where_asked_for_only(world: World) -> None:
    world.peer.invite("Supported: timer\r\nSupported: 100rel\r\n")
    world.session.provisional(180, world.now)
    world.session.provisional(183, world.now, ANSWER, reliable=True)
    world.wait()
    assert ["RSeq" in r.first for r in world.peer.responses("INVITE")] == [False, False, True]


def test_a_reliable_response_is_sent_again_without_an_upper_bound_rfc_3262_3(world: World) -> None:
    world.peer.invite("Require: 100rel\r\n")
    start = world.now
    world.session.provisional(180, world.now)
    world.wait(20)
    sent = [at - start for at, source, _, data in world.network.log if source == "10.0.0.2" and b" 180 " in data[:20]]
    assert sent == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 15.5])
    assert len(set(world.peer.raw[1:])) == 1
    world.peer.request("PRACK", rack(world.peer))
    assert world.peer.statuses("PRACK") == [200]
    assert ("PRACK", b"") not in world.owner.events  # only one with an answer concerns it
    world.peer.forget()
    world.wait(39)
    assert world.peer.heard == []


def test_an_answer_in_a_prack_that_nobody_waits_for_is_accepted(world: World) -> None:
    world.peer.invite("Supported: 100rel\r\n", b"")
    world.session.provisional(183, world.now, OFFER, reliable=True)
    world.wait()
    world.session.user = None
    world.peer.request("PRACK", rack(world.peer), ANSWER)
    assert world.peer.statuses("PRACK") == [200]


def test_no_prack_for_64_t1_refuses_the_call_rfc_3262_3(world: World) -> None:
    world.peer.invite("Require: 100rel\r\n")
    world.session.provisional(180, world.now)
    world.wait(32.1)
    assert 500 <= world.peer.final("INVITE").status < 600
    assert world.owner.events == [("ended", "local")]
    assert nothing_left(world.node)


@pytest.mark.parametrize("change", ["rseq", "cseq", "method", "nothing", "twice"])
def test_a_prack_that_fits_nothing_is_481_rfc_3262_3(world: World, change: str) -> None:
    world.peer.invite("Require: 100rel\r\n")
    world.session.provisional(180, world.now)
    world.wait()
    _, rseq, cseq, method = rack(world.peer).split()
    values = {
        "rseq": f"{int(rseq) + 1} {cseq} {method}",
        "cseq": f"{rseq} {int(cseq) + 1} {method}",
        "method": f"{rseq} {cseq} UPDATE",
        "nothing": "",
        "twice": f"{rseq} {cseq} {method}",
    }
    if change == "twice":
        world.peer.request("PRACK", f"RAck: {values[change]}\r\n")
        world.peer.forget()
    world.peer.request("PRACK", f"RAck: {values[change]}\r\n" if values[change] else "")
    assert world.peer.statuses("PRACK") == [481]
    assert not world.session.ended


def test_one_reliable_response_at_a_time_in_order_rfc_3262_3(world: World) -> None:
    world.peer.invite("Require: 100rel\r\n")
    for status in (180, 183, 181):
        world.session.provisional(status, world.now)
    world.wait()
    assert world.peer.statuses("INVITE") == [100, 180]
    first = rack(world.peer)
    world.peer.request("PRACK", first)
    assert world.peer.statuses("INVITE") == [100, 180, 183]
    second = rack(world.peer)
    assert int(second.split()[1]) == int(first.split()[1]) + 1
    world.peer.request("PRACK", second)
    assert world.peer.statuses("INVITE") == [100, 180, 183, 181]


def test_the_200_waits_for_the_prack_of_a_session_description_rfc_3262_3(world: World) -> None:
    world.peer.invite("Supported: 100rel\r\n")
    world.session.provisional(183, world.now, ANSWER, reliable=True)
    world.wait()
    world.accept(b"")
    assert world.session.answered
    assert world.peer.statuses("INVITE") == [100, 183]
    world.peer.request("PRACK", rack(world.peer))
    assert world.peer.statuses("INVITE") == [100, 183, 200]


def test_hanging_up_while_the_200_waits_for_a_prack_refuses_the_call_15(world: World) -> None:
    world.peer.invite("Supported: 100rel\r\n")
    world.session.provisional(183, world.now, ANSWER, reliable=True)
    world.accept(b"")
    world.session.bye(world.now, "Q.850;cause=16")
    world.wait()
    assert world.peer.requests("BYE") == []
    assert world.peer.final("INVITE").status == 480
    assert world.peer.final("INVITE").get("Reason") == "Q.850;cause=16"
    assert world.owner.events == [("ended", "local")]
    assert nothing_left(world.node)


def test_cancel_while_the_200_waits_for_a_prack(world: World) -> None:
    branch = world.peer.invite("Supported: 100rel\r\n")
    world.session.provisional(183, world.now, ANSWER, reliable=True)
    world.accept(b"")
    world.peer.cancel(branch)
    assert world.peer.statuses("INVITE")[-1] == 487
    assert nothing_left(world.node)


def test_a_prack_that_arrives_after_the_200_is_still_taken_rfc_3262_3(world: World) -> None:
    world.peer.invite("Require: 100rel\r\n")
    world.session.provisional(180, world.now)
    world.wait()
    world.accept()
    assert world.peer.statuses("INVITE") == [100, 180, 200]  # no description waits for its PRACK
    world.peer.request("PRACK", rack(world.peer))
    assert world.peer.statuses("PRACK") == [200]
    world.peer.ack(cseq=1)
    world.peer.forget()
    world.wait(60)
    assert world.peer.heard == []


def test_the_answer_to_an_early_offer_comes_in_the_prack_rfc_3262_5(world: World) -> None:
    world.peer.invite("Supported: 100rel\r\n", b"")
    world.session.provisional(183, world.now, OFFER, reliable=True)
    world.wait()
    world.peer.request("PRACK", rack(world.peer), ANSWER)
    assert ("PRACK", ANSWER) in world.owner.events
    assert world.peer.statuses("PRACK") == [200]


def test_an_update_before_the_offer_is_answered_is_500_with_retry_after_rfc_3311_5_2(world: World) -> None:
    world.peer.invite("Require: 100rel\r\n")
    world.session.provisional(180, world.now)
    world.wait()
    world.peer.request("PRACK", rack(world.peer))
    world.peer.request("UPDATE", body=OFFER)
    assert world.peer.statuses("UPDATE") == [500]
    assert 0 <= int(world.peer.final("UPDATE").get("Retry-After")) <= 10


def test_an_update_in_an_early_dialog_is_the_owners_rfc_3311_5_2(world: World) -> None:
    world.peer.invite("Supported: 100rel\r\n")
    world.session.provisional(183, world.now, ANSWER, reliable=True)
    world.wait()
    world.peer.request("PRACK", rack(world.peer))
    world.peer.request("UPDATE", body=OFFER)
    assert ("UPDATE", OFFER) in world.owner.events
    assert world.peer.statuses("UPDATE") == [200]


def test_a_reinvite_before_the_first_is_answered_is_500_with_retry_after_14_2(world: World) -> None:
    world.peer.invite()
    world.session.provisional(180, world.now)
    world.wait()
    world.peer.remote_tag = world.peer.responses("INVITE")[-1].to_tag
    world.peer.invite()
    last = world.peer.final("INVITE")
    assert last.status == 500
    assert 0 <= int(last.get("Retry-After")) <= 10
    assert not world.session.ended


def test_a_caller_that_refreshes_no_more_is_hung_up_also_where_its_invite_had_expires() -> None:
    """The two are different times: the INVITE's own ends with the answer (§13.3.1), the session's begins (RFC 4028)."""
    stage = Stage()
    stage.on_invite = lambda session: session.accept(stage.now, b"v=0\r\n")
    headers = ("Expires: 20", "Supported: timer", "Session-Expires: 90;refresher=uac")
    stage.receive(request("INVITE", headers=headers))
    [answer] = [data for data in stage.udp.take() if b" 200 " in data[:15]]
    ok = parse(answer)
    assert isinstance(ok, Response)
    stage.receive(request("ACK", to_tag=ok.to_tag, branch="z9hG4bKb"))
    stage.run(30)
    assert stage.endpoint.sessions
    stage.run(90)
    assert not stage.endpoint.sessions
    assert [data[:3] for data in stage.udp.take()][:1] == [b"BYE"]
