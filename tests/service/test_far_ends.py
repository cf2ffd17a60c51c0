"""Far ends that describe their media to one caller: each in an early dialog of its own (RFC 3261 §13.2.1, RFC 6228)."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from engine.sip.message.message import Request, Response
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import OFFER

OFFICE, ONE, TWO = "192.0.2.101", "198.51.100.1", "198.51.100.2"
FOREIGN, BOTH = "+442079460123", "+15551234567"


def made(patch: pytest.MonkeyPatch, **provider: Any) -> World:
    destinations = [{"type": "sip", "target": f"sip:x@{host}"} for host in (ONE, TWO)]
    options = {"destinations": destinations, "ring_method": "ring_all", "relay_reason": True}
    return World(
        patch,
        configured(
            sip={"trusted_networks": [f"{OFFICE}/32"]},
            providers=[{"name": "one", "hostname": ONE} | provider, {"name": "two", "hostname": TWO} | provider],
            routes=[
                {"target": "all", "provider": "one", "priority": 1},
                {"target": "all", "provider": "two", "priority": 2},
            ],
            numbers=[{"number": BOTH, "call_flow": "both"}],
            flows=[{"name": "both", "actions": [{"type": "connect", "option": options}]}],
        ),
    )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = made(monkeypatch)
    yield world
    world.close()


def sdp(host: str, session: int, port: int = 4000) -> bytes:
    """A description of a far end's own."""
    lines = [f"o=- {session} 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=audio {port} RTP/AVP 8"]
    return "\r\n".join(("v=0", *lines, "")).encode()


class Call:
    """The office calls out; the carriers say what they are told to."""

    def __init__(self, world: World, headers: str = "", target: str = FOREIGN, body: bytes = OFFER) -> None:
        self.world = world
        self.office, self.one, self.two = world.phone(OFFICE), world.phone(ONE), world.phone(TWO)
        self.office.invite(headers, body, uri=f"sip:{target}@{ENGINE}")
        world.wait(0.3)

    def say(self, who: Phone, status: int, body: bytes = b"", headers: str = "") -> None:
        who.answer(who.requests("INVITE")[-1], status, headers, body, tag=f"far{who.host[-1]}")
        self.world.wait(0.3)

    def described(self) -> dict[str, set[bytes]]:
        """What the caller was told of media, by To tag."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for response in self.office.responses("INVITE"):
            if response.body:
                found[response.to_tag].add(response.body)
        return dict(found)

    def heard(self, status: int) -> Response:
        return [response for response in self.office.responses("INVITE") if response.status == status][-1]

    def within(self, tag: str, method: str, headers: str = "", body: bytes = b"") -> int:
        """A request of the caller's in one of its dialogs."""
        self.office.remote_tag = tag
        self.office.request(method, headers, body)
        self.world.wait(0.1)
        return self.office.statuses(method)[-1]

    def talk_and_hang_up(self, far: Phone) -> None:
        """The answered call stands, and ends at both sides."""
        tag = self.heard(200).to_tag
        self.office.remote_tag = tag
        self.office.ack()
        self.world.wait(0.1)
        assert far.requests("ACK")
        assert self.within(tag, "BYE") == 200
        assert far.requests("BYE")
        far.answer(far.requests("BYE")[-1], 200)
        self.world.wait(40)
        assert not self.world.node.agent.endpoint.dialogs and not self.world.node.agent.calls


def test_the_media_of_the_next_provider_is_another_dialogs(world: World) -> None:
    call = Call(world)
    call.say(call.one, 183, sdp(ONE, 1))
    call.say(call.one, 503)
    call.say(call.two, 183, sdp(TWO, 2))
    call.say(call.two, 200, sdp(TWO, 2))
    assert sorted(map(len, call.described().values())) == [1, 1]
    assert call.described()[call.heard(200).to_tag] == {sdp(TWO, 2)}
    call.talk_and_hang_up(call.two)


@pytest.mark.parametrize("first", [180, 183])
def test_ringing_without_media_makes_no_dialog_of_its_own(world: World, first: int) -> None:
    call = Call(world)
    call.say(call.one, first)
    call.say(call.one, 503)
    call.say(call.two, 183, sdp(TWO, 2))
    call.say(call.two, 200, sdp(TWO, 2))
    assert len({response.to_tag for response in call.office.responses("INVITE") if response.status > 100}) == 1
    call.talk_and_hang_up(call.two)


def test_what_rings_after_a_far_end_that_is_gone_rings_in_a_new_dialog(world: World) -> None:
    """RFC 6228: who supports 199 is told that the old one has ended, as soon as the call has gone on without it."""
    call = Call(world, "Supported: 199\r\n")
    call.say(call.one, 183, sdp(ONE, 1))
    call.say(call.one, 503)
    assert call.office.statuses("INVITE")[-1] == 199
    call.say(call.two, 183, sdp(TWO, 2))
    gone, second = call.heard(199), call.heard(183)
    assert gone.to_tag != second.to_tag and call.described()[gone.to_tag] == {sdp(ONE, 1)}
    assert not gone.body
    call.say(call.two, 486)
    assert call.office.final("INVITE").status == 486


def test_who_does_not_know_199_is_not_told(world: World) -> None:
    call = Call(world)
    call.say(call.one, 183, sdp(ONE, 1))
    call.say(call.one, 503)
    call.say(call.two, 183, sdp(TWO, 2))
    assert 199 not in call.office.statuses("INVITE")


def test_two_that_ring_at_once_keep_a_dialog_each_and_the_one_that_answers_has_its_own(world: World) -> None:
    call = Call(world, target=BOTH)
    call.say(call.one, 183, sdp(ONE, 1))
    call.say(call.two, 183, sdp(TWO, 2))
    tags = {next(iter(bodies)): tag for tag, bodies in call.described().items()}
    assert len(tags) == 2
    call.say(call.one, 200, sdp(ONE, 1))
    assert call.heard(200).to_tag == tags[sdp(ONE, 1)]
    assert call.heard(200).body == sdp(ONE, 1)


def test_media_that_changes_stays_in_its_dialog(world: World) -> None:
    call = Call(world)
    call.say(call.one, 183, sdp(ONE, 1))
    call.say(call.one, 183, sdp(ONE, 1, 5000))
    assert len(call.described()) == 1


def test_anchored_media_is_one_far_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world = made(monkeypatch, media="anchor")
    try:
        call = Call(world)
        call.say(call.one, 183, sdp(ONE, 1))
        call.say(call.one, 503)
        call.say(call.two, 183, sdp(TWO, 2))
        call.say(call.two, 200, sdp(TWO, 2))
        assert len(call.described()) == 1
        call.talk_and_hang_up(call.two)
    finally:
        world.close()


RELIABLE = "Require: 100rel\r\nRSeq: {}\r\n"


def rack(response: Response) -> str:
    return f"RAck: {response.get('RSeq')} {response.cseq} INVITE\r\n"


def test_reliable_responses_count_on_over_the_invite_and_each_prack_belongs_to_its_dialog(world: World) -> None:
    """RFC 3262 §3; the early dialog of a far end that has failed answers nothing more."""
    call = Call(world, "Supported: 100rel\r\n")
    call.say(call.one, 183, sdp(ONE, 1), RELIABLE.format(7))
    first = call.heard(183)
    assert call.within(first.to_tag, "PRACK", rack(first)) == 200
    call.say(call.one, 503)
    call.say(call.two, 183, sdp(TWO, 2), RELIABLE.format(9))
    second = call.heard(183)
    assert int(second.get("RSeq")) == int(first.get("RSeq")) + 1 and second.to_tag != first.to_tag
    assert call.within(first.to_tag, "UPDATE", body=OFFER) == 481
    assert call.within(first.to_tag, "PRACK", rack(second)) == 481
    assert call.within(second.to_tag, "PRACK", rack(second)) == 200
    call.say(call.two, 200)
    assert call.heard(200).to_tag == second.to_tag
    call.talk_and_hang_up(call.two)


def test_a_prack_that_comes_after_its_far_end_has_failed_is_taken(world: World) -> None:
    call = Call(world, "Supported: 100rel\r\n")
    call.say(call.one, 183, sdp(ONE, 1), RELIABLE.format(7))
    first = call.heard(183)
    call.say(call.one, 503)
    call.say(call.two, 183, sdp(TWO, 2), RELIABLE.format(9))
    assert call.within(first.to_tag, "PRACK", rack(first)) == 200
    world.wait(2)
    assert len([one for one in call.office.responses("INVITE") if one.to_tag == first.to_tag and one.body]) <= 3


@pytest.mark.parametrize("method", ["BYE", "INFO", "OPTIONS"])
def test_a_dialog_that_was_left_ends_nothing(world: World, method: str) -> None:
    call = Call(world)
    call.say(call.one, 183, sdp(ONE, 1))
    first = call.heard(183).to_tag
    call.say(call.one, 503)
    call.say(call.two, 183, sdp(TWO, 2))
    assert call.within(first, method) == 481
    call.say(call.two, 200, sdp(TWO, 2))
    call.talk_and_hang_up(call.two)


def test_a_caller_that_gives_up_leaves_no_dialog(world: World) -> None:
    call = Call(world)
    for who, session in ((call.one, 1), (call.two, 2)):
        call.say(who, 183, sdp(who.host, session))
        if who is call.one:
            call.say(who, 503)
    call.office.cancel(f"z9hG4bK{OFFICE}x{call.office.branches}", to_tag="")
    world.wait(1)
    assert call.office.final("INVITE").status == 487
    cancel: Request = call.two.requests("CANCEL")[-1]
    call.two.answer(cancel, 200)
    call.say(call.two, 487)
    world.wait(40)
    assert not world.node.agent.endpoint.dialogs and not world.node.agent.calls


def test_a_far_end_that_fails_with_the_call_is_not_said_to_be_gone_rfc6228_4(world: World) -> None:
    call = Call(world, "Supported: 199\r\n")
    call.say(call.one, 183, sdp(ONE, 1))
    call.say(call.one, 486)
    world.wait(1)
    assert set(call.office.statuses("INVITE")) == {100, 183, 486}


def test_between_two_far_ends_there_is_nobody_in_the_dialog_of_the_first(world: World) -> None:
    call = Call(world, "Allow: UPDATE\r\nSupported: 100rel\r\n")
    call.say(call.one, 183, sdp(ONE, 1), RELIABLE.format(7))
    first = call.heard(183)
    call.one.answer(call.one.requests("INVITE")[-1], 503, tag="far1")
    world.wait(0.02)
    assert call.within(first.to_tag, "UPDATE", body=OFFER) == 481
    assert call.within(first.to_tag, "PRACK", rack(first), OFFER) == 200
    assert b"m=audio 0 " in call.office.responses("PRACK")[-1].body
    assert not call.one.requests("UPDATE") and not call.two.requests("UPDATE")


@pytest.mark.parametrize("method", ["PRACK", "UPDATE"])
def test_of_two_that_ring_each_is_asked_in_its_own_dialog(world: World, method: str) -> None:
    """RFC 3311 §5.1, RFC 3262 §5: offers in each early dialog are for the far end whose dialog it is."""
    call = Call(world, "Supported: 100rel\r\nAllow: UPDATE, PRACK\r\n", target=BOTH)
    early = []
    for who, number in ((call.one, 1), (call.two, 2)):
        call.say(who, 183, sdp(who.host, number), RELIABLE.format(7) + "Allow: UPDATE\r\n")
        early.append(call.heard(183))
    assert int(early[1].get("RSeq")) == int(early[0].get("RSeq")) + 1
    for who, number, response in ((call.one, 1, early[0]), (call.two, 2, early[1])):
        other = call.two if who is call.one else call.one
        before = len(other.requests("UPDATE"))
        headers = rack(response) if method == "PRACK" else ""
        if method == "UPDATE":
            assert call.within(response.to_tag, "PRACK", rack(response)) == 200
        call.office.remote_tag = response.to_tag
        call.office.request(method, headers, OFFER.replace(b"4000", b"600%d" % number))
        world.wait(0.1)
        asked = who.requests("UPDATE")[-1]
        assert b"600%d" % number in asked.body and len(other.requests("UPDATE")) == before
        who.answer(asked, 200, body=sdp(who.host, number, 7000 + number))
        world.wait(0.1)
        answer = call.office.responses(method)[-1]
        assert answer.status == 200 and b"m=audio 700%d" % number in answer.body
    call.say(call.one, 200, sdp(ONE, 1))
    ok = call.heard(200)
    assert ok.to_tag == early[0].to_tag and not ok.body
    call.talk_and_hang_up(call.one)


@pytest.mark.parametrize("body", [b"", sdp(ONE, 1).replace(b"c=IN IP4 198.51.100.1\r\n", b"")])
@pytest.mark.parametrize("offer", [OFFER, b""])
def test_an_answer_without_a_description_counts_as_488_and_the_next_provider_is_tried(
    world: World, body: bytes, offer: bytes
) -> None:
    call = Call(world) if offer else Call(world, body=b"")
    call.say(call.one, 200, body)
    assert [request.method for request in call.one.heard if isinstance(request, Request)][-2:] == ["ACK", "BYE"]
    assert "cause=488" in call.one.requests("BYE")[0].get("Reason")
    call.say(call.two, 200, sdp(TWO, 2))
    assert call.heard(200).body == sdp(TWO, 2)
