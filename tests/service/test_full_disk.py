"""An engine whose SQLite takes nothing more: calls go on, who looks is told, and nothing is lost when it is over."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from service import readiness, storage
from store.cluster.heartbeat import NodeHeartbeat
from store.database import tables
from tests.store.full import End, full, read_only

Run = Callable[..., None]
GUEST, CLIENT, ONE = "127.0.0.12", "127.0.0.11", "127.0.0.21"
OURS, FOREIGN, KEY = "+15551234567", "+821012345678", "some-long-key-0123456789"


class Beating(NodeHeartbeat):
    """A node whose heart beats quickly."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named | {"every": 0.02})


async def ended(node: Any) -> list[str]:
    async with node.storage.store.read() as connection:
        query = sa.select(tables.calls.c.hangup_reason).where(tables.calls.c.tm_hangup.is_not(None))
        return list((await connection.execute(query)).scalars())


@pytest.mark.long
@pytest.mark.parametrize(
    "problem", ["database or disk is full", "attempt to write a readonly database", "disk I/O error"]
)
def test_calls_go_on_and_are_written_when_it_is_over(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    monkeypatch.setattr(storage, "NodeHeartbeat", Beating)

    async def test(bench: Any) -> None:
        one, guest, client = await bench.phone(ONE), await bench.phone(GUEST), await bench.phone(CLIENT)
        api = {"listen": "127.0.0.1:0", "admin_key": KEY}
        url = f"sqlite:///{tmp_path}/t.db"
        engine = await bench.engine(store=url, api=api, **bench.providers(one))
        node = engine.node
        store, where = node.storage.store, node.server.url
        headers = {"Authorization": f"Bearer {KEY}"}

        async with httpx.AsyncClient(base_url=where, headers=headers) as http:

            async def readyz() -> Any:
                answer = await http.get("/readyz")
                return answer.status_code, answer.json()["checks"]["store"]

            async def becomes(status: int) -> None:
                async with asyncio.timeout(30):
                    while (await readyz())[0] != status:  # noqa: ASYNC110 - asked as a load balancer asks
                        await asyncio.sleep(0.01)

            assert await readyz() == (200, "ok")
            end = await begin(monkeypatch, store, problem)
            # What costs nothing goes on: to our own numbers, and out through a provider.
            calls = 0
            while not node.parts.call_records.problem:  # a few small rows may still find room within a page
                for phone, number in ((guest, OURS), (client, FOREIGN)):
                    leg, outcome = await phone.call(engine.address, number)
                    assert outcome.kind == "answered"
                    leg.hangup()
                    await leg.wait_ended()
                    calls += 1
                await engine.quiet()
                assert calls < 100
            await becomes(503)
            assert await readyz() == (503, f"cannot be written: {problem}")
            answer = await http.post("/v1.0/flows", json={"actions": [{"type": "answer"}] * 100})
            assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "SERVICE_UNAVAILABLE")
            assert (await http.get("/v1.0/flows")).status_code == 200  # what is there can be read
            assert len(await ended(node)) < calls and node.parts.call_records.waiting
            assert (await readyz())[0] == 503
            await end()
            await becomes(200)
            await bench.until(lambda: node.parts.call_records.waiting == 0)
            assert await ended(node) == ["normal"] * calls
            assert (await http.post("/v1.0/flows", json={"actions": [{"type": "answer"}]})).status_code == 201
        # Calls say it, and so does the sign of life where that needs more than there is, each once.
        (waits,) = bench.log.named("calls not stored yet: the store does not write")
        assert waits["error"] == problem
        assert len(bench.log.named("calls stored again")) == 1
        for event in ("the store cannot be written", "the store can be written again"):
            assert len(bench.log.named(event)) == int("full" not in problem)

    run(test)


async def begin(patch: pytest.MonkeyPatch, store: Any, problem: str) -> End:
    """From now on nothing is written; what ends that."""
    if "full" in problem:
        return await full(store)
    if "readonly" in problem:
        return await read_only(store)
    commit = sa.ext.asyncio.AsyncConnection.commit  # type: ignore[attr-defined]

    async def fails(connection: Any) -> None:
        await connection.rollback()
        raise sa.exc.OperationalError("COMMIT", {}, Exception(problem))

    patch.setattr("sqlalchemy.ext.asyncio.AsyncConnection.commit", fails)

    async def end() -> None:
        patch.setattr("sqlalchemy.ext.asyncio.AsyncConnection.commit", commit)

    return end


def test_the_disk_of_recordings_is_looked_at_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=f"sqlite:///{tmp_path}/t.db")
        asked: list[Path] = []

        def full(path: Path) -> str:
            asked.append(path)
            return f"the disk of {path} is full (0 KiB are left)"

        assert "recordings" not in await engine.node.workers.readiness.checks()
        monkeypatch.setattr(readiness, "disk_problem", full)
        checks = await engine.node.workers.readiness.checks()
        folder = engine.node.flows.calls.media.recordings.folder
        assert checks["recordings"] == f"the disk of {folder} is full (0 KiB are left)"
        assert asked == [folder] and checks["store"] == "ok"

    run(test)
