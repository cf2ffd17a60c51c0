"""What commands without an engine know: the store's numbers and the file's."""

import asyncio
from pathlib import Path

import pytest

from routing.models.number import Number
from service.cli import commands
from store import rows
from store.database import tables
from store.directory.mapping import number_row
from store.store import Store

FILE = """
sip: {{listen: ["udp://127.0.0.1:0"]}}
store: "{store}"
numbers: [{{number: "+15551234567", call_flow: echo}}]
flows: [{{name: echo, actions: [{{type: answer}}]}}]
"""


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUNKLINE_STORE", raising=False)


async def _stored(url: str) -> None:
    store = await Store.open(url)
    async with store.write() as transaction:
        flow = await rows.insert(transaction, tables.flows, {"name": "from the API", "actions": [{"type": "answer"}]})
        number = Number(number="+899100000001", call_flow_id=flow["id"])
        await rows.insert(transaction, tables.numbers, number_row(number))
    await store.close()


def test_a_number_of_the_store_and_one_of_the_file_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/trunkline.db"
    config = tmp_path / "trunkline.yaml"
    config.write_text(FILE.format(store=url))
    assert commands.main(["explain", "-c", str(config), "+899100000001"]) == 0
    assert "does not exist" in capsys.readouterr().out
    assert not (tmp_path / "trunkline.db").exists()
    asyncio.run(_stored(url))
    assert commands.main(["explain", "-c", str(config), "+899100000001"]) == 0
    assert "from the API" in capsys.readouterr().out
    assert commands.main(["explain", "-c", str(config), "+15551234567"]) == 0
    assert "echo" in capsys.readouterr().out
