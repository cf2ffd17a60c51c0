"""Texts to and from extensions: who may, which phones get them, and what waits until one registers."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

from flows.messages import kept
from flows.messages.delivery import DEVICES_WAIT
from flows.messages.model import KeptMessage, MessageNotKept
from service import node
from service.messages.memory import MessagesInMemory
from tests.service.test_extension_calls import ALICE, BOB, DEVICES, GUEST, OFFICE, ONE, OTHER, extend, register
from tests.simulation.node import ENGINE, Phone, World, configured

CLOSED = MessageNotKept("the store does not answer")


class Kept(MessagesInMemory):
    """A store as far as messages that wait go; it outlives the node, as a store does."""

    rows: dict[UUID, KeptMessage]
    claims: dict[UUID, "Kept"]
    broken = drops_fail = False

    async def keep(self, message: KeptMessage) -> None:
        if self.broken:
            raise CLOSED
        self.rows[message.id] = message

    async def all_kept(self) -> list[tuple[UUID, str, UUID, datetime]]:
        return [(row.id, row.extension, row.customer_id, row.created) for row in self.rows.values()]

    async def find_kept(self, message_id: UUID) -> KeptMessage | None:
        return self.rows.get(message_id)

    async def claim_kept(self, message_id: UUID) -> KeptMessage | Literal["elsewhere", "gone"]:
        if message_id not in self.rows:
            return "gone"
        if self.claims.setdefault(message_id, self) is not self:
            return "elsewhere"
        return self.rows[message_id]

    async def release_kept(self, message_id: UUID) -> None:
        if self.claims.get(message_id) is self:
            del self.claims[message_id]

    async def drop_kept(self, message_id: UUID) -> None:
        if self.drops_fail:
            raise CLOSED
        self.rows.pop(message_id, None)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    Kept.rows, Kept.claims, Kept.broken, Kept.drops_fail = {}, {}, False, False
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


# ---- several nodes on one store


def tell(world: World) -> None:
    """The change feed of a node: what the others have kept, and what is kept no more."""
    kept_messages = world.node.messages.kept
    names = {row.id: row.extension for row in Kept.rows.values()}
    for message_id, extension in names.items():
        world.network.until(kept_messages.refresh(message_id, extension))


@pytest.fixture
def other(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Another node, which has the same store."""
    made = World(monkeypatch, configured(sip={"trusted_networks": [f"{OFFICE}/32"]}))
    for name in ("alice", "bob"):
        extend(made, name, customer_id=ONE, display_name=name.title())
    yield made
    made.close()


def test_what_one_node_has_kept_is_delivered_by_that_at_which_the_phone_registers(world: World, other: World) -> None:
    alice = world.phone(ALICE)
    assert [text(alice, "bob", body, login="alice") for body in ("one", "two")] == [202, 202]
    tell(other)
    (bob,) = register(other, "bob", BOB)
    other.wait(0.1)
    for body in ("one", "two"):
        assert texts(bob)[-1] == body
        takes(bob)
    assert texts(bob) == ["one", "two"]
    assert not Kept.rows
    (here,) = register(world, "bob", BOB)  # and the first one finds nothing left when the phone comes to it
    world.wait(0.1)
    assert not texts(here)
    assert len(world.node.messages.kept) == len(other.node.messages.kept) == 0


def test_what_another_node_keeps_is_delivered_at_once_where_the_phone_is(world: World, other: World) -> None:
    (bob,) = register(other, "bob", BOB)
    assert text(world.phone(ALICE), "bob", login="alice") == 202
    tell(other)
    other.wait(0.1)
    assert texts(bob) == ["hello"]
    takes(bob)
    assert not Kept.rows


def test_what_another_node_delivers_is_not_delivered_here_too(world: World, other: World) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    tell(other)
    (there,) = register(other, "bob", BOB)
    other.wait(0.1)
    assert texts(there) == ["hello"]  # and it says nothing yet
    (here,) = register(world, "bob", BOB)
    world.wait(kept.RETRY + 1)
    assert not texts(here)
    takes(there)
    world.wait(kept.RETRY + 1)
    assert not texts(here)
    assert len(world.node.messages.kept) == 0


def test_a_phone_that_has_gone_to_another_node_gets_it_there_when_the_first_gives_up(
    world: World, other: World
) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    tell(other)
    (silent,) = register(world, "bob", BOB)
    world.wait(0.1)
    assert texts(silent) == ["hello"]
    (there,) = register(other, "bob", BOB)
    other.wait(kept.RETRY + 1)
    assert not texts(there)
    world.wait(20.0)
    other.wait(kept.RETRY + 1)
    assert texts(there) == ["hello"]
    takes(there)
    assert not Kept.rows


def test_a_phone_that_registers_while_another_is_silent_gets_it_when_that_one_is_given_up(world: World) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    register(world, "bob", BOB)
    world.wait(2.0)
    (new,) = register(world, "bob", DEVICES[0])
    world.wait(1.0)
    assert not texts(new)
    world.wait(14.0)
    assert texts(new) == ["hello"]
    takes(new)
    world.wait(DEVICES_WAIT)  # in which the silent one may take it too
    assert not Kept.rows


def test_what_was_taken_is_not_sent_again_while_the_store_does_not_drop_it(world: World) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    (bob,) = register(world, "bob", BOB)
    world.wait(0.1)
    Kept.drops_fail = True
    takes(bob)
    world.wait(3 * kept.RETRY)
    Kept.drops_fail = False
    world.wait(2 * kept.RETRY)
    assert texts(bob) == ["hello"]
    assert not Kept.rows


def test_a_node_that_hears_of_them_in_another_order_delivers_them_in_theirs(world: World, other: World) -> None:
    alice = world.phone(ALICE)
    for body in ("one", "two", "three"):
        text(alice, "bob", body, login="alice")
    for row in reversed(list(Kept.rows.values())):
        for _ in range(2):  # and twice
            other.network.until(other.node.messages.kept.refresh(row.id, "bob"))
    assert len(other.node.messages.kept) == 3
    (bob,) = register(other, "bob", BOB)
    other.wait(0.1)
    for _ in range(3):
        takes(bob)
    assert texts(bob) == ["one", "two", "three"]


def test_a_node_that_has_missed_changes_reads_all_again(world: World, other: World) -> None:
    text(world.phone(ALICE), "bob", login="alice")
    other.network.until(other.node.messages.kept.reload())
    assert len(other.node.messages.kept) == 1
    Kept.rows.clear()
    other.network.until(other.node.messages.kept.reload())
    assert len(other.node.messages.kept) == 0
