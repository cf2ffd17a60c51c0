"""Mailboxes in the store: what one node is told, all nodes have, and the next run too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from flows.calls.services import MailboxNotKept
from routing.identifiers import NIL
from routing.mailboxes import EMPTY, Mailboxes, MailboxKey, MessageCount
from service.phones import mailboxes as stored
from service.phones.mailboxes import StoredMailboxes
from store.database.errors import StoreError
from tests.store.feeding import Process, process, until

BOB, TEAM = MailboxKey(NIL, "bob"), MailboxKey(UUID(int=7), "team")


class NodeOf:
    """The mailboxes of one node, and what it was told."""

    def __init__(self, here: Process) -> None:
        self.here = here
        self.mailboxes = Mailboxes()
        self.told: list[MailboxKey] = []
        self.mailboxes.observers.append(self.told.append)
        self.stored = StoredMailboxes(here.store, here.feed, self.mailboxes, here.log)


@asynccontextmanager
async def node(url: str) -> AsyncIterator[NodeOf]:
    async with process(url, poll=0.02) as here:
        made = NodeOf(here)
        made.stored.start()
        try:
            yield made
        finally:
            await made.stored.close()


async def test_what_one_node_is_told_the_others_have(store_url: str) -> None:
    async with node(store_url) as one, node(store_url) as other:
        await one.stored.write(BOB, MessageCount(2, 1))
        await one.stored.write(TEAM, MessageCount(1, 0))
        for each in (one, other):
            await until(lambda each=each: each.mailboxes.count(TEAM) == (1, 0))
            assert each.mailboxes.count(BOB) == (2, 1)
        await other.stored.write(BOB, EMPTY)
        await until(lambda: one.mailboxes.count(BOB) == EMPTY)
        assert one.told == [BOB, TEAM, BOB]


async def test_the_next_run_has_them(store_url: str) -> None:
    async with node(store_url) as before:
        await before.stored.write(BOB, MessageCount(2, 1))
        await before.stored.write(BOB, MessageCount(3, 1))
        await before.stored.write(TEAM, MessageCount(1, 0))
        await before.stored.write(TEAM, EMPTY)
    async with node(store_url) as after:
        await until(lambda: after.mailboxes.count(BOB) == (3, 1))
        assert len(after.mailboxes) == 1


async def test_after_a_gap_everything_is_read_again(store_url: str) -> None:
    async with node(store_url) as one:
        await one.stored.write(BOB, MessageCount(2, 1))
        await until(lambda: one.mailboxes.count(BOB) == (2, 1))
        one.mailboxes.put(TEAM, MessageCount(9, 9))
        one.here.feed.start_over()
        await until(lambda: one.mailboxes.count(TEAM) == EMPTY)
        assert one.mailboxes.count(BOB) == (2, 1)


async def test_a_store_that_is_away_is_said_to_be(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "RETRY", 0.01)
    monkeypatch.setattr(stored, "WITHIN", 0.01)
    async with node(store_url) as one:
        good = one.here.store

        class Away:
            slow = False

            @asynccontextmanager
            async def write(self) -> Any:
                if self.slow:
                    await asyncio.Event().wait()
                raise StoreError("the store is away")
                yield

            read = write

        one.stored._store = away = Away()  # type: ignore[assignment]
        with pytest.raises(MailboxNotKept, match="the store is away"):
            await one.stored.write(BOB, MessageCount(1, 0))
        away.slow = True
        with pytest.raises(MailboxNotKept, match="does not answer"):
            await one.stored.write(BOB, MessageCount(1, 0))
        await until(lambda: "mailboxes not read" in one.here.log.events("warning"))
        monkeypatch.setattr(stored, "WITHIN", 30.0)
        away.slow = False
        one.stored._store = good
        await one.stored.write(BOB, MessageCount(1, 0))
        await until(lambda: one.mailboxes.count(BOB) == (1, 0))
