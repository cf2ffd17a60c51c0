"""Every command ends by SIGINT and SIGTERM alike, also where SIGINT was ignored when it started, as `command &` in a
script does (POSIX shell §2.11)."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from service.cli import commands as cli
from service.cli.support import interrupts

pytestmark = pytest.mark.long  # each test starts the program

ROOT = Path(__file__).parents[2]
SILENT = "127.0.0.51"
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
CONFIGURATION = """
sip: {listen: ["udp://127.0.0.52:0"]}
api: {listen: ""}
store: ":memory:"
providers: [{name: p, hostname: "%s"}]
"""

SIGNALS = [
    pytest.param(signal.SIGINT, True, id="SIGINT, which was ignored"),
    pytest.param(signal.SIGTERM, False, id="SIGTERM"),
]


def start(words: list[str], *, ignored: bool, told: bool = False) -> "subprocess.Popen[str]":
    """The command; with SIGINT ignored, as a shell starts a background job."""
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli", *words],
        cwd=ROOT,
        env={**ENVIRON, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.PIPE if told else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL),
    )


def ended(process: "subprocess.Popen[str]", number: signal.Signals) -> tuple[int, str, str]:
    """Exit code, output and errors after the signal."""
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


@pytest.fixture
def silent() -> "socket.socket":
    """A peer that takes everything and says nothing."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((SILENT, 0))
    sock.settimeout(60)
    return sock


@pytest.mark.parametrize(("number", "ignored"), SIGNALS)
@pytest.mark.parametrize("command", ["call", "message", "providercall"])
def test_what_waits_for_a_peer(
    silent: socket.socket, tmp_path: Path, command: str, number: signal.Signals, ignored: bool
) -> None:
    peer = f"{SILENT}:{silent.getsockname()[1]}"
    path = tmp_path / "t.yaml"
    path.write_text(CONFIGURATION % peer)
    words = {
        "call": ["call", "4711", "--via", peer],
        "message": ["message", "1", "2", "x", "--via", peer],
        "providercall": ["providercall", "-c", str(path), "p", "", "+15551234567"],
    }[command]
    with silent, start(words, ignored=ignored) as process:
        silent.recv(4096)
        code, out, err = ended(process, number)
    assert (code, err.splitlines()[-1]) == (1, "trunkline: interrupted")
    assert ("not answered: cancelled" in out) == (command == "call")


@pytest.mark.parametrize(("number", "ignored"), SIGNALS)
@pytest.mark.parametrize(
    "words",
    [
        ["check", "-c", "FILE"],
        ["explain", "-c", "FILE", "5"],
        ["flow", "run", "FILE"],
        ["admin", "users", "-c", "FILE"],
    ],
    ids=" ".join,
)
def test_what_waits_for_its_file(tmp_path: Path, words: list[str], number: signal.Signals, ignored: bool) -> None:
    """A pipe whose writer takes its time: what no event loop looks after."""
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    words = [str(pipe) if word == "FILE" else word for word in words]
    with start(words, ignored=ignored) as process, pipe.open("w"):  # which waits until it is read
        code, _, err = ended(process, number)
    assert (code, err) == (1, "trunkline: interrupted\n")


@pytest.mark.parametrize(("number", "ignored"), SIGNALS)
@pytest.mark.parametrize(
    "words", [["trunk", "--listen", "udp://127.0.0.53:0"], ["serve"], ["serve", "--with-trunk", "127.0.0.53:5080"]],
    ids=" ".join,
)  # fmt: skip
def test_what_serves_until_then_is_done(
    tmp_path: Path, words: list[str], number: signal.Signals, ignored: bool
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(CONFIGURATION % "127.0.0.54")
    more = ["-c", str(path)] if words[0] == "serve" else []
    with start([*words, *more], ignored=ignored) as process:
        assert process.stdout is not None
        begins = "ready: udp" if more else "trunk at "
        assert any(line.startswith(begins) for line in process.stdout)
        code, _, err = ended(process, number)
    assert code == 0 and "Traceback" not in err


@pytest.mark.parametrize(("number", "ignored"), SIGNALS)
def test_what_waits_for_a_password(tmp_path: Path, number: signal.Signals, ignored: bool) -> None:
    path = tmp_path / "t.yaml"
    path.write_text('store: "sqlite:///t.db"\n')
    with start(["admin", "create-user", "bob", "-c", str(path)], ignored=ignored, told=True) as process:
        while not (tmp_path / "t.db").exists() and process.poll() is None:
            threading.Event().wait(0.02)
        code, _, err = ended(process, number)
    assert (code, err.splitlines()[-1]) == (1, "trunkline: interrupted")


def test_who_handled_them_before_does_so_again() -> None:
    def own(*_: object) -> None:
        """Somebody else's handler."""

    told: list[str] = []
    before = [signal.signal(number, own) for number in interrupts.NUMBERS]

    async def work() -> None:
        for number in interrupts.NUMBERS:
            came = asyncio.Event()

            def tell(who: str, came: asyncio.Event = came) -> None:
                told.append(who)
                came.set()

            with interrupts.handled_by(partial(tell, "outer")):
                with interrupts.handled_by(partial(tell, "inner")):
                    signal.raise_signal(number)
                    await asyncio.wait_for(came.wait(), 10)
                came.clear()
                signal.raise_signal(number)
                await asyncio.wait_for(came.wait(), 10)

    try:
        with interrupts.raised():
            for number in interrupts.NUMBERS:
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(number)
            asyncio.run(work())
            for number in interrupts.NUMBERS:
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(number)
        assert [signal.getsignal(number) for number in interrupts.NUMBERS] == [own, own]
    finally:
        for number, handler in zip(interrupts.NUMBERS, before, strict=True):
            signal.signal(number, handler)
    assert told == ["inner", "outer"] * 2


def test_in_another_thread_nothing_is_changed() -> None:
    before = [signal.getsignal(number) for number in interrupts.NUMBERS]
    found: list[object] = []

    async def program() -> int:
        return 5

    def work() -> None:
        with interrupts.raised():
            found.append(asyncio.run(interrupts.cancelled(program())))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [5] and [signal.getsignal(number) for number in interrupts.NUMBERS] == before


def wrapped_by_a_class() -> None:
    """As Python 3.11 does it with what `__set_name__` raises, which pydantic uses in every model."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__") from error


def wrapped_on_purpose() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise ImportError("half loaded") from error


def followed_by_another() -> None:
    try:
        raise KeyboardInterrupt
    finally:
        raise ValueError("while it was cleaned up")


@pytest.mark.parametrize("load", [wrapped_by_a_class, wrapped_on_purpose, followed_by_another])
def test_an_interrupt_while_a_module_is_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], load: Callable[[], None]
) -> None:
    def loads(*_: object, **__: object) -> int:
        load()
        return 0

    monkeypatch.setattr(cli, "cli", loads)
    code = cli.main(["check"])
    assert (code, capsys.readouterr().err) == (1, "trunkline: interrupted\n")


def test_another_error_is_no_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> int:
        try:
            raise KeyError("x")
        except KeyError as error:
            raise RuntimeError("a fault of ours") from error

    monkeypatch.setattr(cli, "cli", fails)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli.main(["check"])
