"""Texts that wait, at several nodes on one store: each is delivered once, wherever the phone is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from flows.calls.address import Address
from flows.messages.kept import Fate, KeptMessages
from flows.messages.model import KeptMessage, TextMessage
from routing.identifiers import NIL
from service.messages import kept_feed
from service.messages.kept_feed import KeptMessagesFeed
from service.messages.store import StoredMessages
from store.database.errors import StoreError
from tests.store.feeding import Process, process, until
from tests.store.stored_calls import NOW

BOB = Address(type="extension", target="bob")


def text(body: str) -> TextMessage:
    return TextMessage(
        id=UUID(int=1),
        customer_id=NIL,
        direction="outgoing",
        source=Address(type="extension", target="alice"),
        destinations=[BOB],
        text=body,
        created=NOW,
        status="sending",
    )


class NodeOf:
    """What one node keeps; `phone` says whether a phone is registered at it, and `got` what that has taken."""

    def __init__(self, here: Process, number: int) -> None:
        self.here = here
        self.phone = False
        self.got: list[str] = []
        self.silent = asyncio.Event()
        self.silent.set()
        self.time = NOW.timestamp()
        services: Any = SimpleNamespace(log=here.log, wall=self._wall)
        self.kept = KeptMessages(services, StoredMessages(here.store, UUID(int=number)), self._deliver, self._reachable)
        self.feed = KeptMessagesFeed(here.feed, self.kept, here.log)

    def _wall(self) -> float:
        self.time += 1.0
        return self.time

    async def _reachable(self, name: str) -> bool:
        return self.phone

    async def _deliver(self, message: KeptMessage) -> Fate:
        self.got.append(message.text)
        await self.silent.wait()
        return "taken"

    def register(self) -> None:
        self.phone = True
        self.kept.registered("bob")


@asynccontextmanager
async def node(url: str, number: int) -> AsyncIterator[NodeOf]:
    async with process(url, poll=0.02) as here:
        made = NodeOf(here, number)
        await made.kept.start()
        made.feed.start()
        try:
            yield made
        finally:
            await made.feed.close()
            await made.kept.close()


async def test_what_one_node_keeps_another_delivers_and_all_know_that_it_has(store_url: str) -> None:
    async with node(store_url, 1) as one, node(store_url, 2) as other, node(store_url, 3) as third:
        for body in ("a", "b", "c"):
            assert await one.kept.keep(text(body), "bob", NIL)
        await until(lambda: len(other.kept) == len(third.kept) == 3)
        other.register()
        await until(lambda: not len(one.kept) and not len(other.kept) and not len(third.kept))
        for late in (one, third):
            late.register()
        assert await third.kept.keep(text("d"), "bob", NIL)
        await until(lambda: not len(third.kept) and not len(other.kept))
        assert other.got[:3] == ["a", "b", "c"]
        assert one.got + other.got[3:] + third.got == ["d"]


async def test_what_is_kept_elsewhere_goes_at_once_to_the_phone_that_is_here(store_url: str) -> None:
    async with node(store_url, 1) as one, node(store_url, 2) as other:
        other.register()
        assert await one.kept.keep(text("a"), "bob", NIL)
        await until(lambda: not len(one.kept))
        assert (one.got, other.got) == ([], ["a"])


async def test_two_nodes_at_which_the_phone_registers_deliver_each_once(store_url: str) -> None:
    async with node(store_url, 1) as one, node(store_url, 2) as other:
        bodies = [f"text {number}" for number in range(20)]
        for body in bodies:
            assert await one.kept.keep(text(body), "bob", NIL)
        await until(lambda: len(other.kept) == 20)
        one.register()
        other.register()
        await until(lambda: not len(one.kept) and not len(other.kept))
        assert sorted(one.got + other.got) == sorted(bodies)


async def test_a_node_that_ends_amid_a_delivery_leaves_it_to_its_next_run_or_to_the_others(
    store_url: str, monkeypatch: Any
) -> None:
    async with node(store_url, 2) as other:
        async with node(store_url, 1) as one:
            assert await one.kept.keep(text("a"), "bob", NIL)
            await until(lambda: len(other.kept) == 1)
            one.silent.clear()
            one.register()
            await until(lambda: one.got == ["a"])
        assert not other.got
        async with node(store_url, 1) as again:
            again.register()
            await until(lambda: not len(again.kept))
            assert again.got == ["a"]  # nobody knows whether the phone has taken it: it is sent again


async def test_a_store_that_does_not_answer_is_asked_again(store_url: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(kept_feed, "RETRY", 0.02)
    async with node(store_url, 1) as one, node(store_url, 2) as other:
        asked = []

        async def refresh(message_id: UUID, extension: str) -> None:
            asked.append(message_id)
            if len(asked) < 3:
                raise StoreError("the store is away")
            await KeptMessages.refresh(other.kept, message_id, extension)

        monkeypatch.setattr(other.kept, "refresh", refresh)
        assert await one.kept.keep(text("a"), "bob", NIL)
        await until(lambda: len(other.kept) == 1)


async def test_who_has_missed_changes_reads_all_that_is_kept(store_url: str) -> None:
    async with node(store_url, 1) as one, node(store_url, 2) as other:
        assert await one.kept.keep(text("a"), "bob", NIL)
        await until(lambda: len(other.kept) == 1)
        for message_id, *_ in await StoredMessages(one.here.store, NIL).all_kept():
            other.kept._leave("bob", message_id)
        other.here.feed.start_over()
        await until(lambda: len(other.kept) == 1)
