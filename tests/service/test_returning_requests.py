"""Requests of our own that come back: they have no rights, and go round in no circle (RFC 3261 §16.3, RFC 5393)."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

CARRIER, PROXY, GUEST, DESK = "198.51.100.1", "203.0.113.9", "203.0.113.1", "192.0.2.101"
NESTED = "+15551230004"
AWAY, OTHER, ECHO, AGAIN, FOREIGN = "+15551234567", "+15551230001", "+15551230002", "+15551230003", "+442079460123"
ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n"


def connect(*uris: str, **more: Any) -> dict[str, Any]:
    return {"type": "connect", "option": {"destinations": [{"type": "sip", "target": uri} for uri in uris]} | more}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(
        monkeypatch,
        configured(
            # The engine's own address, and the proxy's, are trusted: what comes back from there is not, for all that.
            sip={"trusted_networks": ["192.0.2.0/24", f"{PROXY}/32"], "users": [{"username": "a", "password": "b"}]},
            providers=[{"name": "carrier", "hostname": CARRIER}],
            routes=[{"target": "all", "provider": "carrier"}],
            numbers=[
                {"number": AWAY, "call_flow": "away", "message_flow": "on"},
                {"number": OTHER, "call_flow": "other", "message_flow": "off"},
                {"number": ECHO, "call_flow": "echo"},
                {"number": AGAIN, "call_flow": "both"},
                {"number": NESTED, "call_flow": "nested"},
            ],
            flows=[
                {"name": "away", "actions": [connect(f"sip:x@{PROXY}", relay_reason=True)]},
                {"name": "other", "actions": [connect(f"sip:y@{PROXY}", relay_reason=True)]},
                {"name": "nested", "actions": [connect(f"sip:z@{PROXY}", f"sip:{AGAIN}@{ENGINE}")]},
                {"name": "both", "actions": [connect(f"sip:x@{PROXY}", f"sip:y@{PROXY}", relay_reason=True)]},
                {"name": "echo", "actions": [{"type": "answer"}, {"type": "sleep", "option": {"duration": 60000}}]},
                {"name": "on", "actions": [_text(f"sip:x@{PROXY}")]},
                {"name": "off", "actions": [_text(f"sip:y@{PROXY}")]},
            ],
        ),
    )
    yield made
    made.close()


def _text(uri: str) -> dict[str, Any]:
    destinations = [{"type": "sip", "target": uri}]
    return {"type": "message_send", "option": {"destinations": destinations, "text": "hello"}}


class Proxy(Phone):
    """Sends what comes on to the engine, with another Request-URI and a Via of its own on top."""

    def __init__(self, world: World, *dialled: str) -> None:
        super().__init__(world.network, PROXY)
        self.dialled = list(dialled)  # the Request-URI's user for each request that comes, the last for all others
        self.keeps_vias = True
        self.passed: list[Request] = []

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        super().receive(data, flow, now)
        message = self.heard[-1]
        if isinstance(message, Request):
            if message.method == "ACK" or message.to_tag:
                return
            self.passed.append(message)
            user = self.dialled.pop(0) if len(self.dialled) > 1 else self.dialled[0]
            self._pass(data, user)
        else:
            self.back(data)

    def _pass(self, data: bytes, user: str) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        lines[0] = f"{lines[0].split(' ')[0]} sip:{user}@{ENGINE} SIP/2.0"
        self.branches += 1
        vias = [f"Via: SIP/2.0/UDP {PROXY}:5060;branch=z9hG4bKproxy{self.branches}"]
        kept = [line for line in lines[1:] if self.keeps_vias or not line.startswith("Via:")]
        text = "\r\n".join([lines[0], *vias, *kept]) + "\r\n\r\n" + body
        self.network.send(text.encode(), (PROXY, 5060), (ENGINE, 5060))

    def back(self, data: bytes) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        top = next(index for index, line in enumerate(lines) if line.startswith("Via:"))
        del lines[top]
        if any(line.startswith("Via:") for line in lines):
            self.network.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), (PROXY, 5060), (ENGINE, 5060))


def call(world: World, number: str, host: str = GUEST, headers: str = "") -> Phone:
    phone = world.phone(host)
    phone.invite(ALLOW + headers, OFFER, uri=f"sip:{number}@{ENGINE}")
    world.wait(1.0)
    return phone


def refusals(world: World) -> dict[str, int]:
    return dict(world.node.directory.refused)


# ---- no rights


@pytest.mark.parametrize("branch", ["z9hG4bKanything", "own"])
def test_what_comes_from_our_own_socket_is_no_clients_3(world: World, branch: str) -> None:
    carrier = world.phone(CARRIER)
    agent = world.node.agent
    via = agent.endpoint.branches.make("t") if branch == "own" else branch
    data = (
        f"INVITE sip:{FOREIGN}@{ENGINE} SIP/2.0\r\nVia: SIP/2.0/UDP {ENGINE}:5060;branch={via}\r\n"
        f"From: <sip:+15550001111@{ENGINE}>;tag=1\r\nTo: <sip:b@{ENGINE}>\r\nCall-ID: own\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:{ENGINE}:5060>\r\nContent-Length: 0\r\n\r\n"
    )
    world.network.send(data.encode(), (ENGINE, 5060), (ENGINE, 5060))
    world.wait(1.0)
    assert not carrier.heard and refusals(world) == {"foreign_from_guest": 1}


def test_another_program_on_this_machine_is_judged_by_its_address(world: World) -> None:
    carrier, desk = world.phone(CARRIER), world.phone(ENGINE, 5070)
    desk.invite(ALLOW, OFFER, uri=f"sip:{FOREIGN}@{ENGINE}")
    world.wait()
    assert len(carrier.requests("INVITE")) == 1


def test_what_a_proxy_sends_back_to_us_has_none_of_the_proxys_rights(world: World) -> None:
    carrier = world.phone(CARRIER)
    proxy = Proxy(world, FOREIGN)
    phone = call(world, AWAY)
    assert len(proxy.passed) == 1 and phone.statuses("INVITE")[-1] == 403
    assert not carrier.requests("INVITE") and refusals(world) == {"foreign_from_guest": 1}
    # what the proxy asks for itself, it may
    own = world.phone(PROXY, 5070)
    own.invite(ALLOW, OFFER, uri=f"sip:{FOREIGN}@{ENGINE}")
    world.wait()
    assert len(carrier.requests("INVITE")) == 1


def test_what_another_own_node_has_sent_is_a_peers(world: World) -> None:
    """Each node has a secret of its own: what it has not sent itself it cannot judge."""
    from engine.sip.transaction.branch import Branches

    desk = world.phone(DESK)
    carrier = world.phone(CARRIER)
    desk.invite(ALLOW, OFFER, uri=f"sip:{FOREIGN}@{ENGINE}", branch=Branches("another node").make("t"))
    world.wait()
    assert len(carrier.requests("INVITE")) == 1


def test_a_stranger_that_repeats_our_branch_gains_nothing_by_it(world: World) -> None:
    proxy = Proxy(world, "nobody")
    call(world, AWAY)
    ours = proxy.passed[0].branch
    carrier, thief = world.phone(CARRIER), world.phone(GUEST, 5090)
    thief.invite(
        f"Via: SIP/2.0/UDP {ENGINE};branch={ours}\r\n{ALLOW}", OFFER, uri=f"sip:{FOREIGN}@{ENGINE}",
        contact=f"<sip:+19005551234@{CARRIER}>",
    )  # fmt: skip
    assert thief.statuses("INVITE")[-1] == 403 and not carrier.heard


# ---- loops and spirals


@pytest.mark.parametrize("written", [AWAY, AWAY[1:], f"00{AWAY[1:]}", "+1-555-123-4567", "+1%2d555%2D1234567"])
def test_a_call_that_leads_to_its_own_number_is_a_loop_482_16_3(world: World, written: str) -> None:
    proxy = Proxy(world, written)
    phone = call(world, AWAY)
    assert phone.statuses("INVITE")[-1] == 482
    assert len(proxy.passed) == 1 and refusals(world) == {"loop": 1}


def test_a_call_that_leads_to_another_number_is_a_spiral_and_is_taken(world: World) -> None:
    Proxy(world, ECHO)
    phone = call(world, AWAY)
    assert phone.statuses("INVITE")[-1] == 200
    phone.remote_tag = ""
    phone.final("INVITE")
    phone.ack()
    deep = sorted(found.depth for found in world.node.agent.calls if found.direction == "incoming")
    assert deep == [0, 1]
    phone.request("BYE")
    world.wait(2.0)
    assert not world.node.agent.calls, "its own requests within the call reach it"


def test_a_spiral_counts_one_deeper_each_time_it_comes_back(world: World) -> None:
    proxy = Proxy(world, OTHER, AWAY, OTHER, ECHO)
    phone = call(world, AWAY)
    world.wait(1.0)
    assert phone.statuses("INVITE")[-1] == 200
    assert sorted(found.depth for found in world.node.agent.calls if found.direction == "incoming") == [0, 1, 2, 3, 4]
    forwards = [int(invite.get("Max-Forwards")) for invite in proxy.passed]
    assert forwards == sorted(forwards, reverse=True) and len(set(forwards)) == 4


def test_a_loop_that_hides_our_via_is_ended_by_max_forwards(world: World) -> None:
    proxy = Proxy(world, AWAY)
    proxy.keeps_vias = False
    proxy.back = lambda data: None  # type: ignore[method-assign]
    phone = call(world, AWAY)
    world.wait(20.0)
    assert len(proxy.passed) <= 70
    phone.cancel(f"z9hG4bK{GUEST}x{phone.branches}")


def test_a_text_that_leads_to_its_own_number_is_a_loop(world: World) -> None:
    proxy = Proxy(world, AWAY)
    phone = world.phone(GUEST)
    phone.request("MESSAGE", "Content-Type: text/plain\r\n", b"hello", uri=f"sip:{AWAY}@{ENGINE}")
    world.wait(5.0)
    assert phone.statuses("MESSAGE") == [200]
    assert len(proxy.passed) == 1 and refusals(world) == {"loop": 1}


def test_a_text_that_comes_back_has_no_rights(world: World) -> None:
    proxy, carrier = Proxy(world, FOREIGN), world.phone(CARRIER)
    phone = world.phone(GUEST)
    phone.request("MESSAGE", "Content-Type: text/plain\r\n", b"hello", uri=f"sip:{AWAY}@{ENGINE}")
    world.wait(5.0)
    assert len(proxy.passed) == 1 and refusals(world) == {"foreign_from_guest": 1}
    assert not carrier.requests("MESSAGE")


# ---- Max-Breadth


@pytest.mark.parametrize(
    ("given", "sent"), [("", 60), ("7", 7), ("1", 1), ("60", 60), ("999999", 60), ("x", 60), ("-1", 60)]
)
def test_max_breadth_is_handed_on_and_never_grows_rfc_5393(world: World, given: str, sent: int) -> None:
    callee = world.phone(PROXY)
    call(world, AWAY, headers=f"Max-Breadth: {given}\r\n" if given else "")
    assert {invite.get("Max-Breadth") for invite in callee.requests("INVITE")} == {str(sent)}


def test_without_any_breadth_left_no_leg_is_dialled_440(world: World) -> None:
    callee = world.phone(PROXY)
    phone = call(world, AWAY, headers="Max-Breadth: 0\r\n")
    assert not callee.heard and phone.statuses("INVITE")[-1] == 440


@pytest.mark.parametrize(("given", "sent"), [("", 30), ("2", 1), ("9", 4), ("60", 30)])
def test_max_breadth_is_divided_among_those_that_ring_at_once(world: World, given: str, sent: int) -> None:
    callee = world.phone(PROXY)
    call(world, AGAIN, headers=f"Max-Breadth: {given}\r\n" if given else "")
    found = {invite.uri_text: invite.get("Max-Breadth") for invite in callee.requests("INVITE")}
    assert found == {f"sip:x@{PROXY}": str(sent), f"sip:y@{PROXY}": str(sent)}


def test_a_fork_that_max_breadth_does_not_do_for_is_440(world: World) -> None:
    callee = world.phone(PROXY)
    phone = call(world, AGAIN, headers="Max-Breadth: 1\r\n")
    assert not callee.heard and phone.statuses("INVITE")[-1] == 440


def test_forks_within_forks_share_what_the_outer_one_gave_them(world: World) -> None:
    callee = world.phone(PROXY)
    call(world, NESTED)
    shares = [int(invite.get("Max-Breadth")) for invite in callee.requests("INVITE")]
    assert set(shares) == {15, 30} and sum({15: 2, 30: 1}[share] * share for share in set(shares)) == 60


def test_what_is_read_here_is_what_was_sent(world: World) -> None:
    callee = world.phone(PROXY)
    call(world, AWAY)
    invite = callee.requests("INVITE")[0]
    callee.answer(invite, 200, ALLOW, ANSWER)
    world.wait()
    assert isinstance(parse(callee.raw[0]), Request)
    mark = world.node.agent.endpoint.branches.read(invite.branch)
    assert mark is not None and mark.depth == 0
    assert mark.dialled == world.node.agent.endpoint.branches.stands_for(AWAY)
