"""The journal: what calls tell it is in the store soon, once, in order, and whatever the store does meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from flows.calls.record import CallRecord
from flows.calls.registry import CallRegistry
from routing.hunt.attempt import AttemptRecord
from routing.identifiers import NIL
from service.cdr import record_writer
from service.cdr.record_writer import CallRecordWriter
from store.database import tables
from store.database.engines import POSTGRES_CONNECTIONS
from store.database.errors import StoreError
from store.resources.calls import STAGES
from store.rows import Row
from store.store import Store, Transaction
from tests.peers.postgres import PostgresServer

NODE, CUSTOMER, PROVIDER = UUID(int=1), UUID(int=7), UUID(int=9)
BEGAN = 1_777_900_000.25  # s since 1970
BOUND = 8.0


async def until(condition: Callable[[], Any]) -> None:
    """For what has no event of its own."""
    async with asyncio.timeout(BOUND):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def _take(self, level: str) -> Any:
        return lambda event, **values: self.lines.append((level, event, values))

    def __getattr__(self, level: str) -> Any:
        return self._take(level)

    def named(self, event: str) -> list[dict[str, Any]]:
        return [values for _, found, values in self.lines if found == event]


class Desk:
    """A journal on a store, and calls that go the way that the test says."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.log = Lines()
        self.calls = CallRegistry()
        self.now = 0.0
        env: Any = SimpleNamespace(calls=self.calls, clock=lambda: self.now)
        self.journal = CallRecordWriter(store, env.calls, NODE, self.log, env.clock)

    def begin(self, **values: Any) -> CallRecord:
        record = CallRecord(
            values.pop("id", str(uuid4())),
            values.pop("direction", "incoming"),
            created=BEGAN,
            begun=100.0,
            customer_id=CUSTOMER,
            **values,
        )
        self.calls.begin(record, SimpleNamespace(hang_up=None))
        return record

    def rings(self, record: CallRecord) -> None:
        record.status, record.ringing_ms = "ringing", 1_000
        self.calls.changed(record)

    def answers(self, record: CallRecord) -> None:
        record.status, record.answered_ms = "progressing", 3_000
        self.calls.changed(record)

    def ends(self, record: CallRecord, reason: str = "normal") -> None:
        record.status, record.ended_ms, record.end_status, record.end_reason = "hangup", 63_000, 200, "OK"
        record.hangup_by, record.hangup_reason = "remote", reason
        self.calls.over(record)
        self.calls.ended(record)

    async def rows(self, table: sa.Table = tables.calls) -> list[Row]:
        async with self.store.read() as connection:
            query = sa.select(table).order_by(*table.primary_key)
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def row(self, record: CallRecord) -> Row:
        return next(row for row in await self.rows() if row["id"] == UUID(record.id))

    async def told(self, record: CallRecord) -> list[dict[str, Any]]:
        """Type and document of the call's events, in their order."""
        events = await self.rows(tables.events)
        return [event["data"] | {"type": event["type"]} for event in events if event["data"]["id"] == record.id]

    async def kinds(self, record: CallRecord) -> list[str]:
        return [event["type"] for event in await self.told(record)]

    async def quiet(self) -> None:
        """Until nothing waits."""
        await until(lambda: not self.journal.waiting)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Desk]:
    store = await Store.open(url)
    desk = Desk(store)
    desk.journal.start()
    try:
        yield desk
        await desk.journal.close()
    finally:
        await store.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "PAUSE", 0.002)
    monkeypatch.setattr(record_writer, "FIRST_RETRY", 0.002)


class Holding:
    """Keeps the store's commits back until they are let go, or makes them fail."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.failure: Exception | None = None
        self.commits = 0
        append = store._append

        async def held(transaction: Transaction) -> Any:
            self.commits += 1
            self.asked.set()
            await self.go.wait()
            if self.failure is not None:
                raise self.failure
            return await append(transaction)

        monkeypatch.setattr(store, "_append", held)

    def fail(self, times: str = "disk I/O error") -> None:
        self.failure = OperationalError("INSERT", {}, Exception(times))
        self.go.set()


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(BEGAN, UTC) + timedelta(seconds=seconds)


# ---- what is kept


async def test_a_call_is_in_the_store_as_soon_as_it_has_begun(store_url: str) -> None:
    async with opened(store_url) as desk:
        record = desk.begin(
            source="+15550001111", source_name="Ann", destination="+15551234567", provider_id=PROVIDER,
            call_flow_id=UUID(int=3), sip_call_ids=["a@b"], metadata={"k": [1]}, groupcall_id=str(UUID(int=4)),
        )  # fmt: skip
        await desk.journal.stored(record)
        row = await desk.row(record)
        assert row.pop("tm_update") >= row["tm_create"]
        assert row == {
            "id": UUID(record.id), "customer_id": CUSTOMER, "node_id": NODE, "direction": "incoming",
            "status": "dialing", "source_type": "tel", "source": "+15550001111", "source_name": "Ann",
            "destination_type": "tel", "destination": "+15551234567", "anonymous": False, "number_id": NIL,
            "flow_id": UUID(int=3), "provider_id": PROVIDER, "groupcall_id": UUID(int=4), "end_status": 0,
            "end_reason": "", "hangup_reason": "", "hangup_by": "", "notes": [], "metadata": {"k": [1]},
            "media": {},
            "sip_call_ids": ["a@b"], "tm_create": moment(0), "tm_ringing": None, "tm_progressing": None,
            "tm_hangup": None, "tm_delete": None,
        }  # fmt: skip
        assert await desk.kinds(record) == ["call_created"]


async def test_a_call_is_followed_from_its_beginning_to_its_end(store_url: str) -> None:
    async with opened(store_url) as desk:
        record = desk.begin()
        for step, status in ((desk.rings, "ringing"), (desk.answers, "progressing"), (desk.ends, "hangup")):
            await desk.quiet()
            step(record)
            await desk.journal.stored(record)
            assert (await desk.row(record))["status"] == status
        row = await desk.row(record)
        moments = tuple(row[column] for _, _, column in STAGES)
        assert moments == (moment(0), moment(1), moment(3), moment(63))
        assert (row["hangup_by"], row["hangup_reason"], row["end_status"]) == ("remote", "normal", 200)
        assert [event["status"] for event in await desk.told(record)] == ["dialing", "ringing", "progressing", "hangup"]
        assert await desk.kinds(record) == [kind for kind, _, _ in STAGES]
        assert desk.journal.waiting == 0


async def test_a_call_that_began_and_ended_between_two_commits_is_one_row(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(store_url) as desk:
        holding = Holding(desk.store, monkeypatch)
        desk.begin()
        await holding.asked.wait()
        record = desk.begin()
        desk.rings(record)
        desk.answers(record)
        desk.ends(record)
        holding.go.set()
        await desk.journal.stored(record)
        assert (desk.journal.written, holding.commits) == (2, 2)
        assert [event["status"] for event in await desk.told(record)] == ["dialing", "ringing", "progressing", "hangup"]


async def test_attempts_are_kept_when_the_call_is_over(store_url: str) -> None:
    async with opened(store_url) as desk:
        record = desk.begin(direction="outgoing")
        skipped = AttemptRecord(
            provider_id=UUID(int=8), provider_name="busy", kind="skipped", skipped="max_channels", reason="no channel"
        )
        refused = AttemptRecord(
            provider_id=UUID(int=6),
            provider_name="one",
            request_uri="sip:1@one",
            started=100.0,
            first_reply=None,
            ended=100.25,
            kind="refused",
            status=503,
            reason="Unavailable",
        )
        answered = AttemptRecord(
            provider_id=PROVIDER,
            provider_name="two",
            request_uri="sip:1@two",
            started=100.25,
            first_reply=101.0,
            ended=103.0,
            kind="answered",
            status=200,
            reason="OK",
        )
        record.tried += [[skipped, refused], [answered]]
        desk.answers(record)
        await desk.quiet()
        assert await desk.rows(tables.attempts) == []
        desk.ends(record)
        await desk.quiet()
        first, second, third = await desk.rows(tables.attempts)
        assert (first["kind"], first["skipped"], first["tm_start"], first["talk_ms"]) == (
            "skipped", "max_channels", None, None,
        )  # fmt: skip
        assert (second["status"], second["start_ms"], second["end_ms"], second["tm_end"]) == (503, 0, 250, moment(0.25))
        assert third == {
            "call_id": UUID(record.id), "place": 2, "provider_id": PROVIDER, "provider_name": "two",
            "request_uri": "sip:1@two", "tm_start": moment(0.25), "start_ms": 250, "tm_first_reply": moment(1),
            "first_reply_ms": 1_000, "tm_end": moment(3), "end_ms": 3_000, "kind": "answered", "status": 200,
            "reason": "OK", "skipped": "", "talk_ms": 60_000, "tm_create": moment(0),
        }  # fmt: skip
        assert {row["tm_create"] for row in (first, second)} == {moment(0)}
        assert (await desk.row(record))["provider_id"] == PROVIDER  # through whom it went


async def test_a_call_that_ends_before_its_change_is_written_is_over_with_its_attempts(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads that a call is over reads its attempts: what the store says of it is the last word."""
    monkeypatch.setattr(record_writer, "PAUSE", 1e6)  # what is written next comes later than anybody asks
    async with opened(store_url) as desk:
        async with desk.store.write():
            record = desk.begin()
            await until(lambda: desk.journal.writing)  # taken as one that runs, and waits for its turn
            refused = AttemptRecord(
                provider_id=PROVIDER,
                provider_name="one",
                request_uri="sip:1@one",
                started=100.0,
                first_reply=None,
                ended=100.25,
                kind="refused",
                status=503,
                reason="Unavailable",
            )
            record.tried.append([refused])
            desk.ends(record)
        await until(lambda: not desk.journal.writing)
        assert (await desk.row(record))["tm_hangup"] is not None
        assert [row["status"] for row in await desk.rows(tables.attempts)] == [503]


async def test_an_attempt_that_ran_until_the_end_was_given_up(store_url: str) -> None:
    async with opened(store_url) as desk:
        record = desk.begin()
        record.tried.append(
            [AttemptRecord(provider_id=PROVIDER, provider_name="one", request_uri="sip:1@one", started=100.0)]
        )
        desk.ends(record, "cancel")
        await desk.quiet()
        (kept,) = await desk.rows(tables.attempts)
        assert (kept["kind"], kept["tm_end"], kept["talk_ms"]) == ("cancelled", None, None)


async def test_what_peers_write_is_kept_as_far_as_a_database_can(store_url: str) -> None:
    async with opened(store_url) as desk:
        record = desk.begin(source_name="A\0nn\udcff Grüße", notes=["\0"], sip_call_ids=["\udc80@x"])
        desk.ends(record)
        await desk.journal.stored(record)
        row = await desk.row(record)
        assert (row["source_name"], row["notes"], row["sip_call_ids"]) == (
            "A\ufffdnn\ufffd Grüße", ["\ufffd"], ["\ufffd@x"],
        )  # fmt: skip


@pytest.mark.peer
async def test_requests_that_hold_every_connection_do_not_keep_calls_from_the_disk(postgres_url: str) -> None:
    async with opened(postgres_url) as desk, AsyncExitStack() as requests:
        for _ in range(POSTGRES_CONNECTIONS):
            transaction = await requests.enter_async_context(desk.store.write())
            await transaction.execute(sa.select(1))
        record = desk.begin()
        async with asyncio.timeout(BOUND):
            await desk.journal.stored(record)


# ---- what is told during a commit


async def test_what_happens_during_a_commit_is_reported_once_by_the_next(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(store_url) as desk:
        holding = Holding(desk.store, monkeypatch)
        rings, ends = desk.begin(), desk.begin()
        await holding.asked.wait()
        desk.rings(rings)
        desk.rings(ends)
        desk.ends(ends)
        assert desk.journal.waiting == 4  # two being written, and two again
        holding.go.set()
        await desk.quiet()
        assert await desk.kinds(rings) == ["call_created", "call_ringing"]
        assert await desk.kinds(ends) == ["call_created", "call_ringing", "call_hangup"]


async def test_a_commit_that_fails_tells_nothing_and_is_made_good(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(store_url) as desk:
        holding = Holding(desk.store, monkeypatch)
        running, over = desk.begin(), desk.begin()
        desk.ends(over)
        await holding.asked.wait()
        desk.rings(running)
        holding.fail()
        await until(lambda: holding.commits >= 4)
        assert await desk.rows() == [] and desk.journal.waiting == 2
        holding.failure = None
        await desk.quiet()
        assert await desk.kinds(running) == ["call_created", "call_ringing"]
        assert await desk.kinds(over) == ["call_created", "call_hangup"]
        # However often it failed, that is one line, and one more when it is over.
        (failed,) = desk.log.named("calls not stored yet: the store does not write")
        assert "disk I/O error" in failed["error"]
        (again,) = desk.log.named("calls stored again")
        assert again["failures"] >= 3
        assert desk.journal.dropped == 0


async def test_news_after_the_end_is_not_taken_for_a_new_call(store_url: str) -> None:
    async with opened(store_url) as desk:
        record = desk.begin()
        desk.ends(record)
        await desk.quiet()
        desk.calls.changed(record)
        desk.calls.ended(record)
        assert desk.journal.waiting == 0
        assert await desk.kinds(record) == ["call_created", "call_hangup"]


async def test_random_lives_end_in_rows_and_events_that_are_whole(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens between, during and after commits, some of which fail: each stage once, and in order."""
    monkeypatch.setattr(record_writer, "BATCH", 7)
    monkeypatch.setattr(record_writer, "STEP", 3)
    chance = random.Random(3)
    async with opened(store_url) as desk:
        append = desk.store._append

        async def sometimes(transaction: Transaction) -> Any:
            if chance.random() < 0.3:
                raise OperationalError("INSERT", {}, Exception("full"))
            return await append(transaction)

        monkeypatch.setattr(desk.store, "_append", sometimes)
        monkeypatch.setattr(record_writer, "LAST_RETRY", 0.002)
        lives: dict[str, tuple[CallRecord, list[str]]] = {}
        running: list[tuple[CallRecord, list[Any]]] = []
        for _ in range(60):
            record = desk.begin()
            steps = [step for step in (desk.rings, desk.answers) if chance.random() < 0.7] + [desk.ends]
            names = {desk.rings: "call_ringing", desk.answers: "call_progressing", desk.ends: "call_hangup"}
            lives[record.id] = record, ["call_created", *(names[step] for step in steps)]
            running.append((record, steps))
            for _ in range(chance.randrange(4)):
                if not running:
                    break
                of, steps = chance.choice(running)
                steps.pop(0)(of)
                running = [one for one in running if one[1]]
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
        for record, steps in running:
            for step in steps:
                step(record)
        await desk.quiet()
        told: dict[str, list[str]] = {}
        for event in await desk.rows(tables.events):
            told.setdefault(event["data"]["id"], []).append(event["type"])
        assert told == {call_id: kinds for call_id, (_, kinds) in lives.items()}
        rows = await desk.rows()
        assert {str(row["id"]) for row in rows} == set(lives)
        assert {row["status"] for row in rows} == {"hangup"}


# ---- waiting for it


async def test_waiting_for_a_call_does_not_wait_for_the_pause(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "PAUSE", 3600.0)
    async with opened(store_url) as desk:
        for _ in range(3):
            record = desk.begin()
            async with asyncio.timeout(BOUND):
                await desk.journal.stored(record)
            assert (await desk.row(record))["status"] == "dialing"
        await desk.journal.stored(record)  # it is there already


async def test_several_wait_and_one_of_them_gives_up(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(store_url) as desk:
        holding = Holding(desk.store, monkeypatch)
        record = desk.begin()
        waiting = [asyncio.create_task(desk.journal.stored(record)) for _ in range(3)]
        await holding.asked.wait()
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        assert not waiting[1].done() and not waiting[2].done()
        holding.go.set()
        async with asyncio.timeout(BOUND):
            await asyncio.gather(*waiting[1:])
        assert len(await desk.rows()) == 1


# ---- what cannot be kept


async def test_beyond_the_bound_the_oldest_are_lost_and_that_is_reported(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_writer, "MOST_ENDED", 3)
    async with opened(store_url) as desk:
        holding = Holding(desk.store, monkeypatch)
        desk.begin()
        await holding.asked.wait()
        records = [desk.begin() for _ in range(6)]
        waiter = asyncio.create_task(desk.journal.stored(records[0]))
        await asyncio.sleep(0)
        for record in records:
            desk.ends(record)
        assert desk.journal.dropped == 3
        assert len(desk.log.named("call not stored")) == 1  # a line a second
        desk.now += 1.0
        desk.ends(desk.begin())
        assert [line["lost"] for line in desk.log.named("call not stored")] == [1, 4]
        with pytest.raises(StoreError, match="could not be stored"):
            await waiter
        holding.go.set()
        await desk.quiet()
        kept = {str(row["id"]) for row in await desk.rows()}
        assert kept & {record.id for record in records} == {records[4].id, records[5].id}


async def test_a_call_that_no_database_takes_does_not_keep_the_others_from_it(store_url: str) -> None:
    async with opened(store_url) as desk:
        desk.begin(id="no id at all")
        good = [desk.begin() for _ in range(3)]
        odd = desk.begin()
        odd.tried.append([AttemptRecord(provider_id="nobody", provider_name="x")])  # type: ignore[arg-type]
        desk.ends(odd)
        for record in good:
            await desk.journal.stored(record)
        await desk.quiet()
        assert {str(row["id"]) for row in await desk.rows()} == {record.id for record in good}
        assert desk.journal.dropped == 2
        assert desk.log.named("call not stored")[0]["call_id"] in ("no id at all", odd.id)


@pytest.mark.peer
async def test_what_postgresql_refuses_is_told_from_a_server_that_is_away(postgres_store_url: str) -> None:
    async with opened(postgres_store_url) as desk:
        too_long, too_large = desk.begin(source_type="x" * 17), desk.begin()
        too_large.end_status = 2**40
        good = desk.begin()
        await desk.journal.stored(good)
        await desk.quiet()
        assert [str(row["id"]) for row in await desk.rows()] == [good.id]
        assert desk.journal.dropped == 2
        assert not desk.log.named("calls not stored yet: the store does not write")
        assert too_long.id != too_large.id


@pytest.mark.peer
async def test_a_postgresql_server_that_goes_away_and_comes_back(
    postgres_server: PostgresServer, postgres_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_writer, "LAST_RETRY", 0.05)
    async with opened(postgres_store_url) as desk:
        before = desk.begin()
        await desk.journal.stored(before)
        postgres_server.stop()
        desk.ends(before)
        during = desk.begin()
        await until(lambda: desk.log.named("calls not stored yet: the store does not write"))
        postgres_server.start()
        async with asyncio.timeout(BOUND):
            await desk.journal.stored(before)
            await desk.journal.stored(during)
        assert await desk.kinds(before) == ["call_created", "call_hangup"]
        assert await desk.kinds(during) == ["call_created"]
        assert desk.journal.dropped == 0


# ---- the end


async def test_closing_writes_what_is_left(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "PAUSE", 3600.0)
    monkeypatch.setattr(record_writer, "BATCH", 2)
    async with opened(store_url) as desk:
        await desk.journal.stored(desk.begin())
        records = [desk.begin() for _ in range(5)]
        for record in records:
            desk.ends(record)
        async with asyncio.timeout(BOUND):
            await desk.journal.close()
        assert desk.calls.observers == []
        assert len(await desk.rows()) == 6
        await desk.journal.close()  # a second time does nothing


async def test_closing_does_not_wait_for_ever(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "CLOSING", 0.05)
    async with opened(store_url) as desk:
        holding = Holding(desk.store, monkeypatch)
        record = desk.begin()
        waiter = asyncio.create_task(desk.journal.stored(record))
        await holding.asked.wait()
        async with asyncio.timeout(BOUND):
            await desk.journal.close()
        assert desk.log.named("calls not stored at the end") == [
            {"calls": 1, "cause": "it did not write before the end"}
        ]  # fmt: skip
        with pytest.raises(StoreError, match="ended before"):
            await waiter


@pytest.mark.parametrize("ends_meanwhile", [False, True])
async def test_a_commit_whose_answer_is_lost_is_reported_once(
    store_url: str, monkeypatch: pytest.MonkeyPatch, ends_meanwhile: bool
) -> None:
    """The connection breaks between the commit and the word of it: nobody here knows, but the store does."""
    async with opened(store_url) as desk:
        write, lost = desk.store.write, asyncio.Event()

        @asynccontextmanager
        async def broken(**options: Any) -> AsyncIterator[Transaction]:
            async with write(**options) as transaction:
                yield transaction
            monkeypatch.setattr(desk.store, "write", write)
            lost.set()
            raise OperationalError("COMMIT", {}, Exception("connection was closed in the middle of operation"))

        records = [desk.begin() for _ in range(3)]
        await desk.quiet()
        monkeypatch.setattr(desk.store, "write", broken)
        for record in records:
            desk.rings(record)
        async with asyncio.timeout(BOUND):
            await lost.wait()
        if ends_meanwhile:
            for record in records:
                desk.answers(record)
                desk.ends(record)
        await desk.quiet()
        kinds = [name for name, _, _ in STAGES]
        for record in records:
            assert await desk.kinds(record) == (kinds if ends_meanwhile else kinds[:2])
        assert not desk.journal.unsure
