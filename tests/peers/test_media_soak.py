"""Fifty calls at a time, each with playing, keys and a hangup at any moment: nothing is left of them.

SIPp calls; what it presses are RFC 4733 packets of its own. `SOAK_SECONDS=200` in the environment goes on for longer
than the 45 seconds that there are in every run of the tests.
"""

import os
import socket
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import monotonic

import numpy
import pytest

from sipp_scenarios.suite import ANY, Caller
from tests.peers import sipp_talk
from tests.peers.audio import babble, write_wav
from tests.peers.engine import Engine, write_config
from tests.peers.sipp import Sipp

SECONDS, AT_ONCE = float(os.environ.get("SOAK_SECONDS", "45")), 50
pytestmark = [pytest.mark.peer, pytest.mark.long, pytest.mark.timeout(SECONDS + 300)]

ENGINE, PORT, CALLER = "127.0.1.78", 6060, "127.0.1.79"
NUMBER = "+899100000001"
RTP_PORTS = range(27000, 27400)
PER_CALL = 0.03
"""MB that the engine's memory may grow by with each call. It does while the records of calls (2,000) and the messages
of traces (10,000) fill up, by some 13 KB a call; then it is flat: 203 MB after 7,200 calls were 202 after 4,000."""

MENU = [
    {"id": "menu", "type": "play", "option": {"sources": ["greeting.wav", "tone:busy/de*3"], "digits_stop": "1"}},
    {"type": "digits_receive", "option": {"length": 2, "duration": 1500}},
    {"type": "echo", "option": {"duration": 700}},
    {"type": "digits_send", "option": {"digits": "42"}},
    {"type": "goto", "option": {"target_id": "menu"}},
]


def test_nothing_is_left_of_calls_with_media(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    write_wav(tmp_path / "sounds" / "greeting.wav", babble(1.5))
    config = {
        "sip": {"listen": [f"udp://{ENGINE}:{PORT}"], "rtp_ports": f"{RTP_PORTS[0]}-{RTP_PORTS[-1]}"},
        "store": f"sqlite:///{tmp_path}/soak.db",
        "media": {"sounds": "sounds"},
        "log": {"level": "info", "format": "json"},
        "numbers": [{"number": NUMBER, "call_flow": "menu"}],
        "flows": [{"name": "menu", "actions": MENU}],
    }
    with Engine.start(write_config(tmp_path, config), timeout=60) as engine:
        talk(tmp_path, engine, 40, 10.0)  # what is loaded and opened by the first calls stays
        before, threads = open_files(engine), len(os.listdir(f"/proc/{engine.pid}/task"))  # noqa: PTH208
        sizes = talk(tmp_path, engine, round(SECONDS * AT_ONCE / 3.0), SECONDS)
        deadline, tick = monotonic() + 10, threading.Event()
        while left := open_files(engine) - before:
            assert monotonic() < deadline, f"{left} are left"
            tick.wait(0.1)
        assert len(os.listdir(f"/proc/{engine.pid}/task")) <= threads + 2  # noqa: PTH208
        before_that = numpy.median(sizes[len(sizes) * 2 // 3 : len(sizes) * 3 // 4])
        last = numpy.median(sizes[-len(sizes) // 8 :])
        print(f"MB resident: {[round(size) for size in sizes[:: max(len(sizes) // 30, 1)]]}")
        made = SECONDS * AT_ONCE / 3.0 * 0.23  # calls between the middles of the two
        assert last - before_that < made * PER_CALL, [round(size, 1) for size in sizes]
        assert engine.stop() == 0
        for fault in ("Traceback", "was never awaited", "was destroyed", "ResourceWarning"):
            assert fault not in engine.log


def talk(directory: Path, engine: Engine, calls: int, seconds: float) -> list[float]:
    """So many calls, fifty at a time; the engine's memory in MB at every second of it."""
    audio = "v=0\no=x 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 0 96"
    press = sipp_talk.press("1#") if os.geteuid() == 0 else ""
    steps = [
        sipp_talk.call(f"{audio}\na=rtpmap:96 telephone-event/8000"),
        sipp_talk.pause(50, 2000),
        press,
        sipp_talk.pause(50, 3500),
        sipp_talk.hang_up(2),
    ]
    (directory / "soak.xml").write_text(sipp_talk.scenario("soak", steps))
    words = [f"{ENGINE}:{PORT}", "-s", NUMBER, "-m", str(calls), "-l", str(AT_ONCE), "-r", "25", "-mi", CALLER]
    role = Caller(str(directory / "soak"), NUMBER, CALLER, calls=calls, retransmissions=ANY)
    caller = Sipp(role, CALLER, 6200, seconds + 60, [*words, "-mp", "6400"])
    sizes, tick, began = [], threading.Event(), monotonic()
    try:
        while caller.process.poll() is None and monotonic() - began < seconds + 60:
            sizes.append(memory(engine))
            tick.wait(1)
        assert not caller.faults(caller.finish(30)), caller.log()
    finally:
        caller.close()
    return sizes


def memory(engine: Engine) -> float:
    """What is resident of the engine, in MB."""
    pages = int(Path(f"/proc/{engine.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files(engine: Engine) -> Counter[str]:
    """What the engine has open, by name or kind. Media ports that are free and kept for the next calls are left out:
    they are even, and as many as there ever were calls at once."""
    found: Counter[str] = Counter()
    for entry in Path(f"/proc/{engine.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found[os.readlink(entry).partition(":[")[0]] += 1  # noqa: PTH115  # "socket:[7]" is no path
    places = (line.split()[1].split(":") for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    host = socket.inet_aton(ENGINE)[::-1].hex().upper()
    kept = [number for at, port in places if at == host and (number := int(port, 16)) in RTP_PORTS]
    assert len(kept) <= 2 * AT_ONCE
    found["socket"] -= sum(number % 2 == 0 for number in kept)
    return found
