"""One side of a relay: a pair of ports for each of its streams, and the descriptions that lead there."""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from engine.media.anchor import MediaAddress
from engine.media.port_pool import PortPool, RtpSocket
from engine.media.relay.port import RelayPort
from engine.media.rtp.consent import Consent
from engine.media.rtp.counters import Tally
from engine.media.rtp.latch import Address, spelt, usable
from engine.sip.sdp.description import Media, SessionDescription
from engine.sip.sdp.rewrite import redirect

MAX_STREAMS = 8
"""Streams that one description may have: each costs two pairs of ports."""

_sessions = count(random.SystemRandom().getrandbits(47))  # RFC 8866 §5.2: no two sessions of ours have the same id


class RelayStream:
    """The ports of one `m=` line: RTP, and RTCP on the odd port above it where nobody else has that."""

    __slots__ = ("_lease", "ports")

    def __init__(self, lease: RtpSocket, consent: Consent, media: bool) -> None:
        self._lease = lease
        lease.widen()
        self.ports = [RelayPort(lease.sock, consent, media=media)]
        if media:
            with suppress(OSError):
                self.ports.append(RelayPort(_bound(lease.host, lease.port + 1), consent))

    @property
    def port(self) -> int:
        """The number that goes into descriptions."""
        return self._lease.port

    def aim(self, addresses: Sequence[Address | None]) -> None:
        """Where the side wants RTP and RTCP."""
        for port, address in zip(self.ports, addresses, strict=False):
            port.aim(address)

    def couple(self, other: "RelayStream", loop: asyncio.AbstractEventLoop) -> None:
        """Packets pass between these two from now on."""
        for mine, its in zip(self.ports, other.ports, strict=False):
            mine.couple(its)
            mine.read(loop)
            its.read(loop)

    def close(self) -> None:
        """Gives the ports back."""
        for port in self.ports:
            port.stop()
        for port in self.ports[1:]:
            port.sock.close()
        self.ports = []
        self._lease.release()


class RelaySide:
    """What one side sees of the anchor."""

    __slots__ = ("_pool", "_said", "_session_id", "_tally", "_version", "place", "streams")

    def __init__(self, pool: PortPool, place: MediaAddress) -> None:
        self.place = place
        self.streams: list[RelayStream | None] = []
        """By the place of the `m=` line; None for lines that do not pass us."""
        self._pool = pool
        self._session_id = self._version = next(_sessions)
        self._said = b""
        self._tally = Tally()

    def describe(self, description: SessionDescription) -> bytes:
        """What this side is told of the other's `description`. Raises NoPortError; ValueError for too many streams."""
        if len(description.media) > MAX_STREAMS:
            raise ValueError(f"{len(description.media)} media streams; {MAX_STREAMS} at the most")
        ports: list[int | None] = []
        for index, media in enumerate(description.media):
            if not passes(media):
                ports.append(None)
            elif not media.port:
                ports.append(0)
            else:
                ports.append(self._stream(index, media).port)
        host = self.place.address
        body = redirect(description, host, ports, self._session_id, self._version)
        if self._said and body != self._said:
            self._version += 1
            body = redirect(description, host, ports, self._session_id, self._version)
        self._said = body
        return body

    def prepare(self, description: SessionDescription) -> None:
        """Ports for the streams of this side's own `description`, which the other side's will need. Raises as
        `describe`, which has been called with it."""
        for index, media in enumerate(description.media):
            if media.port and passes(media):
                self._stream(index, media)

    def _stream(self, index: int, media: Media) -> RelayStream:
        streams = self.streams
        streams += [None] * (index + 1 - len(streams))
        stream = streams[index]
        if stream is None:
            stream = RelayStream(self._pool.acquire(self.place.host), self.place.consent, _is_rtp(media))
            streams[index] = stream
        return stream

    def aim(self, description: SessionDescription) -> None:
        """What this side says of itself."""
        pairs = [
            (stream, _addresses(description, media, self.place.host))
            for stream, media in zip(self.streams, description.media, strict=False)
            if stream is not None
        ]
        consent = self.place.consent
        hosts = {address[0] for _, both in pairs for address in both if address is not None}
        consent.describe(hosts)
        for host in hosts & {self.place.host, self.place.address}:
            consent.hear(host)  # another relay of ours: two anchored legs that were joined
        for stream, both in pairs:
            stream.aim(both)

    def drop(self, index: int) -> None:
        """A stream that is not wanted any more."""
        stream = self.stream(index)
        if stream is not None:
            self.streams[index] = None
            stream.close()

    def stream(self, index: int) -> RelayStream | None:
        """The stream of the `m=` line at `index`."""
        return self.streams[index] if index < len(self.streams) else None

    @property
    def packets(self) -> int:
        """What has come from this side and gone on."""
        return sum(port.packets for stream in self.streams if stream is not None for port in stream.ports)

    def report(self) -> dict[str, Any]:
        """What came from this side."""
        ports = [port for stream in self.streams if stream is not None for port in stream.ports]
        names = ("packets", "octets", "strays", "garbage", "unsent")
        return {name: sum(getattr(port, name) for port in ports) for name in names}

    def tell_refused(self, totals: Counter[str]) -> None:
        """Brings `totals` up to date. A side that several relays share is told of by each, and counted once."""
        ports = [port for stream in self.streams if stream is not None for port in stream.ports]
        found = {"strays": sum(port.strays for port in ports), "garbage": sum(port.garbage for port in ports)}
        self._tally.add(found, totals)

    def close(self) -> None:
        """Gives all ports back. A second time does nothing."""
        streams, self.streams = self.streams, []
        for stream in streams:
            if stream is not None:
                stream.close()
        self.place.consent.close()


def passes(media: Media) -> bool:
    """Whether a line is UDP that can be relayed: RTP of any profile, and T.38."""
    return _is_rtp(media) or media.protocol.upper() == "UDPTL"


def _is_rtp(media: Media) -> bool:
    return "RTP/" in media.protocol.upper() and not media.protocol.upper().startswith("TCP/")


def _addresses(description: SessionDescription, media: Media, ours: str) -> tuple[Address | None, Address | None]:
    """Where a side wants RTP and RTCP, as far as that can be reached from `ours`; else it is found when it sends."""
    host = spelt(description.address_of(media))
    rtcp = (host, media.port + 1)
    for value in media.attributes("rtcp"):  # RFC 3605
        words = value.split()
        if words and words[0].isascii() and words[0].isdigit() and len(words[0]) < 6:
            rtcp = (spelt(words[3]) if len(words) == 4 else host, int(words[0]))
    return usable((host, media.port), ours), usable(rtcp, ours)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
