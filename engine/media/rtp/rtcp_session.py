"""RTCP session of one stream (RFC 3550 §6): our reports, the peer's, and the figures that come of both.

Reports go out every five seconds or so, at random so that calls which began together do not report together (§6.2,
§6.3; of two parties nobody waits for a share of the bandwidth, so that nothing is reconsidered), and a BYE at the end.
"""

import socket
from typing import Any, Final

from engine.media.plane import Plane
from engine.media.port_pool import RtpSocket
from engine.media.rtp.agreement import Agreed
from engine.media.rtp.consent import Consent
from engine.media.rtp.latch import Address, Latch, usable
from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.reception import Reception
from engine.media.rtp.rtcp import Bye, ReceiverReport, RtcpError, Sdes, SenderReport, compound, ntp, parse, round_trip
from engine.media.rtp.sender import Sender
from engine.media.rtp.srtp import Srtp, SrtpError

INTERVAL: Final = 5.0
"""Seconds between two reports on average (§6.2: the least that a deployment should choose)."""

_BATCH: Final = 4
_LARGEST: Final = 1500


class RtcpSession:
    """The control half of a stream. It has a socket of its own, on the port above, where RTCP was not muxed.

    Attributes:
        received: Reports of the peer.
        refused: Datagrams that were none: broken, of somebody else, or not of the key that was agreed on.
    """

    __slots__ = (
        "_agreed",
        "_before",
        "_consent",
        "_due",
        "_latch",
        "_name",
        "_open",
        "_plane",
        "_reception",
        "_round_trip",
        "_rtp",
        "_said",
        "_sender",
        "_sock",
        "_srtp",
        "received",
        "refused",
    )

    def __init__(self, rtp: RtpSocket, plane: Plane, sender: Sender, consent: Consent) -> None:
        self._rtp = rtp
        self._plane = plane
        self._sender = sender
        self._consent = consent
        self._agreed: Agreed | None = None
        self._srtp: Srtp | None = None
        self._sock: socket.socket | None = None
        self._open = False
        self._latch = Latch(consent)
        self._reception: Reception | None = None
        self._before = (0, 0)  # packets received and lost before the codec's clock changed
        self._round_trip: float | None = None
        self._name = f"{plane.random.getrandbits(96):024x}"  # RFC 7022 §4.2: nobody is to know whose it is
        self._said = 0  # packets of ours that the last report knew of
        # §6.2: the first one comes after half the time.
        self._due = plane.clock() + plane.random.uniform(0.5, 1.5) * INTERVAL / 2
        self.received = 0
        self.refused = 0

    def open(self) -> None:
        """Begins to report, and to read reports."""
        self._open = True
        agreed = self._agreed
        if agreed is not None and not agreed.rtcp_mux:
            self._open_socket()

    def agree(self, agreed: Agreed, srtp: Srtp | None) -> None:
        """What offer and answer have agreed on now."""
        if self._agreed is None or agreed.codec.clock != self._agreed.codec.clock:
            before, self._reception = self._reception, Reception(agreed.codec.clock)
            if before is not None:  # jitter is counted in units of a clock; packets are not
                self._before = (self._before[0] + before.received, self._before[1] + max(before.lost, 0))
        self._agreed = agreed
        self._srtp = srtp
        self._latch.retarget(agreed.rtcp)
        if agreed.rtcp_mux:
            self._close_socket()
        elif self._open and self._sock is None:
            self._open_socket()

    def _open_socket(self) -> None:
        rtp = self._rtp
        sock = socket.socket(rtp.sock.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((rtp.host, rtp.port + 1))
        except OSError:
            sock.close()  # another program has it: the call does without reports
            return
        self._sock = sock
        self._plane.loop.add_reader(sock.fileno(), self._readable)

    def _close_socket(self) -> None:
        if self._sock is not None:
            self._plane.loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def close(self) -> None:
        """Says goodbye (§6.6) where anything was said before, and gives the socket back."""
        if self._sender.packets or self.received:
            self._send(self._plane.clock(), bye=True)
        self._close_socket()

    # ---- what comes

    def _readable(self) -> None:
        sock, now = self._sock, self._plane.clock()
        for _ in range(_BATCH):
            if sock is None:
                return
            try:
                data, source = sock.recvfrom(_LARGEST + 1)
            except OSError:  # nothing left, or an ICMP error that this read has cleared
                return
            self.receive(data, source[:2], now)

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """One datagram. It has to come from where the peer's RTP or its description is."""
        agreed, target = self._agreed, self._sender.wanted
        hosts = {target[0] if target is not None else "", agreed.rtcp[0] if agreed is not None else ""}
        try:
            if source[0] not in hosts or len(data) > _LARGEST:
                raise RtcpError("not the peer's")
            packets = parse(data if self._srtp is None else self._srtp.unprotect_rtcp(data))
        except (RtcpError, SrtpError):
            self.refused += 1
            return
        if not self._latch.accepts(source):
            self.refused += 1
            return
        self.received += 1
        self._consent.hear(source[0])
        reception = self._reception
        for packet in packets:
            if isinstance(packet, SenderReport) and reception is not None:
                reception.on_sender_report(packet, now)
            if isinstance(packet, SenderReport | ReceiverReport):
                for block in packet.blocks:
                    if block.ssrc == self._sender.ssrc:
                        took = round_trip(block, self._plane.wall())
                        self._round_trip = self._round_trip if took is None else took

    def moved(self) -> None:
        """The peer's RTP comes from somewhere else now: its reports may, too."""
        self._latch.forget()

    def on_packet(self, packet: RtpPacket, event: bool, now: float) -> None:
        """An RTP packet of the peer. Those of a key all have the timestamp of its beginning: their duration makes them
        comparable with sound (RFC 4733 §2.3.5)."""
        timestamp = packet.timestamp
        if event:
            timestamp += int.from_bytes(packet.payload[2:4])
        if self._reception is not None:
            self._reception.receive(packet.ssrc, packet.sequence, timestamp, now)

    # ---- what goes

    def check(self, now: float) -> None:
        """Reports where it is time to."""
        if now >= self._due:
            self._due = now + self._plane.random.uniform(0.5, 1.5) * INTERVAL
            self._send(now)

    def _send(self, now: float, bye: bool = False) -> None:
        agreed, sender = self._agreed, self._sender
        sock = self._sock if self._sock is not None else self._rtp.sock
        if agreed is None or (self._sock is None and not agreed.rtcp_mux):
            return
        # Where both share a port, what is known of RTP's way is known of RTCP's.
        target = self._latch.source or (sender.wanted if agreed.rtcp_mux else usable(agreed.rtcp, self._rtp.host))
        if target is None or not self._consent.allows(target[0]):
            return
        block = self._reception.report(now) if self._reception is not None else None
        blocks = () if block is None else (block,)
        first: SenderReport | ReceiverReport
        if sender.packets != self._said:
            self._said = sender.packets
            stamp = sender.now(self._plane.pacer.frame)
            first = SenderReport(sender.ssrc, ntp(self._plane.wall()), stamp, sender.packets, sender.octets, blocks)
        else:
            first = ReceiverReport(sender.ssrc, blocks)
        names = Sdes(((sender.ssrc, self._name),))
        data = compound(first, names, Bye((sender.ssrc,))) if bye else compound(first, names)
        try:
            sock.sendto(data if self._srtp is None else self._srtp.protect_rtcp(data), target)
        except (OSError, SrtpError):
            return  # the next one says it all again

    def report(self) -> dict[str, Any]:
        """For the record of the call: packets received and lost, jitter, and the round trip where it is known."""
        reception, (received, lost) = self._reception, self._before
        found: dict[str, Any] = {"received": received, "lost": lost, "jitter_ms": 0.0}
        if reception is not None:
            found["received"] += reception.received
            found["lost"] += max(reception.lost, 0)
            found["jitter_ms"] = round(reception.jitter * 1000, 1)
        if self._round_trip is not None:
            found["rtt_ms"] = round(self._round_trip * 1000, 1)
        return found
