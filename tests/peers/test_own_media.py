"""The engine's own media with phones that nobody here wrote: Opus, and SRTP with keys in the description (RFC 4568).

Each call is heard from both ends: the phone hears the engine's tone, and the engine's recording of the call, or its
echo, has the phone's.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.api.tutorials import Curl
from tests.peers.audio import Sound, read_wav, tone_seconds
from tests.peers.baresip import Baresip, write_sine
from tests.peers.engine import Engine, write_config
from tests.peers.linphone import Linphone
from tests.peers.wire import Wire

pytestmark = pytest.mark.peer

ENGINE, PORT = "127.0.1.64", 6060
PHONE, LINPHONE, SECURE, WIRE = "127.0.1.65", "127.0.1.66", "127.0.1.67", "127.0.1.68"
API, KEY = f"{ENGINE}:6061", "a-key-for-own-media"
OURS, ECHO, TALK, BRIEF = "+15551234567", "+899100000001", "+899100000002", "+899100000003"
ABROAD = "+821012345678"
PITCH = 600
"""Of the engine, in Hz."""

OPUS: dict[str, Any] = {"codecs": "opus/48000/2", "modules": ["opus.so"]}
SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")


def talking(seconds: float) -> list[dict[str, Any]]:
    """A flow that records, says so much, and hangs up."""
    return [
        {"type": "recording_start"},
        {"type": "play", "option": {"sources": [f"tone:{PITCH}/{round(seconds * 1000)}"]}},
        {"type": "hangup"},
    ]


def secured(kind: str = "srtp-mand") -> dict[str, Any]:
    """baresip with SRTP: RTP/SAVP ("srtp-mand"), RTP/SAVPF ("srtp-mandf"), or keys beside RTP/AVP ("srtp")."""
    return {"modules": ["srtp.so"], "account": f"mediaenc={kind}"}


@dataclass
class World:
    """The engine, its API and its recordings."""

    engine: Engine
    api: Curl
    recordings: Path

    def record(self, direction: str) -> dict[str, Any]:
        """Of the last call in this direction, once it is over."""
        deadline, tick = monotonic() + 5, threading.Event()
        while True:
            calls = self.api("GET", "/v1.0/calls?page_size=10", status=200)["result"]
            found: dict[str, Any] = next(call for call in calls if call["direction"] == direction)
            if found["status"] == "hangup" and found["media"]:
                return found
            assert monotonic() < deadline, found
            tick.wait(0.05)

    def call(self, number: str) -> None:
        """Calls somebody who is then talked to."""
        body = {
            "source": {"type": "tel", "target": OURS},
            "destinations": [{"type": "tel", "target": number}],
            "actions": talking(2.5),
        }
        self.api("POST", "/v1.0/calls", body, status=201)

    def descriptions(self, call: dict[str, Any]) -> list[str]:
        """All session descriptions of a call, in order."""
        trace = self.api("GET", f"/v1.0/calls/{call['id']}/trace?format=json", status=200)["messages"]
        return [found[0] for message in trace if (found := re.findall(r"(?s)\r\n\r\n(v=0.*)", message["text"]))]

    def recorded(self, call: dict[str, Any]) -> Sound:
        """What the other side of a call has said, as the call was recorded."""
        (file,) = self.recordings.glob(f"*/*{call['id']}*.wav")
        return read_wav(file)

    def said(self, call: dict[str, Any], pitch: int) -> float:
        """Seconds of a tone in it."""
        return tone_seconds(self.recorded(call), pitch)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("own-media")
    config = {
        "sip": {"listen": [f"udp://{ENGINE}:{PORT}"], "rtp_ports": "26700-26799", "probe_interval": 0},
        "api": {"listen": API, "admin_key": KEY},
        "media": {"recordings": "recordings", "rtp_timeout": "4s"},
        "log": {"level": "info", "format": "json"},
        "providers": [{"name": "secure", "hostname": f"{SECURE}:6100", "srtp": "sdes"}],
        "routes": [{"target": "all", "provider": "secure"}],
        "numbers": [
            {"number": ECHO, "call_flow": "echo"},
            {"number": TALK, "call_flow": "talk"},
            {"number": BRIEF, "call_flow": "brief"},
            {"number": OURS, "call_flow": "talk"},
        ],
        "flows": [
            {"name": "echo", "actions": [{"type": "echo", "option": {"duration": 20000}}]},
            {"name": "talk", "actions": talking(20)},
            {"name": "brief", "actions": talking(2.5)},
        ],
    }
    with Engine.start(write_config(directory, config)) as engine:
        engine.process.wait_line(r"ready: http", 30)
        yield World(engine, Curl(f"http://{API}", KEY), directory / "recordings")
        assert "Traceback" not in engine.log


def answered(phone: Baresip) -> str:
    """The media part of the engine's first answer, as the phone printed it."""
    phone.process.wait_line(r"^a=(sendrecv|recvonly|sendonly)", 30, count=2)  # of its own offer, and of the answer
    found = re.search(
        r"^SIP/2\.0 200 OK.*?^(m=audio [^\n]*\n(?:a=[^\n]*\n)*)", phone.process.log, re.MULTILINE | re.DOTALL
    )
    assert found is not None, phone.process.log
    return found[1]


def talk(world: World, phone: Baresip, *, through: str = ENGINE) -> dict[str, Any]:
    """A call in which both talk: the phone hears the engine, the engine has recorded the phone. The call's record."""
    phone.dial(f"sip:{TALK}@{through}:{PORT}")
    phone.wait_event("CALL_ESTABLISHED")
    phone.wait_heard(PITCH, 0.8)
    phone.hangup()
    phone.wait_event("CALL_CLOSED")
    record = world.record("incoming")
    assert world.said(record, phone.pitch) > 0.5
    assert record["media"]["received"] > 40
    return record


def talk_with_linphone(world: World, phone: Linphone) -> dict[str, Any]:
    """The same with linphone, which writes down what it has heard when a stream ends."""
    write_sine(phone.directory / "voice.wav", 440, 10.0)
    phone.dial(f"sip:{BRIEF}@{ENGINE}:{PORT}")
    phone.play(phone.directory / "voice.wav")
    phone.wait_ended()
    phone.wait_heard(PITCH, 2.0)
    record = world.record("incoming")
    assert world.said(record, 440) > 0.5
    return record


# ---- Opus


def test_opus_with_baresip_both_ways(tmp_path: Path, world: World) -> None:
    with Baresip(tmp_path / "phone", PHONE, 6200, pitch=440, trace=True, **OPUS) as phone:
        record = talk(world, phone)
    assert record["media"]["codec"] == "opus"
    assert "refused" not in record["media"]


def test_opus_is_echoed(tmp_path: Path, world: World) -> None:
    with Baresip(tmp_path / "phone", PHONE, 6200, pitch=440, **OPUS) as phone:
        phone.dial(f"sip:{ECHO}@{ENGINE}:{PORT}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(440, 0.6)
        phone.hangup()
    assert world.record("incoming")["media"]["codec"] == "opus"


def test_opus_with_linphone_both_ways(tmp_path: Path, world: World) -> None:
    with Linphone(tmp_path / "linphone", LINPHONE, 6100, codecs=("opus",)) as phone:
        record = talk_with_linphone(world, phone)
    assert record["media"]["codec"] == "opus"


# ---- SRTP, inbound


@pytest.mark.parametrize(
    ("kind", "profile"), [("srtp-mand", "RTP/SAVP"), ("srtp-mandf", "RTP/SAVPF"), ("srtp", "RTP/AVP")]
)
def test_srtp_that_baresip_offers(tmp_path: Path, world: World, kind: str, profile: str) -> None:
    with Baresip(tmp_path / "phone", PHONE, 6200, pitch=440, trace=True, **secured(kind)) as phone:
        record = talk(world, phone)
        answer = answered(phone)
        assert f" {profile} " in answer and f"a=crypto:1 {SUITES[0]} inline:" in answer
        assert "SRTP is Enabled" in phone.process.log
    assert "refused" not in record["media"]


def test_srtp_with_opus(tmp_path: Path, world: World) -> None:
    more = {**OPUS, **secured(), "modules": ["opus.so", "srtp.so"]}
    with Baresip(tmp_path / "phone", PHONE, 6200, pitch=440, **more) as phone:
        assert talk(world, phone)["media"]["codec"] == "opus"


@pytest.mark.parametrize("suite", SUITES)
def test_srtp_that_linphone_offers(tmp_path: Path, world: World, suite: str) -> None:
    settings = {"srtp_crypto_suites": suite, "media_encryption_mandatory": "1"}
    with Linphone(tmp_path / "linphone", LINPHONE, 6100, encryption="srtp", settings=settings) as phone:
        record = talk_with_linphone(world, phone)
    assert all(f"a=crypto:1 {suite} inline:" in body for body in world.descriptions(record))


def test_hold_and_resume_under_the_same_keys(tmp_path: Path, world: World) -> None:
    """baresip keeps its keys."""
    with Baresip(tmp_path / "phone", PHONE, 6200, pitch=440, trace=True, **secured()) as phone:
        phone.dial(f"sip:{TALK}@{ENGINE}:{PORT}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(PITCH, 0.4)
        phone.hold()
        phone.process.wait_line(r"^a=recvonly", 30)
        phone.resume()
        phone.wait_receiving()
        phone.hangup()
        phone.wait_event("CALL_CLOSED")
        assert "unprotect" not in phone.process.log  # "failed": none of ours was under another key
    record = world.record("incoming")
    assert world.said(record, 440) > 1.2  # some of it after the resume, before which there was half a second
    assert len({key for body in world.descriptions(record) for key in re.findall(r"inline:(\S+)", body)}) == 2
    assert "refused" not in record["media"]


def test_hold_and_resume_under_new_keys(tmp_path: Path, world: World) -> None:
    """linphone, where it is told to, has another key in each of its offers (RFC 4568 §7.1.4)."""
    settings = {"keep_srtp_keys": "0", "srtp_crypto_suites": SUITES[0]}
    with Linphone(tmp_path / "linphone", LINPHONE, 6100, encryption="srtp", settings=settings) as phone:
        write_sine(phone.directory / "voice.wav", 440, 10.0)
        phone.dial(f"sip:{BRIEF}@{ENGINE}:{PORT}")
        phone.play(phone.directory / "voice.wav")
        threading.Event().wait(1.2)
        phone.tell("pause", r"is now paused")
        phone.tell("resume", r"Media streams established")
        phone.wait_ended()
        phone.wait_heard(PITCH, 2.0)  # all of it, but for what had come by the end of either stream
    record = world.record("incoming")
    heard = world.recorded(record)
    for part in (heard.samples[:8000], heard.samples[-8000:]):  # before and after
        assert tone_seconds(Sound(part, 8000), 440) > 0.7
    offered = [body for body in world.descriptions(record) if "o=linphone" in body]
    assert len({re.findall(r"inline:(\S+)", body)[0] for body in offered}) == 3


def test_a_wrong_key_is_silence_and_the_record_says_so(tmp_path: Path, world: World) -> None:
    """Somebody on the way has changed the key in the phone's offer: what it sends cannot be read, nor is it heard as
    noise; the call ends as one does whose caller is silent."""

    def spoilt(data: bytes) -> bytes:
        return re.sub(rb"(inline:)(.)", lambda found: found[1] + (b"B" if found[2] == b"A" else b"A"), data)

    with (
        Wire(WIRE, ENGINE, [], clear=[PORT], rewrite=spoilt),
        Baresip(tmp_path / "phone", PHONE, 6200, pitch=440, **secured()) as phone,
    ):
        phone.dial(f"sip:{TALK}@{WIRE}:{PORT}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(PITCH, 0.4)  # our own key is the right one
        phone.wait_event("CALL_CLOSED", 30)
    record = world.record("incoming")
    assert record["hangup_reason"] == "timeout"
    assert record["media"]["received"] == 0
    assert record["media"]["unverified"] > 100
    assert not world.recorded(record).samples.any()


# ---- SRTP, outbound


def test_srtp_for_a_provider_that_wants_it(tmp_path: Path, world: World) -> None:
    with Baresip(tmp_path / "far", SECURE, 6100, user=ABROAD, pitch=440, auto_answer=True, **secured()) as far:
        world.call(ABROAD)
        far.wait_heard(PITCH, 0.8)
        far.hangup()
        far.wait_event("CALL_CLOSED")
    record = world.record("outgoing")
    assert world.said(record, 440) > 0.5
    offer, answer = world.descriptions(record)
    assert " RTP/SAVP " in offer
    assert [line.split()[:2] for line in re.findall(r"^a=crypto:(.*)$", offer, re.MULTILINE)] == [
        ["1", SUITES[0]],
        ["2", SUITES[1]],
    ]
    assert f"a=crypto:1 {SUITES[0]} inline:" in answer


def test_a_provider_that_takes_the_shorter_authentication(tmp_path: Path, world: World) -> None:
    settings = {"srtp_crypto_suites": SUITES[1], "media_encryption_mandatory": "1"}
    with Linphone(tmp_path / "far", SECURE, 6100, user=ABROAD, encryption="srtp", settings=settings) as far:
        write_sine(far.directory / "voice.wav", 440, 10.0)
        far.tell("autoanswer enable", r"Auto answer enabled")
        world.call(ABROAD)
        far.process.wait_line(r"Media streams established", 30)
        far.play(far.directory / "voice.wav")
        far.wait_ended()
        far.wait_heard(PITCH, 2.0)
    record = world.record("outgoing")
    assert world.said(record, 440) > 0.5
    assert f"a=crypto:2 {SUITES[1]} inline:" in world.descriptions(record)[1]


def test_a_provider_without_srtp_is_not_spoken_to_in_the_clear(tmp_path: Path, world: World) -> None:
    with Baresip(tmp_path / "far", SECURE, 6100, user=ABROAD, pitch=440, auto_answer=True) as far:
        world.call(ABROAD)
        far.wait_event("CALL_CLOSED")
        assert not far.recorded(PITCH)
