"""An engine loads what its configuration asks for: no FastAPI without an API, no SQLAlchemy without a store."""

import subprocess
import sys
from pathlib import Path

import pytest

START = """
import asyncio, sys
from pathlib import Path
from config.loading import load
from service.node import Node

async def start():
    node = Node(load(Path(sys.argv[1]), environ={}))
    await node.start()
    await node.close()

asyncio.run(start())
print(*(name for name in ("fastapi", "uvicorn", "prometheus_client", "sqlalchemy", "alembic") if name in sys.modules))
"""
SIP = 'sip: {listen: ["udp://127.0.0.1:0"]}\n'
NO_API = 'api: {listen: ""}\n'
API = ["fastapi", "prometheus_client", "uvicorn"]
STORE = ["alembic", "sqlalchemy"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("sections", "loaded"),
    [
        (NO_API + 'store: ":memory:"\n', []),
        (NO_API + "store: sqlite:///t.db\n", STORE),
        ("api: {listen: 127.0.0.1:0}\n", API + STORE),
    ],
)
def test_an_engine_loads_what_its_configuration_asks_for(tmp_path: Path, sections: str, loaded: list[str]) -> None:
    path = tmp_path / "trunkline.yaml"
    path.write_text(SIP + sections)
    done = subprocess.run([sys.executable, "-c", START, path], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()[-1].split()) == sorted(loaded)


@pytest.mark.long
def test_help_loads_no_engine() -> None:
    show = "import sys; from service.cli.commands import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"service.node", "sqlalchemy", "fastapi", "numpy", "httpx"}
