"""The far ends of the engine's streams: what they say, and how they describe themselves."""

import base64
import contextlib
import socket
import time
from multiprocessing.synchronize import Event

import numpy

from engine.media.codec.codec import Codec
from engine.media.codec.registry import by_name
from engine.media.rtp.packet import build
from engine.media.rtp.srtp import AES_80, KEY_LENGTH, Crypto, Keys, Srtp

ENGINE, PEER = "127.0.0.71", "127.0.0.72"
FIRST = 20_000
"""Port of the first voice; the next has the next even one."""
_SLOTS = 10
_KEY = bytes(range(KEY_LENGTH))  # of what the voices send


class Loop:
    """A sound without end: two seconds of noise, encoded once for all calls."""

    __slots__ = ("_at", "_frames")

    def __init__(self, frames: list[bytes], at: int) -> None:
        self._frames = frames
        self._at = at % len(frames)

    def next(self, codec: Codec) -> bytes | None:
        """The next frame, whatever `codec` is: there is one in a run."""
        at = self._at
        self._at = at + 1 if at + 1 < len(self._frames) else 0
        return self._frames[at]


def noise(codec: Codec) -> list[bytes]:
    """Two seconds, a frame each."""
    rng = numpy.random.default_rng(1)
    encoder = codec.encoder()
    return [encoder.encode(rng.integers(-4000, 4000, codec.frame, dtype=numpy.int16)) for _ in range(100)]


def silence(codec: Codec) -> list[bytes]:
    """The same length of nothing."""
    encoder = codec.encoder()
    return [encoder.encode(numpy.zeros(codec.frame, dtype=numpy.int16)) for _ in range(100)]


def description(codec: Codec, port: int, *, srtp: bool = False) -> bytes:
    """The offer of a peer at `port`."""
    number, profile = codec.sdp.payload_type, "RTP/SAVP" if srtp else "RTP/AVP"
    lines = [
        f"v=0\r\no=- 1 1 IN IP4 {PEER}\r\ns=-\r\nc=IN IP4 {PEER}\r\nt=0 0\r\nm=audio {port} {profile} {number}\r\n"
    ]
    channels = f"/{codec.sdp.channels}" if codec.sdp.channels > 1 else ""
    lines.append(f"a=rtpmap:{number} {codec.sdp.name}/{codec.sdp.clock_rate}{channels}\r\n")
    if srtp:
        lines.append(f"a=crypto:1 {AES_80} inline:{base64.b64encode(_KEY).decode()}\r\n")
    return "".join(lines).encode()


def talk(name: str, ports: list[int], size: int, talking: int, srtp: bool, over: Event) -> None:
    """A process that is the voices of all peers: one packet of each in 20 ms, spread over it. Of every `size` peers the
    first `talking` make noise. What comes back to them is read and thrown away."""
    codec = by_name(name)
    assert codec is not None
    loud, quiet, number = noise(codec), silence(codec), codec.sdp.payload_type
    sounds = [loud if place % size < talking else quiet for place in range(len(ports))]
    key = Crypto(1, AES_80, _KEY)
    locks = [Srtp(Keys(key, key)) if srtp else None for _ in ports]
    socks = []
    for place in range(len(ports)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((PEER, FIRST + 2 * place))
        sock.connect((ENGINE, ports[place]))
        sock.setblocking(False)
        socks.append(sock)
    turn, begin = 0, time.monotonic()
    slots = [range(slot, len(ports), _SLOTS) for slot in range(_SLOTS)]
    while not over.is_set():
        frame, slot = divmod(turn, _SLOTS)
        for place in slots[slot]:
            sock, lock, frames = socks[place], locks[place], sounds[place]
            packet = build(number, False, frame & 0xFFFF, frame * codec.step, place + 1, frames[frame % len(frames)])
            with contextlib.suppress(OSError):
                sock.send(packet if lock is None else lock.protect(packet))
            with contextlib.suppress(OSError):
                while sock.recv(2048):
                    pass
        turn += 1
        time.sleep(max(begin + turn * 0.02 / _SLOTS - time.monotonic(), 0))
