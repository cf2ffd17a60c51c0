"""`trunkline serve` as a process: what it says when it starts and when it cannot, and what it returns."""

import asyncio
import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli import commands
from store.cluster.engine_lock import EngineLock
from store.maintenance.encryption import unlock
from store.store import Store
from tests.network import reserved_port
from tests.peers.process import Process

pytestmark = pytest.mark.long  # each test starts an engine of its own as a process

ROOT = Path(__file__).parents[2]
OURS = "+15551234567"


def write(directory: Path, **sections: Any) -> Path:
    path = directory / "trunkline.yaml"
    alone = {"sip": {"listen": ["udp://127.0.0.1:0"]}, "api": {"listen": ""}, "store": ":memory:"}
    path.write_text(yaml.safe_dump(alone | sections, allow_unicode=True))
    return path


@contextlib.contextmanager
def taken(kind: socket.SocketKind) -> Iterator[int]:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        yield sock.getsockname()[1]


def served(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`serve` in this process, as it must fail before it serves."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "serve", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and the one line on standard error; nothing is on standard output."""
    code = commands.main(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return code, err.rstrip("\n")


@pytest.mark.parametrize(("scheme", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_a_port_that_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scheme: str, kind: socket.SocketKind
) -> None:
    with taken(kind) as port:
        path = write(tmp_path, sip={"listen": ["udp://127.0.0.1:0", f"{scheme}://127.0.0.1:{port}"]})
        code, line = fails(["serve", "-c", str(path)], capsys)
    assert code == 1
    assert line == (
        f"trunkline: {scheme}://127.0.0.1:{port}: address already in use: stop the other program or choose another port"
        " under sip.listen"
    )


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("udp://192.0.2.7:0", 1, "udp://192.0.2.7:0: not an address of this machine: choose one that `ip address`"),
        ("udp://nowhere.invalid:0", 1, "udp://nowhere.invalid:0: nowhere.invalid does not resolve: write an address"),
        ("sctp://127.0.0.1:0", 2, "sctp is not built into this version"),
        ("127.0.0.1:0", 2, "not a listener URL: write it as udp://host:port"),
        ("udp://127.0.0.1:99999", 2, "'99999' is not a port"),
    ],
)
def test_a_listener_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, code: int, said: str
) -> None:
    found, line = fails(["serve", "-c", str(write(tmp_path, sip={"listen": [url]}))], capsys)
    assert found == code
    assert said in line
    assert line.startswith("trunkline: udp" if code == 1 else f"{tmp_path}/trunkline.yaml:")


async def seal(url: str) -> None:
    store = await Store.open(url)
    await unlock(store, [base64.b64encode(b"k" * 32).decode()])
    await store.close()


def test_a_store_that_cannot_be_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRUNKLINE_STORE")
    code, line = fails(["serve", "-c", str(write(tmp_path, store=f"sqlite:///{tmp_path}/none/t.db"))], capsys)
    problem = f"{tmp_path}/none is no directory, so {tmp_path}/none/t.db cannot be kept there; make it first"
    assert (code, line) == (1, f"trunkline: store {problem}")
    (tmp_path / "text.db").write_text("this is no database" * 100)
    code, line = fails(["serve", "-c", str(write(tmp_path, store=f"sqlite:///{tmp_path}/text.db"))], capsys)
    assert code == 1
    assert line == f"trunkline: store sqlite:///{tmp_path}/text.db cannot be reached: file is not a database"
    (tmp_path / "used.db").touch()
    (tmp_path / "link.db").symlink_to("used.db")
    lock = EngineLock.take(tmp_path / "used.db")
    assert lock is not None
    code, line = fails(["serve", "-c", str(write(tmp_path, store="sqlite:///./link.db"))], capsys)
    lock.close()
    problem = "is in use by another engine; one engine runs on one SQLite file: end that one, or name another store"
    assert (code, line) == (2, f"trunkline: store {tmp_path}/link.db {problem}")
    sealed = f"sqlite:///{tmp_path}/sealed.db"
    asyncio.run(seal(sealed))
    code, line = fails(["serve", "-c", str(write(tmp_path, store=sealed))], capsys)
    problem = "its secrets are encrypted, and secret_key is not set: put the key that they were encrypted with there"
    assert (code, line) == (2, f"trunkline: store {sealed}: {problem}")
    with taken(socket.SOCK_STREAM) as port:
        pass  # nobody listens there now
    url = f"postgresql://somebody:secret@127.0.0.1:{port}/trunkline"
    code, line = fails(["serve", "-c", str(write(tmp_path, store=url))], capsys)
    assert code == 1
    assert line.startswith(f"trunkline: store postgresql://somebody:***@127.0.0.1:{port}/trunkline cannot be ")
    assert "secret" not in line


def test_files_that_are_not_there_or_not_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.yaml"
    assert fails(["serve", "-c", str(missing)], capsys) == (
        2,
        f"{missing}: cannot be read: No such file or directory; check the path and the permissions",
    )
    assert fails(["serve", "-c", str(tmp_path)], capsys) == (
        2,
        f"{tmp_path}: cannot be read: Is a directory; check the path and the permissions",
    )
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"sip:\n  user_agent: \xff\n")
    code, line = fails(["serve", "-c", str(binary)], capsys)
    assert (code, line) == (2, f"{binary}:2: byte 0xff is not UTF-8; save the file as UTF-8")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (None, "there is no file"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        ("def (\n", "SyntaxError"),
        ("raise RuntimeError('no')\n", "line 1: RuntimeError: no"),
    ],
)
def test_a_broken_module_of_python_flows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], module: str | None, said: str
) -> None:
    if module is not None:
        (tmp_path / "ours.py").write_text(module)
    path = write(tmp_path, flows_module="ours.py")
    for command, expected in (("serve", 2), ("check", 1), ("explain", 2)):
        arguments = [command, "-c", str(path), *(["4711"] if command == "explain" else [])]
        code, line = fails(arguments, capsys)
        assert code == expected
        assert line.startswith(f"{path}:")
        assert "flows_module: ours.py: " in line
        assert said in line


def start(path: Path, *more: str) -> Process:
    return Process(
        [sys.executable, "-m", "service.cli", "serve", "-c", str(path), *more],
        cwd=ROOT,
        env={"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200"},
    )


def call(number: str, via: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "call", number, "--via", via, "--duration", "0.1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_from_the_first_line_to_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process of its own: ready lines, a call, a reload, a port that stays its, and an end that frees it."""
    monkeypatch.delenv("TRUNKLINE_STORE")
    listen = [f"udp://127.0.0.1:{reserved_port()}", "tcp://127.0.0.1:0", "udp://[::1]:0"]
    flows = [{"name": "busy", "actions": [{"type": "reject", "option": {"code": 486}}]}]
    path = write(
        tmp_path,
        sip={"listen": listen},
        log={"format": "json"},
        flows=flows,
        numbers=[{"number": OURS, "call_flow": "busy"}],
        store=f"sqlite:///{tmp_path}/trunkline.db",
    )
    with start(path) as process:
        process.wait_line(r'"event": "store".*"declared": 2|"declared": 2.*"event": "store"', 30)
        address = process.wait_line(r"^ready: udp://127\.0\.0\.1:\d+$", 30).removeprefix("ready: udp://")
        process.wait_line(r"^ready: tcp://127\.0\.0\.1:\d+$", 30)
        six = process.wait_line(r"^ready: udp://\[::1\]:\d+$", 30).removeprefix("ready: udp://")
        os.kill(process.pid, signal.SIGHUP)
        process.wait_line('"event": "reloaded"', 30)
        for via in (address, six):
            done = call(OURS, via)
            assert done.returncode == 1, done.stderr
            assert "not answered: 486 Busy Here" in done.stdout
        (tmp_path / "other").mkdir()
        other = served("-c", str(write(tmp_path / "other", sip={"listen": [f"udp://{address}"]})))
        assert (other.returncode, other.stdout) == (1, "")
        assert other.stderr.startswith(f"trunkline: udp://{address}: address already in use")
        process.wait_line('"event": "call ended"', 30, count=2)
        assert process.stop() == 0
    assert "Traceback" not in process.log
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, int(port)))


def test_little_trunks_beside_the_engine(tmp_path: Path) -> None:
    """`serve --with-trunk`: the first refuses, the second answers; all end together."""
    one, two = reserved_port(), reserved_port()
    path = write(
        tmp_path,
        providers=[
            {"name": "one", "hostname": f"127.0.0.31:{one}"},
            {"name": "two", "hostname": f"127.0.0.32:{two}"},
        ],
        routes=[{"target": "all", "provider": "one", "priority": 1}, {"target": "all", "provider": "two"}],
    )
    with start(path, "--with-trunk", f"127.0.0.31:{one}=503", "--with-trunk", f"127.0.0.32:{two}") as process:
        address = process.wait_line(r"^ready: ", 30).removeprefix("ready: udp://")
        process.wait_line(rf"^trunk at udp://127\.0\.0\.31:{one}: refuses with 503$", 30)
        process.wait_line(rf"^trunk at udp://127\.0\.0\.32:{two}: answers$", 30)
        done = call("+821012345678", address)
        assert done.returncode == 0, done.stdout + done.stderr
        process.wait_line(rf"^trunk 127\.0\.0\.32:{two}: INVITE sip:\+821012345678@", 30)
        process.wait_line(r"call ended .*attempts=[12]\b", 30)
        assert process.stop() == 0
    assert "Traceback" not in process.log


def test_a_little_trunk_whose_port_is_taken_ends_the_engine(tmp_path: Path) -> None:
    with taken(socket.SOCK_DGRAM) as port:
        done = served("-c", str(write(tmp_path)), "--with-trunk", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stderr == (
        f"trunkline: udp://127.0.0.1:{port}: address already in use: stop the other program or choose another port"
        " with --with-trunk; where this runs already in another terminal, end it there with Ctrl-C\n"
    )
    assert "Traceback" not in done.stderr
