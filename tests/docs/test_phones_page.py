"""docs/phones.md: its engine is started, its two phones are set up as it says, and they call each other."""

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.docs.test_store_page import TRUNKLINE
from tests.peers.baresip import Baresip, write_sine
from tests.peers.linphone import Linphone
from tests.peers.process import Process, require

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/phones.md"
KINDS = ("yaml phones", "sh phones start", "sh phones", "baresip phones", "linphone phones")
WRITTEN, HOST, ALICE, BOB = "192.168.1.10", "127.0.2.10", "127.0.2.21", "127.0.2.22"
PATIENCE = 60.0  # s

pytestmark = pytest.mark.peer


def block(kind: str) -> str:
    """The page's block of a kind, with an address of this machine."""
    assert kind in KINDS
    (text,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(text).replace(WRITTEN, HOST)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    require("openssl", "openssl")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "trunkline").write_text(TRUNKLINE)
    (programs / "trunkline").chmod(0o755)
    (tmp_path / "trunkline.yaml").write_text(block("yaml phones"))
    return {
        "PATH": f"{programs}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "TRUNKLINE_API__LISTEN": "",
        "TRUNKLINE_STORE": "sqlite:///./trunkline.db",
    }


@pytest.fixture
def engine(environment: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    start = block("sh phones start").replace("trunkline serve", "exec trunkline serve")
    process = Process(["bash", "-c", f"set -eu\n{start}"], cwd=tmp_path, env=environment)
    try:
        process.wait_line(rf"ready: tcp://{HOST}:5060", PATIENCE)
        yield process
    finally:
        process.stop()


def listed(environment: dict[str, str], directory: Path, fits: Callable[[list[list[str]]], bool]) -> list[list[str]]:
    """What the page's command prints of who is registered, once it fits: the store has it after a second."""
    deadline, tick = monotonic() + PATIENCE, threading.Event()
    while True:
        command = ["bash", "-c", f"set -eu\n{block('sh phones')}"]
        shell = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=True)
        rows = [line.split("\t") for line in shell.stdout.splitlines()]
        if fits(rows):
            return rows
        assert monotonic() < deadline, shell.stdout + shell.stderr
        tick.wait(0.5)


def test_two_phones_that_are_set_up_as_shown_call_each_other(
    engine: Process, environment: dict[str, str], tmp_path: Path
) -> None:
    passwords = re.search(r"^export ALICE=(\w+) BOB=(\w+)$", engine.log, re.MULTILINE)
    assert passwords is not None
    line = block("baresip phones").strip().replace("ALICES_PASSWORD", passwords[1])
    order = block("linphone phones").strip().replace("BOBS_PASSWORD", passwords[2])
    write_sine(tmp_path / "words.wav", 700, 30.0)
    with (
        Baresip(tmp_path / "alice", ALICE, 6100, user="alice", registrar=HOST, line=line) as alice,
        Linphone(tmp_path / "bob", BOB, 6100, user="bob") as bob,
    ):
        alice.wait_registered()
        bob.process.tell(order)
        bob.wait_registered()
        rows = listed(environment, tmp_path, lambda rows: all("udp" in row for row in rows))
        assert [(row[0], row[2].rpartition(":")[0]) for row in rows] == [("alice", ALICE), ("bob", BOB)]
        alice.dial("bob")
        bob.process.wait_line(r'Receiving new incoming call from "Alice" <sip:alice@', PATIENCE)
        bob.tell("answer", r"Media streams established with")
        alice.wait_event("CALL_ESTABLISHED")
        bob.play(tmp_path / "words.wav")
        alice.wait_heard(700, 0.5)
        alice.hangup()
        bob.wait_heard(440, 0.3)
    engine.wait_line("phone registered .*extension=alice ", PATIENCE)
    engine.wait_line("call asked to log in ", PATIENCE)
    assert "credentials refused" not in engine.log


def test_a_wrong_password_is_told_as_the_page_says(engine: Process, tmp_path: Path) -> None:
    line = block("baresip phones").strip().replace("ALICES_PASSWORD", "wrong")
    with Baresip(tmp_path / "alice", ALICE, 6100, user="alice", registrar=HOST, line=line) as alice:
        alice.process.wait_line(r"403 Forbidden", PATIENCE)
    said = engine.wait_line("credentials refused", PATIENCE)
    (shown,) = re.findall(r"`credentials refused … (user=alice reason=password)", PAGE.read_text(encoding="utf-8"))
    assert shown in said
