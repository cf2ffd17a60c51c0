"""Media that is no good, from the network: descriptions that nobody can use, prompts that cannot be had, and packets of
strangers. Each gets its clear answer, the flow goes on, and nothing is left behind.
"""

import json
import os
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy
import pytest

from engine.media.rtp.packet import build
from sipp_scenarios.suite import Caller
from tests.api.tutorials import Curl
from tests.peers import sipp_talk
from tests.peers.audio import Sound, babble, likeness, read_wav, write_wav
from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config
from tests.peers.rtp_end import RtpEnd
from tests.peers.sipp import Sipp
from tests.peers.tone_phone import field

pytestmark = pytest.mark.peer

ENGINE, PORT = "127.0.1.55", 6060
CALLER, STRANGER, AGENT, WEB = "127.0.1.56", "127.0.1.57", "127.0.1.58", "127.0.1.59"
API, KEY = "127.0.1.55:6061", "a-key-for-bad-media"
RTP_PORTS = range(26400, 26416)
GREETING = babble(1.0)
LARGEST = 100_000

_IVR = [
    {"type": "digits_receive", "option": {"length": 1, "duration": 4000}},
    {"type": "branch", "option": {"target_ids": {"1": "sales"}, "default_target_id": "end"}},
    {
        "id": "sales",
        "type": "connect",
        "option": {"destinations": [{"type": "sip", "target": f"sip:agent@{AGENT}:6100"}], "ring_timeout": 5},
    },
    {"id": "end", "type": "hangup"},
]


def prompt(*sources: str) -> list[dict[str, Any]]:
    """A flow that plays `sources`, each in an action of its own, and hangs up."""
    return [{"type": "play", "option": {"sources": [source]}} for source in sources]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("bad-media")
    sounds = directory / "sounds"
    sounds.mkdir()
    write_wav(sounds / "greeting.wav", GREETING)
    whole = (sounds / "greeting.wav").read_bytes()
    (sounds / "broken.wav").write_bytes(whole[:30] + b"\xff" * 40)
    (sounds / "noise.mp3").write_bytes(numpy.random.default_rng(1).bytes(3000))
    (sounds / "empty.wav").write_bytes(b"")
    with (sounds / "huge.wav").open("wb") as huge:
        huge.truncate(LARGEST + 1)
    with (sounds / "long.wav").open("wb") as out:  # says that it has 2 GB, and has 100 bytes
        out.write(whole[:4] + b"\xf0\xff\xff\x7f" + whole[8:40] + b"\xf0\xff\xff\x7f" + whole[44:144])
    bad = ["missing.wav", "broken.wav", "noise.mp3", "empty.wav", "huge.wav", "../trunkline.yaml", "long.wav"]
    flows = {
        "bad prompts": prompt(*bad, "greeting.wav"),
        "hanging address": prompt(f"http://{WEB}:8099/hangs.wav", "greeting.wav"),
        "no sound at all": prompt("missing.wav"),
        "echo": [{"type": "echo", "option": {"duration": 60000}}],
        "menu": [*prompt("greeting.wav"), *_IVR],
    }
    config = {
        "api": {"listen": API, "admin_key": KEY},
        "sip": {"listen": [f"udp://{ENGINE}:{PORT}"], "rtp_ports": f"{RTP_PORTS[0]}-{RTP_PORTS[-1]}"},
        "media": {"sounds": "sounds", "largest_sound": LARGEST},
        "webhook": {"allow_private": True},
        "log": {"level": "info", "format": "json"},
        "numbers": [{"number": f"+89910000000{at}", "call_flow": name} for at, name in enumerate(flows, 1)],
        "flows": [{"name": name, "actions": actions} for name, actions in flows.items()],
    }
    with Engine.start(write_config(directory, config)) as engine:
        with baresip(directory / "warm-up") as phone:  # what is loaded at the first call is no leak of the others
            call(phone, 2)
            phone.wait_event("CALL_CLOSED")
        yield engine
        assert "Traceback" not in engine.log


class Listener(Baresip):
    """A phone that can tell what it has heard."""

    def heard(self) -> Sound:
        """What its first stream brought so far."""
        return read_wav(min(self.directory.glob("dump-*-dec.wav"), default=self.directory / "none"))

    def wait_heard_sound(self, seconds: float, timeout: float = 30.0) -> None:
        """Waits for so much sound of any kind."""
        deadline, tick = monotonic() + timeout, threading.Event()
        while self.heard().seconds < seconds:
            assert monotonic() < deadline, f"{self.heard().seconds} of {seconds} s\n{self.process.log}"
            tick.wait(0.05)


def baresip(directory: Path) -> Listener:
    return Listener(directory, CALLER, 6100, user="caller", pitch=440, trace=True)


def call(phone: Baresip, number: int) -> None:
    """Calls the flow of that place, and waits for the answer."""
    phone.dial(f"sip:+89910000000{number}@{ENGINE}:{PORT}")
    phone.wait_event("CALL_ESTABLISHED", 30)


def records(engine: Engine, event: str = "call ended") -> list[dict[str, Any]]:
    """The log's lines of this kind."""
    return [
        line
        for text in engine.log.splitlines()
        if text.startswith("{") and (line := json.loads(text))["event"] == event
    ]


def last_record() -> dict[str, Any]:
    """The record of the caller's last call, once it is over."""
    deadline, tick = monotonic() + 5, threading.Event()
    while True:
        calls = Curl(f"http://{API}", KEY)("GET", "/v1.0/calls?page_size=10", status=200)["result"]
        record: dict[str, Any] = next(call for call in calls if call["direction"] == "incoming")
        if record["status"] == "hangup" and record["media"]:
            return record
        assert monotonic() < deadline, record
        tick.wait(0.05)


def open_files(engine: Engine) -> list[str]:
    """What the engine has open: sockets by their number."""
    found = []
    for entry in Path(f"/proc/{engine.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(entry))  # noqa: PTH115  # "socket:[7]" is no path
    return sorted(found)


@contextmanager
def nothing_left(engine: Engine) -> Iterator[None]:
    """Afterwards the engine has no file or socket more than before. A free media port or two stay open for the next
    call, and have been opened by the first."""
    before, tick = open_files(engine), threading.Event()
    yield
    deadline = monotonic() + 5
    while left := Counter(open_files(engine)) - Counter(before):
        assert monotonic() < deadline, f"{left} are left"
        tick.wait(0.05)


# ---- descriptions


def audio(line: str, rest: str = "", address: str = f"c=IN IP4 {CALLER}") -> str:
    """A session description with one `m=` line."""
    head = f"v=0\r\no=x 1 1 IN IP4 {CALLER}\r\ns=-\r\n"
    return f"{head}{address}\r\nt=0 0\r\n{line}\r\n{rest}" if address else f"{head}t=0 0\r\n{line}\r\n{rest}"


class Answers:
    """A socket that sends one INVITE and takes what comes of it; an answered call is hung up."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((CALLER, 0))
        self._socket.settimeout(5)
        self._own = f"{CALLER}:{self._socket.getsockname()[1]}"

    def invite(self, body: str, length: int | None = None, kind: str = "application/sdp") -> str:
        """Calls the menu with `body`; the final response, whole."""
        self._send("INVITE", f"<sip:+899100000005@{ENGINE}>", "a", body, length, kind)
        while True:
            text = self._socket.recv(65535).decode()
            if not text.startswith("SIP/2.0 1"):
                break
        to = field(text, "To")
        if text.startswith("SIP/2.0 2"):
            self._send("ACK", to, "b")
            self._send("BYE", to, "c", cseq=2)
            while field(self._socket.recv(65535).decode(), "CSeq") != "2 BYE":
                pass
        elif field(text, "CSeq"):
            self._send("ACK", to, "a")
        self._socket.close()
        return text

    def _send(
        self,
        method: str,
        to: str,
        branch: str,
        body: str = "",
        length: int | None = None,
        kind: str = "",
        cseq: int = 1,
    ) -> None:
        text = (
            f"{method} sip:+899100000005@{ENGINE}:{PORT} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._own};branch=z9hG4bK{self.call_id}{branch}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:x@{CALLER}>;tag=x\r\nTo: {to}\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:x@{self._own}>\r\n"
        )
        text += f"Content-Type: {kind}\r\n" if kind else ""
        text += f"Content-Length: {len(body) if length is None else length}\r\n\r\n{body}"
        self._socket.sendto(text.encode(), (ENGINE, PORT))


GOOD = audio("m=audio 40000 RTP/AVP 0")


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("good", GOOD, 200),
        ("video-alone", audio("m=video 40000 RTP/AVP 96", "a=rtpmap:96 H264/90000\r\n"), 488),
        ("no-media", audio("a=x"), 488),
        (
            "unknown-codecs",
            audio("m=audio 40000 RTP/AVP 18 97", "a=rtpmap:18 G729/8000\r\na=rtpmap:97 iLBC/8000\r\n"),
            488,
        ),
        ("events-alone", audio("m=audio 40000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000\r\n"), 488),
        ("unknown-profile", audio("m=audio 40000 RTP/SAVPX 0"), 488),
        ("srtp-without-key", audio("m=audio 40000 RTP/SAVP 0"), 488),
        ("port-0", audio("m=audio 0 RTP/AVP 0"), 488),
        ("port-70000", audio("m=audio 70000 RTP/AVP 0"), 400),
        ("port-minus", audio("m=audio -1 RTP/AVP 0"), 400),
        ("no-address", audio("m=audio 40000 RTP/AVP 0", address=""), 488),
        ("no-description", "hello", 400),
        ("cut-short", GOOD[:20], 400),
        ("nul", GOOD.replace("s=-", "s=\0"), 400),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 and "v=0" not in value else "",
)
def test_a_description_gets_its_answer(engine: Engine, name: str, body: str, status: int) -> None:
    """RFC 3264 §6, RFC 3261 §13.3.1.3: 488 for what we cannot take part in, 400 for what nobody can read."""
    with nothing_left(engine):
        answer = Answers(name).invite(body)
        assert answer.startswith(f"SIP/2.0 {status} "), answer


@pytest.mark.parametrize(("length", "status"), [(len(GOOD) + 1, 400), (9999, 400), (20, 400), (-1, 400)])
def test_a_length_that_is_wrong(engine: Engine, length: int, status: int) -> None:
    """RFC 3261 §18.3: a datagram that is shorter than its Content-Length is a 400; what is longer is cut off, and the
    rest is no description."""
    with nothing_left(engine):
        answer = Answers(f"length{length}").invite(GOOD, length)
        assert answer.startswith(f"SIP/2.0 {status} "), answer


# ---- descriptions in a call that has media


HERE_IS = "v=0\no=x 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\nm=audio {port} RTP/AVP 0"
BROKEN = {
    "no sense": ("this is no session description", "application/sdp", 400),
    "cut short": ("v=0\no=x 1 2", "application/sdp", 400),
    "no address": ("v=0\no=x 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=audio 40000 RTP/AVP 0", "application/sdp", 488),
    "port 70000": (GOOD.replace("40000", "70000"), "application/sdp", 400),
    "unknown codecs": (GOOD.replace("AVP 0", "AVP 18"), "application/sdp", 488),
    "no audio": (GOOD.replace("m=audio", "m=video"), "application/sdp", 488),
    "unknown profile": (GOOD.replace("RTP/AVP", "RTP/SAVPX"), "application/sdp", 488),
    "no description": ("{}", "application/json", 415),
}
"""What a call's second offer may hold, its type, and how it is refused."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("no sense", "unknown codecs", "no description") else [pytest.mark.long])
        for name in BROKEN
    ],
)
def test_a_broken_offer_in_a_call_leaves_it_and_its_media_as_they_were(
    tmp_path: Path, engine: Engine, name: str
) -> None:
    """RFC 3261 §14.2: what is offered in vain changes nothing. SIPp is echoed before and after, and then hangs up."""
    body, kind, status = BROKEN[name]
    said = (babble(0.6, seed=21), babble(0.6, seed=22))
    with RtpEnd(CALLER, "PCMU") as mouth, nothing_left(engine):
        steps = [
            sipp_talk.call(HERE_IS.format(host=CALLER, port=mouth.port)),
            sipp_talk.pause(1200),
            sipp_talk.refused(body, kind, status),
            sipp_talk.pause(1200),
            sipp_talk.hang_up(3),
        ]
        (tmp_path / "broken.xml").write_text(sipp_talk.scenario("broken", steps))
        words = [f"{ENGINE}:{PORT}", "-s", "+899100000004", "-m", "1"]
        caller = Sipp(Caller(str(tmp_path / "broken"), ""), CALLER, 6200, 15.0, words)
        try:
            mouth.towards = (ENGINE, sent_port(caller))
            mouth.say(said[0].samples)
            wait(lambda: caller.received(f"SIP/2.0 {status} "), f"a {status}", caller)
            mouth.say(said[1].samples)
            assert not caller.faults(caller.finish(30)), caller.log()
        finally:
            caller.close()
        assert [likeness(mouth.heard(), one) > 0.9 for one in said] == [True, True]
    record = last_record()
    assert record["hangup_by"] == "remote"


def sent_port(caller: Sipp) -> int:
    """Where the engine, as it told SIPp in its answer, wants the call's sound."""
    found: list[re.Match[str]] = []

    def answered() -> bool:
        path = Path(caller.directory.name) / "messages"
        text = path.read_text(errors="replace") if path.exists() else ""
        found.extend(re.finditer(r"(?ms)^SIP/2\.0 200 .*?^m=audio (\d+) ", text))
        return bool(found)

    wait(answered, "an answer", caller)
    return int(found[0][1])


def wait(happened: Callable[[], object], what: str, caller: Sipp) -> None:
    deadline, tick = monotonic() + 8, threading.Event()
    while not happened():
        assert monotonic() < deadline, f"SIPp did not see {what}\n{caller.log()}"
        tick.wait(0.02)


# ---- prompts


def test_prompts_that_cannot_be_had_are_reported_and_left_out(tmp_path: Path, engine: Engine) -> None:
    """Missing, broken, no sound at all, empty, too large, outside of the folder: the flow goes on to the good one."""
    with baresip(tmp_path / "caller") as phone, nothing_left(engine):
        before = len(records(engine, "source left out"))
        call(phone, 1)
        phone.wait_event("CALL_CLOSED", 30)
        assert likeness(phone.heard(), GREETING) > 0.9
        told = {line["source"]: line["error"] for line in records(engine, "source left out")[before:]}
        assert set(told) >= {"missing.wav", "broken.wav", "noise.mp3", "empty.wav", "huge.wav", "../trunkline.yaml"}
        assert str(LARGEST) in told["huge.wav"]
        assert all(len(error) > 10 for error in told.values())


def test_a_flow_whose_only_prompt_is_missing_goes_on(tmp_path: Path, engine: Engine) -> None:
    """The action fails; the end of the list hangs up a call that nobody has answered with 480."""
    with baresip(tmp_path / "caller") as phone, nothing_left(engine):
        phone.dial(f"sip:+899100000003@{ENGINE}:{PORT}")
        assert "480" in phone.wait_event("CALL_CLOSED")["param"]
        assert any("none of the sources" in line for line in engine.log.splitlines())


@contextmanager
def hanging_server() -> Iterator[list[socket.socket]]:
    """A web server that takes every connection and answers nobody; the connections."""
    connections: list[socket.socket] = []
    with socket.create_server((WEB, 8099)) as server:

        def take() -> None:
            with suppress(OSError):
                while True:
                    connections.append(server.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield connections
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(2)
            for connection in connections:
                connection.close()


def ended(connection: socket.socket, timeout: float) -> bool:
    """Whether the other side closes it."""
    connection.settimeout(timeout)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_who_hangs_up_while_an_address_hangs_leaves_nothing(tmp_path: Path, engine: Engine) -> None:
    with baresip(tmp_path / "caller") as phone, hanging_server() as connections, nothing_left(engine):
        phone.dial(f"sip:+899100000002@{ENGINE}:{PORT}")
        deadline, tick = monotonic() + 5, threading.Event()
        while not connections:
            assert monotonic() < deadline
            tick.wait(0.02)
        phone.hangup()
        phone.wait_event("CALL_CLOSED")
        assert ended(connections[0], 3)


@pytest.mark.long
def test_an_address_that_hangs_is_given_up_and_the_flow_goes_on(tmp_path: Path, engine: Engine) -> None:
    """After the ten seconds that a webhook has."""
    with baresip(tmp_path / "caller") as phone, hanging_server() as connections, nothing_left(engine):
        call(phone, 2)
        phone.wait_event("CALL_CLOSED", 30)
        assert likeness(phone.heard(), GREETING) > 0.9
        assert ended(connections[0], 1)
        assert len(connections) == 1
        errors = [line["error"] for line in records(engine, "source left out") if "8099" in line["source"]]
        assert any("within 10 s" in error for error in errors), errors


# ---- packets


@contextmanager
def flood(ports: range) -> Iterator[list[int]]:
    """A stranger who sends to all ports of the engine, again and again: noise, sound of its own, and the key 9 (RFC
    4733). How many packets, when it is over."""
    sent, over = [0], threading.Event()
    noise = numpy.random.default_rng(7)
    scream = bytes(160)  # the loudest there is in PCMU
    key = bytes([9, 0x80 | 10, 0x06, 0x40])

    def send() -> None:
        at = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((STRANGER, 0))
            while not over.wait(0.004):
                at += 1
                for port in ports:
                    packets = [
                        noise.bytes(int(noise.integers(0, 400))),
                        build(0, False, at & 0xFFFF, at * 160, 99, scream),
                        build(101, False, at & 0xFFFF, at // 8 * 1600, 99, key),
                        b"\x80",
                        build(0, False, 0, 0, 0, bytes(1400)),
                    ]
                    for packet in packets:
                        with suppress(OSError):
                            stranger.sendto(packet, (ENGINE, port))
                        sent[0] += 1

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join(2)


def test_a_menu_works_under_a_flood_from_a_stranger(tmp_path: Path, engine: Engine) -> None:
    """The greeting is whole, the stranger's keys are nobody's, the caller's key is taken, and both talk afterwards.

    It begins once the caller has been heard: this phone sends from another address than its description names, as one
    behind a NAT does, and of two such the first to show a run of packets has the call (`engine.media.rtp.latch`).
    """
    with (
        Baresip(tmp_path / "agent", AGENT, 6100, user="agent", pitch=1000, auto_answer=True) as agent,
        baresip(tmp_path / "caller") as phone,
        nothing_left(engine),
    ):
        phone.dial(f"sip:+899100000005@{ENGINE}:{PORT}")
        phone.wait_event("CALL_ESTABLISHED")
        # its own offer names 61xx; the answer is printed a moment after the event, by another way
        port = int(phone.process.wait_line(r"^m=audio 264\d\d ", 30).split()[1])
        assert port in RTP_PORTS
        phone.wait_heard_sound(0.3)  # it has sent as much, which is more than the run that settles where it is
        with flood(range(port, port + 2)) as sent:
            phone.wait_heard_sound(0.95)
            phone.command("sndcode", "1")
            agent.wait_event("CALL_ESTABLISHED")
            phone.wait_heard(1000, 0.3)
        assert likeness(phone.heard(), GREETING) > 0.9
        phone.hangup()
        agent.wait_event("CALL_CLOSED")
    record = last_record()
    assert record["status"] == "hangup"
    assert 0 < record["media"]["received"] < 300, record["media"]
    assert sent[0] > 1000
