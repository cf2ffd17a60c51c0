"""SIPVicious (from PyPI), the tools that everybody's SIP port is tried with: svmap, svwar, svcrack."""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.peers.engine import Engine
from tests.peers.process import Process

PLAIN = ("-c", "--domain=example.org")
"""Without its User-Agent, and with a domain other than the target's: a Contact at the engine itself is refused, whoever
knocks."""


def tool(name: str, host: str, port: int, *options: str) -> Process:
    """One of the tools, at work on `host:port`."""
    program = Path(sys.executable).with_name(f"sipvicious_{name}")
    return Process([sys.executable, str(program), "-p", str(port), *options, host])


def outputs(name: str, host: str, port: int, *runs: Sequence[str]) -> list[str]:
    """What a tool prints until it ends, at several runs side by side: most of the time it waits for answers."""
    with ExitStack() as stack:
        processes = [stack.enter_context(tool(name, host, port, *options)) for options in runs]
        for process in processes:
            process.wait(60)
        return [process.log for process in processes]


def answers(output: str) -> list[str]:
    """The status codes of the answers that a tool prints as they came."""
    return re.findall(r"SIP/2\.0 (\d{3})", output)


def banned(engine: Engine) -> list[str]:
    """The addresses that the engine has banned, by its log."""
    lines = [json.loads(line) for line in engine.log.splitlines() if line.startswith("{")]
    return [line["address"] for line in lines if line["event"] == "source banned"]


def words(path: Path, lines: Sequence[str]) -> str:
    """A file of names or passwords to try."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)
