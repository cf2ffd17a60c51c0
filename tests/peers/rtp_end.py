"""The media of a call whose signalling is somebody else's (SIPp's): a UDP port that records what comes and talks back.

It sends 20 ms at a time to wherever the last packet came from, silence where it has nothing to say.
"""

import contextlib
import socket
import threading
from time import monotonic
from typing import Any, Self

import numpy

from engine.media.codec.registry import by_name
from engine.media.rtp.packet import RtpError, RtpPacket, build
from tests.peers.audio import Sound

_NUMBERS = {"PCMU": 0, "PCMA": 8, "G722": 9}


class RtpEnd:
    """One port at `host` that speaks `codec` (PCMU, PCMA or G722). A context manager; leaving it ends its threads."""

    def __init__(self, host: str, codec: str) -> None:
        found = by_name(codec)
        assert found is not None
        self.codec, self.number = found, _NUMBERS[codec]
        self.others = 0  # packets of another format
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self.towards: tuple[str, int] | None = None
        self._packets: list[RtpPacket] = []
        self._say = numpy.zeros(0, numpy.int16)
        self._news = threading.Condition()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._receive, self._send)]
        for thread in self._threads:
            thread.start()

    def say(self, samples: Any) -> None:
        """Sends these samples (of the codec's rate) as soon as there is somebody."""
        with self._news:
            self._say = numpy.concatenate([self._say, samples])

    def wait_heard(self, seconds: float, timeout: float = 30.0) -> None:
        """Waits for so much sound, whatever it is."""
        with self._news:
            came = self._news.wait_for(lambda: len(self._packets) >= 50 * seconds, timeout)
        assert came, f"{len(self._packets)} packets, and {self.others} of other formats, in {timeout} s"

    def wait_tone(self, pitch: float, seconds: float, timeout: float = 30.0) -> None:
        """Waits until so much of a tone has come."""
        from tests.peers.audio import tone_seconds

        deadline = monotonic() + timeout
        while tone_seconds(self.heard(), pitch) < seconds:
            assert monotonic() < deadline, f"no {seconds} s of {pitch} Hz in {self.heard().seconds:.2f} s of sound"
            count = len(self._packets)
            with self._news:
                self._news.wait_for(lambda: len(self._packets) > count + 5, 0.5)  # noqa: B023  # called at once

    def heard(self) -> Sound:
        """All that has come so far, in the order of arrival."""
        with self._news:
            packets = list(self._packets)
        decoder = self.codec.decoder()
        parts = [decoder.decode(packet.payload) for packet in packets]
        return Sound(numpy.concatenate([*parts, numpy.zeros(0, numpy.int16)]), self.codec.rate)

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> None:
        while not self._over.is_set():
            try:
                data, source = self._socket.recvfrom(2048)
                packet = RtpPacket.parse(data)
            except (TimeoutError, RtpError):
                continue
            with self._news:
                self.towards = source
                if packet.payload_type == self.number:
                    self._packets.append(packet)
                else:
                    self.others += 1
                self._news.notify_all()

    def _send(self) -> None:
        encoder, frame = self.codec.encoder(), self.codec.frame
        sequence, when = 0, monotonic()
        while not self._over.wait(max(0.0, when - monotonic())):
            when += 0.02
            if self.towards is None:
                continue
            with self._news:
                samples, self._say = self._say[:frame], self._say[frame:]
            samples = numpy.concatenate([samples, numpy.zeros(frame - len(samples), numpy.int16)])
            packet = build(
                self.number, sequence == 0, sequence & 0xFFFF, sequence * self.codec.step, 77, encoder.encode(samples)
            )
            with contextlib.suppress(OSError):
                self._socket.sendto(packet, self.towards)
            sequence += 1
