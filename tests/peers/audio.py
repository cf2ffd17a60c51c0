"""Sound as peers record it: files that are still being written, and how much of one sound is in another."""

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import soxr  # type: ignore[import-untyped]

_TONES = dict(
    zip(
        "123A456B789C*0#D",
        [(low, high) for low in (697, 770, 852, 941) for high in (1209, 1336, 1477, 1633)],
        strict=True,
    )
)
"""What each key sounds like (ITU-T Q.23), in Hz."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono sound: 16-bit samples, `rate` of them a second."""

    samples: Any
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def at(self, rate: int) -> "Sound":
        """The same at another rate."""
        return self if rate == self.rate else Sound(soxr.resample(self.samples, self.rate, rate), rate)


def read_wav(path: Path) -> Sound:
    """A WAV file of 16 bits, its first channel: the lengths in its header are believed by nobody, since they are only
    right once the file is closed. Empty where it has not been begun."""
    data = path.read_bytes() if path.exists() else b""
    start = data.find(b"data") + 8
    if start < 44:
        return Sound(numpy.zeros(0, numpy.int16), 8000)
    channels, rate = int.from_bytes(data[22:24], "little"), int.from_bytes(data[24:28], "little")
    octets = data[start:]
    step = 2 * channels
    return Sound(numpy.frombuffer(octets[: len(octets) // step * step], "<i2")[::channels], rate)


def write_wav(path: Path, sound: Sound) -> None:
    """A WAV file of 16 bits."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sound.rate)
        out.writeframes(sound.samples.astype("<i2").tobytes())


def babble(seconds: float, rate: int = 8000, seed: int = 4) -> Sound:
    """Noise in the band of a voice, in syllables of a fifth of a second: it is like nothing but itself."""
    count = round(seconds * rate)
    spectrum = numpy.fft.rfft(numpy.random.default_rng(seed).standard_normal(count))
    pitches = numpy.fft.rfftfreq(count, 1 / rate)
    spectrum[(pitches < 300) | (pitches > 3000)] = 0
    voice = numpy.fft.irfft(spectrum, count) * (0.6 - 0.4 * numpy.cos(10 * numpy.pi * numpy.arange(count) / rate))
    return Sound((9000 * voice / numpy.abs(voice).max()).astype(numpy.int16), rate)


def key_tone(key: str, seconds: float, rate: int = 8000) -> Any:
    """The samples of a key as a tone."""
    places = numpy.arange(round(seconds * rate)) * 2 * numpy.pi / rate
    low, high = _TONES[key]
    return (5000 * (numpy.sin(places * low) + numpy.sin(places * high))).astype(numpy.int16)


def likeness(heard: Sound, prompt: Sound) -> float:
    """How much of `prompt` is in `heard`, in one piece: the peak of the normalised cross-correlation, 0 to 1."""
    return _peak(heard.samples.astype(float), prompt.at(heard.rate).samples.astype(float))[0]


def pieces_found(heard: Sound, prompt: Sound, piece: float = 0.1, slack: float = 0.06) -> float:
    """The share of the pieces of `prompt` that are in `heard` with a likeness above 0.9, no further than `slack` s
    from where most of them have it: for a phone that leaves out or puts in a few milliseconds on its way from the
    network to the ear."""
    ours, theirs = prompt.at(heard.rate).samples.astype(float), heard.samples.astype(float)
    size = round(piece * heard.rate)
    starts = range(0, len(ours) - size + 1, size)
    found = [_peak(theirs, ours[start : start + size]) for start in starts]
    places = numpy.array([place - start for start, (_, place) in zip(starts, found, strict=True)])
    near = numpy.abs(places - numpy.median(places)) <= slack * heard.rate
    return float(numpy.mean(near & (numpy.array([peak for peak, _ in found]) > 0.9)))


def tone_seconds(sound: Sound, pitch: float) -> float:
    """How many seconds of it are a tone of `pitch` Hz, in pieces of 20 ms."""
    size = sound.rate // 50
    pieces = sound.samples[: len(sound.samples) // size * size].reshape(-1, size).astype(float)
    wave_ = numpy.exp(-2j * numpy.pi * pitch / sound.rate * numpy.arange(size))
    power, whole = numpy.abs(pieces @ wave_) ** 2, (pieces**2).sum(axis=1) * size / 2
    return float(((whole > 1e6) & (power > 0.7 * whole)).sum()) / 50


def _peak(heard: Any, prompt: Any) -> tuple[float, int]:
    """The best likeness, and the sample where it begins."""
    places = len(heard) - len(prompt) + 1
    if places < 1:
        return 0.0, 0
    count = len(heard) + len(prompt)
    product = numpy.fft.irfft(numpy.fft.rfft(heard, count) * numpy.conj(numpy.fft.rfft(prompt, count)), count)[:places]
    sums = numpy.concatenate([[0.0], numpy.cumsum(heard**2)])
    # What is nearly silent is like nothing: without a floor, rounding decides about it.
    power = numpy.maximum(sums[len(prompt) :] - sums[: -len(prompt)], 1e-4 * (prompt**2).sum())[:places]
    like = product / numpy.sqrt(power * (prompt**2).sum())
    best = int(like.argmax())
    return float(like[best]), best
