"""The commands of docs/cli.md that need an engine, given one after the other beside the demo (`make run`): a fence with
`console demo`. Times, tags and ids are other ones every time; a line of three dots is any lines."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

pytestmark = [pytest.mark.peer, pytest.mark.long]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/cli.md"
(DEMO,) = re.findall(r"^\t@exec \$\(BIN\)/trunkline (serve .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
BLOCKS = re.findall(r"^```console demo\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PATIENCE = 60.0  # s

_VARYING = (
    (r"(?m)^ *\d+\.\d (?=│)", "T "),
    (r"\b\d+ ms\b", "N ms"),
    (r"\b\d+\.\d s long", "N s long"),
    (r"tag=[0-9a-f]+", "tag=T"),
    (r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID"),
)


def settled(text: str) -> str:
    """What is the same every time. A 100 is sent where an answer takes its time."""
    for pattern, put in _VARYING:
        text = re.sub(pattern, put, text)
    return "\n".join(line for line in text.splitlines() if "100 Trying" not in line)


def matches(said: str, shown: str) -> bool:
    parts = [re.escape(part) for part in re.split(r"(?m)^\.\.\.\n?", f"{settled(shown)}\n")]
    return re.fullmatch(r"(?s:.*)".join(parts), f"{settled(said)}\n") is not None


def program(words: list[str], output: int) -> "subprocess.Popen[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli", *words],
        cwd=ROOT,
        env={**environ, "COLUMNS": "120", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture(scope="module", autouse=True)
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    log = tmp_path_factory.mktemp("demo") / "log"
    with log.open("w") as file, program(shlex.split(DEMO), file.fileno()) as engine:
        try:
            until = monotonic() + PATIENCE
            while "ready: http" not in log.read_text():
                assert engine.poll() is None and monotonic() < until, log.read_text()
                signal.sigtimedwait((), 0.05)
            yield
        finally:
            engine.terminate()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda text: " ".join(text.split()[1:3]))
def test_a_shown_command_prints_what_is_shown(block: str) -> None:
    _, *commands = re.split(r"^\$ ", block, flags=re.MULTILINE)
    beside: list[
        tuple[subprocess.Popen[str], str, str]
    ] = []  # those with & behind them, what they are to say, and begin
    try:
        for command in commands:
            line, _, shown = command.partition("\n")
            name, *words = shlex.split(line)
            assert name == "trunkline"
            runs_on = words[-1] == "&"
            process = program(words[: -1 if runs_on else None], subprocess.PIPE)
            if runs_on:
                assert process.stdout is not None
                beside.append((process, shown, process.stdout.readline()))
            else:
                said, _ = process.communicate(timeout=PATIENCE)
                assert matches(said, shown), said
    finally:
        for process, *_ in beside:
            process.terminate()
        ends = [process.communicate(timeout=PATIENCE)[0] for process, *_ in beside]
    for (_, shown, begun), rest in zip(beside, ends, strict=True):
        assert matches(begun + rest, shown), begun + rest


def test_every_command_that_calls_or_texts_is_run() -> None:
    given = {command for block in BLOCKS for command in re.findall(r"^\$ trunkline (\S+)", block, re.MULTILINE)}
    assert given >= {"call", "message", "trunk", "providercall"}
