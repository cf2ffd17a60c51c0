"""Queues and conferences with baresip as callers and as agents; what is set up is what docs/queues.md shows."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy
import pytest

from tests.api.tutorials import Curl
from tests.docs.test_api_page import assert_holds, last_document
from tests.peers.baresip import Baresip
from tests.peers.engine import ROOT, Engine, write_config

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl and jq are not installed"),
]

ENGINE, API = "127.0.1.70", "127.0.1.70:6071"
ANN, BOB = "127.0.1.71", "127.0.1.72"
CALLERS = ("127.0.1.73", "127.0.1.74", "127.0.1.75")
KEY = "a-key-for-queues"
SALES, ROOM = f"sip:+899100000001@{ENGINE}:6070", f"sip:+899100000002@{ENGINE}:6070"
MUSIC = 700
BLOCKS = re.findall(r"^```(sh queues|json queues)\n(.*?)^```$", (ROOT / "docs/queues.md").read_text(), re.M | re.S)


@dataclass
class Office:
    """A running engine and its API."""

    engine: Engine
    api: Curl
    folder: Path

    def shown(self) -> None:
        """Runs the page's commands, and sees that they answer what it shows."""
        mark = "@@@@ end of block"
        script = (
            'set -eu\napi() { curl -s -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" "$@"; }\n'
        )
        script += "".join(f"{text}echo; echo '{mark}'\n" for info, text in BLOCKS if info == "sh queues")
        script = script.replace("192.0.2.21:5060", f"{ANN}:6100").replace("192.0.2.22:5060", f"{BOB}:6100")
        environment = {"KEY": KEY, "API": f"http://{API}/v1.0", "PATH": "/usr/bin:/bin"}
        shell = subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert shell.returncode == 0, shell.stdout + shell.stderr
        outputs = iter(shell.stdout.split(mark))
        said = ""
        for info, text in BLOCKS:
            if info == "sh queues":
                said = next(outputs)
                assert '"error"' not in said, f"{text}\n{said}"
            else:
                assert_holds(last_document(said), json.loads(text), text)

    def get(self, path: str) -> Any:
        return self.api("GET", f"/v1.0{path}", status=200)

    def agent(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.get("/agents")["result"] if one["username"] == name)
        return found

    def says(self, name: str, status: str) -> None:
        self.api("PUT", f"/v1.0/agents/{self.agent(name)['id']}", {"status": status}, status=200)

    def becomes(self, name: str, status: str, timeout: float = 30.0) -> None:
        wait(lambda: self.agent(name)["status"] == status, f"{name} {status}", timeout)

    def phone(self, stack: ExitStack, name: str, host: str, pitch: int, **more: Any) -> Baresip:
        return stack.enter_context(Baresip(self.folder / name, host, 6100, user=name, pitch=pitch, **more))


def wait(condition: Any, what: str, timeout: float = 30.0) -> None:
    deadline = monotonic() + timeout
    while not condition():
        assert monotonic() < deadline, f"did not come about: {what}"
        sleep(0.05)


def heights(phone: Baresip, pitches: tuple[int, ...]) -> dict[int, float]:
    """How high the tones are in the last half second that a phone has recorded."""
    found = sorted(phone.directory.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime)
    data = found[-1].read_bytes() if found else b""
    start = data.find(b"data") + 8
    samples = numpy.frombuffer(data[start : len(data) - (len(data) - start) % 2], numpy.int16)[-4000:].astype(float)
    if len(samples) < 4000:
        return dict.fromkeys(pitches, 0.0)
    window = numpy.hanning(len(samples))
    places = numpy.arange(len(samples)) / 8000
    return {
        pitch: float(2 * abs((samples * window * numpy.exp(-2j * numpy.pi * pitch * places)).sum()) / window.sum())
        for pitch in pitches
    }


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    config = {
        "sip": {"listen": [f"udp://{ENGINE}:6070"], "rtp_ports": "27400-27499"},
        "api": {"listen": API, "admin_key": KEY},
        "store": f"sqlite:///{tmp_path}/office.db",
    }
    with Engine.start(write_config(tmp_path / "engine", config), timeout=30) as engine:
        made = Office(engine, Curl(f"http://{API}", KEY), tmp_path)
        wait(lambda: "/v1.0 (documentation" in engine.log, "the API", 15)
        yield made


def test_the_second_caller_waits_with_music_and_gets_the_agent_after_the_wrap_up(office: Office) -> None:
    office.shown()
    office.says("bob", "offline")
    queue = office.get("/queues")["result"][0]["id"]
    with ExitStack() as stack:
        ann = office.phone(stack, "ann", ANN, 1000, auto_answer=True)
        first = office.phone(stack, "first", CALLERS[0], 440)
        second = office.phone(stack, "second", CALLERS[1], 550)
        first.dial(SALES)
        first.wait_event("CALL_ESTABLISHED")
        first.wait_heard(1000, 0.5)
        ann.wait_heard(440, 0.5)
        office.becomes("ann", "busy")
        second.dial(SALES)
        second.wait_heard(MUSIC, 0.5)
        callers = office.get(f"/queues/{queue}/callers")
        assert callers["waiting"] == 1 and callers["result"][0]["position"] == 1
        ann.hangup()
        ended = monotonic()
        first.wait_event("CALL_CLOSED")  # its flow goes on to its end
        second.wait_heard(1000, 0.5)
        assert monotonic() - ended > 1.0, "the agent had no time for itself"
        ann.wait_heard(550, 0.5)
        assert office.get(f"/queues/{queue}/callers")["waiting"] == 0
        second.hangup()
        office.becomes("ann", "available")
    calls = office.get("/calls")["result"]
    assert len(calls) == 2


def test_an_agent_that_does_not_answer_is_passed_over_and_one_that_goes_away_stops_ringing(office: Office) -> None:
    office.shown()
    queue = office.get("/queues")["result"][0]["id"]
    office.api("PUT", f"/v1.0/queues/{queue}", {"ring_timeout": 2000}, status=200)
    with ExitStack() as stack:
        ann = office.phone(stack, "ann", ANN, 1000)
        bob = office.phone(stack, "bob", BOB, 1300)
        caller = office.phone(stack, "caller", CALLERS[0], 440)
        caller.dial(SALES)
        ann.wait_event("CALL_INCOMING")
        office.becomes("ann", "ringing")
        bob.wait_event("CALL_INCOMING")
        ann.wait_event("CALL_CLOSED")
        office.says("bob", "away")
        bob.wait_event("CALL_CLOSED", 30)
        ann.wait_event("CALL_INCOMING", 30)  # after five seconds of peace
        ann.command("accept")
        caller.wait_heard(1000, 0.5)
        caller.hangup()
        ann.wait_event("CALL_CLOSED")
        office.becomes("ann", "available")
        assert office.agent("bob")["status"] == "away"


def test_three_in_a_conference_hear_the_two_others(office: Office) -> None:
    office.shown()
    actions = [{"type": "conference_join", "option": {"conference_id": "all hands"}}]
    flow = office.api("POST", "/v1.0/flows", {"actions": actions}, status=201)["id"]
    office.api("POST", "/v1.0/numbers", {"number": "+899100000002", "call_flow_id": flow}, status=201)
    room = office.get("/conferences")["result"][0]["id"]
    pitches = (440, 700, 1100)
    with ExitStack() as stack:
        phones = [
            office.phone(stack, f"caller{pitch}", host, pitch) for host, pitch in zip(CALLERS, pitches, strict=True)
        ]
        for phone in phones:
            phone.dial(ROOM)
            phone.wait_event("CALL_ESTABLISHED")
        assert len(office.get(f"/conferences/{room}/members")["result"]) == 3

        def mixed() -> bool:
            for phone in phones:
                found = heights(phone, pitches)
                own = found.pop(phone.pitch)
                if own > 600 or any(not 9000 < height < 20000 for height in found.values()):
                    return False
            return True

        wait(mixed, "each hears the two others, at their height, and not itself", 15)
        phones[2].hangup()
        wait(lambda: heights(phones[0], pitches)[1100] < 200, "the third is gone")
        for phone in phones[:2]:
            phone.hangup()
        wait(lambda: not office.get(f"/conferences/{room}/members")["result"], "an empty room")
