"""Two legs through the engine, peer by peer: what of one side reaches the other, and what never does."""

import pytest

from engine import dial
from engine.settings import AgentSettings
from engine.sip.message.message import Request
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, ThroughCalls, start_agent
from tests.simulation.peer import ANSWER, OFFER, Peer, content

UPDATES = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO, PRACK\r\n"
HOLD = OFFER + b"a=sendonly\r\n"
HELD = ANSWER + b"a=recvonly\r\n"
DTMF = "Content-Type: application/dtmf-relay\r\n"


class World:
    def __init__(self, patch: pytest.MonkeyPatch, **spec: object) -> None:
        self.network = LoopNetwork()
        self.flow = ThroughCalls(**spec)
        self.agent = self.flow.agent = start_agent(self.network, self.flow, patch, AgentSettings())
        self.a = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
        self.b = Peer(self.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
        self.a.tag, self.b.tag = "atag", "btag"

    def wait(self, seconds: float = 0.02) -> None:
        self.network.run(seconds)

    def call(self, headers: str = UPDATES, body: bytes = OFFER, **more: object) -> Request:
        """The caller calls; the INVITE that the callee hears, whose dialog `b` then is in."""
        self.a.invite(headers, body, uri=f"sip:b@{ENGINE}", **more)
        self.wait()
        invite = self.b.requests("INVITE")[0]
        self.b.call_id, self.b.remote_tag, self.b.cseq = invite.call_id, invite.from_tag, 500
        return invite

    def reply(self, invite: Request, status: int, headers: str = UPDATES, body: bytes = b"") -> None:
        self.b.answer(invite, status, headers, body, tag="btag")
        self.wait()

    def answered(self) -> "World":
        """An established call."""
        self.reply(self.call(), 200, body=ANSWER)
        self.a.final("INVITE")
        self.a.ack()
        self.wait()
        self.a.forget()
        self.b.forget()
        return self

    def over(self) -> bool:
        """Nothing is left of any call."""
        self.network.run(40)
        agent = self.agent
        left = [agent.calls, agent.incoming, agent.tasks.running, agent.endpoint.sessions, agent.endpoint.dialogs]
        left += [agent.endpoint.transactions.clients, agent.endpoint.transactions.servers]
        return not any(left)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


# ---- the call


def test_a_call_through_with_fresh_identifiers_on_each_leg(world: World) -> None:
    headers = (
        f"{UPDATES}Record-Route: <sip:secret-proxy;lr>\r\nVia: SIP/2.0/UDP secret-hop;branch=z9hG4bKdeep\r\n"
        "Route: <sip:127.0.0.2;lr>\r\nSubject: secret\r\n"
    )
    invite = world.call(headers)
    assert invite.body == OFFER
    assert invite.call_id != world.a.call_id and invite.from_tag not in ("", "atag") and invite.to_tag == ""
    assert len(invite.lines("Via")) == 1 and invite.get("Contact") == f"<sip:{ENGINE}:5060>"
    assert b"secret" not in world.b.raw[0] and CALLER.encode() not in world.b.raw[0].partition(b"\r\n\r\n")[0]
    assert invite.get("Max-Forwards") == "69"
    world.reply(invite, 180)
    world.reply(invite, 200, UPDATES + "Record-Route: <sip:127.0.0.3;lr>\r\nServer: secret\r\n", ANSWER)
    ok = world.a.final("INVITE")
    assert world.a.statuses("INVITE") == [100, 180, 200]
    assert ok.body == ANSWER and ok.to_tag not in ("", "btag")
    assert ok.values("Record-Route") == ["<sip:secret-proxy;lr>"]  # of this leg, as it came
    assert ok.get("Contact") == f"<sip:{ENGINE}:5060>" and ok.get("Server") != "secret"
    assert [ack.cseq for ack in world.b.requests("ACK")] == [invite.cseq]


def test_the_callers_bye_reaches_the_callee_with_its_reason_rfc_3326(world: World) -> None:
    world.answered()
    world.a.request("BYE", "Reason: Q.850;cause=16\r\n")
    world.wait()
    assert world.a.statuses("BYE") == [200]
    bye = world.b.requests("BYE")[0]
    assert bye.get("Reason") == "Q.850;cause=16"
    world.b.answer(bye, 200)
    assert world.flow.calls[0].ended_by == "remote"
    assert world.over()


def test_the_callees_bye_reaches_the_caller_with_its_reason_rfc_3326(world: World) -> None:
    world.answered()
    world.b.request("BYE", "Reason: Q.850;cause=31\r\n")
    world.wait()
    assert world.b.statuses("BYE") == [200]
    assert world.flow.ended == ["callee"]
    bye = world.a.requests("BYE")[0]
    assert bye.get("Reason") == "Q.850;cause=31"
    world.a.answer(bye, 200)
    assert world.over()


def test_a_cancel_reaches_the_callee_with_its_reason(world: World) -> None:
    invite = world.call()
    world.reply(invite, 180)
    world.a.cancel("z9hG4bK127.0.0.1x1", "Reason: SIP;cause=600\r\n", to_tag="")
    world.wait()
    assert world.a.statuses("INVITE") == [100, 180, 487]
    cancel = world.b.requests("CANCEL")[0]
    assert cancel.get("Reason") == "SIP;cause=600" and cancel.branch == invite.branch
    world.b.answer(cancel, 200)
    world.reply(invite, 487)
    assert world.over()


def test_an_answer_that_crosses_the_callers_cancel_is_hung_up(world: World) -> None:
    invite = world.call()
    world.reply(invite, 180)
    world.a.cancel("z9hG4bK127.0.0.1x1", to_tag="")
    world.reply(invite, 200, body=ANSWER)
    assert [kind for kind in world.b.kinds() if kind in ("ACK", "BYE")] == ["ACK", "BYE"]
    assert world.a.statuses("INVITE") == [100, 180, 487]
    assert world.over()


def test_a_refusal_reaches_the_caller(world: World) -> None:
    world.reply(world.call(), 486)
    assert world.a.statuses("INVITE")[-1] == 486
    assert world.over()


def test_max_forwards_is_taken_over_and_a_circle_ends_with_483(world: World) -> None:
    text = world.a
    text.request("INVITE", UPDATES, OFFER, uri=f"sip:b@{ENGINE}")
    world.wait()
    assert world.b.requests("INVITE")[0].get("Max-Forwards") == "69"
    data = text.last.replace(b"Max-Forwards: 70", b"Max-Forwards: 0").replace(b"z9hG4bK", b"z9hG4bKz")
    text.say(data.replace(b"call-127", b"call2-127"))
    world.wait()
    assert text.statuses("INVITE")[-1] == 483
    assert len(world.b.requests("INVITE")) == 1


def test_a_hangup_between_the_callees_answer_and_the_bridge_leaves_nothing(world: World) -> None:
    world.flow.pause = 1.0
    world.reply(world.call(), 200, body=ANSWER)
    assert world.b.requests("ACK") == []
    world.a.cancel("z9hG4bK127.0.0.1x1", to_tag="")
    world.wait()
    assert world.a.statuses("INVITE") == [100, 487]
    assert [kind for kind in world.b.kinds() if kind in ("ACK", "BYE")] == ["ACK", "BYE"]
    assert world.over()


# ---- before the answer


def test_ringing_is_passed_on_once_and_early_media_whenever_it_changes(world: World) -> None:
    invite = world.call()
    world.reply(invite, 180)
    world.reply(invite, 180)
    world.reply(invite, 183, body=ANSWER)
    world.reply(invite, 183, body=ANSWER)
    world.reply(invite, 183, body=HELD)
    assert world.a.statuses("INVITE") == [100, 180, 183, 183]
    assert [content(r.body) for r in world.a.responses("INVITE")] == [b"", b"", content(ANSWER), content(HELD)]


def test_100rel_is_ended_on_each_leg_rfc_3262(world: World) -> None:
    invite = world.call(UPDATES + "Supported: 100rel\r\n")
    world.reply(invite, 183, "Require: 100rel\r\nRSeq: 70\r\n", ANSWER)
    assert [prack.get("RAck") for prack in world.b.requests("PRACK")] == ["70 1 INVITE"]
    world.b.answer(world.b.requests("PRACK")[0], 200)
    early = world.a.responses("INVITE")[-1]
    assert early.status == 183 and early.get("RSeq") not in ("", "70")
    world.reply(invite, 200)
    assert world.a.statuses("INVITE")[-1] == 183  # the 200 waits for the PRACK of a description
    world.a.remote_tag = early.to_tag
    world.a.request("PRACK", f"RAck: {early.get('RSeq')} 1 INVITE\r\n")
    world.wait()
    assert world.a.statuses("PRACK") == [200]
    assert world.a.statuses("INVITE")[-1] == 200
    assert len(world.b.requests("PRACK")) == 1


def test_a_reliable_response_reaches_a_caller_that_knows_no_100rel_as_an_ordinary_one(world: World) -> None:
    invite = world.call()
    world.reply(invite, 183, "Require: 100rel\r\nRSeq: 70\r\n", ANSWER)
    assert len(world.b.requests("PRACK")) == 1
    early = world.a.responses("INVITE")[-1]
    assert early.body == ANSWER and "RSeq" not in early.first


def test_late_offer_through_the_bridge_3261_13_2_1(world: World) -> None:
    invite = world.call(body=b"")
    assert invite.body == b""
    world.reply(invite, 200, body=OFFER)
    assert world.a.final("INVITE").body == OFFER
    assert world.b.requests("ACK") == []
    world.a.ack(ANSWER)
    world.wait()
    assert [ack.body for ack in world.b.requests("ACK")] == [ANSWER]


def test_late_offer_whose_ack_never_comes_ends_both_legs(world: World) -> None:
    world.reply(world.call(body=b""), 200, body=OFFER)
    world.wait(33)
    assert len(world.a.requests("BYE")) >= 1
    assert [kind for kind in world.b.kinds() if kind in ("ACK", "BYE")][:2] == ["ACK", "BYE"]
    assert world.over()


def test_an_early_offer_travels_reliably_and_its_answer_comes_back_in_the_prack(world: World) -> None:
    invite = world.call(UPDATES + "Supported: 100rel\r\n", b"")
    assert "100rel" in invite.tokens("Supported")
    world.reply(invite, 183, "Require: 100rel\r\nRSeq: 70\r\n", OFFER)
    assert world.b.requests("PRACK") == []
    early = world.a.responses("INVITE")[-1]
    assert early.body == OFFER
    world.a.remote_tag = early.to_tag
    world.a.request("PRACK", f"RAck: {early.get('RSeq')} 1 INVITE\r\n", ANSWER)
    world.wait()
    assert [prack.body for prack in world.b.requests("PRACK")] == [ANSWER]


def test_without_100rel_at_the_caller_a_late_offer_asks_for_none(world: World) -> None:
    assert "100rel" not in world.call(body=b"").tokens("Supported")


def test_info_before_the_answer_goes_both_ways(world: World) -> None:
    invite = world.call()
    world.reply(invite, 183, body=ANSWER)
    world.a.remote_tag = world.a.responses("INVITE")[-1].to_tag
    world.a.request("INFO", DTMF, b"Signal=1")
    world.wait()
    world.b.answer(world.b.requests("INFO")[0], 200)
    world.wait()
    world.b.request("INFO", DTMF, b"Signal=2")
    world.wait()
    world.a.answer(world.a.requests("INFO")[0], 200)
    world.wait()
    assert (world.a.statuses("INFO"), world.b.statuses("INFO")) == ([200], [200])
    assert world.b.requests("INFO")[0].body == b"Signal=1" and world.a.requests("INFO")[0].body == b"Signal=2"


# ---- during the call, both ways


@pytest.fixture(params=["caller", "callee"])
def sides(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[World, Peer, Peer]:
    world = World(monkeypatch).answered()
    return (world, world.a, world.b) if request.param == "caller" else (world, world.b, world.a)


Sides = tuple[World, Peer, Peer]


def test_hold_and_resume(sides: Sides) -> None:
    world, one, other = sides
    for offer, answer in ((HOLD, HELD), (OFFER, ANSWER)):
        one.forget()
        other.forget()
        one.invite(body=offer)
        world.wait()
        invite = other.requests("INVITE")[0]
        assert content(invite.body) == content(offer)
        assert b"secret" not in other.raw[0]
        other.answer(invite, 200, body=answer)
        world.wait()
        assert content(one.final("INVITE").body) == content(answer)
        assert len(other.requests("ACK")) == 1
        one.ack()
        world.wait()
    assert not world.flow.calls[0].ended


def test_a_refused_reinvite_is_passed_on_and_changes_nothing(sides: Sides) -> None:
    world, one, other = sides
    one.invite(body=HOLD)
    world.wait()
    other.answer(other.requests("INVITE")[0], 488, 'Warning: 304 x "no"\r\nSubject: secret\r\n')
    world.wait()
    refused = one.final("INVITE")
    assert (refused.status, refused.get("Warning")) == (488, '304 x "no"')
    assert "Subject" not in refused.first
    assert not world.flow.calls[0].ended and not world.flow.legs[0].ended


def test_an_offerless_reinvite_is_answered_through_the_ack(sides: Sides) -> None:
    world, one, other = sides
    one.invite(body=b"")
    world.wait()
    other.answer(other.requests("INVITE")[0], 200, body=OFFER)
    other.again()
    world.wait()
    assert content(one.final("INVITE").body) == content(OFFER)
    assert other.requests("ACK") == []
    one.ack(ANSWER)
    world.wait()
    assert [content(ack.body) for ack in other.requests("ACK")] == [content(ANSWER)]


def test_an_offerless_reinvite_taken_back_leaves_no_2xx_without_ack(sides: Sides) -> None:
    world, one, other = sides
    branch = one.invite(body=b"")
    world.wait()
    one.cancel(branch)
    other.answer(other.requests("INVITE")[0], 200, body=OFFER)
    world.wait()
    assert one.statuses("INVITE")[-1] == 487
    assert len(other.requests("ACK")) == 1


def test_glare_across_the_bridge_is_491_for_both(sides: Sides) -> None:
    world, one, other = sides
    one.invite(body=HOLD)
    world.wait()
    other.invite(body=HOLD)
    assert other.statuses("INVITE")[-1] == 491
    other.answer(other.requests("INVITE")[0], 491)
    world.wait()
    assert one.final("INVITE").status == 491
    assert not world.flow.calls[0].ended


def test_a_dialog_unknown_to_the_other_side_ends_the_call_12_2_1_2(sides: Sides) -> None:
    world, one, other = sides
    one.invite(body=HOLD)
    world.wait()
    other.answer(other.requests("INVITE")[0], 481)
    world.wait()
    assert one.final("INVITE").status in (481, 487)
    assert len(one.requests("BYE")) == 1
    assert world.over()


def test_update_goes_through_as_update(sides: Sides) -> None:
    world, one, other = sides
    one.request("UPDATE", body=HOLD)
    world.wait()
    update = other.requests("UPDATE")[0]
    assert content(update.body) == content(HOLD)
    other.answer(update, 200, body=HELD)
    world.wait()
    assert content(one.final("UPDATE").body) == content(HELD)


def test_info_goes_through_with_its_body_and_answer(sides: Sides) -> None:
    world, one, other = sides
    one.request("INFO", f"{DTMF}Info-Package: x\r\n", b"Signal=5\r\nDuration=160\r\n")
    world.wait()
    info = other.requests("INFO")[0]
    assert (info.body, info.get("Content-Type")) == (b"Signal=5\r\nDuration=160\r\n", "application/dtmf-relay")
    assert info.get("Info-Package") == "x" and info.to_tag == other.tag
    other.answer(info, 415)
    world.wait()
    assert one.statuses("INFO") == [415]


@pytest.mark.parametrize("status", [200, 202, 415, 480])
def test_a_message_goes_through_with_its_body_and_answer(sides: Sides, status: int) -> None:
    """RFC 3428 §8: within a dialog it is the dialog's, whatever its Request-URI, which is our Contact."""
    world, one, other = sides
    one.request("MESSAGE", "Content-Type: text/plain;charset=UTF-8\r\nContent-Language: de\r\n", "grüß".encode())
    world.wait()
    [text] = other.requests("MESSAGE")
    assert (text.body.decode(), text.get("Content-Type")) == ("grüß", "text/plain;charset=UTF-8")
    assert text.get("Content-Language") == "de" and text.to_tag == other.tag and not text.get("Contact")
    other.answer(text, status)
    world.wait()
    assert one.statuses("MESSAGE") == [status]
    assert world.agent.calls


def test_a_message_without_a_body_goes_through_too(sides: Sides) -> None:
    world, one, other = sides
    one.request("MESSAGE")
    world.wait()
    other.answer(other.requests("MESSAGE")[0], 200)
    world.wait()
    assert one.statuses("MESSAGE") == [200]


def test_a_message_from_another_host_speaks_for_nobody(sides: Sides) -> None:
    """Call-ID and tags are known to every hop, and prove nothing (RFC 3261 §26.1)."""
    world, one, other = sides
    elsewhere = Peer(world.network, "10.9.9.9", engine=ENGINE)  # type: ignore[arg-type]
    elsewhere.call_id, elsewhere.tag, elsewhere.remote_tag = one.call_id, one.tag, one.remote_tag
    elsewhere.cseq = 900
    elsewhere.request("MESSAGE", "Content-Type: text/plain\r\n", b"pay me")
    world.wait()
    assert elsewhere.statuses("MESSAGE") == [403] and other.heard == []
    one.request("MESSAGE", "Content-Type: text/plain\r\n", b"me")
    world.wait()
    assert [text.body for text in other.requests("MESSAGE")] == [b"me"]


def test_a_call_that_ends_during_a_reinvite_leaves_nothing(sides: Sides) -> None:
    world, one, other = sides
    one.invite(body=HOLD)
    world.wait()
    other.request("BYE")
    world.wait()
    assert one.final("INVITE").status == 487
    assert world.over()


def test_options_and_session_refreshes_stay_on_their_leg(sides: Sides) -> None:
    world, one, other = sides
    one.request("OPTIONS")
    one.request("UPDATE")
    world.wait()
    assert one.statuses("OPTIONS") == [200] and one.statuses("UPDATE") == [200]
    assert other.heard == []


def test_update_becomes_a_reinvite_where_the_other_side_knows_no_update(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.reply(world.call(), 200, "Allow: INVITE, ACK, BYE\r\n", ANSWER)
    world.a.final("INVITE")
    world.a.ack()
    world.b.forget()
    world.a.request("UPDATE", body=HOLD)
    world.wait()
    world.b.answer(world.b.requests("INVITE")[0], 200, body=HELD)
    world.wait()
    assert content(world.a.final("UPDATE").body) == content(HELD)
    assert len(world.b.requests("ACK")) == 1


def test_a_callers_vanishing_ends_the_callees_leg_with_the_longest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.agent.max_call_duration = 100.0
    world.answered()
    world.wait(99)
    assert world.a.requests("BYE") == []
    world.wait(2)
    assert len(world.a.requests("BYE")) >= 1 and len(world.b.requests("BYE")) >= 1
    assert world.over()


def test_a_callers_password_stays_with_the_callee_leg(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer=dial.Peer(username="u", password="p"))
    invite = world.call(UPDATES + "Authorization: Digest secret\r\n")
    assert "Authorization" not in invite.first
    world.reply(invite, 407, 'Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n')
    again = world.b.requests("INVITE")[-1]
    assert 'username="u"' in again.get("Proxy-Authorization")
    world.reply(again, 200, body=ANSWER)
    assert world.a.statuses("INVITE")[-1] == 200


def test_forks_of_the_callee_are_one_call_for_the_caller_13_2_2_4(world: World) -> None:
    invite = world.call()
    for tag in ("f1", "f2"):
        world.b.answer(invite, 180, UPDATES, tag=tag)
    world.b.answer(invite, 200, UPDATES, ANSWER, tag="f2")
    world.b.answer(invite, 200, UPDATES, HELD, tag="f1")
    world.wait()
    assert world.a.statuses("INVITE") == [100, 180, 200]
    assert world.a.final("INVITE").body == ANSWER
    assert [bye.to_tag for bye in world.b.requests("BYE")] == ["f1"]
    assert not world.flow.legs[0].ended
