"""Calls that cost while PostgreSQL is really gone for a while, connections, listener and all."""

import asyncio
from uuid import uuid4

import pytest
import sqlalchemy as sa
import structlog

from service.billing.charging import Charging
from store import rows
from store.database.errors import StoreBusy
from store.database.tables import billing_accounts, customers, ledger, reservations
from store.resources.billing import open_account, top_up
from store.store import Store
from tests.peers.postgres import PostgresServer

pytestmark = pytest.mark.peer
RATE = 6_000  # 100 a second


async def test_a_call_survives_a_restart_of_the_server_and_is_settled(
    postgres_server: PostgresServer, postgres_store_url: str
) -> None:
    store = await Store.open(postgres_store_url)
    now = 0.0
    charging = Charging(store, uuid4(), structlog.get_logger(), lambda: now, max_delay=0)
    charging.start()
    async with store.write() as t:
        customer = await rows.insert(t, customers, {"name": "somebody"})
        account = await open_account(t, customer["id"])
        await top_up(t, account["id"], 100_000)
    ended: list[float] = []
    running = await charging.reserve(customer["id"], uuid4(), RATE)
    over = await charging.reserve(customer["id"], uuid4(), RATE)
    assert running is not None and over is not None
    for reservation in (running, over):
        reservation.answered(lambda: ended.append(now))
    await charging.writer.flush()

    postgres_server.stop()
    now = 50.0
    charging.tick()  # both ask for more
    over.close()
    async with asyncio.timeout(10):
        while not charging.writer.failing:  # noqa: ASYNC110  # nobody is told but the log
            await asyncio.sleep(0.01)
    with pytest.raises(StoreBusy):
        await charging.reserve(customer["id"], uuid4(), RATE)
    now = 65.0
    charging.tick()
    assert not ended  # beyond what it has paid, within the grace

    postgres_server.start()
    async with asyncio.timeout(20):
        await charging.writer.flush()
    assert running.paid == 120 and not charging.writer.failing
    running.close()
    await charging.close()
    async with store.read() as connection:
        found = await rows.one(connection, billing_accounts, account["id"])
        assert found is not None and (found["balance"], found["reserved"]) == (100_000 - 5_000 - 6_500, 0)
        spent = sa.select(ledger.c.amount).where(ledger.c.kind == "call").order_by(ledger.c.amount)
        assert (await connection.execute(spent)).scalars().all() == [-6_500, -5_000]
        assert not (await connection.execute(sa.select(reservations))).all()
    assert not ended
    await store.close()
