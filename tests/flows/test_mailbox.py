"""The action `mailbox_set`: messages that wait for an extension."""

from typing import Any
from uuid import UUID

import pytest

from flows.actions import ACTIONS
from flows.calls.services import MailboxNotKept
from flows.faults import FlowError
from flows.language.model import read_flow
from routing.directory.extensions import ExtensionRow
from routing.identifiers import NIL, PLATFORM
from routing.mailboxes import MailboxKey, MessageCount

BOB = UUID(int=11)


class Written:
    """Keeps what it is told, until it is to fail."""

    def __init__(self) -> None:
        self.counts: list[tuple[MailboxKey, MessageCount]] = []
        self.fails = False

    async def write(self, key: MailboxKey, count: MessageCount) -> None:
        if self.fails:
            raise MailboxNotKept("the store does not answer")
        self.counts.append((key, count))


def mailbox(**option: Any) -> dict[str, Any]:
    return {"type": "mailbox_set", "option": {"extension": "bob"} | option}


@pytest.fixture
def written(world: Any) -> Written:
    world.directory.put_extension(ExtensionRow(name="bob", id=BOB, mailbox="team"))
    world.directory.put_extension(ExtensionRow(name="carol", customer_id=UUID(int=9)))
    world.calls.mailboxes = Written()
    return world.calls.mailboxes


def test_an_extension_s_mailbox_has_its_own_name_or_the_one_that_it_shares() -> None:
    assert MailboxKey.of(ExtensionRow(name="bob")) == (NIL, "bob")
    assert MailboxKey.of(ExtensionRow(name="bob", mailbox="team", customer_id=PLATFORM)) == (NIL, "team")


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({}, "new"),
        ({"new": -1}, "is none from 0 to 1000000"),
        ({"new": 1, "old": 1_000_001}, "is none from 0 to 1000000"),
        ({"new": "many"}, "is no number of messages"),
        ({"new": "٣"}, "is no number of messages"),
        ({"new": 1, "extension": ""}, "must not be empty"),
    ],
)
def test_what_is_no_count_is_refused(option: dict[str, Any], problem: str) -> None:
    with pytest.raises(FlowError, match=problem):
        read_flow({"actions": [mailbox(**option)]}, ACTIONS)


def test_the_count_is_written_for_whoever_shares_the_mailbox(world: Any, written: Written) -> None:
    world.go([mailbox(new=2, old="3"), mailbox(extension=str(BOB), new="${fresh}")], own={"fresh": "7"})
    key = MailboxKey(NIL, "team")
    assert written.counts == [(key, MessageCount(2, 3)), (key, MessageCount(7, 0))]


def test_what_cannot_be_done_is_told_and_the_flow_goes_on(world: Any, written: Written) -> None:
    note = {"type": "note", "option": {"text": "goes on"}}
    assert world.go([mailbox(extension="nobody", new=1), note]).record.notes == ["goes on"]
    written.fails = True
    world.go([mailbox(new=1)])
    world.go([mailbox(new="${missing}")])
    world.calls.mailboxes = None
    world.go([mailbox(new=1)])
    problems = ["no extension", "the store does not answer", "is no number of messages", "keeps no mailboxes"]
    assert [words in line for words, line in zip(problems, world.log.errors(), strict=True)] == [True] * 4
    assert written.counts == []


def test_a_customer_s_flow_sets_its_own_mailboxes_alone(world: Any, written: Written) -> None:
    record = world.record(customer_id=UUID(int=8))
    world.go([mailbox(extension="carol", new=1), mailbox(new=1)], record=record)
    assert written.counts == []
    world.go([mailbox(extension="carol", new=1)], record=world.record(customer_id=UUID(int=9)))
    assert written.counts == [(MailboxKey(UUID(int=9), "carol"), MessageCount(1, 0))]
