"""Receive chain of a stream: packets through the jitter buffer and the decoder, 20 ms at every tick.

It exists only while somebody listens: a call that only plays decodes nothing.
"""

from collections.abc import Mapping

import numpy

from engine.media.audio import AudioSink
from engine.media.codec.codec import Codec, CodecError, Decoder, Samples
from engine.media.rtp.jitter import JitterBuffer
from engine.media.rtp.packet import RtpPacket

_NOTHING = numpy.zeros(0, dtype=numpy.int16)


class AudioReceiver:
    """The listening half of a stream.

    Attributes:
        taps: Who listens.
        broken: Payloads that their decoder could not take.
    """

    __slots__ = ("_buffer", "_codec", "_codecs", "_decoder", "_rest", "broken", "taps")

    def __init__(self, codec: Codec, codecs: Mapping[int, Codec]) -> None:
        """`codec` is what the peer is expected to send, `codecs` what it may, by its payload types."""
        self._buffer = JitterBuffer(codec.clock)
        self._codec = codec
        self._codecs = codecs
        self._decoder: Decoder = codec.decoder()
        self._rest = _NOTHING
        # A tuple, made anew when somebody comes or goes: a tap may leave while it is told.
        self.taps: tuple[AudioSink, ...] = ()
        self.broken = 0

    def agree(self, codecs: Mapping[int, Codec]) -> None:
        """What the peer may send from now on."""
        self._codecs = codecs

    def put(self, packet: RtpPacket, now: float) -> None:
        """A packet has come, of one of the codecs."""
        codec = self._codecs.get(packet.payload_type)
        if codec is not None:
            self._buffer.retime(codec.clock)
            self._buffer.put(packet, now)

    def tick(self, now: float) -> None:
        """Tells the taps the next 20 ms. What one of them raises is raised when it has been sent away."""
        samples = self._next(now)
        rate = self._codec.rate
        for tap in self.taps:
            try:
                tap.hear(samples, rate)
            except Exception:
                self.taps = tuple(one for one in self.taps if one is not tap)
                raise

    def _next(self, now: float) -> Samples:
        rest = self._rest
        frame = self._codec.frame
        while len(rest) < frame:
            packet = self._buffer.take(now)
            if packet is None:
                heard = self._decoder.lost()
            else:
                codec = self._codecs.get(packet.payload_type, self._codec)
                if codec is not self._codec:
                    self._codec, self._decoder = codec, codec.decoder()
                    rest, frame = _NOTHING, codec.frame
                try:
                    heard = self._decoder.decode(packet.payload)
                except CodecError:
                    self.broken += 1
                    heard = self._decoder.lost()
            rest = heard if not len(rest) else numpy.concatenate((rest, heard))
        self._rest = rest[frame:]
        return rest[:frame]
