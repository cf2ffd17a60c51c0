"""Media port: a description, the RTP socket behind it, and its session, for a call without a second leg."""

import random
from collections.abc import Sequence
from itertools import count
from typing import Any, Self

from engine.media import negotiation
from engine.media.codec.codec import Codec
from engine.media.codec.registry import by_name
from engine.media.negotiation import NotAcceptable
from engine.media.plane import Plane
from engine.media.port_pool import PortPool, RtpSocket
from engine.media.rtp.agreement import Agreed
from engine.media.rtp.consent import Consent
from engine.media.rtp.session import RtpSession

__all__ = ["MediaPort", "NotAcceptable"]

_sessions = count(random.SystemRandom().getrandbits(47))  # RFC 8866 §5.2: no two sessions of ours have the same id


class MediaPort:
    """One call's end of its media. Nothing is registered with the event loop before somebody wants to hear it."""

    __slots__ = (
        "_agreed",
        "_codecs",
        "_consent",
        "_host",
        "_local",
        "_rtp",
        "_session_id",
        "_stream",
        "_version",
    )

    def __init__(self, rtp: RtpSocket, host: str, codecs: tuple[Codec, ...], consent: Consent) -> None:
        """Use `open`."""
        self._consent = consent
        self._codecs = codecs
        self._rtp: RtpSocket | None = rtp
        self._host = host
        self._session_id = 0
        self._version = 0
        self._local = b""
        self._agreed: Agreed | None = None
        self._stream: RtpSession | None = None

    @classmethod
    def open(
        cls,
        pool: PortPool,
        host: str,
        announce: str = "",
        codecs: tuple[Codec, ...] = negotiation.CODECS,
        consent: Consent | None = None,
    ) -> Self:
        """A port on the local address `host`. `announce` is the numeric address that peers are told where it differs
        (behind a NAT, or where `host` is a wildcard); `codecs` are those that it speaks, in the order of its offers;
        `consent` knows the peer's signalling, None where there is none: media goes where descriptions say, and comes
        from nowhere else. Raises NoPortError when the pool has none left."""
        return cls(pool.acquire(host), announce or host, codecs, consent or Consent.of_known())

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
    def stream(self) -> RtpSession | None:
        """The media in use; None before `open_stream`, and once closed."""
        stream = self._stream
        return stream if stream is not None and stream.awake else None

    def answer(self, offer: bytes, now_id: int | None = None) -> bytes:
        """Our answer to an offer, the first or a later one (hold, resume, a changed address).

        `now_id` is the session id of the first description, a number that no other session of ours has (RFC 8866
        §5.2; random where None); later it is not looked at. The version in `o=` goes up by one when anything
        else in our description changes, and only then (RFC 3264 §8). Raises NotAcceptable; nothing has changed then.
        """
        port = self._open_port()
        self._begin(now_id)
        body, agreed = negotiation.answer(
            offer, self._host, port, self._session_id, self._version, self._codecs, self._agreed
        )
        self._say(body)
        self._agree(agreed)
        return self._local

    def offer(self, now_id: int | None = None, codecs: Sequence[str] = (), *, srtp: bool = False) -> bytes:
        """Our own offer: for a call that we make, or for an INVITE that came without one. `codecs` names those to offer
        in the order wanted; what we do not speak is left out, and all of ours stand where nothing is left. `now_id` as
        for `answer`. `srtp` offers SRTP alone; media that is protected stays so in any case."""
        port = self._open_port()
        self._begin(now_id)
        named = dict.fromkeys(by_name(name) for name in codecs)
        wanted = [codec for codec in named if codec in self._codecs and codec is not None] or self._codecs
        self._say(negotiation.offer(self._host, port, self._session_id, self._version, wanted, self._agreed, srtp=srtp))
        return self._local

    def accept(self, answer: bytes) -> None:
        """Takes the peer's answer to `offer`. Raises NotAcceptable when there is nothing in it that can be used."""
        self._open_port()
        if not self._local:
            raise RuntimeError("an answer without an offer of ours")
        self._agree(negotiation.accept(self._local, answer))

    def open_stream(self, plane: Plane) -> RtpSession:
        """The media, to play, to listen and to echo; it is opened when it is first asked for."""
        stream = self._stream_of(plane)
        stream.wake()
        return stream

    def keep_alive(self, plane: Plane) -> bool:
        """A packet of silence, where there is anybody to send it to. False where the media is open, and sends its own;
        it need not be opened for this."""
        if self._agreed is None:
            return True
        stream = self._stream_of(plane)
        if not stream.awake:
            stream.keep_alive()
        return not stream.awake

    def _stream_of(self, plane: Plane) -> RtpSession:
        self._open_port()
        if self._agreed is None:
            raise RuntimeError("no media has been agreed on yet: answer or accept first")
        if self._stream is None:
            assert self._rtp is not None
            self._stream = RtpSession(self._rtp, self._agreed, plane, self._consent)
        return self._stream

    def report(self) -> dict[str, Any] | None:
        """What went through it, for the record of the call; None where nobody used it."""
        stream = self._stream
        return stream.report() if stream is not None and stream.awake else None

    def close(self) -> None:
        """Ends the stream and gives the socket back. A second time does nothing."""
        if self._rtp is None:
            return
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._rtp.release()
        self._rtp = None

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
        if self._stream is not None:
            self._stream.agree(agreed)
