"""Signals that tests make, and what they measure of those that come back."""

import io
from pathlib import Path
from typing import Any

import av
import numpy
from numpy.typing import NDArray

from engine.media.codec.codec import Codec

Samples = NDArray[numpy.int16]
Floats = NDArray[numpy.float64]


def sine(frequency: float, seconds: float, rate: int, height: float = 8000.0) -> Samples:
    """One tone."""
    return numpy.rint(height * numpy.sin(2 * numpy.pi * frequency * numpy.arange(round(seconds * rate)) / rate)).astype(
        numpy.int16
    )


def strongest(samples: Samples, rate: int) -> tuple[float, float]:
    """Frequency (Hz) and height of the strongest tone: the peak of a windowed spectrum, between its bins."""
    window = numpy.blackman(len(samples))
    spectrum = numpy.abs(numpy.fft.rfft(samples * window, 8 * len(samples)))
    place = int(spectrum.argmax())
    return place * rate / (8 * len(samples)), 2 * float(spectrum[place]) / float(window.sum())


def decibels(ratio: float) -> float:
    """Of two heights."""
    return float(20 * numpy.log10(ratio))


def played(feed: Any, codec: Codec, most: int = 100_000) -> Samples:
    """What a peer hears of a feed, up to `most` frames."""
    decoder = codec.decoder()
    heard = []
    for _ in range(most):
        payload = feed.next(codec)
        if payload is None:
            break
        heard.append(decoder.decode(payload))
    return numpy.concatenate(heard) if heard else numpy.zeros(0, numpy.int16)


def write(
    path: Path | None, samples: NDArray[Any], rate: int, kind: str = "wav", codec: str = "pcm_s16le", form: str = "s16"
) -> bytes:
    """A sound file of `samples` (a row for each channel), as FFmpeg makes it."""
    rows = numpy.atleast_2d(samples)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(rows)]
    target = io.BytesIO()
    with av.open(target, "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.layout = layout
        stream.format = form
        if codec.startswith(("vorbis", "opus")):
            stream.codec_context.options = {"strict": "-2"}
        packed = rows if form.endswith("p") else rows.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(numpy.ascontiguousarray(packed), format=form, layout=layout)
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        size = stream.codec_context.frame_size or 1024
        while piece := fifo.read(size, partial=True):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    content = target.getvalue()
    if path is not None:
        path.write_bytes(content)
    return content
