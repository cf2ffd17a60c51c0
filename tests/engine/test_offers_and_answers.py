"""Descriptions through the engine (RFC 3264, 6337, 8866): what goes on is whole, one session a dialog, and is refused
where nobody could use it; whoever's media it is of."""

import itertools
import re

import pytest

from engine.call import Call
from engine.sip.message.message import Request, Response
from engine.sip.sdp import description as sdp
from tests.engine.test_bridge import HELD, HOLD, UPDATES, World
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, start_agent, to_callee
from tests.simulation.peer import ANSWER, OFFER, Peer, content

BARE = b"v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 8\r\n"
"""Without `o=`, `s=` and `t=`."""
NOWHERE = OFFER.replace(b"c=IN IP4 10.0.0.1\r\n", b"")
TWO_KEYS = OFFER.replace(b"RTP/AVP", b"RTP/SAVP") + b"".join(
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%b\r\n" % (letter * 40) for letter in (b"a", b"b")
)
UNUSABLE = [(OFFER + b"a=x\0\r\n", 400), (NOWHERE, 488), (TWO_KEYS, 488)]
NAMES = ["NUL", "no address", "two keys under one tag"]
MIXED = "Content-Type: multipart/mixed;boundary=b1\r\n"


def parts(body: bytes) -> bytes:
    other = b"--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    return other + b"--b1\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--b1--\r\n" % body


def whole(body: bytes) -> bool:
    """Whether it has what RFC 8866 §5 asks for."""
    return [letter for letter, _ in sdp.parse(body).lines][:3] == ["v", "o", "s"] and b"\r\nt=" in body


def origins(*messages: Request | Response) -> list[tuple[str, int]]:
    """Session id (with all that names the session) and version of their descriptions."""
    found = []
    for message in messages:
        if message.body:
            origin = sdp.parse(message.body).origin
            assert origin is not None
            found.append((f"{origin.username} {origin.session_id} {origin.address}", int(origin.version)))
    return found


def one_session(*messages: Request | Response) -> bool:
    """RFC 3264 §8: one session, whose version rises with every change and only then."""
    said = [message for message in messages if message.body]
    assert len(said) > 1
    names, versions = zip(*origins(*said), strict=True)
    rises = all(
        later > earlier if content(said[n].body) != content(said[n + 1].body) else later == earlier
        for n, (earlier, later) in enumerate(itertools.pairwise(versions))
    )
    return len(set(names)) == 1 and rises


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


# ---- whole, or refused


@pytest.mark.parametrize("headers", ["", MIXED])
def test_what_is_missing_is_added_in_offer_and_answer_8866_5(world: World, headers: str) -> None:
    body = parts(BARE) if headers else BARE
    invite = world.call(UPDATES + headers, body)
    assert whole(invite.body) and b"m=audio 4000" in invite.body
    assert headers or invite.get("Content-Type") == "application/sdp"
    world.b.say(_answer(invite, headers, body))
    world.wait()
    assert whole(world.a.final("INVITE").body)
    assert world.a.final("INVITE").get("Content-Type") == "application/sdp"


def _answer(invite: Request, headers: str, body: bytes) -> bytes:
    kind = headers or "Content-Type: application/sdp\r\n"
    via = "".join(f"Via: {value}\r\n" for value in invite.lines("Via"))
    head = f"SIP/2.0 200 OK\r\n{via}From: {invite.get('From')}\r\nTo: {invite.get('To')};tag=btag\r\n"
    head += f"Call-ID: {invite.call_id}\r\nCSeq: {invite.cseq} INVITE\r\nContact: <sip:{CALLEE}>\r\n{kind}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_what_is_missing_is_added_within_a_call_too(world: World, method: str) -> None:
    world.answered()
    for one, other in ((world.a, world.b), (world.b, world.a)):
        one.request(method, body=BARE)
        world.wait()
        asked = other.requests(method)[-1]
        assert whole(asked.body)
        other.answer(asked, 200, body=BARE.replace(b"4000", b"4004"))
        world.wait()
        assert whole(one.final(method).body)
        if method == "INVITE":
            one.ack()
            world.wait()


def test_what_is_missing_is_added_in_an_answer_in_the_ack(world: World) -> None:
    world.reply(world.call(body=b""), 200, body=BARE)
    assert whole(world.a.final("INVITE").body)
    world.a.ack(BARE)
    world.wait()
    assert whole(world.b.requests("ACK")[0].body)


def test_what_is_missing_is_added_in_the_prack(world: World) -> None:
    invite = world.call(UPDATES + "Supported: 100rel\r\n", b"")
    world.reply(invite, 183, "Require: 100rel\r\nRSeq: 7\r\n", BARE)
    early = world.a.responses("INVITE")[-1]
    assert whole(early.body)
    world.a.remote_tag = early.to_tag
    world.a.request("PRACK", f"RAck: {early.get('RSeq')} 1 INVITE\r\n", BARE)
    world.wait()
    assert whole(world.b.requests("PRACK")[0].body)


@pytest.mark.parametrize(("body", "status"), UNUSABLE, ids=NAMES)
def test_an_offer_that_nobody_could_use_is_refused(world: World, body: bytes, status: int) -> None:
    world.a.invite(body=body, uri=f"sip:b@{ENGINE}")
    world.wait()
    assert world.a.final("INVITE").status == status
    assert world.a.final("INVITE").get("Warning").startswith("399 ")
    assert not world.b.heard
    assert world.over()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize(("body", "status"), UNUSABLE, ids=NAMES)
def test_within_a_call_too_and_the_call_goes_on(world: World, method: str, body: bytes, status: int) -> None:
    world.answered()
    for one, other in ((world.a, world.b), (world.b, world.a)):
        one.request(method, body=body)
        world.wait()
        assert one.final(method).status == status
        assert not other.requests(method)
    assert not world.flow.calls[0].ended


@pytest.mark.parametrize(
    "body", [OFFER.replace(b"c=IN IP4 10.0.0.1", b"c=IN IP4"), NOWHERE + b"m=video 5 RTP/AVP 31\r\n"]
)
def test_a_stream_that_is_not_in_use_needs_no_address_8866_5_7(world: World, body: bytes) -> None:
    quiet = re.sub(rb"m=(\w+) \d+", rb"m=\1 0", body)
    assert world.call(body=quiet).body == quiet


def test_an_optional_body_of_another_kind_is_no_offer_rfc3261_20_11(world: World) -> None:
    text = "Content-Type: text/plain\r\nContent-Disposition: render; handling=optional\r\n"
    assert world.call(UPDATES + text, b"hello").body == b""


# ---- one session a dialog (RFC 3264 §8)


def test_hold_and_resume_are_versions_of_one_session(world: World) -> None:
    invite = world.call()
    world.reply(invite, 200, body=ANSWER)
    first = world.a.final("INVITE")
    world.a.ack()
    world.wait()
    for one, other in ((world.a, world.b), (world.b, world.a)) * 2:
        for offer, answer in ((HOLD, HELD), (HOLD, HELD), (OFFER, ANSWER)):
            one.invite(body=offer)
            world.wait()
            other.answer(other.requests("INVITE")[-1], 200, body=answer)
            world.wait()
            one.ack()
            world.wait()
    heard = [first, *(m for m in world.a.heard if m is not first and m.cseq_method == "INVITE")]
    assert len([message for message in heard if message.body]) == 13
    assert one_session(*heard)
    assert one_session(*(message for message in world.b.heard if message.cseq_method == "INVITE"))


def test_what_was_refused_has_had_its_version(world: World) -> None:
    world.answered()
    world.a.invite(body=HOLD)
    world.wait()
    refused = world.b.requests("INVITE")[-1]
    world.b.answer(refused, 488)
    world.wait()
    world.a.request("ACK", branch="z9hG4bK127.0.0.1x3", cseq=world.a.cseq)
    world.a.invite(body=OFFER + b"a=ptime:20\r\n")
    world.wait()
    assert one_session(refused, world.b.requests("INVITE")[-1])


class Several:
    """A caller that is answered by us, then talks with one far end after another, and with us again in between."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.network = LoopNetwork()
        self.agent = start_agent(self.network, self.flow, patch)
        self.a = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
        self.b = Peer(self.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]

    async def flow(self, call: Call) -> None:
        call.answer()
        for user in ("one", "two"):
            leg = self.agent.dial(to_callee(user), call)
            if (await leg.outcome()).kind == "answered":
                await call.bridge(leg).ended()
            await call.listen()
        call.hangup()


def test_whoever_the_caller_talks_with_it_has_one_session_with_us(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Several(monkeypatch)
    world.a.invite(body=OFFER)
    world.network.run(0.1)
    assert world.a.final("INVITE").status == 200
    world.a.ack()
    for number, id_ in enumerate((b"- 900 7", b"- 3 1")):
        world.network.run(0.1)
        invite = world.b.requests("INVITE")[-1]
        world.b.call_id, world.b.remote_tag, world.b.cseq = invite.call_id, invite.from_tag, 500
        world.b.answer(invite, 200, UPDATES, ANSWER.replace(b"- 1 1", id_).replace(b"4000", b"500%d" % number))
        world.network.run(0.1)
        world.a.answer(world.a.requests("INVITE")[-1], 200, body=OFFER)
        world.network.run(0.1)
        world.b.request("BYE")
        world.network.run(0.1)
        home = world.a.requests("INVITE")[-1]
        assert ENGINE.encode() in home.body
        world.a.answer(home, 200, body=OFFER)
    world.network.run(0.1)
    asked = world.a.requests("INVITE")
    assert len(asked) == 4 and len(world.a.requests("BYE")) >= 1
    assert one_session(world.a.responses("INVITE")[-1], *asked)


def test_each_dialog_of_an_offer_that_was_sent_anew_is_of_the_callers_session(world: World) -> None:
    """A far end is told of the caller's own session, made whole the same way each time (RFC 3261 §22.2)."""
    invite = world.call(body=BARE)
    world.reply(invite, 422, "Min-SE: 1800\r\n")
    again = world.b.requests("INVITE")[-1]
    assert again.cseq == invite.cseq + 1 and again.body == invite.body
