"""Rooms: everybody hears all others and not themselves, at the level at which they speak, whatever their codecs."""

import random
from typing import Any

import numpy
import pytest

from engine.audio.buffer import AudioBuffer
from engine.audio.mixer import RATE, Member, Mixer
from engine.audio.resample import LiveResampler
from engine.media.codec.codec import Codec
from engine.media.codec.registry import G722, OPUS, PCMA, PCMU


class Pacer:
    """Only notes who has turns."""

    def __init__(self) -> None:
        self.paced: list[Any] = []

    def add(self, paced: Any) -> None:
        if paced not in self.paced:
            self.paced.append(paced)

    def remove(self, paced: Any) -> None:
        if paced in self.paced:
            self.paced.remove(paced)


class Line:
    """A member with its codec: says a tone, and keeps what it hears."""

    def __init__(self, room: Mixer, codec: Codec, hertz: float = 0.0, level: float = 4000.0) -> None:
        self.codec = codec
        self.member: Member = room.join()
        self.decoder = codec.decoder()
        self.hertz = hertz
        self.level = level
        self.frame = 0
        self.payloads: list[bytes] = []
        self.heard: list[Any] = []

    def say(self) -> None:
        at = numpy.arange(self.codec.frame) + self.frame * self.codec.frame
        self.frame += 1
        sound = self.level * numpy.sin(2 * numpy.pi * self.hertz * at / self.codec.rate) if self.hertz else 0.0 * at
        self.member.hear(numpy.rint(sound).astype(numpy.int16), self.codec.rate)

    def listen(self) -> None:
        payload = self.member.next(self.codec)
        if payload:
            self.payloads.append(payload)
            self.heard.append(self.decoder.decode(payload))

    def level_of(self, hertz: float) -> float:
        """The amplitude at `hertz` of the last half second."""
        samples = numpy.concatenate(self.heard)[-self.codec.rate // 2 :].astype(float)
        turn = numpy.exp(-2j * numpy.pi * hertz * numpy.arange(len(samples)) / self.codec.rate)
        return float(2 * abs((samples * turn).mean()))


def run(room: Mixer, lines: list[Line], frames: int = 60, order: random.Random | None = None) -> None:
    turns: list[Any] = [room, *lines]
    for frame in range(frames):
        if order is not None:
            order.shuffle(turns)
        for turn in turns:
            if turn is room:
                room.tick(frame)
            else:
                turn.say()
                turn.listen()


def decibels(measured: float, meant: float) -> float:
    return float(20 * numpy.log10(max(measured, 1e-9) / meant))


@pytest.mark.parametrize(
    "codecs",
    [
        (PCMU, PCMU, PCMU),
        (PCMA, G722, PCMU),
        pytest.param((OPUS, PCMU, G722), marks=pytest.mark.skipif(not OPUS, reason="")),
    ],
    ids=["one codec", "two rates", "three rates"],
)
def test_everybody_hears_the_others_and_not_themselves(codecs: tuple[Codec, ...]) -> None:
    room = Mixer(Pacer())  # type: ignore[arg-type]
    tones = (500.0, 1000.0, 1600.0)
    lines = [Line(room, codec, hertz) for codec, hertz in zip(codecs, tones, strict=True)]
    run(room, lines)
    for line in lines:
        for hertz in tones:
            measured = decibels(line.level_of(hertz), 4000.0)
            if hertz == line.hertz:
                assert measured < -35, (line.codec.name, hertz)
            else:
                assert abs(measured) < 1.0, (line.codec.name, hertz, measured)


def test_turns_that_change_their_order_lose_and_double_no_frame() -> None:
    """A click is a jump: none is larger than the tone's own steps and the codec's."""
    seed = 20261121
    room = Mixer(Pacer())  # type: ignore[arg-type]
    speaker, listener = Line(room, PCMU, 400.0), Line(room, PCMU)
    run(room, [speaker, listener], 100)
    steady = numpy.abs(numpy.diff(numpy.concatenate(listener.heard)[800:].astype(int), 2)).max()
    room = Mixer(Pacer())  # type: ignore[arg-type]
    speaker, listener = Line(room, PCMU, 400.0), Line(room, PCMU)
    shuffled = random.Random(seed)
    # One frame ahead, as turns within a frame have it: from then on orders may change without a gap.
    for line in (speaker, speaker, speaker):
        line.say()
    room.tick(0)
    listener.listen()
    room.tick(1)
    run(room, [speaker, listener], 100, shuffled)
    jumps = numpy.abs(numpy.diff(numpy.concatenate(listener.heard)[800:].astype(int), 2)).max()
    assert jumps <= steady * 1.5, f"seed {seed}"


def test_listeners_with_one_codec_share_what_is_encoded() -> None:
    room = Mixer(Pacer())  # type: ignore[arg-type]
    lines = [Line(room, PCMU, 700.0), *(Line(room, PCMU) for _ in range(5)), Line(room, PCMA)]
    run(room, lines, 30)
    last = [line.payloads[-1] for line in lines[1:6]]
    assert all(payload is last[0] for payload in last)
    assert lines[6].payloads[-1] is not last[0]
    assert [line.member.said > 0 for line in lines] == [True, False, False, False, False, False, False]


def test_loud_voices_on_top_of_each_other_are_turned_down_and_not_cut_off() -> None:
    room = Mixer(Pacer())  # type: ignore[arg-type]
    lines = [Line(room, PCMU, 300.0 + 200 * number, 20_000.0) for number in range(6)]
    quiet = Line(room, PCMU)
    run(room, [*lines, quiet], 80)
    heard = numpy.concatenate(quiet.heard)[-4000:]
    assert numpy.abs(heard).max() <= 32_124  # the highest that mu-law has: what is above was turned down
    assert (numpy.abs(heard) >= 32_000).mean() < 0.001
    levels = [quiet.level_of(line.hertz) for line in lines]
    assert max(levels) / min(levels) < 1.2
    for line in lines[1:]:
        line.hertz = 0.0
    run(room, [*lines, quiet], 120)
    assert abs(decibels(quiet.level_of(300.0), 20_000.0)) < 1.0  # and up again


def test_a_sound_for_all_is_heard_by_all_over_what_they_say() -> None:
    room = Mixer(Pacer())  # type: ignore[arg-type]
    lines = [Line(room, PCMU, 500.0), Line(room, G722)]
    tone = numpy.rint(3000 * numpy.sin(2 * numpy.pi * 1200 * numpy.arange(RATE) / RATE)).astype(numpy.int16)
    run(room, lines, 5)
    room.play(AudioBuffer(tone, RATE))
    run(room, lines, 45)
    for line in lines:
        assert abs(decibels(line.level_of(1200.0), 3000.0)) < 1.0
    run(room, lines, 40)
    assert decibels(lines[0].level_of(1200.0), 3000.0) < -35


def test_who_leaves_is_not_heard_and_its_feed_is_over_and_the_last_one_ends_the_turns() -> None:
    pacer = Pacer()
    room = Mixer(pacer)  # type: ignore[arg-type]
    lines = [Line(room, PCMU, 500.0), Line(room, PCMU), Line(room, PCMU)]
    run(room, lines, 40)
    assert pacer.paced == [room]
    room.leave(lines[0].member)
    room.leave(lines[0].member)
    assert lines[0].member.next(PCMU) is None
    run(room, lines[1:], 60)
    assert decibels(lines[1].level_of(500.0), 4000.0) < -40
    room.leave(lines[1].member)
    assert len(room) == 1
    room.close()
    assert (len(room), pacer.paced) == (0, [])
    assert lines[2].member.next(PCMU) is None


def test_a_member_whose_codec_changes_hears_on() -> None:
    room = Mixer(Pacer())  # type: ignore[arg-type]
    speaker, listener = Line(room, PCMU, 500.0), Line(room, PCMU)
    run(room, [speaker, listener], 20)
    listener.codec, listener.decoder, listener.heard = G722, G722.decoder(), []
    run(room, [speaker, listener], 60)
    assert abs(decibels(listener.level_of(500.0), 4000.0)) < 1.0


@pytest.mark.parametrize(("source", "target"), [(8000, 16_000), (16_000, 8000), (48_000, 16_000), (16_000, 48_000)])
def test_a_tone_passes_a_change_of_rate_and_what_does_not_fit_is_filtered(source: int, target: int) -> None:
    ratio = LiveResampler(source, target)

    def through(hertz: float) -> float:
        made = [
            ratio.feed(
                numpy.rint(
                    8000 * numpy.sin(2 * numpy.pi * hertz * (numpy.arange(source // 50) + at * source // 50) / source)
                ).astype(numpy.int16)
            )
            for at in range(50)
        ]
        assert {len(piece) for piece in made} == {target // 50}
        samples = numpy.concatenate(made)[target // 2 :].astype(float)
        return float(numpy.sqrt(2 * (samples**2).mean()))

    low = min(source, target)
    assert abs(decibels(through(1000.0), 8000.0)) < 0.1
    assert abs(decibels(through(low * 0.35), 8000.0)) < 0.5
    if source > target:
        assert decibels(through(low * 0.65), 8000.0) < -40  # would be heard as something else


def test_rates_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no multiples"):
        LiveResampler(44_100, 16_000)


def test_what_a_member_hears_is_overheard_as_it_hears_it() -> None:
    """A recording has the caller on one channel and what it hears on the other: all but itself."""

    class Ear:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def hear(self, samples: Any, rate: int) -> None:
            assert rate == G722.rate
            self.heard.append(samples.copy())

    room, ear = Mixer(Pacer()), Ear()  # type: ignore[arg-type]
    lines = [Line(room, G722, 500.0), Line(room, PCMU, 800.0), Line(room, PCMA, 1300.0)]
    lines[0].member.overheard_by = ear
    for frame in range(60):
        for line in lines:
            line.say()
        room.tick(frame)
        for line in lines:
            line.listen()
    samples = numpy.concatenate(ear.heard)[-8000:].astype(float)
    assert len(ear.heard) == len(lines[0].payloads)

    def level(hertz: float) -> float:
        turn = numpy.exp(-2j * numpy.pi * hertz * numpy.arange(len(samples)) / G722.rate)
        return float(2 * abs((samples * turn).mean()))

    assert level(500.0) < 50
    assert all(3500 < level(hertz) < 4500 for hertz in (800.0, 1300.0))
