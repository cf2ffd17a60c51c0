"""Calls whose media passes the engine: what each side is told at every turn of a call, and that nothing is left."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

from engine.call import Call
from engine.media.codec import g711
from engine.settings import AgentSettings
from engine.sip.message.message import Request, Response
from engine.sip.sdp import description as sdp
from tests.engine.anchors import SlowAnchors
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, ThroughCalls, start_agent, to_callee
from tests.simulation.peer import Peer

UPDATES = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO, PRACK\r\n"
DELAY = 0.05  # s that a slow anchor takes
RELIABLE = UPDATES + "Require: 100rel\r\nRSeq: 7\r\n"


class Phone:
    """Where one side hears and speaks: a real UDP port, and the descriptions that name it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]

    def body(self, direction: str = "", version: int = 1, host: str = "", extra: str = "") -> bytes:
        line = f"a={direction}\r\n" if direction else ""
        return (
            f"v=0\r\no=phone 7 {version} IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {host or self.host}\r\nt=0 0\r\n"
            f"m=audio {self.port} RTP/AVP 8 0\r\n{line}{extra}"
        ).encode()

    def say(self, payload: bytes, body: bytes) -> None:
        """Sends RTP to where `body`, which it was given, leads."""
        self.sock.sendto(b"\x80\x08" + bytes(10) + payload, where(body))

    def heard(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.sock.recv(2048)[12:])
            except BlockingIOError:
                return found


def where(body: bytes) -> tuple[str, int]:
    description = sdp.parse(body)
    return description.address_of(description.media[0]), description.media[0].port


class World:
    def __init__(self, patch: pytest.MonkeyPatch, slow: bool = False, **spec: object) -> None:
        self.network = LoopNetwork()
        self.pause = 6 * DELAY if slow else 0.02
        self.flow = ThroughCalls(**{"anchor": "anchor", **spec})
        settings = AgentSettings(rtp_first=30_000, rtp_last=34_000)
        self.anchors = SlowAnchors(self.network, lambda: self.agent.relays, DELAY) if slow else None
        self.agent = self.flow.agent = start_agent(self.network, self.flow, patch, settings, anchors=self.anchors)
        self.a = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
        self.b = Peer(self.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
        self.a.tag, self.b.tag = "atag", "btag"
        self.phone_a, self.phone_b = Phone(CALLER), Phone(CALLEE)
        self.to_a = self.to_b = b""  # the descriptions that the phones have been given last

    def wait(self, seconds: float = 0) -> None:
        self.network.run(seconds or self.pause)

    def invited(self) -> Request:
        invite = self.b.requests("INVITE")[0]
        self.b.call_id, self.b.remote_tag, self.b.cseq = invite.call_id, invite.from_tag, 500
        return invite

    def call(self, body: bytes | None = None, headers: str = UPDATES) -> Request:
        self.a.invite(headers, self.phone_a.body() if body is None else body, uri=f"sip:b@{ENGINE}")
        self.wait()
        invite = self.invited()
        self.to_b = invite.body
        return invite

    def reply(self, invite: Request, status: int, headers: str = UPDATES, body: bytes = b"") -> None:
        self.b.answer(invite, status, headers, body, tag="btag")
        self.wait()

    def last(self, status: int) -> Response:
        return [m for m in self.a.heard if isinstance(m, Response) and m.status == status][-1]

    def answered(self) -> "World":
        self.reply(self.call(), 200, body=self.phone_b.body())
        self.to_a = self.a.final("INVITE").body
        self.a.ack()
        self.wait()
        self.a.forget()
        self.b.forget()
        return self

    def talk(self) -> None:
        """Both hear each other, and nothing of themselves."""
        self.phone_a.heard(), self.phone_b.heard()
        for text in (b"one", b"two"):
            self.phone_a.say(b"from a " + text, self.to_a)
            self.phone_b.say(b"from b " + text, self.to_b)
            self.wait(0.001)
        self.wait()
        assert self.phone_b.heard() == [b"from a one", b"from a two"]
        assert self.phone_a.heard() == [b"from b one", b"from b two"]

    def over(self) -> bool:
        """Nothing is left of any call, its media among it."""
        self.network.run(40)
        agent = self.agent
        left = [agent.calls, agent.incoming, agent.tasks.running, agent.endpoint.sessions, agent.endpoint.dialogs]
        left += [agent.endpoint.transactions.clients, agent.endpoint.transactions.servers]
        left += [agent.relays.relays, agent.ports.in_use, _readers(self.network)]
        return not any(left)


def _readers(network: LoopNetwork) -> list[int]:
    """File descriptors that the loop still reads, its own self-pipe left out."""
    selector = network.loop._selector  # type: ignore[attr-defined]
    return [fd for fd in selector.get_map() if fd != network.loop._ssock.fileno()]  # type: ignore[attr-defined]


@pytest.fixture(params=["at once", "late"])
def world(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[World]:
    """Each test runs twice: with descriptions that are rewritten at once, and with such as take a while."""
    world = World(monkeypatch, request.param == "late")
    yield world
    world.phone_a.sock.close()
    world.phone_b.sock.close()
    world.agent.ports.close()


# ---- a call from its beginning to its end


def test_both_sides_are_sent_to_the_engine_and_hear_each_other_through_it(world: World) -> None:
    world.answered()
    for told, other in ((world.to_a, world.phone_b), (world.to_b, world.phone_a)):
        host, port = where(told)
        assert host == ENGINE and 30_000 <= port < 34_000 and port % 2 == 0
        assert other.host.encode() not in told  # neither c= nor o= says where the other is
        assert b"RTP/AVP 8 0" in told
    world.talk()
    assert len(world.agent.relays.relays) == 1 and world.agent.ports.in_use == 2
    world.a.request("BYE")
    world.wait()
    world.b.answer(world.b.requests("BYE")[0], 200)
    assert world.over()


def test_without_an_anchor_the_descriptions_pass_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, anchor="").answered()
    assert world.to_b == world.phone_a.body() and world.to_a == world.phone_b.body()
    assert world.agent.ports.in_use == 0


def test_the_callees_bye_ends_the_media(world: World) -> None:
    world.answered().b.request("BYE")
    world.wait()
    world.a.answer(world.a.requests("BYE")[0], 200)
    assert world.over()


def test_a_cancelled_call_leaves_no_port_behind(world: World) -> None:
    invite = world.call()
    world.reply(invite, 183, body=world.phone_b.body())
    assert world.agent.ports.in_use == 2
    world.wait()
    world.a.cancel("z9hG4bK127.0.0.1x1", to_tag="")
    world.wait()
    world.b.answer(world.b.requests("CANCEL")[0], 200)
    assert world.agent.ports.in_use == 0  # at once: a callee that never answers the CANCEL holds none
    world.b.answer(invite, 487, tag="btag")
    assert world.over()


def test_a_refused_call_leaves_no_port_behind(world: World) -> None:
    invite = world.call()
    world.reply(invite, 486)
    assert world.a.statuses("INVITE")[-1] == 486
    world.a.ack()
    assert world.over()


# ---- early media, reliable provisional responses, late offers


def test_early_media_is_heard_and_the_200_repeats_its_description(world: World) -> None:
    invite = world.call()
    world.reply(invite, 183, body=world.phone_b.body())
    world.to_a = world.last(183).body
    world.talk()
    world.reply(invite, 200, body=world.phone_b.body())
    assert world.a.final("INVITE").body == world.to_a  # octet by octet: its version did not go up (RFC 3264 §8)
    world.a.ack()
    world.talk()


def test_the_200_may_bring_another_place_than_the_183(world: World) -> None:
    invite = world.call()
    world.reply(invite, 183, body=world.phone_b.body())
    before, world.phone_b = world.phone_b, Phone(CALLEE)
    world.reply(invite, 200, body=world.phone_b.body(version=2))
    assert where(world.a.final("INVITE").body) == where(world.last(183).body)
    world.to_a = world.a.final("INVITE").body
    world.a.ack()
    world.talk()
    assert before.heard() == []


def test_the_answer_of_a_fork_that_is_not_taken_does_not_last(world: World) -> None:
    invite = world.call()
    other = Phone(CALLEE)
    world.b.answer(invite, 183, UPDATES, world.phone_b.body(), tag="btag")
    world.wait()
    world.b.answer(invite, 183, UPDATES, other.body(), tag="othertag")
    world.wait()
    world.reply(invite, 200, body=world.phone_b.body())
    world.to_a = world.a.final("INVITE").body
    world.a.ack()
    world.talk()
    assert other.heard() == []


def test_a_late_offer_and_its_answer_in_the_ack(world: World) -> None:
    invite = world.call(b"")
    assert invite.body == b""
    world.reply(invite, 200, body=world.phone_b.body())
    world.to_a = world.a.final("INVITE").body
    assert where(world.to_a)[0] == ENGINE
    world.a.ack(body=world.phone_a.body())
    world.wait()
    world.to_b = world.b.requests("ACK")[0].body
    assert where(world.to_b)[0] == ENGINE
    world.talk()


def test_a_late_offer_in_a_reliable_183_and_its_answer_in_the_prack_rfc_3262(world: World) -> None:
    invite = world.call(b"", UPDATES + "Supported: 100rel\r\n")
    world.reply(invite, 183, RELIABLE, world.phone_b.body())
    early = world.last(183)
    world.to_a = early.body
    assert where(world.to_a)[0] == ENGINE
    world.a.remote_tag = early.to_tag
    world.a.request("PRACK", f"RAck: {early.get('RSeq')} {early.cseq} INVITE\r\n", world.phone_a.body())
    world.wait()
    prack = world.b.requests("PRACK")[0]
    world.to_b = prack.body
    assert where(world.to_b)[0] == ENGINE
    world.b.answer(prack, 200)
    world.talk()
    world.reply(invite, 200)
    world.a.ack()
    world.talk()


# ---- after the answer


def offered(world: World, by: str, body: bytes, method: str = "INVITE") -> Request:
    """One side's re-INVITE or UPDATE, as the other side hears it."""
    this, other = (world.a, world.b) if by == "a" else (world.b, world.a)
    this.request(method, UPDATES, body)
    world.wait()
    return other.requests(method)[-1]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("by", ["a", "b"])
def test_hold_and_resume_from_either_side_by_either_method(world: World, by: str, method: str) -> None:
    world.answered()
    this, other = (world.a, world.b) if by == "a" else (world.b, world.a)
    mine, its = (world.phone_a, world.phone_b) if by == "a" else (world.phone_b, world.phone_a)
    before = where(world.to_a), where(world.to_b)
    for version, (asked, replied) in enumerate((("sendonly", "recvonly"), ("sendrecv", "sendrecv")), 2):
        heard = offered(world, by, mine.body(asked, version), method)
        assert f"a={asked}\r\n".encode() in heard.body and where(heard.body)[0] == ENGINE
        other.answer(heard, 200, UPDATES, its.body(replied, version))
        world.wait()
        answer = this.final(method)
        assert answer.status == 200 and f"a={replied}\r\n".encode() in answer.body
        if method == "INVITE":
            this.ack()
            world.wait()
        world.to_a, world.to_b = (answer.body, heard.body) if by == "a" else (heard.body, answer.body)
        assert (where(world.to_a), where(world.to_b)) == before
    world.talk()


def test_an_older_hold_stays_one_and_nothing_is_sent_to_it_rfc_3264_8_4(world: World) -> None:
    world.answered()
    heard = offered(world, "a", world.phone_a.body("sendonly", 2, host="0.0.0.0"))
    assert where(heard.body)[0] == "0.0.0.0"
    world.b.answer(heard, 200, UPDATES, world.phone_b.body("recvonly", 2))
    world.wait()
    world.a.final("INVITE")
    world.a.ack()
    world.wait()
    world.phone_a.heard()
    world.phone_b.say(b"into the void", world.to_b)
    world.wait()
    assert world.phone_a.heard() == []


@pytest.mark.parametrize("by", ["a", "b"])
def test_either_side_may_move_to_another_address(world: World, by: str) -> None:
    world.answered()
    before = Phone(CALLER if by == "a" else CALLEE)
    if by == "a":
        world.phone_a, before = before, world.phone_a
    else:
        world.phone_b, before = before, world.phone_b
    this, other = (world.a, world.b) if by == "a" else (world.b, world.a)
    mine, its = (world.phone_a, world.phone_b) if by == "a" else (world.phone_b, world.phone_a)
    heard = offered(world, by, mine.body(version=2))
    other.answer(heard, 200, UPDATES, its.body())
    world.wait()
    assert this.final("INVITE").status == 200
    this.ack()
    world.wait()
    before.heard()
    world.talk()
    assert before.heard() == []


def test_a_refused_re_invite_leaves_the_media_where_it_is(world: World) -> None:
    world.answered()
    elsewhere = Phone(CALLER)
    heard = offered(world, "a", elsewhere.body(version=2))
    world.b.answer(heard, 488, UPDATES)
    world.wait()
    assert world.a.final("INVITE").status == 488
    world.talk()
    assert elsewhere.heard() == []


@pytest.mark.parametrize("by", ["a", "b"])
def test_a_re_invite_without_an_offer(world: World, by: str) -> None:
    world.answered()
    this, other = (world.a, world.b) if by == "a" else (world.b, world.a)
    mine, its = (world.phone_a, world.phone_b) if by == "a" else (world.phone_b, world.phone_a)
    heard = offered(world, by, b"")
    assert heard.body == b""
    other.answer(heard, 200, UPDATES, its.body(version=2))
    world.wait()
    answer = this.final("INVITE")
    assert where(answer.body)[0] == ENGINE
    this.ack(body=mine.body(version=2))
    world.wait()
    ack = other.requests("ACK")[-1]
    assert where(ack.body)[0] == ENGINE
    world.to_a, world.to_b = (answer.body, ack.body) if by == "a" else (ack.body, answer.body)
    world.talk()


def test_info_passes_with_its_body(world: World) -> None:
    world.answered()
    world.a.request("INFO", "Content-Type: application/dtmf-relay\r\n", b"Signal=5\r\nDuration=160\r\n")
    world.wait()
    info = world.b.requests("INFO")[0]
    assert info.body == b"Signal=5\r\nDuration=160\r\n"
    world.b.answer(info, 200)
    world.wait()
    assert world.a.statuses("INFO") == [200]


def test_a_session_timer_repeats_what_the_callee_was_sent(world: World) -> None:
    """RFC 4028 §7.4: the refresh is our own, so it must not be led through the anchor a second time."""
    invite = world.call(headers="Allow: INVITE, ACK, BYE, CANCEL\r\n")
    timer = "Allow: INVITE, ACK, BYE, CANCEL\r\nRequire: timer\r\nSession-Expires: 90;refresher=uac\r\n"
    world.reply(invite, 200, timer, world.phone_b.body())
    world.a.final("INVITE")
    world.a.ack()
    world.b.forget()
    world.network.run(50)
    assert [refresh.body for refresh in world.b.requests("INVITE")[:1]] == [world.to_b]


# ---- what goes wrong


def test_an_offer_that_is_no_description_is_not_sent_and_its_caller_hears_why(world: World) -> None:
    world.a.invite(UPDATES, b"v=0\r\nm=audio x\r\n", uri=f"sip:b@{ENGINE}")
    world.wait()
    assert world.b.requests("INVITE") == []
    assert world.a.statuses("INVITE")[-1] == 400
    assert world.network.until(world.flow.legs[0].outcome()).kind == "no_media"
    world.a.ack()
    assert world.over()


def test_an_answer_that_is_no_description_ends_the_leg_and_the_outcome_says_so(world: World) -> None:
    world.reply(world.call(), 200, body=b"nonsense")
    outcome = world.network.until(world.flow.legs[0].outcome())
    assert (outcome.kind, outcome.status) == ("refused", 400)
    assert [bye.method for bye in world.b.requests("BYE")] == ["BYE"] and len(world.b.requests("ACK")) == 1
    world.b.answer(world.b.requests("BYE")[0], 200)
    world.a.ack()
    assert world.over()


def test_without_a_port_left_the_call_is_not_sent(world: World) -> None:
    world.agent.ports.acquire(ENGINE)
    world.agent.ports._hosts[ENGINE]._free.clear()
    world.agent.ports._hosts[ENGINE].close()
    world.a.invite(UPDATES, world.phone_a.body(), uri=f"sip:b@{ENGINE}")
    world.wait()
    assert world.b.requests("INVITE") == [] and world.a.statuses("INVITE")[-1] == 503


def test_a_re_invite_that_is_no_description_is_refused_and_the_call_goes_on(world: World) -> None:
    world.answered()
    for this in (world.a, world.b):
        this.request("INVITE", UPDATES, b"v=0\r\nm=audio x\r\n")
        world.wait()
        assert this.final("INVITE").status == 400
        this.ack()
    world.wait()
    world.talk()


# ---- one thing after another, while a description is rewritten elsewhere


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(monkeypatch, slow=True)
    yield world
    world.agent.ports.close()


def test_a_200_does_not_overtake_the_183_that_is_still_rewritten(slow: World) -> None:
    invite = slow.call()
    slow.b.answer(invite, 183, UPDATES, slow.phone_b.body(), tag="btag")
    slow.b.answer(invite, 180, UPDATES, tag="btag")
    slow.b.answer(invite, 200, UPDATES, slow.phone_b.body(), tag="btag")
    slow.wait()
    sent = [data.split(b" ", 2)[1] for _, source, to, data in slow.network.log if (source, to) == (ENGINE, CALLER)]
    assert sent == [b"100", b"183", b"180", b"200"]


def test_a_callee_that_hangs_up_before_its_answer_could_be_passed_on_has_refused(slow: World) -> None:
    invite = slow.call()
    slow.b.answer(invite, 200, UPDATES, slow.phone_b.body(), tag="btag")
    slow.b.request("BYE")
    slow.wait()
    outcome = slow.network.until(slow.flow.legs[0].outcome())
    assert (outcome.kind, outcome.status) == ("refused", 480)
    assert slow.a.statuses("INVITE")[-1] == 480
    slow.a.ack()
    assert slow.over()


def test_a_caller_that_gives_up_while_the_answer_is_rewritten_hangs_the_callee_up(slow: World) -> None:
    invite = slow.call()
    slow.reply(invite, 180)
    slow.b.answer(invite, 200, UPDATES, slow.phone_b.body(), tag="btag")
    slow.a.cancel("z9hG4bK127.0.0.1x1", to_tag="")
    slow.wait()
    assert slow.a.statuses("INVITE")[-1] == 487
    assert len(slow.b.requests("ACK")) == 1 and len(slow.b.requests("BYE")) == 1
    slow.b.answer(slow.b.requests("BYE")[0], 200)
    slow.a.ack()
    assert slow.over()


def test_a_caller_that_gives_up_while_its_offer_is_rewritten_reaches_nobody(slow: World) -> None:
    slow.a.invite(UPDATES, slow.phone_a.body(), uri=f"sip:b@{ENGINE}")
    slow.a.cancel("z9hG4bK127.0.0.1x1", to_tag="")
    slow.wait()
    assert slow.b.requests("INVITE") == [] and slow.a.statuses("INVITE")[-1] == 487
    slow.a.ack()
    assert slow.over()


def test_a_bye_while_a_re_invite_is_rewritten_answers_both(slow: World) -> None:
    slow.answered()
    slow.a.request("INVITE", UPDATES, slow.phone_a.body("sendonly", 2))
    slow.a.request("BYE")
    slow.wait()
    assert slow.a.statuses("INVITE")[-1] == 487 and slow.a.statuses("BYE") == [200]
    assert slow.b.requests("INVITE") == []
    slow.b.answer(slow.b.requests("BYE")[0], 200)
    slow.a.ack()
    assert slow.over()


# ---- several legs, one after another, and callers that were answered before


class Failover(ThroughCalls):
    """Dials the callee twice: once more when it refuses."""

    async def flow(self, call: Call) -> None:
        for user in ("first", "second"):
            leg = self.agent.dial(to_callee(user, **self.spec), call)
            if (await leg.outcome()).kind == "answered":
                await call.bridge(leg).ended()
                return


class AnsweredBefore(ThroughCalls):
    """Answers with media of our own, and dials then."""

    async def flow(self, call: Call) -> None:
        call.answer()
        leg = self.agent.dial(to_callee(**self.spec), call)
        if (await leg.outcome()).kind == "answered":
            await call.bridge(leg).ended()
        await call.wait_ended()


def test_the_next_leg_inherits_nothing_of_a_dead_one_and_the_caller_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.engine.test_anchored_calls.ThroughCalls", Failover)
    world = World(monkeypatch)
    dead = Phone(CALLEE)
    world.a.invite(UPDATES, world.phone_a.body(), uri=f"sip:b@{ENGINE}")
    world.wait()
    first = world.b.requests("INVITE")[0]
    world.b.answer(first, 183, UPDATES, dead.body(), tag="btag1")
    world.wait()
    early = world.last(183).body
    world.b.answer(first, 503, tag="btag1")
    world.wait()
    second = next(invite for invite in world.b.requests("INVITE") if invite.call_id != first.call_id)
    world.to_b = second.body
    world.b.call_id, world.b.remote_tag = second.call_id, second.from_tag
    world.b.answer(second, 200, UPDATES, world.phone_b.body(), tag="btag")
    world.wait()
    world.to_a = world.a.final("INVITE").body
    world.a.ack()
    assert where(world.to_a) == where(early)
    dead.say(b"still here", first.body)  # perhaps to the same port as the next leg's: they are recycled
    world.phone_b.say(b"the callee", world.to_b)
    world.wait()
    world.talk()
    assert dead.heard() == []
    world.a.request("BYE")
    world.wait()
    world.b.answer(world.b.requests("BYE")[0], 200)
    assert world.over()


def test_a_caller_that_was_answered_before_is_sent_to_the_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.engine.test_anchored_calls.ThroughCalls", AnsweredBefore)
    world = World(monkeypatch)
    invite = world.call()
    assert world.a.final("INVITE").status == 200
    world.a.ack()
    world.reply(invite, 200, body=world.phone_b.body())
    again = world.a.requests("INVITE")[0]
    world.to_a = again.body
    assert where(again.body) != where(world.a.final("INVITE").body)
    world.a.answer(again, 200, UPDATES, world.phone_a.body(version=2))
    world.wait()
    world.talk()
    world.a.request("BYE")
    world.wait()
    world.b.answer(world.b.requests("BYE")[0], 200)
    assert world.over()


def test_a_recording_hears_both_sides_apart(world: World) -> None:
    heard: list[list[int]] = [[], []]

    class Tap:
        def __init__(self, side: int) -> None:
            self.side = side

        def hear(self, samples: Any, rate: int) -> None:
            assert (len(samples), rate) == (160, 8000)
            heard[self.side].append(int(abs(samples.astype(int)).max()))

    world.answered()
    world.flow.legs[0].overhear(Tap(0), Tap(1))
    if world.anchors is None:
        loud, quiet = g711.Encoder(g711.A_LAW), g711.Encoder(g711.A_LAW)
        for count in range(50):
            for phone, body, law, level in (
                (world.phone_a, world.to_a, loud, 8000),
                (world.phone_b, world.to_b, quiet, 2000),
            ):
                head = b"\x80\x08" + count.to_bytes(2) + (160 * count).to_bytes(4) + b"ssrc"
                samples = numpy.full(160, level, numpy.int16)
                phone.sock.sendto(head + law.encode(samples), where(body))
            world.network.run(0.02)
        assert len(heard[0]) == len(heard[1]) >= 45
        assert max(heard[0]) > 7500 and 1900 < max(heard[1]) < 2100
    world.a.request("BYE")
    world.wait()
    world.b.answer(world.b.requests("BYE")[0], 200)
    assert world.over() and not len(world.agent.plane.pacer)


class RingsTwo(ThroughCalls):
    """Dials two at once, bridges the first that answers, and gives the other up a little later."""

    async def flow(self, call: Call) -> None:
        legs = [self.agent.dial(to_callee(user, **self.spec), call) for user in ("first", "second")]
        outcomes = [asyncio.ensure_future(leg.outcome()) for leg in legs]
        await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
        winner = legs[outcomes[1].done()]
        bridge = call.bridge(winner)
        await call.sleep(1)
        for leg in legs:
            if leg is not winner:
                leg.cancel()
        await bridge.ended()


def test_of_two_that_ring_the_one_that_answered_is_heard_whatever_the_other_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.engine.test_anchored_calls.ThroughCalls", RingsTwo)
    world = World(monkeypatch)
    other = Phone(CALLEE)
    world.a.invite(UPDATES, world.phone_a.body(), uri=f"sip:b@{ENGINE}")
    world.wait()
    first, second = sorted(world.b.requests("INVITE"), key=lambda invite: invite.uri_text)
    world.b.answer(first, 183, UPDATES, other.body(), tag="btag1")
    world.wait()
    world.b.answer(second, 200, UPDATES, world.phone_b.body(), tag="btag")
    world.wait()
    world.to_a, world.to_b = world.a.final("INVITE").body, second.body
    assert where(world.to_a) == where(world.last(183).body)
    world.a.ack()
    world.b.answer(first, 183, UPDATES, other.body(version=2, extra="a=x\r\n"), tag="btag1")
    world.wait()
    world.talk()
    world.wait(1.5)
    cancel = world.b.requests("CANCEL")[0]
    world.b.answer(cancel, 200)
    world.b.answer(first, 487, tag="btag1")
    world.wait()
    other.say(b"too late", first.body)
    world.wait()
    world.talk()
    world.b.call_id, world.b.remote_tag = second.call_id, second.from_tag
    world.b.request("BYE")
    world.wait()
    world.a.request("BYE")
    assert world.over()


def test_an_update_that_waits_for_an_answer_that_cannot_be_had_is_answered_rfc3261_15_1_2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, slow=True)
    invite = world.call()
    assert world.anchors is not None
    world.anchors.failures = 1.0
    world.b.answer(invite, 200, UPDATES, world.phone_b.body(), tag="btag")
    world.b.request("UPDATE", UPDATES, world.phone_b.body(version=2), uri=f"sip:{ENGINE}")
    world.wait()
    assert world.b.statuses("UPDATE") == [487]
    world.b.answer(world.b.requests("BYE")[0], 200)
    assert world.over()
