"""Messages that wait for a phone to register, in the store: in their order, whole, and until they are dropped."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from flows.calls.address import Address
from flows.messages.model import CLAIMED_FOR, KeptMessage, MessageNotKept
from service.messages.store import StoredMessages
from store.database.tables import changes, nodes
from tests.store.stored_calls import CUSTOMER, NOW, Clock, opened

ALICE = Address(type="extension", target="alice", target_name="Alice")
NODE, NEXT = UUID(int=1), UUID(int=2)


def message(number: int, source: Address | None = ALICE) -> KeptMessage:
    return KeptMessage(
        id=UUID(int=100 - number),
        extension="bob",
        customer_id=CUSTOMER,
        source=source,
        text=f"#{number}",
        created=NOW + timedelta(seconds=number),
    )


async def test_they_are_there_for_the_next_node_in_their_order(store_url: str) -> None:
    async with opened(store_url) as store:
        kept = [message(number) for number in (1, 2)]
        for one in reversed(kept):
            await StoredMessages(store, NODE).keep(one)
    async with opened(store_url) as store:
        after = StoredMessages(store, NEXT)
        assert await after.all_kept() == [(one.id, "bob", one.customer_id, one.created) for one in kept]
        assert await after.find_kept(kept[0].id) == kept[0]
        await after.drop_kept(kept[0].id)
        await after.drop_kept(kept[0].id)  # another node may have been quicker
        assert await after.find_kept(kept[0].id) is None
        assert [found[0] for found in await after.all_kept()] == [kept[1].id]


async def test_a_sender_that_is_withheld_is_not_kept(store_url: str) -> None:
    async with opened(store_url) as store:
        messages = StoredMessages(store, NODE)
        await messages.keep(message(1, None))
        found = await messages.find_kept(UUID(int=99))
        assert found is not None
        assert found.source is None


async def test_what_is_not_kept_says_so(store_url: str) -> None:
    async with opened(store_url) as store:
        messages = StoredMessages(store, NODE)
        await messages.keep(message(1))
        with pytest.raises(MessageNotKept):
            await messages.keep(message(1))


async def test_of_many_nodes_one_delivers_it(store_url: str) -> None:
    async with opened(store_url) as store:
        everybody = [StoredMessages(store, UUID(int=number)) for number in range(1, 9)]
        await everybody[0].keep(message(1))
        claims = await asyncio.gather(*(one.claim_kept(UUID(int=99)) for one in everybody))
        assert sorted(map(str, claims)) == sorted([str(message(1)), *["elsewhere"] * 7])
        mine = everybody[claims.index(message(1))]
        assert await mine.claim_kept(UUID(int=99)) == message(1)  # its own again, as it may not have heard the answer


async def test_what_was_not_delivered_is_free_for_the_next(store_url: str) -> None:
    async with opened(store_url) as store:
        here, there = StoredMessages(store, NODE), StoredMessages(store, NEXT)
        await here.keep(message(1))
        await here.claim_kept(UUID(int=99))
        await there.release_kept(UUID(int=99))  # which is not its
        assert await there.claim_kept(UUID(int=99)) == "elsewhere"
        await here.release_kept(UUID(int=99))
        assert await there.claim_kept(UUID(int=99)) == message(1)


async def test_a_node_that_dies_with_one_keeps_it_from_the_others_for_a_while_only(store_url: str) -> None:
    clock = Clock()
    async with opened(store_url, clock) as store:
        here, there = StoredMessages(store, NODE), StoredMessages(store, NEXT)
        await here.keep(message(1))
        await here.claim_kept(UUID(int=99))
        clock.now += timedelta(seconds=CLAIMED_FOR - 1)
        assert await there.claim_kept(UUID(int=99)) == "elsewhere"
        clock.now += timedelta(seconds=1)
        assert await there.claim_kept(UUID(int=99)) == message(1)


async def test_the_next_run_of_a_node_has_what_the_last_had(store_url: str) -> None:
    async with opened(store_url) as store:
        async with store.write() as transaction:
            for node, name in ((NODE, "one"), (NEXT, "one"), (UUID(int=3), "two")):
                row = {"id": node, "name": name, "tm_seen": NOW, "tm_create": NOW}
                await transaction.execute(sa.insert(nodes), row)
        await StoredMessages(store, NODE).keep(message(1))
        await StoredMessages(store, NODE).claim_kept(UUID(int=99))
        assert await StoredMessages(store, UUID(int=3)).claim_kept(UUID(int=99)) == "elsewhere"
        assert await StoredMessages(store, NEXT).claim_kept(UUID(int=99)) == message(1)


async def test_what_is_gone_is_nobodys(store_url: str) -> None:
    async with opened(store_url) as store:
        messages = StoredMessages(store, NODE)
        assert await messages.claim_kept(UUID(int=99)) == "gone"
        await messages.release_kept(UUID(int=99))


async def test_other_nodes_are_told_of_each_that_comes_or_goes_once(store_url: str) -> None:
    async with opened(store_url) as store:
        messages = StoredMessages(store, NODE)
        await messages.keep(message(1))
        await messages.claim_kept(UUID(int=99))
        for _ in range(2):
            await messages.drop_kept(UUID(int=99))
        async with store.read() as connection:
            found = await connection.execute(sa.select(changes.c.kind, changes.c.resource_id, changes.c.key))
            assert [tuple(row) for row in found] == [("kept_message", UUID(int=99), "bob")] * 2
