"""Keys on a bad line (RFC 4733): a tenth of all packets lost, the others late by up to 40 ms, out of order and doubled.

The senders are SIPp and baresip, and what they press goes through `tests.peers.wire` into calls whose flow takes keys.
Each has to be there once, and in order.
"""

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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

ENGINE, WIRE, SINK = "127.0.1.60", "127.0.1.61", "127.0.1.63"
CALLERS = ("127.0.1.62", "127.0.1.80", "127.0.1.81")  # side by side: a call is mostly waiting
PATIENCE = 40.0  # s
PORT = 6060
RTP_PORTS = range(26600, 26616)
NUMBER = "+899100000001"
EVERY_KEY, TWICE = "0123456789*#ABCD", "1122334455"
KEYS = EVERY_KEY + TWICE

BAD = Weather(loss=0.1, jitter=0.04, doubled=0.05)
QUEUED = Weather(loss=0.1, jitter=0.04, doubled=0.05, reorders=False)


lines = pytest.mark.parametrize("weather", [BAD, QUEUED], ids=["reordered", "in order"])


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
                    {"type": "digits_receive", "option": {"length": len(KEYS), "duration": 40000}},
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


@contextmanager
def wire(weather: Weather, lost: int) -> Iterator[None]:
    """The line to the engine: its media in this weather, its signalling untouched. More than `lost` are lost."""
    with Wire(WIRE, ENGINE, RTP_PORTS, weather=weather, clear=[PORT], seed=1) as line:
        yield
        assert line.lost > lost


@lines
def test_keys_that_baresip_presses(tmp_path: Path, engine: Engine, told: "Queue[str]", weather: Weather) -> None:
    with wire(weather, lost=150), ExitStack() as stack:
        phones = [stack.enter_context(Baresip(tmp_path / host, host, 6100, trace=True)) for host in CALLERS]
        for phone in phones:
            phone.dial(f"sip:{NUMBER}@{WIRE}:{PORT}")
        for phone in phones:
            phone.wait_event("CALL_ESTABLISHED")
            phone.process.wait_line(r"^\[0:00:01\]", 30)
        tick = threading.Event()
        for key in KEYS:
            for phone in phones:
                phone.command("sndcode", key)
            tick.wait(0.2)
        assert [told.get(timeout=PATIENCE) for _ in phones] == [KEYS] * len(phones)
        for phone in phones:
            phone.wait_event("CALL_CLOSED")


@pytest.mark.skipif(os.geteuid() != 0, reason="SIPp sends keys from a raw socket: only root may")
@lines
def test_keys_that_sipp_presses(tmp_path: Path, engine: Engine, told: "Queue[str]", weather: Weather) -> None:
    """SIPp sends the packets of its keys alone, without sound between them."""
    scenario = tmp_path / "uac_keys"
    scenario.with_suffix(".xml").write_text(pressing(KEYS))
    with wire(weather, lost=60), ExitStack() as stack:
        callers = []
        for host in CALLERS:
            keys = {"media_at": host, "media_to": "[media_port]", "formats": "0 96"}
            role = Caller(str(scenario), NUMBER, host, keys=keys, retransmissions=ANY)
            words = [f"{WIRE}:{PORT}", "-s", NUMBER, "-m", "1", "-mi", host, "-mp", "6300"]
            callers.append(Sipp(role, host, 6200, PATIENCE, words))
            stack.callback(callers[-1].close)
        heard = [told.get(timeout=PATIENCE) for _ in callers]
        assert heard == [KEYS] * len(callers), callers[0].log()
        for caller in callers:
            assert not caller.faults(caller.finish(30)), caller.log()


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
