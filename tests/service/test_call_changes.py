"""Requests that change a call, and come from another address than the call is with (RFC 3261 §22.1, §26.3.2.2)."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from engine.sip.auth.digest_client import ClientSession, choose, parse_challenges
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

CARRIER, CARRIER_TOO, SECOND = "198.51.100.1", "198.51.100.2", "198.51.100.9"
GUEST, THIEF, DESK, NEXT_DESK = "203.0.113.1", "203.0.113.66", "192.0.2.101", "192.0.2.102"
EDGE, OTHER_EDGE = "192.0.2.11", "192.0.2.12"
FOREIGN, OUT = f"sip:+442079460123@{ENGINE}", f"sip:+899100000001@{ENGINE}"
ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO, REFER, NOTIFY\r\n"
CONNECT = {"type": "connect", "option": {"destinations": [{"type": "tel", "target": "+442079460123"}]}}
CHANGES = [("REFER", b""), ("INVITE", OFFER), ("INVITE", b""), ("UPDATE", OFFER), ("INFO", b"Signal=1\r\n")]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    carriers = [
        {"name": "carrier", "hostname": CARRIER, "inbound_addresses": [f"{CARRIER_TOO}/32"]},
        {"name": "second", "hostname": SECOND},
    ]
    made = World(
        monkeypatch,
        configured(
            sip={
                "trusted_networks": [f"{DESK}/32", f"{NEXT_DESK}/32"],
                "proxies": [f"{EDGE}/32", f"{OTHER_EDGE}/32"],
                "users": [
                    {"username": "alice", "password": "secret"},
                    {"username": "bob", "password": "other"},
                    {"username": "carol", "password": "third", "realm": "elsewhere"},
                ],
            },
            providers=carriers,
            routes=[{"target": "all", "provider": "carrier"}],
            numbers=[{"number": "+899100000001", "call_flow": "out"}, {"number": "+15551234567", "call_flow": "out"}],
            flows=[{"name": "out", "actions": [CONNECT]}],
        ),
    )
    yield made
    made.close()


class Talk:
    """A call through the engine to the carrier, which has answered."""

    def __init__(self, world: World, host: str, uri: str = OUT, login: str = "", headers: str = "") -> None:
        self.world, self.uri = world, uri
        self.phone = world.phone(host)
        self.carrier = world.phone(CARRIER)
        self.header = ""
        phone = self.phone
        phone.invite(ALLOW + headers, OFFER, uri=uri)
        if login:
            challenge = phone.final("INVITE")
            assert challenge.status == 401
            name, _, password = login.partition(":")
            self.header = phone.credentials(challenge, "INVITE", uri, name, password, OFFER)
            phone.remote_tag = ""
            phone.invite(ALLOW + headers + self.header, OFFER, uri=uri)
        world.wait()
        invite = self.carrier.requests("INVITE")[-1]
        self.carrier.call_id, self.carrier.remote_tag, self.carrier.cseq = invite.call_id, invite.from_tag, 500
        self.carrier.answer(invite, 200, ALLOW, ANSWER, tag=self.carrier.tag)
        world.wait()
        phone.remote_tag = ""
        assert phone.final("INVITE").status == 200
        phone.ack()
        self.target = phone.final("INVITE").address("Contact").uri_text
        phone.forget()
        self.carrier.forget()

    def from_(self, host: str, who: Phone | None = None) -> Phone:
        return self.world.phone(host).like(who or self.phone)


def change(who: Phone, method: str, body: bytes, headers: str = "", uri: str = f"sip:{ENGINE}:5060") -> int:
    """The final status; 0 where it is dealt with: somebody else was asked."""
    refer = f"Refer-To: <sip:+447700900999@{ENGINE}>\r\n" if method == "REFER" else ""
    who.request(method, refer + headers, body, uri=uri)
    who.network.run(0.1)
    statuses = [found.status for found in who.responses(method) if found.cseq == who.cseq and found.status >= 200]
    return statuses[-1] if statuses else 0


def challenge(who: Phone, method: str) -> Any:
    return [response for response in who.responses(method) if response.status == 401][-1]


@pytest.mark.parametrize(("method", "body"), CHANGES)
def test_a_guests_call_is_changed_from_its_own_host_alone(world: World, method: str, body: bytes) -> None:
    talk = Talk(world, GUEST)
    assert change(talk.from_(THIEF), method, body) == 403
    assert not talk.carrier.heard and not talk.world.phone("203.0.113.2").heard
    assert change(talk.phone, method, body) in (0, 603)  # it is heard; a guest may not transfer
    assert method == "REFER" or talk.carrier.heard


@pytest.mark.parametrize(("method", "body"), CHANGES)
def test_a_trunks_call_is_changed_from_that_providers_addresses(world: World, method: str, body: bytes) -> None:
    talk = Talk(world, DESK, FOREIGN)
    for host in (THIEF, SECOND, NEXT_DESK):
        assert change(talk.from_(host, talk.carrier), method, body) == 403, host
    assert not talk.phone.heard
    assert change(talk.from_(CARRIER_TOO, talk.carrier), method, body) in (0, 603)
    assert method == "REFER" or talk.phone.heard


@pytest.mark.parametrize(("method", "body"), CHANGES)
def test_a_trusted_clients_call_is_changed_from_trusted_networks(world: World, method: str, body: bytes) -> None:
    talk = Talk(world, DESK, FOREIGN)
    for host in (THIEF, CARRIER_TOO, EDGE):
        assert change(talk.from_(host), method, body) == 403, host
    assert not talk.carrier.heard
    assert change(talk.from_(NEXT_DESK), method, body) in (0, 202)
    talk.world.wait(0.5)
    assert talk.carrier.heard


@pytest.mark.parametrize(("method", "body"), CHANGES)
def test_a_call_that_was_logged_in_for_asks_for_the_login_again_22_1(world: World, method: str, body: bytes) -> None:
    talk = Talk(world, GUEST, FOREIGN, login="alice:secret")
    moved = talk.from_(THIEF)
    assert change(moved, method, body) == 401
    assert not talk.carrier.heard
    uri = f"sip:{ENGINE}:5060"
    wrong = moved.credentials(challenge(moved, method), method, uri, "alice", "guess", body)
    assert change(moved, method, body, wrong) == 403
    assert change(moved, method, body) == 401
    other = moved.credentials(challenge(moved, method), method, uri, "bob", "other", body)
    assert change(moved, method, body, other) == 403, "somebody else's login is none"
    assert not talk.carrier.heard
    assert change(moved, method, body) == 401
    right = moved.credentials(challenge(moved, method), method, uri, "alice", "secret", body)
    assert change(moved, method, body, right) in (0, 202)
    world.wait(0.5)
    assert talk.carrier.heard


@pytest.mark.parametrize(("method", "body"), CHANGES)
def test_who_is_somebody_in_another_realm_is_not_who_has_called_22_1(world: World, method: str, body: bytes) -> None:
    talk = Talk(world, GUEST, FOREIGN, login="alice:secret")
    moved = talk.from_(THIEF)
    assert change(moved, method, body) == 401
    asked = [value for value in challenge(moved, method).lines("WWW-Authenticate") if 'realm="elsewhere"' in value]
    session = ClientSession(choose(parse_challenges(asked)), "carol", "third")  # type: ignore[arg-type]
    proof = session.authorization(method, f"sip:{ENGINE}:5060", "cnonce", body)
    assert change(moved, method, body, f"Authorization: {proof}\r\n") == 403
    assert not talk.carrier.heard


@pytest.mark.parametrize(
    "decoy",
    [
        'Authorization: Digest username="alice", realm="not.ours", nonce="1", uri="sip:x", response="2"',
        'Authorization: Digest realm="not.ours", nonce="1", uri="sip:x", response="2", username="alice"',
        'Authorization: Basic username="alice"',
    ],
)
def test_a_login_is_what_was_found_good_and_not_what_stands_first(world: World, decoy: str) -> None:
    talk = Talk(world, GUEST, FOREIGN, login="bob:other", headers=f"{decoy}\r\n")
    uri = f"sip:{ENGINE}:5060"
    moved = talk.from_(THIEF)
    for login, statuses in (("alice:secret", (403,)), ("bob:other", (0,))):
        name, _, password = login.partition(":")
        assert change(moved, "INFO", b"Signal=1\r\n") == 401
        proof = moved.credentials(challenge(moved, "INFO"), "INFO", uri, name, password, b"Signal=1\r\n")
        assert change(moved, "INFO", b"Signal=1\r\n", proof) in statuses


@pytest.mark.parametrize(("method", "body"), CHANGES)
def test_a_login_that_was_read_on_its_way_is_none(world: World, method: str, body: bytes) -> None:
    talk = Talk(world, GUEST, FOREIGN, login="alice:secret")
    assert change(talk.from_(THIEF), method, body, talk.header, uri=talk.uri) in (401, 403)
    phone = talk.phone
    moved = talk.from_(THIEF)
    assert change(moved, "INFO", b"Signal=1\r\n") == 401
    info = moved.credentials(challenge(moved, "INFO"), "INFO", f"sip:{ENGINE}:5060", "alice", "secret", b"Signal=1\r\n")
    assert change(moved, "INFO", b"Signal=1\r\n", info) == 0
    third = world.phone("203.0.113.99").like(moved)
    assert change(third, method, body, info) in (401, 403), "its nonce and count have been used"
    assert change(phone.like(moved), "INFO", b"Signal=2\r\n") == 401, "the call has moved away from here"


def test_the_call_follows_a_phone_that_shows_its_login(world: World) -> None:
    talk = Talk(world, GUEST, FOREIGN, login="alice:secret")
    moved = talk.from_("203.0.113.50")
    moved.contact = "<sip:alice@10.0.0.7>"
    change(moved, "INVITE", OFFER)
    proof = moved.credentials(challenge(moved, "INVITE"), "INVITE", f"sip:{ENGINE}:5060", "alice", "secret", OFFER)
    change(moved, "INVITE", OFFER, proof)
    carrier = talk.carrier
    carrier.answer(carrier.requests("INVITE")[-1], 200, ALLOW, ANSWER)
    world.wait()
    assert moved.statuses("INVITE")[-1] == 200
    moved.ack()
    carrier.request("BYE")
    world.wait()
    assert len(moved.requests("BYE")) == 1 and not talk.phone.requests("BYE")
    [call] = [found for found in world.node.agent.calls if found.direction == "incoming"] or [None]
    assert call is None or call.remote.host == moved.host


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "PRACK"])
def test_what_is_free_is_free_from_anywhere_and_moves_nothing(world: World, method: str) -> None:
    talk = Talk(world, GUEST)
    thief = talk.from_(THIEF)
    thief.request(method, uri=f"sip:{ENGINE}:5060")
    assert thief.statuses(method)[-1] in (200, 481)
    if method != "BYE":
        talk.carrier.request("BYE")
        world.wait()
        assert talk.phone.requests("BYE") and not thief.requests("BYE")


def test_a_call_of_one_own_edge_may_be_changed_by_another(world: World) -> None:
    talk = Talk(world, EDGE)
    assert change(talk.from_(GUEST), "INFO", b"Signal=1\r\n") == 403
    assert change(talk.from_(OTHER_EDGE), "INFO", b"Signal=1\r\n") == 0
    assert talk.carrier.requests("INFO")


def test_a_refused_request_does_not_count_in_the_order_of_the_dialog_12_2_2(world: World) -> None:
    talk = Talk(world, GUEST)
    thief = talk.from_(THIEF)
    thief.cseq = 4_000_000
    assert change(thief, "INVITE", OFFER) == 403
    assert change(talk.phone, "INFO", b"Signal=1\r\n") == 0
    assert talk.carrier.requests("INFO")


def test_a_text_within_a_dialog_is_judged_as_one_outside_of_it(world: World) -> None:
    talk = Talk(world, GUEST, FOREIGN, login="alice:secret")
    thief = talk.from_(THIEF)
    text = "Content-Type: text/plain\r\n"
    thief.request("MESSAGE", text, b"hello", uri=f"sip:+447700900999@{ENGINE}")
    world.wait(0.5)
    assert thief.statuses("MESSAGE")[-1] in (401, 403) and not talk.carrier.requests("MESSAGE")


@pytest.mark.parametrize(
    ("contact", "status"),
    [
        ("sip:{provider};transport=tcp", 403),
        ("sip:+19005551234@127.0.0.21:5999", 403),
        ("sip:{engine};transport=tcp", 403),
        ("sip:+19005551234@localhost:{port};transport=tcp", 403),  # a name for the engine
        ("sip:peer@127.0.0.12:5999;transport=tcp", 200),
        ("sip:peer@127.0.0.1:5999;transport=tcp", 200),  # another program on the engine's machine
    ],
)
def test_over_a_connection_nobody_leads_to_a_provider_or_to_ourselves_either(
    run: Any, contact: str, status: int
) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone("127.0.0.21")
        engine = await bench.engine(sip={"listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]}, **bench.providers(one))
        host, _, port = engine.at("tcp").rpartition(":")
        named = contact.format(provider=one.address, engine=engine.at("tcp"), port=port)
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.12", 0))
        number = "+15551234567"
        writer.write(
            f"INVITE sip:{number}@{engine.at('tcp')} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.12;branch=z9hG4bK1\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.12>;tag=1\r\nTo: <sip:{number}@x>\r\nCall-ID: tcp\r\n"
            f"CSeq: 1 INVITE\r\nContact: <{named}>\r\nContent-Length: 0\r\n\r\n".encode()
        )
        found = 100
        async with asyncio.timeout(15):
            while found < 200:
                line = (await reader.readline()).decode()
                if line.startswith("SIP/2.0 "):
                    found = int(line.split()[1])
        assert found == status and not one.requests
        writer.close()
        await writer.wait_closed()

    run(test)
