"""Who may register, what is said of it, and what becomes of a phone that is not heard of any more."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.sip.message.message import Request, Response
from service.phones.keep_alive import ASKED_A_TURN, MISSES, PATIENCE, TURN
from tests.simulation.node import ENGINE, Phone, World, configured

EDGE = "192.0.2.250"
SIP: dict[str, Any] = {"sip": {"proxies": [EDGE]}}
EXTENSIONS = {
    "extensions": [
        {"name": "alice", "password": "s3cret"},
        {"name": "bob", "password": "b0b"},
        {"name": "carol", "password": "c", "status": "suspended"},
    ]
}


class Registering(Phone):
    """A phone that registers."""

    def register(
        self,
        contact: str = "",
        headers: str = "",
        *,
        name: str = "alice",
        login: str = "",
        password: str = "s3cret",
        uri: str = f"sip:{ENGINE}",
        via: str = "",
        tries: int = 2,
    ) -> Response:
        """The last answer to a REGISTER, with credentials once it is asked for them."""
        contact = f"Contact: {contact or f'<sip:{name}@{self.host}:{self.port}>'}\r\n"
        authorization = ""
        for _ in range(tries):
            self.forget()
            self.cseq += 1
            self.branches += 1
            top = via.replace("%", str(self.branches))
            lines = [
                f"REGISTER {uri} SIP/2.0",
                top or f"Via: SIP/2.0/UDP {self.via_host}:{self.port};rport;branch=z9hG4bK{self.branches}",
                f"From: <sip:{name}@{ENGINE}>;tag={self.tag}\r\nTo: <sip:{name}@{ENGINE}>",
                f"Max-Forwards: 70\r\nCall-ID: {self.call_id}\r\nCSeq: {self.cseq} REGISTER",
            ]
            self.say(("\r\n".join(lines) + f"\r\n{contact}{authorization}{headers}\r\n").encode())
            response = self.responses("REGISTER")[-1]
            if response.status != 401:
                break
            authorization = self.credentials(response, "REGISTER", uri, login or name, password, b"")
        return response


class Registrars(World):
    def phone(self, host: str, port: int = 5060) -> Registering:
        return Registering(self.network, host, port)

    def uris(self, name: str = "alice") -> list[str]:
        return [binding.uri for binding in self.node.location.bindings(name)]

    @property
    def results(self) -> dict[str, int]:
        return {result: count for result, count in self.node.registrar.results.items() if count}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registrars]:
    world = Registrars(monkeypatch, configured(**SIP, **EXTENSIONS))
    yield world
    world.close()


@pytest.fixture
def events(world: Registrars) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    world.node.location.observers.append(lambda change: found.append((change.event, change.binding.uri, change.cause)))
    return found


def test_a_phone_registers_refreshes_and_signs_off(world: Registrars, events: list[tuple[str, str, str]]) -> None:
    phone = world.phone("192.0.2.21")
    assert phone.register(tries=1).status == 401
    answer = phone.register()
    assert (answer.status, answer.get("Contact")) == (200, "<sip:alice@192.0.2.21:5060>;expires=3600")
    assert "GMT" in answer.get("Date")
    assert phone.register().status == 200
    assert world.uris() == ["sip:alice@192.0.2.21:5060"]
    assert phone.register(headers="Expires: 0\r\n").status == 200
    assert [event for event, _, _ in events] == ["registered", "refreshed", "unregistered"]
    assert world.results == {"challenged": 4, "registered": 1, "refreshed": 1, "unregistered": 1}


def test_a_retransmission_gets_the_same_answer(world: Registrars) -> None:
    phone = world.phone("192.0.2.21")
    first = phone.register()
    phone.again()
    assert phone.raw[-1] == bytes(phone.raw[0])
    assert first.status == 200
    assert world.results == {"challenged": 1, "registered": 1}


@pytest.mark.parametrize(
    ("given", "status", "result"),
    [
        ({"password": "wrong"}, 403, "credentials"),
        ({"name": "nobody"}, 403, "credentials"),
        ({"name": "carol", "password": "c"}, 403, "credentials"),
        ({"name": "bob", "login": "alice"}, 403, "forbidden"),
        ({"name": "nobody", "login": "alice"}, 404, "not_found"),
        ({"headers": "Expires: 30\r\n"}, 423, "too_brief"),
        ({"contact": "*"}, 400, "malformed"),
        ({"uri": "sip:198.51.100.1"}, 403, "domain"),
        ({"uri": "sip:[2001:db8::1]:5060"}, 403, "domain"),
        ({"uri": "sip:example.com"}, 200, "registered"),
        ({"uri": f"sip:{ENGINE}:5080;transport=udp"}, 200, "registered"),
        ({"uri": f"sip:alice@{ENGINE}"}, 200, "registered"),
    ],
)
def test_who_may_register(world: Registrars, given: dict[str, Any], status: int, result: str) -> None:
    assert world.phone("192.0.2.21").register(**given).status == status
    assert world.results[result] == 1
    assert len(world.node.location) == (status == 200)


def test_a_domain_of_a_provider_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Registrars(
        monkeypatch,
        configured(**SIP, **EXTENSIONS, providers=[{"name": "carrier", "hostname": "sip.carrier.example"}]),
        {"sip.carrier.example": ["192.0.2.99"]},
    )
    phone = world.phone("192.0.2.21")
    assert phone.register(uri="sip:sip.carrier.example").status == 403
    assert world.results == {"challenged": 1, "domain": 1}
    world.close()


@pytest.mark.parametrize("wrong", [{"tries": 1}, {"password": "wrong"}, {"name": "nobody"}])
@pytest.mark.parametrize("uri", ["sip:sip.carrier.example", "sip:192.0.2.99", "sip:198.51.100.1", "sip:[2001:db8::1]"])
def test_a_stranger_learns_neither_our_providers_nor_our_addresses_by_a_register(
    monkeypatch: pytest.MonkeyPatch, uri: str, wrong: dict[str, Any]
) -> None:
    """RFC 3261 §10.3 would have the domain looked at before the password."""
    world = Registrars(
        monkeypatch,
        configured(**SIP, **EXTENSIONS, providers=[{"name": "carrier", "hostname": "sip.carrier.example"}]),
        {"sip.carrier.example": ["192.0.2.99"]},
    )
    asked, ours = world.phone("192.0.2.21"), world.phone("192.0.2.22")
    assert asked.register(uri=uri, **wrong).status == ours.register(**wrong).status
    assert "domain" not in world.results
    world.close()


def test_require_is_for_what_a_registrar_knows(world: Registrars) -> None:
    phone = world.phone("192.0.2.21")
    answer = phone.register(headers="Require: outbound, gruu, path, nonsense\r\n")
    assert (answer.status, answer.get("Unsupported")) == (420, "nonsense")
    assert phone.register(headers="Require: gruu, path\r\n").status == 200


def test_a_stranger_and_nobody_are_asked_alike(world: Registrars) -> None:
    def said(name: str, host: str) -> list[tuple[str, str]]:
        answer = world.phone(host).register(name=name, tries=1)
        return [
            (field, value.partition("nonce")[0]) for field, value in answer.fields if field not in ("Via", "Call-ID")
        ]

    there, nowhere = said("alice", "192.0.2.21"), said("nobody", "192.0.2.21")
    assert [(field, value.partition(";tag")[0].replace("alice", "nobody")) for field, value in there] == [
        (field, value.partition(";tag")[0]) for field, value in nowhere
    ]


def test_who_guesses_is_banned(world: Registrars) -> None:
    thief = world.phone("192.0.2.66")
    for guess in range(10):
        assert thief.register(password=f"guess{guess}").status == 403
    assert [ban.address for ban in world.node.peers.bans.bans()] == ["192.0.2.66"]
    assert world.phone("192.0.2.21").register().status == 200


def test_a_flood_of_a_stranger_is_not_answered_and_a_phone_is(world: Registrars) -> None:
    flood, phone = world.phone("192.0.2.66"), world.phone("192.0.2.21")
    answered = 0
    for number in range(200):
        flood.forget()
        flood.branches = number
        flood.network.send(
            f"REGISTER sip:{ENGINE} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKf{number}\r\n"
            f"From: <sip:x@h>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: f{number}\r\nCSeq: 1 REGISTER\r\n\r\n".encode(),
            ("192.0.2.66", 5060),
            (ENGINE, 5060),
        )
    world.wait(0.5)
    answered = len(flood.heard)
    assert 0 < answered < 100
    assert phone.register().status == 200
    # Calls have limits of their own.
    assert flood.call(f"sip:+15551234567@{ENGINE}").status == 401
    for _ in range(100):
        assert phone.register().status == 200


# ---- through an edge


def test_a_phone_behind_an_edge_is_known_by_what_the_edge_noted(world: Registrars) -> None:
    edge = world.phone(EDGE)
    answer = edge.register(
        contact="<sip:alice@x.invalid;transport=ws>",
        headers=f"Path: <sip:token@{EDGE};lr;ob>\r\nSupported: path, outbound\r\n",
        via=f"Via: SIP/2.0/UDP {EDGE}:5060;branch=z9hG4bKe%\r\n"
        "Via: SIP/2.0/WS x.invalid;branch=z9hG4bKp%;received=198.51.100.7",
    )
    assert (answer.status, answer.get("Path")) == (200, f"<sip:token@{EDGE};lr;ob>")
    (binding,) = world.node.location.bindings("alice")
    assert (binding.source, binding.path) == ("198.51.100.7", (f"sip:token@{EDGE};lr;ob",))
    assert world.node.peers.kind("198.51.100.7") == "phone"
    world.wait(120)
    assert edge.requests("OPTIONS") == []
    assert len(world.uris()) == 1


# ---- OPTIONS through NATs


def behind_nat(world: Registrars, host: str = "192.0.2.30", name: str = "alice") -> Registering:
    phone = world.phone(host, 40000)
    phone.via_host = "10.0.0.9"
    password = {"alice": "s3cret", "bob": "b0b"}[name]
    assert phone.register(f"<sip:{name}@10.0.0.9:5060>", name=name, password=password).status == 200
    phone.forget()
    return phone


def asked(phone: Phone) -> list[Request]:
    return phone.requests("OPTIONS")


def test_a_phone_behind_a_nat_is_asked_and_any_answer_is_life(world: Registrars) -> None:
    phone, near = behind_nat(world), world.phone("192.0.2.21")
    assert near.register(name="bob", password="b0b").status == 200
    near.forget()
    for number in range(10):
        while not asked(phone):
            world.wait(TURN)
        (request,) = asked(phone)
        assert (request.uri_text, request.get("To")) == ("sip:alice@10.0.0.9:5060", "<sip:alice@10.0.0.9:5060>")
        phone.forget()
        phone.answer(request, [200, 404, 481, 501, 486][number % 5])
        (binding,) = world.node.location.bindings("alice")
        assert binding.rtt is not None
    assert asked(near) == []
    assert len(world.uris("bob")) == 1


def test_three_without_an_answer_end_it(world: Registrars, events: list[tuple[str, str, str]]) -> None:
    phone = behind_nat(world)
    events.clear()
    while not asked(phone):
        world.wait(TURN)
    world.wait(MISSES * PATIENCE - 1)
    assert len(world.uris()) == 1
    world.wait(1 + (MISSES + 1) * TURN)
    assert world.uris() == []
    assert events == [("expired", "sip:alice@10.0.0.9:5060", "no answer to 3 OPTIONS")]
    phone.forget()
    world.wait(60)
    assert asked(phone) == []


def test_two_that_are_lost_end_nothing(world: Registrars) -> None:
    phone = behind_nat(world)
    for _ in range(3):
        while not asked(phone):
            world.wait(TURN)
        world.wait((MISSES - 1) * PATIENCE + 2 * TURN)
        last = asked(phone)[-1]
        phone.forget()
        phone.answer(last, 200)
        phone.forget()
    assert len(world.uris()) == 1


def test_who_has_signed_off_is_not_asked(world: Registrars) -> None:
    phone = behind_nat(world)
    phone.register("<sip:alice@10.0.0.9:5060>;expires=0")
    phone.forget()
    world.wait(60)
    assert asked(phone) == []
    assert len(world.node._keep_alive) == 0


def test_many_at_once_are_asked_in_turn(world: Registrars) -> None:
    """No turn of the loop is all theirs, and each has its own."""
    phone = behind_nat(world)
    (one,) = world.node.location.bindings("alice")
    keeper, location = world.node._keep_alive, world.node.location
    location.remove("alice", one)
    many = 12 * ASKED_A_TURN
    for number in range(many):
        location.add("alice", replace(one, id=str(number), due=float("inf")))
    sent = [0]
    for _ in range(int(60 / TURN)):
        world.wait(TURN)
        sent.append(keeper.sent)
        for request in asked(phone):
            phone.network.send(
                f"SIP/2.0 200 OK\r\nVia: {request.get('Via')}\r\nFrom: {request.get('From')}\r\n"
                f"To: <sip:x@h>;tag=1\r\nCall-ID: {request.call_id}\r\nCSeq: 1 OPTIONS\r\n\r\n".encode(),
                (phone.host, phone.port),
                phone.engine,
            )
        phone.forget()
    steps = [after - before for before, after in pairwise(sent)]
    assert max(steps) <= 2 * ASKED_A_TURN  # two turns can fall into one step
    assert many < keeper.sent < 4 * many
    assert len(location) == many


# ---- the end of a registration


def test_what_is_not_refreshed_is_over(world: Registrars, events: list[tuple[str, str, str]]) -> None:
    world.phone("192.0.2.21").register(headers="Expires: 60\r\n")
    world.wait(59)
    assert len(world.uris()) == 1
    world.wait(2.2)
    assert world.uris() == []
    assert events[-1] == ("expired", "sip:alice@192.0.2.21:5060", "not refreshed")


def test_an_extension_that_is_gone_has_no_phones(world: Registrars) -> None:
    world.phone("192.0.2.21").register()
    world.phone("192.0.2.22").register(name="bob", password="b0b")
    (whole,) = [configured(**SIP, extensions=[EXTENSIONS["extensions"][1]])]
    world.network.until(world.node.reload(whole))
    world.wait(1)
    assert (world.uris("alice"), len(world.uris("bob"))) == ([], 1)


def test_a_reload_changes_how_long_phones_are_registered(world: Registrars) -> None:
    sip = {"sip": SIP["sip"] | {"register": {"default_expires": 300}, "nat_ping": 0}}
    world.network.until(world.node.reload(configured(**sip, **EXTENSIONS)))
    phone = world.phone("192.0.2.30", 40000)
    phone.via_host = "10.0.0.9"
    assert phone.register("<sip:alice@10.0.0.9>").get("Contact").endswith(";expires=300")
    phone.forget()
    world.wait(100)
    assert asked(phone) == []


# ---- torture (RFC 4475): what a registrar says to messages that an engine without one refused


@pytest.mark.parametrize(
    ("name", "status", "section"),
    [
        ("cparam01", 401, "unknown parameters of a Contact are none of ours"),
        ("cparam02", 401, "the same in its URI"),
        ("regescrt", 401, "a Contact with escaped header fields is asked for credentials like any other"),
        ("regaut01", 401, "a scheme that nobody knows counts as none"),
        ("regbadct", 400, "a Contact with ? and without brackets"),
        ("unksm2", 401, "a To of an unknown scheme, before whose it is has been shown"),
    ],
)
def test_torture(world: Registrars, name: str, status: int, section: str) -> None:
    peer = world.phone("192.0.2.40")
    data = (Path(__file__).parents[1] / "sip" / "rfc4475" / f"{name}.dat").read_bytes()
    peer.say(data)
    world.wait(1)
    heard = [
        data
        for _, source, _, data in world.network.log
        if source == ENGINE and data.startswith(b"SIP/2.0 ") and b" REGISTER\r\n" in data
    ]
    assert [int(data[8:11]) for data in heard] == [status], section
    assert len(world.node.location) == 0


@pytest.mark.parametrize(
    ("contact", "uri"),
    [
        ("<sip:alice@192.0.2.40:5060>;unknownparam", "sip:alice@192.0.2.40:5060"),
        ("<sip:alice@192.0.2.40;unknownparam>", "sip:alice@192.0.2.40;unknownparam"),
        ("<sip:alice@example.com?Route=%3Csip:sip.example.com%3E>", "sip:alice@example.com"),
    ],
)
def test_torture_with_credentials(world: Registrars, contact: str, uri: str) -> None:
    """cparam01, cparam02, regescrt, from somebody who may."""
    answer = world.phone("192.0.2.40").register(contact)
    assert answer.get("Contact") == f"{contact};expires=3600"
    assert world.uris() == [uri]


def test_who_may_and_names_no_sip_uri_is_told_so(world: Registrars) -> None:
    assert world.phone("192.0.2.40").register("<tel:+15551234567>").status == 400
    assert world.phone("192.0.2.41").register("<mailto:alice@example.com>").status == 400
