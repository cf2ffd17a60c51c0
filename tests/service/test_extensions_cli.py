"""`trunkline extensions` lists who is registered and from where, whether an engine runs or not."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from service.cli.commands import main
from store import rows
from store.database import tables
from store.store import Store


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text('store: "sqlite:///./a.db"\n', encoding="utf-8")
    monkeypatch.delenv("TRUNKLINE_STORE", raising=False)

    async def fill() -> None:
        store = await Store.open(f"sqlite:///{tmp_path}/a.db")
        async with store.write() as transaction:
            acme = await rows.insert(transaction, tables.customers, {"name": "Acme"})
            for name, status in (("101", "suspended"), ("bob", "active"), ("alice", "active")):
                owner: dict[str, Any] = {"customer_id": acme["id"]} if name == "alice" else {}
                await rows.insert(transaction, tables.extensions, {"name": name, "status": status} | owner)
            now = transaction.now
            values = {"contact": "<sip:alice@10.0.0.9>", "uri": "sip:alice@10.0.0.9", "listener": "tcp/192.0.2.1:5060"}
            values |= {"source": "198.51.100.7", "host": "198.51.100.7", "port": 40312, "node": "sip1"}
            values |= {"extension": "alice", "tm_create": now, "user_agent": "Phone\x1b[2J 1.0"}
            for ends in (7200, -1):  # one of them is over
                row = values | {"id": str(uuid4()), "tm_expire": now + timedelta(seconds=ends)}
                await transaction.execute(sa.insert(tables.bindings), row)
        await store.close()

    asyncio.run(fill())
    return path


def test_a_line_for_each_device_and_for_each_that_has_none(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extensions", "-c", str(config)]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["101", "platform", "suspended", "", "", "", ""]
    assert lines[2] == ["bob", "platform", "not registered", "", "", "", ""]
    alice = lines[1]
    assert alice[:4] == ["alice", "Acme", "198.51.100.7:40312", "tcp"]
    assert "\x1b" not in alice[4] and alice[6] == "sip1"
    assert 7000 < int(alice[5].removesuffix(" s")) <= 7200
    assert len(lines) == 3


def test_all_of_it_as_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extensions", "-c", str(config), "--json"]) == 0
    _, alice, bob = json.loads(capsys.readouterr().out)
    assert bob == {
        "name": "bob",
        "customer": "platform",
        "status": "active",
        "registered": False,
        "contacts": [],
    }
    (contact,) = alice["contacts"]
    assert (contact["contact"], contact["node"]) == ("<sip:alice@10.0.0.9>", "sip1")


def test_a_store_in_memory_is_nobody_elses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text('store: ":memory:"\n', encoding="utf-8")
    assert main(["extensions", "-c", str(path)]) == 1
    assert "store is :memory:" in capsys.readouterr().err
