"""Conference mixer: mix-minus, where everybody hears all others, 20 ms at a time.

Members speak and hear at the rates of their own codecs; the room has one rate. It has its turns at the pacer, once a
frame, and so has every member at a moment of its own: short queues lie between, so that nobody misses a frame or hears
one twice when two turns change their order.
"""

from collections import deque
from typing import TYPE_CHECKING, Final

import numpy

from engine.audio.resample import LiveResampler

if TYPE_CHECKING:
    from engine.audio.buffer import AudioBuffer
    from engine.media.audio import AudioSink
    from engine.media.codec.codec import Codec, Encoder, Samples
    from engine.media.pacer import Pacer

RATE: Final = 16_000
"""Of the room: wideband members (G.722, Opus) hear each other as wide as they speak."""

_FRAME: Final = RATE // 50
_QUEUE: Final = 3
"""Frames that wait between a member and the room: 60 ms. What comes beyond them throws the oldest away."""

_QUIET: Final = 100
"""The highest sample (of 32768: -50 dBov) of a frame in which nobody speaks. The noise of many silent lines would add
up, and who says nothing costs nothing."""

_TAIL: Final = 15
"""Quiet frames that still count as speech: the ends of words lie below the threshold."""

_LOUDEST: Final = 30_000
_STATELESS: Final = frozenset({"PCMU", "PCMA"})
"""Codecs whose every frame stands for itself: who hears the same gets the same payload, encoded once."""


class _Heard:
    """One frame at one rate, for all who hear the same."""

    __slots__ = ("payloads", "samples")

    def __init__(self, samples: "Samples") -> None:
        self.samples = samples
        self.payloads: dict[str, bytes] = {}


class Member:
    """One call in the room: attach it as a tap, play it as a feed.

    Attributes:
        said: Frames in which it spoke.
        overheard_by: Who hears what it hears, such as a recording; None: nobody.
    """

    __slots__ = ("_encoder", "_in", "_left", "_out", "_own", "_quiet", "_up", "codec", "overheard_by", "said")

    def __init__(self) -> None:
        self._in: deque[Samples] = deque(maxlen=_QUEUE)
        self._out: deque[_Heard] = deque(maxlen=_QUEUE)
        self._up: tuple[int, LiveResampler] | None = None  # from its rate to the room's
        self._own: LiveResampler | None = None  # back again: what it said, to be taken out of what it hears
        self._encoder: Encoder | None = None
        self._quiet = _TAIL
        self._left = False
        self.codec: Codec | None = None
        self.overheard_by: AudioSink | None = None
        self.said = 0

    # ---- what the call's stream does

    def hear(self, samples: "Samples", rate: int) -> None:
        """What the member says (`AudioSink`)."""
        speaks = numpy.abs(samples).max(initial=0) >= _QUIET
        self._quiet = 0 if speaks else self._quiet + 1
        if self._quiet > _TAIL:
            self._up = None
            return
        self.said += 1
        if self._up is None or self._up[0] != rate:
            self._up = (rate, LiveResampler(rate, RATE))
        self._in.append(self._up[1].feed(samples))

    def next(self, codec: "Codec") -> bytes | None:
        """What it is to hear (`AudioSource`)."""
        if self._left:
            return None
        if codec is not self.codec:
            self.codec, self._encoder = codec, codec.encoder()
            self._own = None
            self._out.clear()  # of another rate
        if not self._out:
            return b""
        heard = self._out.popleft()
        if self.overheard_by is not None:
            self.overheard_by.hear(heard.samples, codec.rate)
        assert self._encoder is not None
        if codec.name not in _STATELESS:
            return self._encoder.encode(heard.samples)
        payload = heard.payloads.get(codec.name)
        if payload is None:
            payload = heard.payloads[codec.name] = self._encoder.encode(heard.samples)
        return payload

    # ---- what the room does

    def take(self) -> "Samples | None":
        """The next frame that it said; None where it says nothing."""
        return self._in.popleft() if self._in else None

    def give(self, everything: _Heard, own: "Samples | None") -> None:
        """The next frame that it is to hear: `everything`, at its rate, without `own`, at the room's."""
        if own is None and self._own is None:
            self._out.append(everything)
            return
        assert self.codec is not None
        if self._own is None:
            self._own = LiveResampler(RATE, self.codec.rate)
        # One filter for everything and one for what is its own: what passed both is taken out to the last sample.
        echo = self._own.feed(_SILENCE if own is None else own)
        if own is None:
            self._own = None  # the filter has run dry
        rest = numpy.clip(everything.samples.astype(numpy.int32) - echo, -32768, 32767)
        self._out.append(_Heard(rest.astype(numpy.int16)))

    def leave(self) -> None:
        """Its feed is over."""
        self._left = True
        self._in.clear()
        self._out.clear()


_SILENCE: Final = numpy.zeros(_FRAME, dtype=numpy.int16)


class Mixer:
    """A room. It sleeps while nobody is in it."""

    __slots__ = ("_gain", "_members", "_pacer", "_rates", "_sounds")

    def __init__(self, pacer: "Pacer") -> None:
        self._pacer = pacer
        self._members: dict[Member, None] = {}
        self._rates: dict[int, LiveResampler] = {}
        self._sounds: list[tuple[Samples, int]] = []
        self._gain = 1.0

    def __len__(self) -> int:
        return len(self._members)

    def join(self) -> Member:
        """A new member, who hears the others from the next frame on."""
        member = Member()
        self._members[member] = None
        self._pacer.add(self)
        return member

    def leave(self, member: Member) -> None:
        """It hears no more, and is heard no more. A second time does nothing."""
        if self._members.pop(member, self) is not self:
            member.leave()
            if not self._members:
                self.close()

    def play(self, clip: "AudioBuffer") -> None:
        """A sound for all, over what they say."""
        if self._members and len(self._sounds) < _SOUNDS:
            self._sounds.append((clip.at(RATE).samples, 0))

    def close(self) -> None:
        """Everybody leaves."""
        self._pacer.remove(self)
        members, self._members = self._members, {}
        for member in members:
            member.leave()
        self._sounds.clear()
        self._rates.clear()

    def tick(self, frame: int) -> None:
        """Mixes one frame (`Paced`)."""
        spoken = {member: said for member in self._members if (said := member.take()) is not None}
        total = self._sounding()
        for said in spoken.values():
            total += said
        ramp = self._ramp(total)
        everything = _limited(total, ramp)
        shared: dict[int, _Heard] = {}
        for member in self._members:
            codec = member.codec
            if codec is None:
                continue  # its first turn is yet to come
            heard = shared.get(codec.rate)
            if heard is None:
                heard = shared[codec.rate] = _Heard(self._at(codec.rate, everything))
            own = spoken.get(member)
            member.give(heard, own if own is None or ramp is None else _limited(own, ramp))

    def _at(self, rate: int, samples: "Samples") -> "Samples":
        ratio = self._rates.get(rate)
        if ratio is None:
            ratio = self._rates[rate] = LiveResampler(RATE, rate)
        return ratio.feed(samples)

    def _sounding(self) -> "numpy.typing.NDArray[numpy.int32]":
        """The sounds for all, as the beginning of a mix."""
        total = numpy.zeros(_FRAME, dtype=numpy.int32)
        going = []
        for samples, place in self._sounds:
            piece = samples[place : place + _FRAME]
            total[: len(piece)] += piece
            if place + _FRAME < len(samples):
                going.append((samples, place + _FRAME))
        self._sounds = going
        return total

    def _ramp(self, total: "numpy.typing.NDArray[numpy.int32]") -> "numpy.typing.NDArray[numpy.float32] | None":
        """How much is let through, sample by sample: voices on top of each other are turned down, and up again slowly.
        None: all."""
        peak = int(numpy.abs(total).max())
        wanted = min(1.0, _LOUDEST / peak) if peak else 1.0
        before = self._gain
        self._gain = wanted if wanted < before else min(wanted, before + _RECOVERY)
        if before == 1.0 and self._gain == 1.0:
            return None
        return numpy.linspace(before, self._gain, _FRAME, dtype=numpy.float32)


_SOUNDS: Final = 4
"""Sounds for all that play at once."""

_RECOVERY: Final = 0.02
"""How much more is let through from one frame to the next, once it is quieter: a second from nothing to all."""


def _limited(
    samples: "numpy.typing.NDArray[numpy.signedinteger]", ramp: "numpy.typing.NDArray[numpy.float32] | None"
) -> "Samples":
    scaled = samples if ramp is None else numpy.rint(samples * ramp)
    limited: Samples = numpy.clip(scaled, -32768, 32767).astype(numpy.int16)
    return limited
