"""What people get an engine for, from the first search for a number to the talk, with phones that nobody here wrote.

One engine, set up by its API alone: numbers are searched, provisioned and given their flows, and then called.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from sipp_scenarios.suite import HERE, Caller, Provider
from tests.api.tutorials import Curl
from tests.peers.audio import Sound, babble, key_tone, likeness, pieces_found, read_wav, write_wav
from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config
from tests.peers.linphone import Linphone
from tests.peers.rtp_end import RtpEnd
from tests.peers.sipp import Sipp

pytestmark = pytest.mark.peer

ENGINE, API = "127.0.1.50", "127.0.1.50:6061"
AGENT, CALLER, LINPHONE, TEXTER = "127.0.1.51", "127.0.1.52", "127.0.1.53", "127.0.1.54"
KEY = "a-key-for-the-scenarios"
HOTLINE, MOBILE = "+18005551234", "+15551234567"
CUSTOMER = "+15557770001"
AGENT_PITCH, CALLER_PITCH = 1000, 440

GREETING = babble(1.2)
"""What the hotline plays."""

MENU: list[dict[str, Any]] = [
    {"type": "play", "option": {"sources": ["greeting.wav"]}},
    {"type": "digits_receive", "option": {"length": 1, "duration": 6000}},
    {"type": "branch", "option": {"target_ids": {"1": "sales"}, "default_target_id": "end"}},
    {
        "id": "sales",
        "type": "connect",
        "option": {"destinations": [{"type": "sip", "target": f"sip:agent@{AGENT}:6100"}], "ring_timeout": 5},
    },
    {"id": "end", "type": "hangup"},
]
KEYWORDS: list[dict[str, Any]] = [
    {"type": "branch", "option": {"variable": "message.text", "target_ids": {"HOURS": "hours"}}},
    {"type": "stop"},
    {"id": "hours", "type": "message_send", "option": {"text": "We're open Mon-Fri 9-5"}},
]


@dataclass
class Platform:
    """A running engine, and its API as the super admin and as a customer."""

    engine: Engine
    api: Curl
    numbers: dict[str, str] = field(default_factory=dict)

    def buy(self, number: str, **fields: str) -> dict[str, Any]:
        """Provisions a number, once, and gives it its flows."""
        if number not in self.numbers:
            made = self.api("POST", "/v1.0/numbers", {"number": number}, status=201)
            assert made["status"] == "active"
            self.numbers[number] = made["id"]
        changed: dict[str, Any] = self.api("PUT", f"/v1.0/numbers/{self.numbers[number]}", fields, status=200)
        return changed

    def flow(self, name: str, actions: list[dict[str, Any]]) -> str:
        """Makes a flow; its id."""
        made = self.api("POST", "/v1.0/flows", {"name": name, "actions": actions}, status=201)
        return str(made["id"])

    def search(self, query: str) -> list[str]:
        """The numbers on offer."""
        return [row["number"] for row in self.api("GET", f"/v1.0/available_numbers?{query}", status=200)["result"]]

    def last_call(self) -> dict[str, Any]:
        """The record of the call that began last and came in."""
        calls = self.api("GET", "/v1.0/calls?page_size=10", status=200)["result"]
        return next(call for call in calls if call["direction"] == "incoming")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("platform")
    (directory / "sounds").mkdir()
    write_wav(directory / "sounds" / "greeting.wav", GREETING)
    config = {
        "sip": {"listen": [f"udp://{ENGINE}:6060"], "probe_interval": 0},
        "api": {"listen": API, "admin_key": KEY},
        "media": {"sounds": "sounds"},
        "log": {"level": "info", "format": "json"},
    }
    with Engine.start(write_config(directory, config)) as engine:
        engine.process.wait_line(r"ready: http", 30)
        platform = Platform(engine, Curl(f"http://{API}", KEY))
        carrier = {"name": "carrier", "hostname": f"{TEXTER}:6100"}
        provider = platform.api("POST", "/v1.0/providers", carrier, status=201)["id"]
        platform.api("POST", "/v1.0/routes", {"target": "all", "provider_id": provider}, status=201)
        for number in (HOTLINE, MOBILE):
            body = {"number": number, "provider_id": provider}
            platform.api("POST", "/v1.0/inventory", body, status=201)
        yield platform
        assert "Traceback" not in engine.log


@pytest.fixture
def hotline(platform: Platform) -> Platform:
    """Scenario 1 up to the call: searched, provisioned, flow made, flow assigned."""
    if HOTLINE not in platform.numbers:
        assert HOTLINE in platform.search("country=US&type=toll_free")
        platform.buy(HOTLINE, call_flow_id=platform.flow("hotline", MENU))
        assert HOTLINE not in platform.search("country=US&type=toll_free")
    return platform


def agent(directory: Path, **more: Any) -> Baresip:
    """Somebody in sales, who takes every call."""
    return Baresip(directory / "agent", AGENT, 6100, user="agent", pitch=AGENT_PITCH, auto_answer=True, **more)


def recorded(phone: Baresip) -> Sound:
    """The first recording of what a phone heard: up to its first re-INVITE."""
    return read_wav(min(phone.directory.glob("dump-*-dec.wav")))


@contextmanager
def sipp_call(scenario: str, number: str, media: RtpEnd) -> Iterator[Sipp]:
    """A call from SIPp whose sound is at `media`."""
    formats = {"PCMU": "0", "PCMA": "8", "G722": "9"}[media.codec.name]
    keys = {"media_at": CALLER, "media_to": str(media.port), "formats": formats}
    words = [f"{ENGINE}:6060", "-s", number, "-m", "1"]
    caller = Sipp(Caller(scenario, number, CALLER, keys=keys), CALLER, 6200, 15.0, words)
    try:
        yield caller
    finally:
        caller.close()


def engine_media(caller: Sipp) -> tuple[str, int]:
    """Where the engine, as it told SIPp in its answer, wants the call's sound."""
    deadline, tick = monotonic() + 5, threading.Event()
    while True:
        messages = Path(caller.directory.name) / "messages"
        text = messages.read_text(errors="replace") if messages.exists() else ""
        told = re.search(r"^SIP/2\.0 200 .*?^m=audio (\d+) ", text, re.MULTILINE | re.DOTALL)
        if told is not None:
            return ENGINE, int(told[1])
        assert monotonic() < deadline, caller.log()
        tick.wait(0.02)


def text_for_hours(directory: Path) -> None:
    """SIPp texts HOURS to MOBILE, and SIPp takes the answer: its scenarios of the suite, with our numbers."""
    taken = (HERE / "uas_message.xml").read_text()
    for theirs, ours in (
        (r"\+821000073001@127\.0\.0\.73(:5080)?", rf"\{CUSTOMER}@{TEXTER.replace('.', chr(92) + '.')}(:6100)?"),
        (r"\+15550100073", rf"\{MOBILE}"),
    ):
        assert theirs in taken
        taken = taken.replace(theirs, ours)
    (directory / "uas_message.xml").write_text(taken)
    carrier = Sipp(Provider(str(directory / "uas_message"), TEXTER, port=6100), TEXTER, 6100, 15.0, [])
    words = [f"{ENGINE}:6060", "-s", MOBILE, "-m", "1"]
    texted = Caller("uac_message", MOBILE, TEXTER, keys={"sender": CUSTOMER, "words": "hours"})
    texter = None
    try:
        assert carrier.listening(), carrier.log()
        texter = Sipp(texted, TEXTER, 6102, 10.0, words)
        assert not texter.faults(texter.finish(30)), texter.log()
        assert not carrier.faults(carrier.drain()), carrier.log()
    finally:
        carrier.close()
        if texter is not None:
            texter.close()


# ---- 1: the customer service hotline


@pytest.mark.parametrize("codec", ["PCMU/8000/1", "PCMA/8000/1", "G722/16000/1"])
def test_the_hotline_greets_and_connects_who_presses_1(tmp_path: Path, hotline: Platform, codec: str) -> None:
    """By RFC 4733, from baresip."""
    with (
        agent(tmp_path, codecs=codec) as sales,
        Baresip(tmp_path / "caller", CALLER, 6100, user="caller", pitch=CALLER_PITCH, codecs=codec) as caller,
    ):
        caller.dial(f"sip:{HOTLINE}@{ENGINE}:6060")
        caller.wait_event("CALL_ESTABLISHED")
        caller.command("sndcode", "1")
        sales.wait_event("CALL_ESTABLISHED")
        caller.wait_heard(AGENT_PITCH, 0.4)
        sales.wait_heard(CALLER_PITCH, 0.4)
        assert likeness(recorded(caller), GREETING) > 0.9
        sales.hangup()
        caller.wait_event("CALL_CLOSED")


@pytest.mark.parametrize(
    ("scenario", "codec"),
    [("uac_ivr", "PCMU"), ("uac_ivr", "PCMA"), ("uac_ivr_info", "PCMU"), ("uac_ivr_info", "G722")],
    ids=["in band PCMU", "in band PCMA", "INFO PCMU", "INFO G722"],
)
def test_the_hotline_without_telephone_event(tmp_path: Path, hotline: Platform, scenario: str, codec: str) -> None:
    """By tones in the sound, and by INFO, from SIPp; neither offers telephone-event."""
    wideband = codec == "G722"
    with (
        RtpEnd(CALLER, codec) as ear,
        agent(tmp_path, codecs="G722/16000/1" if wideband else f"{codec}/8000/1") as sales,
        sipp_call(scenario, HOTLINE, ear) as caller,
    ):
        ear.wait_heard(0.8)
        if scenario == "uac_ivr":
            ear.say(key_tone("1", 0.2, ear.codec.rate))
        sales.wait_event("CALL_ESTABLISHED")
        ear.wait_tone(AGENT_PITCH, 0.4)
        assert likeness(ear.heard(), GREETING) > 0.9
        sales.hangup()
        assert not caller.faults(caller.finish(30)), caller.log()


@pytest.mark.parametrize("way", ["rfc4733", "info", "in band"])
def test_the_hotline_with_linphone(tmp_path: Path, hotline: Platform, way: str) -> None:
    write_wav(tmp_path / "key.wav", Sound(key_tone("1", 0.3), 8000))
    with agent(tmp_path) as sales, Linphone(tmp_path / "linphone", LINPHONE, 6100, keys=way) as caller:
        caller.dial(f"sip:{HOTLINE}@{ENGINE}:6060")
        if way == "in band":
            caller.play(tmp_path / "key.wav")
        else:
            caller.press("1")
        sales.wait_event("CALL_ESTABLISHED")
        caller.wait_heard(AGENT_PITCH, 0.4)
        # Its own key sounds in its ear, too, and a few milliseconds are left out now and then.
        assert pieces_found(caller.heard(), GREETING) > 0.7
        assert pieces_found(caller.heard(), babble(1.2, seed=5)) < 0.1
        sales.hangup()
        caller.wait_ended()


def test_who_presses_another_key_is_not_connected(tmp_path: Path, hotline: Platform) -> None:
    """The tests above cannot pass by accident."""
    with (
        agent(tmp_path) as sales,
        Baresip(tmp_path / "caller", CALLER, 6100, user="caller", pitch=CALLER_PITCH) as caller,
    ):
        caller.dial(f"sip:{HOTLINE}@{ENGINE}:6060")
        caller.wait_event("CALL_ESTABLISHED")
        caller.command("sndcode", "2")
        caller.wait_event("CALL_CLOSED")
        assert not caller.recorded(AGENT_PITCH)
        assert likeness(recorded(caller), babble(1.2, seed=5)) < 0.3
        assert "INVITE" not in sales.process.log


QUEUEING: list[dict[str, Any]] = [
    *MENU[:2],
    {"type": "branch", "option": {"target_ids": {"1": "sales"}, "default_target_id": "end"}},
    {"id": "sales", "type": "queue_join", "option": {"queue_id": "hotline"}},
    {"id": "end", "type": "hangup"},
]
MUSIC_PITCH, OTHER_PITCH = 700, 550


def test_the_hotline_queues_who_presses_1_while_all_agents_are_busy(tmp_path: Path, platform: Platform) -> None:
    """The first caller has the agent; the second hears music, and the agent when the first has hung up."""
    api = platform.api
    person = {
        "username": "sales",
        "password": "swordfish-7",
        "status": "available",
        "addresses": [{"type": "sip", "target": f"sip:agent@{AGENT}:6100"}],
    }
    who = api("POST", "/v1.0/agents", person, status=201)["id"]
    queue = {"name": "hotline", "agent_ids": [who], "music": f"tone:{MUSIC_PITCH}", "wrap_up_timeout": 500}
    line = api("POST", "/v1.0/queues", queue, status=201)["id"]
    platform.buy(MOBILE, call_flow_id=platform.flow("hotline with a queue", QUEUEING))
    with (
        agent(tmp_path) as sales,
        Baresip(tmp_path / "first", CALLER, 6100, user="first", pitch=CALLER_PITCH) as first,
        Baresip(tmp_path / "second", TEXTER, 6100, user="second", pitch=OTHER_PITCH) as second,
    ):
        for caller in (first, second):
            caller.dial(f"sip:{MOBILE}@{ENGINE}:6060")
            caller.wait_event("CALL_ESTABLISHED")
            caller.command("sndcode", "1")
            if caller is first:
                sales.wait_event("CALL_ESTABLISHED")
                first.wait_heard(AGENT_PITCH, 0.4)
        second.wait_heard(MUSIC_PITCH, 0.5)
        assert api("GET", f"/v1.0/queues/{line}/callers", status=200)["waiting"] == 1
        assert not second.recorded(AGENT_PITCH)
        assert not sales.recorded(OTHER_PITCH)
        first.hangup()
        second.wait_heard(AGENT_PITCH, 0.4)
        sales.wait_heard(OTHER_PITCH, 0.4)
        assert likeness(recorded(second), GREETING) > 0.9
        second.hangup()


# ---- 2: the auto-responder of text messages


def test_the_auto_responder_tells_the_hours(tmp_path: Path, platform: Platform) -> None:
    """A customer's text comes from the carrier, and the answer goes there."""
    platform.buy(MOBILE, message_flow_id=platform.flow("keywords", KEYWORDS))
    text_for_hours(tmp_path)


# ---- 3: the virtual number


def test_a_virtual_number_is_searched_provisioned_assigned_and_echoes(platform: Platform) -> None:
    number = platform.search("type=virtual&page_size=5")[0]
    assert number.startswith("+899")
    echo = platform.flow("echo", [{"type": "answer"}, {"type": "echo", "option": {"duration": 2500}}])
    assigned = platform.buy(number, call_flow_id=echo)
    assert (assigned["type"], assigned["status"], assigned["call_flow_id"]) == ("virtual", "active", echo)
    said = babble(1.0, seed=6)
    with RtpEnd(CALLER, "PCMU") as mouth, sipp_call("uac_ivr", number, mouth) as caller:
        mouth.towards = engine_media(caller)
        mouth.say(said.samples)
        assert not caller.faults(caller.finish(30)), caller.log()
        assert likeness(mouth.heard(), said) > 0.9


# ---- 4: one number for both


def test_one_number_takes_calls_and_messages(tmp_path: Path, platform: Platform) -> None:
    """Calls run its call flow and texts its message flow, while a call is on as well."""
    platform.buy(
        MOBILE,
        call_flow_id=platform.flow("menu", MENU),
        message_flow_id=platform.flow("texts", KEYWORDS),
    )
    with (
        agent(tmp_path) as sales,
        Baresip(tmp_path / "caller", CALLER, 6100, user="caller", pitch=CALLER_PITCH) as caller,
    ):
        caller.dial(f"sip:{MOBILE}@{ENGINE}:6060")
        caller.wait_event("CALL_ESTABLISHED")
        text_for_hours(tmp_path)
        caller.command("sndcode", "1")
        sales.wait_event("CALL_ESTABLISHED")
        caller.wait_heard(AGENT_PITCH, 0.4)
        assert likeness(recorded(caller), GREETING) > 0.9
        caller.hangup()
        sales.wait_event("CALL_CLOSED")
