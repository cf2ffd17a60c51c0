"""The media of an answered call without a second leg: a description, a real RTP socket behind it, and its echo."""

import asyncio
import random
from collections.abc import Sequence
from itertools import count
from typing import Self

from engine.media import negotiation
from engine.media.echo import EchoCounts, EchoStream
from engine.media.latch import Latch
from engine.media.negotiation import Agreed, NotAcceptable
from engine.media.ports import PortPool, RtpSocket

__all__ = ["MediaPort", "NotAcceptable"]

_BATCH = 16
"""Packets taken in one turn of the loop: a flood to one port must not keep signalling waiting."""

_LARGEST = 1500
"""Octets of the largest datagram that is taken for RTP: no telephone codec fills half of an Ethernet frame."""

_random = random.SystemRandom()  # RFC 3550 §5.1, §8: SSRC and first numbers are not to be guessed
_sessions = count(_random.getrandbits(47))  # RFC 8866 §5.2: no two sessions of ours have the same id


class MediaPort:
    """One call's end of its media. Nothing is registered with the event loop before somebody wants to hear it."""

    __slots__ = (
        "_agreed",
        "_host",
        "_local",
        "_loop",
        "_over",
        "_rtp",
        "_session_id",
        "_stream",
        "_version",
    )

    def __init__(self, rtp: RtpSocket, host: str) -> None:
        """Use `open`."""
        self._rtp: RtpSocket | None = rtp
        self._host = host
        self._session_id = 0
        self._version = 0
        self._local = b""
        self._agreed: Agreed | None = None
        self._stream: EchoStream | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Future[None] | None = None

    @classmethod
    def open(cls, pool: PortPool, host: str, announce: str = "") -> Self:
        """A port on the local address `host`. `announce` is the numeric address that peers are told where it differs
        (behind a NAT, or where `host` is a wildcard). Raises NoPortError when the pool has none left."""
        return cls(pool.acquire(host), announce or host)

    @property
    def port(self) -> int:
        """The RTP port; 0 once closed."""
        return self._rtp.port if self._rtp is not None else 0

    @property
    def local(self) -> bytes:
        """Our last description: what a retransmitted or repeated answer holds. Empty before the first."""
        return self._local

    @property
    def agreed(self) -> Agreed | None:
        """What offer and answer last agreed on; None before."""
        return self._agreed

    @property
    def counts(self) -> EchoCounts:
        """What became of the packets echoed so far."""
        return self._stream.counts if self._stream is not None else EchoCounts()

    @property
    def echoing(self) -> bool:
        """Whether packets are read and sent back."""
        return self._loop is not None

    def answer(self, offer: bytes, now_id: int | None = None) -> bytes:
        """Our answer to an offer, the first or a later one (hold, resume, a changed address).

        `now_id` is the session id of the first description, a number that no other session of ours has (RFC 8866
        §5.2; random where None); later it is not looked at. The version in `o=` goes up by one when anything
        else in our description changes, and only then (RFC 3264 §8). Raises NotAcceptable; nothing has changed then.
        """
        port = self._open_port()
        self._begin(now_id)
        body, agreed = negotiation.answer(offer, self._host, port, self._session_id, self._version)
        self._say(body)
        self._agree(agreed)
        return self._local

    def offer(self, now_id: int | None = None, codecs: Sequence[str] = ()) -> bytes:
        """Our own offer: for a call that we make, or for an INVITE that came without one. `codecs` names them in the
        order wanted (PCMU, PCMA), both where empty. `now_id` as for `answer`."""
        port = self._open_port()
        self._begin(now_id)
        events = self._agreed.events if self._agreed is not None else None
        self._say(negotiation.offer(self._host, port, self._session_id, self._version, codecs, events))
        return self._local

    def accept(self, answer: bytes) -> None:
        """Takes the peer's answer to `offer`. Raises NotAcceptable when there is nothing in it that can be used."""
        self._open_port()
        if not self._local:
            raise RuntimeError("an answer without an offer of ours")
        self._agree(negotiation.accept(self._local, answer))

    def start_echo(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on what arrives goes back to where it comes from. What came earlier is thrown away."""
        self._open_port()
        if self._agreed is None:
            raise RuntimeError("no media has been agreed on yet: answer or accept first")
        if self._loop is not None:
            return
        rtp = self._rtp
        assert rtp is not None
        if self._stream is None:
            numbers = (_random.getrandbits(32), _random.getrandbits(16), _random.getrandbits(32))
            self._stream = EchoStream(*numbers, self._agreed.payload_types, Latch(self._agreed.remote))
            self._stream.listening = self._agreed.listening
        rtp.widen()
        self._loop = loop
        loop.add_reader(rtp.sock, self._readable)

    def stop_echo(self) -> None:
        """Reads no more. Counts and the stream's numbers are kept for a later echo."""
        if self._loop is not None and self._rtp is not None:
            self._loop.remove_reader(self._rtp.sock)
        self._loop = None

    async def echo(self, seconds: float | None = None) -> None:
        """Echoes for `seconds`, or until the port is closed where None. Cancelling it stops it at once."""
        loop = asyncio.get_running_loop()
        self.start_echo(loop)
        self._over = over = loop.create_future()
        try:
            await asyncio.wait((over,), timeout=seconds)
        finally:
            self.stop_echo()

    def close(self) -> None:
        """Gives the socket back and ends an echo that is running. A second time does nothing."""
        if self._rtp is None:
            return
        self.stop_echo()
        self._rtp.release()
        self._rtp = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _open_port(self) -> int:
        if self._rtp is None:
            raise RuntimeError("the media port is closed")
        return self._rtp.port

    def _begin(self, now_id: int | None) -> None:
        if not self._local:
            self._session_id = self._version = next(_sessions) if now_id is None else now_id

    def _say(self, body: bytes) -> None:
        """Makes `body`, written with the version of what we said last, our description."""
        if self._local and body != self._local:
            self._version += 1
            written = b"o=- %d %d " % (self._session_id, self._version - 1)
            body = body.replace(written, b"o=- %d %d " % (self._session_id, self._version), 1)
        self._local = body

    def _agree(self, agreed: Agreed) -> None:
        self._agreed = agreed
        stream = self._stream
        if stream is not None:
            stream.payload_types = agreed.payload_types
            stream.listening = agreed.listening
            stream.latch.retarget(agreed.remote)

    def _readable(self) -> None:
        stream, rtp = self._stream, self._rtp
        assert stream is not None
        assert rtp is not None
        sock = rtp.sock
        for _ in range(_BATCH):
            try:
                data, source = sock.recvfrom(_LARGEST + 1)
            except OSError:  # nothing left; or an ICMP error, cleared by this read: the next packet wakes us again
                return
            if len(data) > _LARGEST:
                stream.counts.garbage += 1
                continue
            packet = stream.receive(data, source[:2])
            if packet is None:
                continue
            try:
                sock.sendto(packet, source)
                stream.counts.returned += 1
            except OSError:  # a full send buffer or no way back: RTP is not repeated
                stream.counts.unsent += 1
