"""Challenges within a dialog (RFC 3261 §22.2, §22.3): answered on either side of a bridge, and kept from the other."""

from collections.abc import Iterator

import pytest

from engine.sip.auth.digest import ALGORITHMS, ha1, inner, parse_schemes, response
from engine.sip.message.message import Request
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

OFFICE, ONE, TRUNK = "192.0.2.101", "198.51.100.1", "198.51.100.9"
FOREIGN, OURS = "+442079460123", "+15551234567"
FIELDS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
ALLOW = "Allow: INVITE, ACK, BYE, UPDATE, INFO, REFER, MESSAGE\r\n"
KINDS = pytest.mark.parametrize("status", [401, 407])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    out = {"type": "connect", "option": {"destinations": [{"type": "tel", "target": FOREIGN}], "relay_reason": True}}
    made = World(
        monkeypatch,
        configured(
            sip={"trusted_networks": [f"{OFFICE}/32"]},
            providers=[
                {"name": "one", "hostname": ONE, "username": "us", "password": "secret"},
                {"name": "two", "hostname": TRUNK, "username": "them", "password": "word"},
            ],
            routes=[{"target": "all", "provider": "one"}],
            numbers=[{"number": OURS, "call_flow": "out"}],
            flows=[{"name": "out", "actions": [out]}],
        ),
    )
    yield made
    made.close()


class Call:
    """A caller talks with provider one: the office, or a trunk that wants credentials too."""

    def __init__(self, world: World, caller: str = OFFICE, early: str = "") -> None:
        self.world = world
        self.caller, self.one = world.phone(caller), world.phone(ONE)
        target = FOREIGN if caller == OFFICE else OURS
        self.caller.contact, self.one.contact = f"<sip:a@{caller}:5060>", f"<sip:b@{ONE}:5060>"
        self.caller.invite(ALLOW, OFFER, uri=f"sip:{target}@{ENGINE}")
        world.wait(0.3)
        self.invite = self.one.requests("INVITE")[-1]
        if early:
            self.one.answer(self.invite, 183, early, ANSWER, tag="far")
            world.wait(0.3)

    def talk(self) -> "Call":
        self.one.answer(self.invite, 200, ALLOW, ANSWER, tag="far")
        self.world.wait(0.3)
        self.caller.final("INVITE")
        self.caller.ack()
        self.world.wait(0.1)
        one, invite = self.one, self.invite
        one.call_id, one.remote_tag, one.tag, one.cseq = invite.call_id, invite.from_tag, "far", 700
        return self

    def sides(self, towards_caller: bool) -> tuple[Phone, Phone]:
        """Who acts, and who challenges what that leads to."""
        return (self.one, self.caller) if towards_caller else (self.caller, self.one)

    def hear(self, who: Phone, method: str, count: int) -> Request:
        """The last of so many requests, retransmissions aside."""
        self.world.wait(0.1)
        found = {request.branch: request for request in who.requests(method)}
        assert len(found) == count, list(found)
        return list(found.values())[-1]


def challenge(who: Phone, request: Request, status: int, nonce: str, realm: str = "r", more: str = "") -> None:
    value = f'Digest realm="{realm}", nonce="{nonce}", qop="auth"{more}'
    who.answer(request, status, f"{FIELDS[status][0]}: {value}\r\n")


def right(request: Request, status: int, nonce: str, realm: str = "r", name: str = "us", word: str = "secret") -> bool:
    """Whether a request answers the challenge."""
    for value in request.lines(FIELDS[status][1]):
        for _, given in parse_schemes(value):
            fields = {key: inner(text) for key, text in given.items()}
            if (fields["nonce"], fields["realm"], fields["username"]) != (nonce, realm, name):
                continue
            algorithm = ALGORITHMS["md5"]
            return fields["uri"] == request.uri_text and fields["response"] == response(
                algorithm,
                secret=ha1(algorithm, name, realm, word),
                nonce=nonce,
                method=request.method,
                uri=request.uri_text,
                qop="auth",
                nc=fields["nc"],
                cnonce=fields["cnonce"],
                body=request.body,
            )
    return False


BODIES = {
    "INVITE": OFFER.replace(b"4000", b"4002"),
    "UPDATE": OFFER.replace(b"4000", b"4004"),
    "INFO": b"Signal=5\r\nDuration=160\r\n",
    "MESSAGE": b"hello",
    "BYE": b"",
}
TYPES = {"INFO": "Content-Type: application/dtmf-relay\r\n", "MESSAGE": "Content-Type: text/plain\r\n"}


@KINDS
@pytest.mark.parametrize("towards_caller", [False, True])
@pytest.mark.parametrize("method", BODIES)
def test_each_request_within_a_dialog_is_sent_again_with_credentials_22_2(
    world: World, method: str, towards_caller: bool, status: int
) -> None:
    call = Call(world, TRUNK).talk()
    actor, far = call.sides(towards_caller)
    before = len(far.requests(method))
    actor.request(method, TYPES.get(method, ""), BODIES[method])
    first = call.hear(far, method, before + 1)
    challenge(far, first, status, "n1")
    second = call.hear(far, method, before + 2)
    name, word = ("them", "word") if towards_caller else ("us", "secret")
    assert right(second, status, "n1", name=name, word=word)
    assert (second.cseq, second.call_id, second.body) == (first.cseq + 1, first.call_id, first.body)
    assert second.get("Content-Type") == first.get("Content-Type") and second.to_tag == first.to_tag
    far.answer(second, 200, body=ANSWER if method in ("INVITE", "UPDATE") else b"")
    world.wait(0.2)
    assert actor.statuses(method)[-1] == 200
    assert not {401, 407} & {*actor.statuses(method)}
    if method == "INVITE":  # §22.1: the ACK has the credentials of its INVITE
        name = FIELDS[status][1]
        ack = [request for request in far.requests("ACK") if request.cseq == second.cseq][-1]
        assert ack.get(name) == second.get(name)


@pytest.mark.parametrize("more", ["", ", stale=true", ", stale=false"])
def test_a_new_nonce_is_tried_again_and_the_same_one_is_not_22_2(world: World, more: str) -> None:
    call = Call(world).talk()
    call.caller.request("INFO", TYPES["INFO"], BODIES["INFO"])
    for number, nonce in enumerate(["n1", "n2", "n3"], 1):
        challenge(call.one, call.hear(call.one, "INFO", number), 401, nonce, more=more)
        assert right(call.hear(call.one, "INFO", number + 1), 401, nonce)
    challenge(call.one, call.hear(call.one, "INFO", 4), 401, "n3", more=more)
    call.hear(call.one, "INFO", 4)
    world.wait(0.2)
    assert call.caller.statuses("INFO")[-1] == 403
    assert call.caller.final("INFO").reason == "Forbidden"
    assert "WWW-Authenticate" not in call.caller.final("INFO").first


def test_a_server_that_asks_for_ever_is_left(world: World) -> None:
    call = Call(world).talk()
    call.caller.request("BYE")
    world.wait(0.1)
    for number in range(20):
        if len(call.one.requests("BYE")) > number:
            challenge(call.one, call.one.requests("BYE")[number], 407, f"n{number}", realm=f"r{number}")
            world.wait(0.1)
    assert len(call.one.requests("BYE")) == 6
    world.wait(40)
    assert not world.node.agent.endpoint.dialogs and not world.node.agent.calls


def test_a_nonce_asked_for_by_each_request_is_counted_on_rfc_7616_3_4(world: World) -> None:
    call = Call(world)
    challenge(call.one, call.invite, 401, "always")
    call.invite = call.hear(call.one, "INVITE", 2)
    call.talk()
    seen = [call.invite.get("Authorization")]
    for number in range(2):
        call.caller.request("INFO", TYPES["INFO"], BODIES["INFO"])
        challenge(call.one, call.hear(call.one, "INFO", 2 * number + 1), 401, "always")
        again = call.hear(call.one, "INFO", 2 * number + 2)
        assert right(again, 401, "always")
        call.one.answer(again, 200)
        seen += [request.get("Authorization") for request in call.one.requests("INFO")[-2:]]
    counts = [value.partition("nc=")[2][:8] for value in seen]
    assert counts == [f"{number:08x}" for number in range(1, 6)]


def test_a_realm_that_changes_is_answered_and_the_newest_comes_first_22_3(world: World) -> None:
    call = Call(world)
    challenge(call.one, call.invite, 401, "n1", realm="east.example")
    call.invite = call.hear(call.one, "INVITE", 2)
    call.talk()
    for number in range(1, 8):
        call.caller.request("INFO", TYPES["INFO"], BODIES["INFO"])
        first = call.hear(call.one, "INFO", 2 * number - 1)
        challenge(call.one, first, 401, f"m{number}", realm=f"west{number}.example")
        again = call.hear(call.one, "INFO", 2 * number)
        assert right(again, 401, f"m{number}", realm=f"west{number}.example")
        assert f"west{number}.example" in again.lines("Authorization")[0]
        assert len(again.lines("Authorization")) <= 4
        call.one.answer(again, 200)
        world.wait(0.1)
    assert call.caller.statuses("INFO")[-1] == 200


@KINDS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "MESSAGE"])
def test_no_challenge_crosses_the_bridge_22_2(world: World, method: str, status: int) -> None:
    """The office has no account with us that could answer it."""
    call = Call(world).talk()
    before = len(call.caller.requests(method))
    call.one.request(method, TYPES.get(method, ""), BODIES[method])
    challenge(call.caller, call.hear(call.caller, method, before + 1), status, "n1")
    call.hear(call.caller, method, before + 1)
    world.wait(0.2)
    final = call.one.final(method)
    assert (final.status, final.reason) == (403, "Forbidden")
    assert not {"WWW-Authenticate", "Proxy-Authenticate"} & final.first.keys()
    call.caller.request("BYE")
    world.wait(0.2)
    assert call.one.requests("BYE"), "the call went on"


@KINDS
def test_a_prack_is_answered_in_its_early_dialog_rfc_3262_4(world: World, status: int) -> None:
    call = Call(world, early="Require: 100rel\r\nRSeq: 1\r\n")
    first = call.hear(call.one, "PRACK", 1)
    challenge(call.one, first, status, "n1")
    second = call.hear(call.one, "PRACK", 2)
    assert right(second, status, "n1") and second.get("RAck") == first.get("RAck")
    call.one.answer(second, 200)
    call.talk()
    assert call.caller.statuses("INVITE")[-1] == 200


@KINDS
def test_a_bye_of_a_call_that_is_over_is_answered_by_the_flow_that_asked(world: World, status: int) -> None:
    call = Call(world, TRUNK).talk()
    call.one.request("BYE")
    challenge(call.caller, call.hear(call.caller, "BYE", 1), status, "n1")
    again = call.hear(call.caller, "BYE", 2)
    assert right(again, status, "n1", name="them", word="word")
    call.caller.answer(again, 200)
    world.wait(40)
    assert len(call.caller.requests("BYE")) == 2
    assert not world.node.agent.endpoint.dialogs and not world.node.agent.calls


def test_a_refresh_of_the_session_is_answered_rfc_4028(world: World) -> None:
    call = Call(world).talk()
    (session,) = [s for s in world.node.agent.endpoint.sessions if s.dialog.call_id == call.invite.call_id]
    session.refresh(world.network.loop.time())
    challenge(call.one, call.hear(call.one, "UPDATE", 1), 407, "n1")
    second = call.hear(call.one, "UPDATE", 2)
    assert right(second, 407, "n1")
    call.one.answer(second, 200)
    world.wait(1)
    assert not session.ended
