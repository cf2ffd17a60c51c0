"""A bridged call whose user agent is gone: both dialogs are carried on by another one, at another address."""

import json
from types import SimpleNamespace

import pytest

from engine import dial
from engine.bridge import Bridge
from engine.call import Call
from engine.call_snapshot import CallSnapshot
from engine.settings import AgentSettings
from engine.sip.auth.credentials import Credentials
from engine.sip.message.message import Request
from engine.user_agent import UserAgent
from tests.engine.test_bridge import ANSWER, HELD, HOLD, OFFER, UPDATES, World
from tests.simulation.agent import ENGINE, start_agent, to_callee
from tests.simulation.peer import Peer, content

ELSEWHERE = "127.0.0.9"
TIMER = f"{UPDATES}Supported: timer\r\nSession-Expires: 1800;refresher="
NO_UPDATE = "Allow: INVITE, ACK, BYE, CANCEL\r\n"


class Moved(World):
    """Two peers that talk through an engine, and then through another one that knows only what was written down."""

    def __init__(
        self, patch: pytest.MonkeyPatch, headers: str = UPDATES, host: str = ELSEWHERE, **spec: object
    ) -> None:
        super().__init__(patch, **spec)
        self.patch, self.host = patch, host
        callee = headers.replace("refresher=uas", "refresher=uac")
        invite = self.call(headers)
        if spec:  # it has to log in
            self.reply(invite, 407, 'Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth", opaque="o"\r\n')
            invite = self.b.requests("INVITE")[-1]
        self.reply(invite, 200, callee, ANSWER)
        self.a.final("INVITE")
        self.a.ack()
        self.wait()
        self.numbers = {peer.host: self.last_cseq(peer) for peer in (self.a, self.b)}
        self.old = self.agent

    def last_cseq(self, peer: Peer) -> int:
        """Of the engine's requests to this peer."""
        return max((message.cseq for message in peer.heard if isinstance(message, Request)), default=0)

    def snapshots(self) -> list[CallSnapshot]:
        """Of both legs, as they were read from a file."""
        texts = [json.dumps(CallSnapshot.take(call).document()) for call in (self.flow.calls[0], self.flow.legs[0])]
        return [CallSnapshot.read(json.loads(text)) for text in texts]

    def move(self, age: float = 0.0, credentials: Credentials | None = None) -> "Moved":
        snapshots = self.snapshots()
        wire = self.network.nodes.pop((ENGINE, 5060))  # not one more packet to it, nor from it
        wire.network = SimpleNamespace(send=lambda *_: None)
        if age:
            self.network.run(age)
        self.a.forget()
        self.b.forget()
        self.agent: UserAgent = start_agent(
            self.network, lambda call: None, self.patch, AgentSettings(), host=self.host
        )
        self.a.engine = self.b.engine = (self.host, 5060)
        caller, callee = (self.agent.restore(snapshot, age=age, credentials=credentials) for snapshot in snapshots)
        self.caller: Call = caller
        self.callee: Call = callee
        self.bridge = caller.bridge(callee)
        assert isinstance(self.bridge, Bridge)
        self.wait()
        return self

    def refreshed(self) -> "Moved":
        """Both peers have been told where the call is now."""
        for peer in (self.a, self.b):
            (update,) = peer.requests("UPDATE")
            peer.answer(update, 200, UPDATES)
        self.wait()
        self.a.forget()
        self.b.forget()
        return self


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Moved:
    return Moved(monkeypatch).move()


def test_both_peers_learn_where_the_call_is_now(moved: Moved) -> None:
    for peer in (moved.a, moved.b):
        (update,) = peer.requests("UPDATE")
        assert update.cseq == moved.numbers[peer.host] + 1
        assert (update.call_id, update.from_tag, update.to_tag) == (peer.call_id, peer.remote_tag, peer.tag)
        assert update.get("Contact") == f"<sip:{ELSEWHERE}:5060>" and update.via.sent_by == f"{ELSEWHERE}:5060"
        assert update.uri_text == peer.contact.strip("<>")
    assert moved.refreshed().agent.calls == {moved.caller, moved.callee}
    assert (moved.caller.id, moved.callee.id) == (moved.flow.calls[0].id, moved.flow.legs[0].id)
    assert (moved.caller.direction, moved.callee.direction) == ("incoming", "outgoing")


def test_a_peer_without_update_learns_it_by_a_reinvite_with_the_description_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = Moved(monkeypatch, NO_UPDATE).move()
    for peer, body in ((moved.a, ANSWER), (moved.b, OFFER)):
        (invite,) = peer.requests("INVITE")
        assert invite.body == body and invite.get("Contact") == f"<sip:{ELSEWHERE}:5060>"
        peer.answer(invite, 200, NO_UPDATE, OFFER if peer is moved.a else ANSWER)
        assert peer.kinds() == ["INVITE", "ACK"]


def test_at_the_same_address_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Moved(monkeypatch, host=ENGINE).move()
    assert not moved.a.heard and not moved.b.heard and len(moved.agent.calls) == 2


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_hold_and_resume_from_either_side(moved: Moved, by: str) -> None:
    moved.refreshed()
    one, other = (moved.a, moved.b) if by == "caller" else (moved.b, moved.a)
    for offer, answer in ((HOLD, HELD), (OFFER, ANSWER)):
        one.forget()
        other.forget()
        one.invite(UPDATES, offer, uri=f"sip:{ELSEWHERE}")
        moved.wait()
        (invite,) = other.requests("INVITE")
        assert (
            content(invite.body) == content(offer)
            and invite.source is None
            and invite.get("Contact") == f"<sip:{ELSEWHERE}:5060>"
        )
        other.answer(invite, 200, UPDATES, answer)
        moved.wait()
        ok = one.final("INVITE")
        assert content(ok.body) == content(answer) and ok.get("Contact") == f"<sip:{ELSEWHERE}:5060>"
        one.ack()
        moved.wait()
        assert other.kinds()[-1] == "ACK"


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_bye_from_either_side(moved: Moved, by: str) -> None:
    moved.refreshed()
    one, other = (moved.a, moved.b) if by == "caller" else (moved.b, moved.a)
    one.request("BYE", "Reason: Q.850;cause=16\r\n", uri=f"sip:{ELSEWHERE}")
    moved.wait()
    assert one.statuses("BYE") == [200]
    if by == "callee":
        moved.caller.hangup()  # the owner's word, as with any call: the caller outlives the callee
        moved.wait()
    (bye,) = other.requests("BYE")
    assert bye.get("Reason") == "Q.850;cause=16"
    other.answer(bye, 200)
    assert moved.network.until(moved.bridge.ended()) == by
    assert moved.over()


def test_a_restored_call_is_hung_up_on_our_side(moved: Moved) -> None:
    moved.refreshed()
    moved.callee.hangup()
    moved.caller.hangup(cause="Q.850;cause=31")
    moved.wait()
    for peer in (moved.a, moved.b):
        (bye,) = peer.requests("BYE")
        peer.answer(bye, 200)
    assert moved.over()


def test_the_session_timers_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 4028: refreshed at half of the interval, counted from the last refresh; and over when nobody answers."""
    moved = Moved(monkeypatch, TIMER + "uas\r\n", host=ENGINE).move(age=600.0)
    moved.wait(299.0)
    assert not moved.a.heard and not moved.b.heard
    moved.wait(2.0)
    for peer in (moved.a, moved.b):
        update = peer.requests("UPDATE")[0]
        assert update.get("Session-Expires").startswith("1800;refresher=")
        assert update.cseq == moved.numbers[peer.host] + 1
        peer.answer(update, 200, TIMER + "uac\r\n")
    moved.wait(600.0)
    assert len(moved.agent.calls) == 2
    moved.wait(1800.0)
    assert not moved.agent.calls


def test_the_longest_call_time_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Moved(monkeypatch, host=ENGINE).move(age=14_000.0)
    moved.wait(390.0)
    assert len(moved.agent.calls) == 2
    moved.wait(20.0)
    assert not moved.agent.calls and moved.a.requests("BYE") and moved.b.requests("BYE")


def test_requests_go_on_to_be_authorised(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Moved(monkeypatch, peer=dial.Peer(username="u", password="secret"))
    document = json.dumps(CallSnapshot.take(moved.flow.legs[0]).document())
    assert "secret" not in document
    moved.move(credentials=Credentials("u", "secret"))
    (update,) = moved.b.requests("UPDATE")
    given = update.get("Proxy-Authorization")
    assert 'username="u", realm="r", nonce="n"' in given and 'opaque="o"' in given and "nc=00000002" in given


def test_what_is_no_answered_call_is_not_written_down_and_none_is_here_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Moved(monkeypatch)
    with pytest.raises(ValueError, match="already"):
        moved.agent.restore(moved.snapshots()[0])
    ringing = moved.agent.dial(to_callee())
    with pytest.raises(ValueError, match="not been answered"):
        CallSnapshot.take(ringing)
    moved.a.request("BYE", uri=f"sip:{ENGINE}")
    with pytest.raises(ValueError, match="over"):
        CallSnapshot.take(moved.flow.calls[0])
