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


# ---- the 200 after an early answer (RFC 6337 §2.2)

REL = "Supported: 100rel\r\n" + UPDATES
RELIABLE = UPDATES + "Require: 100rel\r\nRSeq: 7\r\n"
NEW = OFFER.replace(b"4000", b"4400").replace(b"- 1 1", b"- 1 2")
NEWER = ANSWER.replace(b"4000", b"4600").replace(b"- 1 1", b"- 1 2")


def early(world: World) -> Response:
    """The last provisional response that the caller has heard, whose dialog it is in then."""
    response = [r for r in world.a.responses("INVITE") if 100 < r.status < 200][-1]
    world.a.remote_tag = response.to_tag
    return response


def prack(world: World, body: bytes = b"") -> None:
    response = early(world)
    world.a.request("PRACK", f"RAck: {response.get('RSeq')} {response.cseq} INVITE\r\n", body)
    world.wait()


def ok(world: World) -> Response:
    """The 200 to the INVITE; the call stands, and ends."""
    found = [r for r in world.a.responses("INVITE") if r.status == 200][-1]
    world.a.remote_tag = found.to_tag
    world.a.ack(cseq=found.cseq)
    world.wait()
    assert world.b.requests("ACK")
    return found


@pytest.mark.parametrize("reliable", [False, True])
def test_it_repeats_the_answer_of_a_response_that_may_be_lost(world: World, reliable: bool) -> None:
    invite = world.call()
    world.reply(invite, 183, RELIABLE if reliable else UPDATES, ANSWER)
    world.reply(invite, 200)
    assert ok(world).body == early(world).body == ANSWER


def test_it_repeats_the_latest_of_several(world: World) -> None:
    invite = world.call()
    world.reply(invite, 183, body=ANSWER)
    world.reply(invite, 183, body=NEWER)
    world.reply(invite, 200)
    assert ok(world).body == NEWER


@pytest.mark.parametrize("body", [b"", ANSWER])
def test_after_a_reliable_answer_it_has_none(world: World, body: bytes) -> None:
    invite = world.call(REL)
    world.reply(invite, 183, RELIABLE, ANSWER)
    prack(world)
    world.reply(invite, 200, body=body)
    assert ok(world).body == b""


def test_where_the_reliable_answer_and_its_offer_were_the_other_way_round_too(world: World) -> None:
    invite = world.call(REL, b"")
    world.reply(invite, 183, RELIABLE, ANSWER)
    prack(world, OFFER)
    assert content(world.b.requests("PRACK")[0].body) == content(OFFER)
    world.reply(invite, 200, body=ANSWER)
    assert ok(world).body == b"" and world.b.requests("ACK")[0].body == b""


def test_of_a_fork_only_what_the_one_that_answers_has_said_counts(world: World) -> None:
    invite = world.call()
    world.b.answer(invite, 183, UPDATES, ANSWER, tag="other")
    world.reply(invite, 200)
    assert [kind for kind in world.b.kinds() if kind in ("ACK", "BYE")] == ["ACK", "BYE"]
    world.b.answer(world.b.requests("BYE")[0], 200)
    assert world.a.final("INVITE").status == 488
    assert world.over()


@pytest.mark.parametrize("body", [b"", NOWHERE, OFFER + b"\0"])
def test_a_2xx_that_describes_nothing_gets_ack_and_bye_and_counts_as_488(world: World, body: bytes) -> None:
    world.reply(world.call(), 200, body=body)
    assert [kind for kind in world.b.kinds() if kind in ("ACK", "BYE")] == ["ACK", "BYE"]
    world.b.answer(world.b.requests("BYE")[0], 200)
    assert world.a.final("INVITE").status == 488
    assert world.over()


def test_within_a_call_too(world: World) -> None:
    """The one that has offered hears of no agreement; the other one is acknowledged."""
    world.answered()
    for offer in (HOLD, b""):
        world.a.invite(body=offer)
        world.wait()
        world.b.answer(world.b.requests("INVITE")[-1], 200)
        world.wait()
        assert world.a.final("INVITE").status == 488
        world.a.request("ACK", branch=f"z9hG4bK127.0.0.1x{world.a.branches}", cseq=world.a.cseq)
    assert len(world.b.requests("ACK")) == 2 and not world.flow.calls[0].ended


@pytest.mark.parametrize("body", [NOWHERE, TWO_KEYS, OFFER + b"\0"])
def test_an_answer_in_the_ack_that_nobody_could_use_ends_the_call(world: World, body: bytes) -> None:
    world.reply(world.call(body=b""), 200, body=OFFER)
    world.a.final("INVITE")
    world.a.ack(body)
    world.wait()
    for one in (world.a, world.b):
        one.answer(one.requests("BYE")[0], 200)
    assert world.over()


# ---- the early dialog renegotiated (RFC 3262 §5, RFC 3311 §5)


@pytest.mark.parametrize("method", ["PRACK", "UPDATE"])
@pytest.mark.parametrize("last", [b"", ANSWER, NEWER])
def test_the_caller_offers_anew_before_the_answer(world: World, method: str, last: bytes) -> None:
    invite = world.call(REL)
    world.reply(invite, 183, RELIABLE, ANSWER)
    first = early(world)
    if method == "PRACK":
        prack(world, NEW)
    else:
        prack(world)
        world.a.request("UPDATE", UPDATES, NEW)
        world.wait()
    update = world.b.requests("UPDATE")[0]
    assert content(update.body) == content(NEW)
    assert not world.a.responses(method)  # it waits for the far end's
    world.b.answer(update, 200, body=NEWER)
    world.wait()
    answer = world.a.responses(method)[-1]
    assert answer.status == 200 and one_session(first, answer)
    world.reply(invite, 200, body=last)
    assert ok(world).body == b""
    call, leg = world.flow.calls[0], world.flow.legs[0]
    assert (content(call.peer_body), content(leg.peer_body)) == (content(NEW), content(NEWER))
    assert one_session(invite, update)


def test_the_far_end_offers_anew_before_its_answer(world: World) -> None:
    invite = world.call(REL)
    world.reply(invite, 183, RELIABLE, ANSWER)
    prack(world)
    world.b.request("UPDATE", UPDATES, NEWER, uri=f"sip:{ENGINE}")
    world.wait()
    update = world.a.requests("UPDATE")[0]
    assert one_session(early(world), update)
    world.a.answer(update, 200, UPDATES, NEW)
    world.wait()
    assert content(world.b.final("UPDATE").body) == content(NEW)
    world.b.remote_tag = invite.from_tag
    world.reply(invite, 200, body=ANSWER)
    assert ok(world).body == b""
    world.a.invite(UPDATES, HOLD)
    world.wait()
    assert one_session(invite, world.b.final("UPDATE"), world.b.requests("INVITE")[-1])


def test_a_far_end_offers_nothing_new_before_the_caller_has_an_answer_rfc3311_5_1(world: World) -> None:
    invite = world.call(REL)
    world.reply(invite, 180)
    world.b.request("UPDATE", UPDATES, NEWER, uri=f"sip:{ENGINE}")
    world.wait()
    assert world.b.statuses("UPDATE") == [488] and not world.a.requests("UPDATE")


def test_the_200_waits_for_the_answer_in_the_prack(world: World) -> None:
    invite = world.call(REL)
    world.reply(invite, 183, RELIABLE, ANSWER)
    prack(world, NEW)
    world.reply(invite, 200, body=ANSWER)
    assert world.a.statuses("INVITE")[-1] == 183
    world.b.answer(world.b.requests("UPDATE")[0], 200, body=NEWER)
    world.wait()
    assert world.a.kinds()[-2:] == ["200 PRACK", "200 INVITE"]
    assert b"m=audio 4600" in world.a.responses("PRACK")[0].body and ok(world).body == b""


# ---- a PRACK that fits gets a 2xx (RFC 3262 §3)


@pytest.mark.parametrize("refusal", [488, 500, 491, 0])
def test_an_offer_in_it_that_is_not_taken_is_declined_by_port_0(world: World, refusal: int) -> None:
    """0: the far end knows no UPDATE."""
    invite = world.call(REL)
    headers = RELIABLE if refusal else RELIABLE.replace(UPDATES, "")
    world.reply(invite, 183, headers, ANSWER)
    first = early(world)
    prack(world, NEW + b"a=rtpmap:8 PCMA/8000\r\nm=video 5000/2 RTP/AVP 31\r\n")
    if refusal:
        world.b.answer(world.b.requests("UPDATE")[0], refusal)
        world.wait()
    answer = world.a.responses("PRACK")[-1]
    assert answer.status == 200 and one_session(first, answer)
    assert [str(media) for media in sdp.parse(answer.body).media] == ["audio 0 RTP/AVP 8", "video 0 RTP/AVP 31"]
    world.reply(invite, 200)
    assert ok(world).body == b""


@pytest.mark.parametrize("body", [NOWHERE, TWO_KEYS, OFFER + b"a=\0\r\n", b"x", b"v=0\r\n"])
def test_whatever_stands_in_it(world: World, body: bytes) -> None:
    invite = world.call(REL)
    world.reply(invite, 183, RELIABLE.replace(UPDATES, ""), ANSWER)
    prack(world, body)
    answer = world.a.responses("PRACK")[-1]
    assert answer.status == 200
    assert b"m=audio 0 " in answer.body if b"m=" in body else answer.body == b""
    assert not world.b.requests("UPDATE")
    world.reply(invite, 200)
    ok(world)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/mixed", "multipart/mixed;boundary=none"])
def test_whatever_it_is(world: World, kind: str) -> None:
    invite = world.call(REL)
    world.reply(invite, 183, RELIABLE, ANSWER)
    response = early(world)
    rack = f"RAck: {response.get('RSeq')} {response.cseq} INVITE\r\nContent-Type: {kind}\r\n"
    world.a.request("PRACK", rack, b"hello")
    world.wait()
    assert world.a.statuses("PRACK") == [200]
    world.reply(invite, 200)
    assert ok(world).body == b""


@pytest.mark.parametrize("body", [NOWHERE, TWO_KEYS])
def test_an_answer_in_it_that_nobody_could_use_leaves_no_call(world: World, body: bytes) -> None:
    invite = world.call(REL, b"")
    world.reply(invite, 183, RELIABLE, OFFER)
    prack(world, body)
    assert world.a.statuses("PRACK") == [200]
    assert world.a.final("INVITE").status == 488
    world.b.answer(world.b.requests("CANCEL")[0], 200)
    world.reply(invite, 487)
    assert world.over()


def test_a_call_that_ends_while_its_offer_is_passed_on_answers_it(world: World) -> None:
    invite = world.call(REL)
    world.reply(invite, 183, RELIABLE, ANSWER)
    prack(world, NEW)
    world.reply(invite, 486)
    assert world.a.statuses("PRACK") == [200]
    assert world.a.statuses("INVITE")[-1] == 486


class Own:
    """A caller that hears sound of ours before the answer."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.network = LoopNetwork()
        self.agent = start_agent(self.network, self.flow, patch)
        self.a = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
        self.calls: list[Call] = []

    async def flow(self, call: Call) -> None:
        self.calls.append(call)
        call.progress()
        await call.sleep(5)
        call.answer()
        await call.wait_ended()

    def wait(self, seconds: float = 0.02) -> None:
        self.network.run(seconds)


@pytest.mark.parametrize(
    ("offer", "port"),
    [(NEW, "4"), (NEW.replace(b"RTP/AVP 8", b"RTP/AVP 18"), "0"), (OFFER.replace(b"m=audio 4000", b"m=audio 0"), "0")],
)
@pytest.mark.parametrize("method", ["PRACK", "UPDATE"])
def test_our_own_early_media_is_renegotiated_too(
    monkeypatch: pytest.MonkeyPatch, method: str, offer: bytes, port: str
) -> None:
    world = Own(monkeypatch)
    world.a.invite(UPDATES + "Require: 100rel\r\n", OFFER, uri=f"sip:b@{ENGINE}")
    world.wait()
    response = world.a.responses("INVITE")[-1]
    world.a.remote_tag = response.to_tag
    rack = f"RAck: {response.get('RSeq')} {response.cseq} INVITE\r\n"
    if method == "UPDATE":
        world.a.request("PRACK", rack)
    world.a.request(method, rack if method == "PRACK" else UPDATES, offer)
    world.wait()
    answer = world.a.final(method)
    if method == "PRACK" or b"AVP 18" not in offer:
        assert answer.status == 200 and one_session(response, answer)
        assert (b"m=audio 0 " in answer.body) is (port == "0")
    else:
        assert answer.status == 488
    world.wait(6)
    final = world.a.responses("INVITE")[-1]
    assert (final.status, final.body) == (200, b"")
