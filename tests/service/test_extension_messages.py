"""Texts to and from extensions: who may, which phones get them, and what waits until one registers."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from flows.messages import kept
from flows.messages.model import KeptMessage, MessageNotKept
from service import node
from service.messages.memory import MessagesInMemory
from tests.service.test_extension_calls import ALICE, BOB, DEVICES, GUEST, OFFICE, ONE, OTHER, extend, register
from tests.simulation.node import ENGINE, Phone, World, configured

CLOSED = MessageNotKept("the store does not answer")


class Kept(MessagesInMemory):
    """A store as far as messages that wait go; it outlives the node, as a store does."""

    rows: dict[UUID, KeptMessage]
    broken = False

    async def keep(self, message: KeptMessage) -> None:
        if self.broken:
            raise CLOSED
        self.rows[message.id] = message

    async def all_kept(self) -> list[tuple[UUID, str, UUID, datetime]]:
        return [(row.id, row.extension, row.customer_id, row.created) for row in self.rows.values()]

    async def find_kept(self, message_id: UUID) -> KeptMessage | None:
        return self.rows.get(message_id)

    async def drop_kept(self, message_id: UUID) -> None:
        del self.rows[message_id]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    Kept.rows, Kept.broken = {}, False
    monkeypatch.setattr(node, "MessagesInMemory", Kept)
    made = World(monkeypatch, configured(sip={"trusted_networks": [f"{OFFICE}/32"]}))
    for name, customer in (("alice", ONE), ("bob", ONE), ("carol", OTHER)):
        extend(made, name, customer_id=customer, display_name=name.title())
    yield made
    made.close()


def text(phone: Phone, target: str, body: str = "hello", login: str = "", patience: float = 1.0) -> int:
    """Sends a text, with credentials once they are asked for; the final status, 0 where there is none yet."""
    uri, data = f"sip:{target}@{ENGINE}", body.encode()
    kind = "Content-Type: text/plain\r\n"
    phone.forget()
    phone.branches += 1
    phone.call_id, phone.remote_tag = f"text-{phone.branches}", ""
    phone.request("MESSAGE", kind, data, uri=uri)
    phone.network.run(0.1)
    if login and phone.statuses("MESSAGE") == [401]:
        line = phone.credentials(phone.final("MESSAGE"), "MESSAGE", uri, login, login, data)
        phone.forget()
        phone.remote_tag = ""
        phone.request("MESSAGE", kind + line, data, uri=uri)
    phone.network.run(patience)
    return phone.statuses("MESSAGE")[-1] if phone.statuses("MESSAGE") else 0


def texts(phone: Phone) -> list[str]:
    """What a phone has been sent, without retransmissions."""
    seen: dict[str, str] = {}
    for request in phone.requests("MESSAGE"):
        seen.setdefault(request.call_id, request.body.decode())
    return list(seen.values())


def takes(phone: Phone, status: int = 200) -> None:
    """Answers what it has been sent last."""
    phone.answer(phone.requests("MESSAGE")[-1], status)
    phone.network.run(0.1)


def test_a_text_reaches_all_phones_and_comes_from_the_name(world: World) -> None:
    devices = register(world, "bob", *DEVICES)
    alice = world.phone(ALICE)
    assert text(alice, "bob", login="alice", patience=0.1) == 0
    for device in devices:
        assert texts(device) == ["hello"]
        assert device.requests("MESSAGE")[0].get("From").startswith(f'"Alice" <sip:alice@{ENGINE}>')
    takes(devices[0], 486)
    takes(devices[1])
    world.wait(kept.RETRY + 1)
    assert alice.statuses("MESSAGE")[-1] == 200  # one is enough, and the third is not waited for for ever


def test_what_no_phone_takes_is_refused_as_the_phones_refuse_it(world: World) -> None:
    devices = register(world, "bob", *DEVICES[:2])
    alice = world.phone(ALICE)
    text(alice, "bob", login="alice", patience=0.1)
    for device in devices:
        takes(device, 415)
    assert alice.statuses("MESSAGE")[-1] == 415
    assert not Kept.rows


def test_to_everybody_else_the_name_does_not_exist(world: World) -> None:
    register(world, "bob", BOB)
    for target in ("bob", "nobody"):
        assert text(world.phone(GUEST), target) == 401
        assert text(world.phone(GUEST), target, login="carol") == 404
    assert not world.phone(BOB).heard


def test_texts_wait_for_a_phone_and_come_in_their_order(world: World) -> None:
    alice = world.phone(ALICE)
    assert [text(alice, "bob", body, login="alice") for body in ("one", "two", "three")] == [202, 202, 202]
    (bob,) = register(world, "bob", BOB)
    world.wait(0.1)
    for body in ("one", "two", "three"):
        assert texts(bob)[-1] == body  # the next one goes when the last was answered
        takes(bob)
    assert texts(bob) == ["one", "two", "three"]
    assert not Kept.rows
    assert len(world.node.messages.kept) == 0


def test_a_new_text_does_not_overtake_those_that_wait(world: World) -> None:
    alice = world.phone(ALICE)
    text(alice, "bob", "one", login="alice")
    (bob,) = register(world, "bob", BOB)
    world.wait(0.1)
    assert text(alice, "bob", "two", login="alice", patience=0.2) == 202
    assert texts(bob) == ["one"]
    takes(bob)
    assert texts(bob)[-1] == "two"


def test_a_phone_that_says_nothing_leaves_it_to_the_next(world: World) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    register(world, "bob", BOB)
    world.wait(60.0)
    assert len(Kept.rows) == 1
    (other,) = register(world, "bob", DEVICES[0])
    world.wait(0.1)
    takes(other)
    world.wait(20.0)
    assert not Kept.rows


def test_what_waits_outlives_the_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    again = World(monkeypatch, configured())
    try:
        again.network.until(again.node.messages.kept.start())
        extend(again, "bob", customer_id=ONE)
        (bob,) = register(again, "bob", BOB)
        again.wait(0.1)
        assert texts(bob) == ["hello"]
        assert bob.requests("MESSAGE")[0].get("From").startswith('"Alice" <sip:alice@')
    finally:
        again.close()


def test_a_text_that_cannot_be_kept_is_not_acknowledged(world: World) -> None:
    Kept.broken = True
    assert text(world.phone(ALICE), "bob", login="alice") == 480


@pytest.mark.parametrize(("bound", "value"), [("MOST_OF_ONE", 2), ("MOST_OF_CUSTOMER", 2), ("MOST_KEPT", 2)])
def test_no_more_wait_than_may(world: World, monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(kept, bound, value)
    alice = world.phone(ALICE)
    assert [text(alice, "bob", login="alice") for _ in range(3)] == [202, 202, 480]


def test_one_customers_texts_leave_room_for_anothers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_OF_CUSTOMER", 1)
    extend(world, "dave", customer_id=OTHER)
    alice, carol = world.phone(ALICE), world.phone("203.0.113.3")
    assert [text(alice, "bob", login="alice") for _ in range(2)] == [202, 480]
    assert text(carol, "dave", login="carol") == 202
    (bob,) = register(world, "bob", BOB)
    world.wait(0.2)
    takes(bob)
    bob.forget()
    assert text(alice, "bob", login="alice", patience=0.2) != 480
    assert texts(bob) == ["hello"]


def test_what_waits_for_who_had_the_name_before_leaves_room_for_who_has_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_OF_ONE", 2)
    assert [text(world.phone(ALICE), "bob", login="alice") for _ in range(3)] == [202, 202, 480]
    extend(world, "bob", customer_id=OTHER)
    carol = world.phone("203.0.113.3")
    assert [text(carol, "bob", login="carol") for _ in range(3)] == [202, 202, 480]
    assert len(Kept.rows) == len(world.node.messages.kept) == 2
    (bob,) = register(world, "bob", BOB)
    world.wait(0.2)
    for _ in range(2):
        takes(bob)
    assert texts(bob) == ["hello", "hello"]
    assert len(world.node.messages.kept) == 0


def test_what_waits_too_long_is_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    monkeypatch.setattr(kept, "KEPT_FOR", timedelta(0))
    (bob,) = register(world, "bob", BOB)
    world.wait(0.2)
    assert not Kept.rows
    assert not texts(bob)


def test_what_waits_is_no_other_customers_that_gets_the_name(world: World) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    extend(world, "bob", customer_id=OTHER)
    (bob,) = register(world, "bob", BOB)
    world.wait(0.2)
    assert not texts(bob)
    assert not Kept.rows


def test_a_phone_texts_as_its_extension_whatever_it_claims(world: World) -> None:
    (bob,) = register(world, "bob", BOB)
    register(world, "alice", OFFICE)
    office: Any = world.phone(OFFICE)
    text(office, "bob", patience=0.1)
    assert "<sip:alice@" in bob.requests("MESSAGE")[0].get("From")
