"""The engine's own media with baresip: what plays is heard, what is said is heard, and keys go both ways."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from engine.call import Call
from engine.media.codec.codec import Codec
from engine.user_agent import UserAgent
from tests.peers.baresip import Baresip

pytestmark = pytest.mark.peer

HOST = "127.0.1.31"
PHONE = "127.0.1.32"


class Tone:
    """A sine without end."""

    def __init__(self, pitch: int) -> None:
        self.pitch, self.at = pitch, 0
        self.encoder: Any = None

    def next(self, codec: Codec) -> bytes:
        self.encoder = self.encoder or codec.encoder()
        places = (self.at + numpy.arange(codec.frame)) / codec.rate
        self.at += codec.frame
        return bytes(self.encoder.encode((9000 * numpy.sin(2 * numpy.pi * self.pitch * places)).astype(numpy.int16)))


class Ear:
    """What the caller said."""

    def __init__(self) -> None:
        self.samples: list[Any] = []
        self.rate = 0

    def hear(self, samples: Any, rate: int) -> None:
        self.samples.append(samples.copy())
        self.rate = rate

    def pitch(self) -> float:
        """Of the loudest frequency in the last second, in Hz."""
        sound = numpy.concatenate(self.samples)[-self.rate :]
        return float(numpy.abs(numpy.fft.rfft(sound * numpy.hanning(len(sound)))).argmax() * self.rate / len(sound))


class Answering:
    """An engine in a thread that plays 600 Hz until 5 is pressed, and then presses 42 itself."""

    def __init__(self) -> None:
        self.ear = Ear()
        self.pressed: list[str] = []
        self.calls: list[Call] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="engine")
        self.thread.start()
        self.agent = UserAgent(self.flow)
        self.do(self.agent.start([f"udp://{HOST}:0"]))
        self.port = next(iter(self.agent.listeners)).local[1]

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def flow(self, call: Call) -> None:
        self.calls.append(call)
        await call.listen()
        call.attach(self.ear)
        self.pressed.append(await call.play(Tone(600), until="5"))
        await call.send_keys("42")
        await call.wait_ended()

    def close(self) -> None:
        self.do(self.agent.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def engine() -> Iterator[Answering]:
    answering = Answering()
    yield answering
    answering.close()


def test_a_prompt_a_key_and_keys_back(tmp_path: Path, engine: Answering) -> None:
    with Baresip(tmp_path / "phone", PHONE, 6200, pitch=440, trace=True) as phone:
        phone.dial(f"sip:ivr@{HOST}:{engine.port}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(600, 0.6)
        phone.hold()
        phone.resume()
        phone.wait_receiving()
        phone.command("sndcode", "5")
        assert phone.wait_event("CALL_DTMF_START")["param"] == "4"
        assert phone.wait_event("CALL_DTMF_START", match=lambda event: event["param"] == "2")
        phone.hangup()
        phone.wait_event("CALL_CLOSED")
    assert engine.pressed == ["5"]
    assert engine.ear.pitch() == pytest.approx(440, abs=2)
    media = engine.calls[0].media
    assert media is not None
    assert media["sent"] > 50 and media["received"] > 50 and media["lost"] <= media["received"] * 0.02


@pytest.mark.parametrize("codec", ["PCMA/8000/1"])
def test_the_other_law(tmp_path: Path, engine: Answering, codec: str) -> None:
    with Baresip(tmp_path / "phone", PHONE, 6200, pitch=440, codecs=codec) as phone:
        phone.dial(f"sip:ivr@{HOST}:{engine.port}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(600, 0.6)
        phone.command("sndcode", "5")
        phone.wait_event("CALL_DTMF_START")
        phone.hangup()
        phone.wait_event("CALL_CLOSED")
    assert engine.ear.pitch() == pytest.approx(440, abs=2)
    assert engine.calls[0].media is not None and engine.calls[0].media["codec"] == "PCMA"
