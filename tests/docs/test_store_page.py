"""docs/store.md: its commands are given to a PostgreSQL server, engines on one database, and a file of SQLite."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.network import reserved_port
from tests.peers.local_server import HOST
from tests.peers.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```(sh sqlite|sh nodes|json nodes|yaml nodes)\n(.*?)^```$",
    (ROOT / "docs/store.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
PATIENCE = 240.0  # s
MARK = "@@@@ end of block"
TRUNKLINE = f"""#!/bin/sh
exec {sys.executable} -c "import sys; from service.cli.commands import main; sys.exit(main())" "$@"
"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq") and shutil.which("sqlite3")),
    reason="curl, jq and sqlite3 are not all installed",
)


def addresses() -> dict[str, str]:
    """What the page's addresses are here."""
    return {f"127.0.0.{node}:{port}": f"127.0.0.{node}:{reserved_port()}" for node in (1, 2) for port in (5060, 8080)}


def replaced(text: str, written: dict[str, str]) -> str:
    for before, after in written.items():
        text = text.replace(before, after)
    return text


def told(script: str, directory: Path, **environment: str) -> str:
    """What a shell's commands print. Whatever they started ends with it."""
    programs = directory / "bin"
    programs.mkdir()
    (programs / "trunkline").write_text(TRUNKLINE)
    (programs / "trunkline").chmod(0o755)
    errors = directory / "errors"
    with errors.open("w") as stderr:
        shell = subprocess.Popen(
            ["bash", "-c", f"set -eu\n{script}"],
            cwd=directory,
            env=environment | {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # no terminal: passwords are read from standard input
        )
        try:
            output, _ = shell.communicate("sesame\nsesame\n", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the commands did not end: {errors.read_text()}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    assert shell.returncode == 0, output + errors.read_text()
    return output


def documents(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find("{", at)) >= 0:
        found, at = decoder.raw_decode(text, at)
        yield found


@pytest.fixture
def new_server() -> Iterator[PostgresServer]:
    """One on which the page's role does not exist yet."""
    with PostgresServer() as server:
        server.execute("DROP ROLE trunkline")
        yield server


@pytest.mark.peer
@pytest.mark.timeout(300)
def test_nodes_on_postgresql_as_the_page_has_them(new_server: PostgresServer, tmp_path: Path) -> None:
    written = addresses() | {"db.example": f"{HOST}:{new_server.port}"}
    # What runs in the background would hold the output open.
    script = "trap 'kill -9 $(jobs -p)' EXIT\n"
    for info, text in BLOCKS:
        if info == "yaml nodes":
            name = text.partition("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(replaced(text, written))
        elif info == "sh nodes":
            script += f"{replaced(text, written)}echo; echo '{MARK}'\n"
    output = told(
        script,
        tmp_path,
        PGHOST=HOST,
        PGPORT=str(new_server.port),
        PGUSER="postgres",
        DB_PASSWORD="sesame",
        ADMIN_KEY="a-key-for-the-admin-of-this-test",
    )
    printed, answer = iter(output.split(MARK)), ""
    compared = 0
    for info, text in BLOCKS:
        if info == "sh nodes":
            answer = next(printed)
        elif info == "json nodes":
            *_, last = documents(answer)
            assert last == json.loads(text), text
            compared += 1
    assert compared == 3
    assert "answered after" in output
    assert "nothing is declared there" in output


def test_a_backup_of_sqlite_as_the_page_has_it(tmp_path: Path) -> None:
    backup, restore = [text for info, text in BLOCKS if info == "sh sqlite"]
    database = tmp_path / "trunkline.db"

    def names() -> list[str]:
        with sqlite3.connect(database) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM kept")]

    engine = sqlite3.connect(database)
    engine.execute("PRAGMA journal_mode = WAL")
    engine.execute("PRAGMA wal_autocheckpoint = 0")
    engine.executescript("CREATE TABLE kept (name TEXT); INSERT INTO kept VALUES ('before');")
    # What is in the log file alone is in the copy all the same.
    told(backup, tmp_path)
    engine.execute("INSERT INTO kept VALUES ('after')")
    engine.commit()
    shutil.copytree(tmp_path, tmp_path.parent / "crashed", ignore=shutil.ignore_patterns("bin"))
    engine.close()
    crashed = tmp_path.parent / "crashed"
    database = crashed / "trunkline.db"
    assert names() == ["before", "after"]
    told(restore, crashed)
    assert names() == ["before"]
