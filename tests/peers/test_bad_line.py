"""Keys on a bad line (RFC 4733): a tenth of all packets lost, the others late by up to 40 ms, out of order and doubled.

The senders are SIPp and baresip, and what they press goes through `tests.peers.wire` into a call whose flow takes keys.
Each has to be there once, and in order. The seed of the line stands in the name of the test.
"""

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import parse_qsl

import pytest

from sipp_scenarios.suite import ANY, HERE, Caller
from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config
from tests.peers.sipp import Sipp
from tests.peers.wire import Weather, Wire

pytestmark = pytest.mark.peer

ENGINE, WIRE, CALLER, SINK = "127.0.1.60", "127.0.1.61", "127.0.1.62", "127.0.1.63"
PORT = 6060
RTP_PORTS = range(26600, 26616)
NUMBER = "+899100000001"
EVERY_KEY, TWICE = "0123456789*#ABCD", "1122334455"
KEYS = EVERY_KEY + TWICE

BAD = Weather(loss=0.1, jitter=0.04, doubled=0.05)
QUEUED = Weather(loss=0.1, jitter=0.04, doubled=0.05, reorders=False)


lines = pytest.mark.parametrize(
    ("weather", "seed"),
    [
        pytest.param(weather, seed, id=f"{name}, seed {seed}", marks=[pytest.mark.long] if seed > 1 else [])
        for name, weather in (("reordered", BAD), ("in order", QUEUED))
        for seed in (1, 2, 3)
    ],
)


@pytest.fixture(scope="module")
def told() -> Iterator["Queue[str]"]:
    """What the engine's flows tell a web server: the keys of each call."""
    keys: Queue[str] = Queue()

    class Sink(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            keys.put(dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))["keys"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer((SINK, 8098), Sink) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield keys
        server.shutdown()
        thread.join(2)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, told: "Queue[str]") -> Iterator[Engine]:
    config = {
        "sip": {
            "listen": [f"udp://{ENGINE}:{PORT}"],
            "advertise": WIRE,
            "rtp_ports": f"{RTP_PORTS[0]}-{RTP_PORTS[-1]}",
        },
        "media": {"codecs": ["PCMU"]},
        "webhook": {"allow_private": True},
        "log": {"level": "info", "format": "json"},
        "numbers": [{"number": NUMBER, "call_flow": "keys"}],
        "flows": [
            {
                "name": "keys",
                "actions": [
                    {"type": "digits_receive", "option": {"length": len(KEYS), "duration": 20000}},
                    {
                        "type": "webhook_send",
                        "option": {"uri": f"http://{SINK}:8098/", "data": "keys=${call.digits}", "sync": True},
                    },
                    {"type": "hangup"},
                ],
            }
        ],
    }
    with Engine.start(write_config(tmp_path_factory.mktemp("bad-line"), config)) as engine:
        yield engine
        assert "Traceback" not in engine.log


def wire(weather: Weather, seed: int) -> Wire:
    """The line to the engine: its media in this weather, its signalling untouched."""
    return Wire(WIRE, ENGINE, RTP_PORTS, weather=weather, clear=[PORT], seed=seed)


@lines
def test_keys_that_baresip_presses(
    tmp_path: Path, engine: Engine, told: "Queue[str]", weather: Weather, seed: int
) -> None:
    with wire(weather, seed) as line, Baresip(tmp_path / "phone", CALLER, 6100, trace=True) as phone:
        phone.dial(f"sip:{NUMBER}@{ENGINE}:{PORT}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.process.wait_line(r"^\[0:00:01\]", 5)
        tick = threading.Event()
        for key in KEYS:
            phone.command("sndcode", key)
            tick.wait(0.2)
        assert told.get(timeout=25) == KEYS
        phone.wait_event("CALL_CLOSED")
        assert line.lost > 50


@pytest.mark.skipif(os.geteuid() != 0, reason="SIPp sends keys from a raw socket: only root may")
@lines
def test_keys_that_sipp_presses(
    tmp_path: Path, engine: Engine, told: "Queue[str]", weather: Weather, seed: int
) -> None:
    """SIPp sends the packets of its keys alone, without sound between them."""
    scenario = tmp_path / "uac_keys"
    scenario.with_suffix(".xml").write_text(pressing(KEYS))
    keys = {"media_at": CALLER, "media_to": "[media_port]", "formats": "0 96"}
    words = [f"{ENGINE}:{PORT}", "-s", NUMBER, "-m", "1", "-mi", CALLER, "-mp", "6300"]
    with wire(weather, seed) as line:
        caller = Sipp(Caller(str(scenario), NUMBER, CALLER, keys=keys, retransmissions=ANY), CALLER, 6200, 40.0, words)
        try:
            assert told.get(timeout=25) == KEYS, caller.log()
            assert not caller.faults(caller.finish(10)), caller.log()
        finally:
            caller.close()
        assert line.lost > 20


def pressing(keys: str) -> str:
    """SIPp's call to a menu, with telephone-event, that presses `keys`."""
    text = (HERE / "uac_ivr.xml").read_text()
    for before, after in (
        ('<ereg regexp="telephone-event" search_in="body" check_it_inverse="true" assign_to="found"/>', ""),
        ("m=audio [media_to] RTP/AVP [formats]\n", EVENTS),
        (
            '<recv request="INVITE" optional="true" next="connected"/>\n',
            f'<pause milliseconds="200"/>\n<nop><action><exec play_dtmf="{keys}"/></action></nop>\n',
        ),
    ):
        assert before in text
        text = text.replace(before, after)
    return text


EVENTS = """m=audio [media_port] RTP/AVP 0 96
      a=rtpmap:96 telephone-event/8000
      a=fmtp:96 0-15
"""
