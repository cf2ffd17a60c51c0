"""Flows with sound on a whole engine, with phones that hear, press keys and speak: prompts, menus, recordings."""

import asyncio
import wave
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import pytest

from engine.audio.tones import parse as tone
from engine.call import CallEnded
from tests.service.conftest import FOREIGN, ONE, OURS, TWO, Bench, Phone, Run

# Sound takes as long as it lasts.
pytestmark = pytest.mark.long

RATE = 8000


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.rate = RATE
        self.heard: list[Any] = []

    def hear(self, samples: Any, rate: int) -> None:
        self.rate = rate
        self.heard.append(samples.copy())

    def pitches(self) -> list[int]:
        """The loudest frequency of each tenth of a second that is no silence, neighbours once."""
        return pitches(numpy.concatenate(self.heard), self.rate)


def pitches(samples: Any, rate: int) -> list[int]:
    """The loudest frequency (to 20 Hz) of each tenth of a second with sound throughout, neighbours once."""
    found: list[int] = []
    width = rate // 10
    for start in range(0, len(samples) - width, width // 2):
        piece = samples[start : start + width].astype(float)
        quarters = numpy.abs(piece.reshape(4, -1)).max(axis=1)
        if quarters.min() < 1000:
            continue
        spectrum = numpy.abs(numpy.fft.rfft(piece * numpy.hanning(width)))
        if spectrum.max() ** 2 < 0.3 * (spectrum**2).sum():
            continue  # a piece with two of them
        pitch = round(spectrum.argmax() * rate / width / 20) * 20
        if not found or found[-1] != pitch:
            found.append(pitch)
    return found


def channels(file: Path) -> tuple[int, Any]:
    """Rate and channels of a WAV file."""
    with wave.open(str(file)) as opened:
        samples = numpy.frombuffer(opened.readframes(opened.getnframes()), dtype="<i2")
        return opened.getframerate(), samples.reshape(-1, opened.getnchannels()).T


def flow(*actions: Any) -> dict[str, Any]:
    return {"numbers": [{"number": OURS, "call_flow": "f"}], "flows": [{"name": "f", "actions": list(actions)}]}


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


async def answered(phone: Phone, engine: Any) -> Any:
    leg, outcome = await phone.call(engine.address, OURS)
    assert outcome.kind == "answered", outcome
    return leg


MENU = [
    {"id": "menu", **action("play", sources=["gone.wav", "tone:440/200", "tone:880/200"], digits_stop=True)},
    action("digits_receive", length=1, duration=4000),
    action("branch", target_ids={"1": "sales"}),
    action("variable_set", key="call.digits", value=""),
    action("goto", target_id="menu", loop_count=1),
    action("hangup", reason="noanswer"),
    {"id": "sales", **action("connect", destinations=[{"type": "tel", "target": FOREIGN}])},
]


@pytest.mark.parametrize("info", [False, True], ids=["RFC 4733", "INFO"])
def test_a_menu_is_heard_asks_again_and_connects(run: Run, info: bool) -> None:
    async def scenario(bench: Bench) -> None:
        agent = await bench.phone(ONE)
        caller = await bench.phone()
        engine = await bench.engine(**flow(*MENU), **bench.providers(agent))
        leg = await answered(caller, engine)
        ear = Ear()
        await leg.listen()
        leg.attach(ear)
        await bench.until(lambda: len(ear.heard) > 30 and ear.pitches() == [440, 880], "the prompt")
        await leg.send_keys("9", 0.1, 0.05, info=info)
        await bench.until(lambda: ear.pitches()[-2:] == [440, 880] and len(ear.pitches()) == 4, "the prompt again")
        await leg.send_keys("1", 0.1, 0.05, info=info)
        other = await agent.incoming()
        await bench.until(lambda: other.answered, "the agent's answer")
        other.hangup()
        await leg.wait_ended()
        await engine.quiet()
        assert engine.record.hangup_reason == "normal"
        left_out = engine.log.named("source left out")
        absent = [line["error"].partition(", ")[0] for line in left_out]
        assert absent == ["there is no file 'gone.wav' in the sounds folder"] * 2

    run(scenario)


def test_a_message_is_recorded_until_the_key(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        caller = await bench.phone()
        engine = await bench.engine(
            **flow(
                action("recording_start", end_of_key="#"),
                action("digits_receive", key="#", duration=8000),
                action("recording_stop"),
            )
        )
        leg = await answered(caller, engine)
        await bench.until(lambda: engine.node.flows.calls.media.recordings.running(engine.record.id), "the recording")
        await leg.play(tone("tone:1000/500")[0].feed())
        with suppress(CallEnded):  # the flow does not wait for the end of the tone
            await leg.send_keys("#", 0.1, 0.05)
        await leg.wait_ended()
        await engine.quiet()
        (file,) = (engine.path.parent / "recordings" / "platform").iterdir()
        assert file.name.endswith(f"{engine.record.id}-1.wav")
        assert engine.record.notes == [f"recording platform/{file.name}"]
        rate, (sound,) = channels(file)
        assert pitches(sound, rate) == [1000]
        sounding = numpy.flatnonzero(numpy.abs(sound) > 1000)
        assert 0.4 < (sounding[-1] - sounding[0]) / rate < 0.6

    run(scenario)


def test_a_recording_that_the_hangup_ends_is_there_and_listed(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        caller = await bench.phone()
        engine = await bench.engine(
            **flow(action("recording_start"), action("block")) | {"store": f"sqlite:///{bench.path.parent}/t.db"}
        )
        leg = await answered(caller, engine)
        await bench.until(lambda: engine.node.flows.calls.media.recordings.running(engine.record.id), "the recording")
        await leg.play(tone("tone:600/200")[0].feed())
        leg.hangup()
        await engine.quiet()
        await bench.until(lambda: not len(engine.node.flows.calls.tasks), "the end of the recording")
        from store.database import tables

        async with engine.node.storage.store.read() as connection:
            (row,) = (await connection.execute(tables.recordings.select())).mappings()
        assert (row["status"], row["ended_by"], str(row["call_id"])) == ("ended", "hangup", engine.record.id)
        file = engine.path.parent / "recordings" / row["filename"]
        rate, (sound,) = channels(file)
        assert pitches(sound, rate) == [600]
        assert row["duration"] == round(len(sound) / rate * 1000)
        assert row["size"] == file.stat().st_size

    run(scenario)


def test_both_sides_of_a_connected_call_are_recorded(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        async def speak(call: Any) -> None:
            call.answer()
            await call.play(tone("tone:1000/400")[0].feed())
            await asyncio.sleep(0.1)
            call.hangup()

        agent = await bench.phone(TWO, speak)
        caller = await bench.phone()
        engine = await bench.engine(
            **flow(
                action("recording_start"),
                action("connect", destinations=[{"type": "tel", "target": FOREIGN}]),
                action("digits_receive", duration=600),
                action("recording_stop"),
            ),
            **bench.providers(agent),
        )
        leg = await answered(caller, engine)
        with suppress(CallEnded):  # it speaks until it is hung up
            await leg.play(tone("tone:600/4000")[0].feed())
        await leg.wait_ended()
        await engine.quiet()
        (file,) = (engine.path.parent / "recordings" / "platform").iterdir()
        rate, (near, far) = channels(file)
        assert pitches(near, rate) == [600]
        assert pitches(far, rate) == [1000]
        # Behind the connect the caller is heard again.
        last_near, last_far = (numpy.flatnonzero(numpy.abs(side) > 1000)[-1] / rate for side in (near, far))
        assert last_near - last_far > 0.5

    run(scenario)


def test_sounds_that_cannot_be_had_are_reported_one_by_one_and_the_last_one_plays(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # until the engine gives up
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        bench.at_end(lambda: _closed(server))
        port = server.sockets[0].getsockname()[1]
        folder = bench.path.parent / "sounds"
        folder.mkdir()
        (folder / "broken.wav").write_bytes(b"RIFF" + bytes(range(256)) * 20)
        (folder / "huge.wav").write_bytes(bytes(60_000))
        names = ["gone.wav", "../trunkline.yaml", "broken.wav", "huge.wav", f"http://127.0.0.1:{port}/slow.wav"]
        caller = await bench.phone()
        engine = await bench.engine(
            **flow(action("answer"), action("sleep", duration=100), action("play", sources=[*names, "tone:440/200"])),
            media={"largest_sound": 50_000},
            webhook={"allow_private": True},
        )
        engine.node.flows.web.limits.timeout = 0.2
        leg = await answered(caller, engine)
        ear = Ear()
        await leg.listen()
        leg.attach(ear)
        await leg.wait_ended()
        await engine.quiet()
        assert ear.pitches() == [440]
        told = [line["error"] for line in engine.log.named("source left out")]
        assert len(told) == len(names)
        for sentence, word in zip(told, ["no file", "sounds folder", "broken.wav", "50000", "0.2 s"], strict=True):
            assert word in sentence, told
        assert engine.record.hangup_reason == "normal"

    run(scenario)


async def _closed(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
