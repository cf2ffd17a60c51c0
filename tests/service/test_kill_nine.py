"""`kill -9` amid calls and writes: what was acknowledged is there after the restart, and no call is open.

The engine is a process with a store on disk, in SQLite or PostgreSQL. Calls go through it, from a phone to a provider,
both in this process; a client of the API writes all the while (`crash_writes`).
"""

import asyncio
import os
import random
import signal
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.dial import OutgoingCall
from store.cluster.recovery import END_REASON
from store.database import tables
from store.resources.calls import STAGES
from store.rows import Row
from store.store import Store
from tests.network import reserved_port
from tests.peers.engine import Engine, write_config
from tests.service.conftest import Phone
from tests.service.crash_writes import Writing, dialled_is_kept, paid_once

HELD = 200  # calls that are up when the engine is killed
RINGING = 20  # and calls that nobody answers
CHURN = 40.0  # short calls a second, so that some begin, are answered and end in the very moment
SHORT = 0.3  # s that a short call lasts
SAFE = 1.5  # s after which what happened to a call must be on the disk: 50 ms, but for machines that are busy
KEY = "a-key-for-the-admin-of-this-test"
OURS, SILENT = "+15551234567", "+15557654321"
ANSWERING, RINGING_FOR_EVER = "127.0.0.21", "127.0.0.22"


class Caller:
    """Makes calls through the engine and remembers what it saw of each, by the loop's clock."""

    def __init__(self, phone: Phone, engine: str) -> None:
        self._phone = phone
        self._engine = engine
        self._clock = asyncio.get_running_loop().time
        self.begun: dict[str, float] = {}
        self.answered: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    async def call(self, number: str = OURS, lasts: float = 0) -> None:
        leg: OutgoingCall = self._phone.dial(self._engine, number)
        call_id = leg.sip_call_id
        outcome = await leg.outcome()
        if outcome.kind != "answered":
            return
        self.answered[call_id] = self._clock()
        if lasts:
            await asyncio.sleep(lasts)
            leg.hangup()
            await leg.wait_ended()
            self.ended[call_id] = self._clock()

    async def ring(self) -> None:
        leg: OutgoingCall = self._phone.dial(self._engine, SILENT)
        call_id = leg.sip_call_id
        self.begun[call_id] = self._clock()
        with suppress(asyncio.CancelledError):
            await leg.outcome()

    async def churn(self) -> None:
        async with asyncio.TaskGroup() as calls:
            while True:
                calls.create_task(self.call(lasts=SHORT))
                await asyncio.sleep(1 / CHURN)


def configuration(store_url: str, answering: Phone, ringing: Phone) -> dict[str, Any]:
    def connects(name: str, target: str) -> dict[str, Any]:
        option = {"destinations": [{"type": "tel", "target": target}]}
        return {"name": name, "actions": [{"type": "connect", "option": option}]}

    return {
        "sip": {
            "listen": [f"udp://127.0.0.1:{reserved_port()}"],
            "trusted_networks": ["127.0.0.11/32"],
            "invite_rate": {"rate": 0},
        },
        "api": {"listen": "127.0.0.1:0", "admin_key": KEY, "request_rate": {"rate": 0}},
        "store": store_url,
        "log": {"level": "warning", "format": "json"},
        "providers": [
            {"name": "answering", "hostname": answering.address},
            {"name": "ringing", "hostname": ringing.address},
        ],
        "routes": [
            {"target": "+82", "provider": "answering", "priority": 1},
            {"target": "+81", "provider": "ringing", "priority": 1},
        ],
        "numbers": [{"number": OURS, "call_flow": "through"}, {"number": SILENT, "call_flow": "silent"}],
        "flows": [connects("through", "+821012345678"), connects("silent", "+81312345678")],
    }


def api_of(engine: Engine) -> str:
    return engine.process.wait_line(r"^ready: http://", 15.0).split()[1].removesuffix("/v1.0")


async def all_rows(url: str, table: sa.Table) -> list[Row]:
    store = await Store.open(url)
    try:
        async with store.read() as connection:
            return [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]
    finally:
        await store.close()


async def until_killed(engine: Engine, sip: str, client: Writing, chance: random.Random) -> tuple[Caller, float]:
    """Calls and writes until the engine is killed among them: what was seen of calls, and when it was killed."""
    phone = Phone()
    await phone.start("127.0.0.11")
    caller = Caller(phone, sip)
    await client.prepare()
    loop = asyncio.get_running_loop()
    held = []
    for _ in range(HELD):
        held.append(loop.create_task(caller.call()))
        await asyncio.sleep(0.003)
    async with asyncio.timeout(15):
        await asyncio.gather(*held)
    assert len(caller.answered) == HELD
    ringing = [loop.create_task(caller.ring()) for _ in range(RINGING)]
    busy = [loop.create_task(caller.churn()), loop.create_task(client.run())]
    async with asyncio.timeout(30):
        await client.enough.wait()
    await asyncio.sleep(SAFE + chance.random())  # anywhere in a commit, or between two
    killed = loop.time()
    os.kill(engine.pid, signal.SIGKILL)
    for task in (*busy, *ringing):
        task.cancel()
    await asyncio.wait((*busy, *ringing))
    # INVITEs go on being repeated by a phone, and would be new calls to the next engine: it ends, too.
    for task in busy:
        assert task.cancelled() or task.exception() is None, task.exception()
    await phone.agent.stop()
    assert client.refused == []
    return caller, killed


def judge(calls: list[Row], caller: Caller, killed: float) -> None:
    """Compare what was seen of calls with what is in the store."""
    by_call_id = {call_id: row for row in calls for call_id in row["sip_call_ids"]}
    assert [row for row in calls if row["tm_hangup"] is None or row["status"] != "hangup"] == []
    sure = [call_id for call_id, moment in caller.answered.items() if moment < killed - SAFE]
    assert len(sure) >= HELD
    for call_id in sure:
        row = by_call_id.get(call_id)
        assert row is not None, "a call that was answered is not in the store"
        assert row["tm_progressing"] is not None
        if call_id not in caller.ended:
            assert (row["hangup_reason"], row["hangup_by"], row["end_reason"]) == ("failed", "local", END_REASON)
            assert row["tm_progressing"] <= row["tm_hangup"]
        elif caller.ended[call_id] < killed - SAFE:
            assert (row["hangup_reason"], row["hangup_by"]) == ("normal", "remote")
    rang = [call_id for call_id, moment in caller.begun.items() if moment < killed - SAFE]
    assert len(rang) == RINGING
    for call_id in rang:
        row = by_call_id[call_id]
        assert (row["hangup_reason"], row["tm_progressing"]) == ("failed", None)
        assert row["tm_ringing"] is not None


def told_in_order(events: list[Row], calls: list[Row]) -> None:
    """Each call's events: each stage that it has reached once, in order, the hangup last."""
    kinds: dict[str, list[str]] = {}
    for event in sorted(events, key=lambda event: event["id"]):
        if event["type"].startswith("call_"):
            kinds.setdefault(event["data"]["id"], []).append(event["type"])
    for row in calls:
        assert kinds.pop(str(row["id"])) == [kind for kind, _, column in STAGES if row[column] is not None]
    assert kinds == {}


async def rounds(tmp_path: Path, store_url: str, times: int) -> None:
    answering, ringing = Phone("echo"), Phone("ring")
    await answering.start(ANSWERING)
    await ringing.start(RINGING_FOR_EVER)
    path = write_config(tmp_path, config := configuration(store_url, answering, ringing))
    sip = config["sip"]["listen"][0].removeprefix("udp://")
    chance, numbers = random.Random(times), count(1)
    engine = Engine.start(path)
    try:
        for _ in range(times):
            client = Writing(api_of(engine), KEY, numbers)
            caller, killed = await until_killed(engine, sip, client, chance)
            engine.stop()
            # The next start is what closes them, before it says that it is ready.
            engine = Engine.start(path)
            await client.look_again(api_of(engine))
            calls, events, accounts, ledger, kept = [
                await all_rows(store_url, table)
                for table in (tables.calls, tables.events, tables.billing_accounts, tables.ledger, tables.numbers)
            ]
            judge(calls, caller, killed)
            told_in_order(events, calls)
            dialled_is_kept([answering, ringing], calls)
            paid_once(accounts, ledger, kept)
    finally:
        engine.stop()
        await answering.agent.stop()
        await ringing.agent.stop()


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_killed_ten_times_nothing_acknowledged_is_missing_and_no_call_is_open(
    tmp_path: Path, store_url: str
) -> None:
    await rounds(tmp_path, store_url, 10)
