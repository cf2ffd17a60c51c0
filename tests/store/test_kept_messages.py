"""Messages that wait for a phone to register, in the store: in their order, whole, and until they are dropped."""

from datetime import timedelta
from uuid import UUID

import pytest

from flows.calls.address import Address
from flows.messages.model import KeptMessage, MessageNotKept
from service.messages.store import StoredMessages
from tests.store.stored_calls import CUSTOMER, NOW, opened

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
