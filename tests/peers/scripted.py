"""Phones that are a library and a small program of ours around it: JsSIP, SIP.js and PJSIP. Orders and events are JSON.

An order is a line on the program's standard input, `{"do": "call", "to": "sip:bob@example.com"}`; an event a line on
its standard output, `{"event": "answered"}`. What else it prints, such as the messages that it sent and received, stays
in `process.log`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import pytest

from tests.peers.engine import ROOT
from tests.peers.process import Process, require

NODE = Path(__file__).with_name("node")

Event = dict[str, Any]


class ScriptedPhone:
    """One running phone. A context manager; leaving it ends the process."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] = MappingProxyType({})) -> None:
        self.process = Process(argv, cwd=ROOT, env=env, told=True)
        self._read = 0
        self._events: list[Event] = []

    def do(self, order: str, **more: Any) -> None:
        """Gives an order; what becomes of it is told by events."""
        self.process.tell(json.dumps({"do": order} | more))

    def wait(self, event: str, timeout: float = 30.0, **having: Any) -> Event:
        """The next event of that name with these members, taken out of those that came; one that came earlier counts.
        A fault of the program fails the test."""

        def find(lines: Sequence[str]) -> Event | None:
            new, self._read = lines[self._read :], len(lines)
            self._events += [json.loads(line) for line in new if line.startswith('{"event"')]
            for at, one in enumerate(self._events):
                assert one["event"] != "fault", one
                if one["event"] == event and having.items() <= one.items():
                    return self._events.pop(at)
            return None

        return self.process.wait_for(find, f"the event {event} {having or ''}", timeout)

    def kill(self) -> None:
        """Ends it as kill -9 does: it says goodbye to nobody."""
        self.process.kill()

    def stop(self) -> None:
        """Ends the phone."""
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def node_phone(name: str, *, ca: Path | None = None) -> ScriptedPhone:
    """JsSIP ("jssip.cjs") or SIP.js ("sipjs.mjs") under Node. `ca` is whom it believes about certificates, besides
    those whom Node believes. Skips the test where they are not installed."""
    program = require("node", "nodejs")
    if not (NODE / "node_modules").is_dir():
        pytest.skip("JsSIP and SIP.js are not installed: scripts/peers.sh")
    return ScriptedPhone([program, str(NODE / name)], {"NODE_EXTRA_CA_CERTS": str(ca)} if ca else {})


def pjsua2_phone(directory: Path, host: str) -> ScriptedPhone:
    """PJSIP at `host`: `tests/peers/pjsua2_account.py`. Skips the test where there is no wheel of it."""
    pytest.importorskip("pjsua2", reason="no pjsua2: it has no wheel for this Python")
    directory.mkdir(parents=True, exist_ok=True)
    return ScriptedPhone([sys.executable, "-m", "tests.peers.pjsua2_account", host, str(directory)])
