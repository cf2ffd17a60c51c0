"""RTCP (RFC 3550 §6): reports built and read, without I/O.

What is read is a compound packet and nothing else: it begins with a report, and the lengths in it fill the datagram to
the octet (RFC 3550 A.2). What each report says beyond RFC 3550 (profile extensions, feedback, XR) is stepped over.
"""

import struct
from dataclasses import dataclass
from typing import Final

VERSION: Final = 2
SR, RR, SDES, BYE = 200, 201, 202, 203
"""Packet types (RFC 3550 §12.1)."""

MAX_BLOCKS: Final = 31
"""Reports, chunks or sources in one packet: the count has five bits."""

_CNAME: Final = 1
_UNIX_TO_NTP: Final = 2_208_988_800
"""Seconds from 1900 to 1970."""

_HEADER = struct.Struct("!BBH")
_BLOCK = struct.Struct("!IIIIII")
_SENDER = struct.Struct("!IQIII")
_WORD = struct.Struct("!I")


class RtcpError(ValueError):
    """A datagram that is no compound RTCP packet; the text says which bound it broke."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says of one source (RFC 3550 §6.4.1). Unsigned numbers, but for `lost`."""

    ssrc: int
    """The source that it is about."""
    fraction: int
    """Lost since the report before, in 1/256."""
    lost: int
    """Lost since the beginning; duplicates make it smaller, down to negative numbers (24 bits, signed)."""
    highest: int
    """Highest sequence number, with the count of its cycles in the upper 16 bits."""
    jitter: int
    """Interarrival jitter in timestamp units."""
    last_report: int = 0
    """The middle 32 bits of the NTP time in the last sender report; 0 where there was none."""
    delay: int = 0
    """Since that report came, in 1/65536 s."""

    def __bytes__(self) -> bytes:
        lost = max(-0x800000, min(self.lost, 0x7FFFFF)) & 0xFFFFFF
        return _BLOCK.pack(
            self.ssrc, self.fraction << 24 | lost, self.highest, self.jitter, self.last_report, self.delay
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """A report of somebody who sends (RFC 3550 §6.4.1)."""

    ssrc: int
    ntp: int
    """Wall clock as 64 bits: seconds since 1900 and their fraction; see `ntp`."""
    timestamp: int
    """The same moment as an RTP timestamp of the stream."""
    packets: int
    octets: int
    """Of payload, since the beginning."""
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        body = _SENDER.pack(self.ssrc, self.ntp, self.timestamp, self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF)
        return _packet(SR, len(self.blocks), body + b"".join(map(bytes, self.blocks)))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """A report of somebody who only listens (RFC 3550 §6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        return _packet(RR, len(self.blocks), _WORD.pack(self.ssrc) + b"".join(map(bytes, self.blocks)))


@dataclass(frozen=True, slots=True)
class Sdes:
    """The canonical names of sources (RFC 3550 §6.5); other items are stepped over."""

    names: tuple[tuple[int, str], ...]
    """(SSRC, CNAME); the name is "" where a source gave none."""

    def __bytes__(self) -> bytes:
        body = b""
        for ssrc, name in self.names:
            text = name.encode("utf-8", "surrogateescape")[:255]
            chunk = _WORD.pack(ssrc) + bytes((_CNAME, len(text))) + text
            body += chunk + bytes(4 - len(chunk) % 4)  # at least one zero ends the list of items
        return _packet(SDES, len(self.names), body)


@dataclass(frozen=True, slots=True)
class Bye:
    """Sources that are over (RFC 3550 §6.6)."""

    ssrcs: tuple[int, ...]
    reason: str = ""

    def __bytes__(self) -> bytes:
        body = b"".join(map(_WORD.pack, self.ssrcs))
        if self.reason:
            text = self.reason.encode("utf-8", "surrogateescape")[:255]
            body += bytes((len(text),)) + text
            body += bytes(-len(body) % 4)
        return _packet(BYE, len(self.ssrcs), body)


Packet = SenderReport | ReceiverReport | Sdes | Bye


def compound(*packets: Packet) -> bytes:
    """One datagram of several packets. ValueError where the first is no report (RFC 3550 §6.1)."""
    if not packets or not isinstance(packets[0], SenderReport | ReceiverReport):
        raise ValueError("a compound packet begins with a report")
    return b"".join(map(bytes, packets))


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a port that carries both is meant as RTCP: types 192 to 223 (RFC 5761 §4)."""
    return len(data) > 1 and 192 <= data[1] <= 223


def parse(data: bytes) -> list[Packet]:
    """The packets of one datagram that are understood, in order. Raises RtcpError for what is no compound packet."""
    packets: list[Packet] = []
    at, size = 0, len(data)
    if not size:
        raise RtcpError("an empty datagram")
    while at < size:
        if size - at < _HEADER.size:
            raise RtcpError(f"{size - at} octets are too few for a header")
        first, kind, words = _HEADER.unpack_from(data, at)
        end = at + 4 + 4 * words
        if first >> 6 != VERSION:
            raise RtcpError(f"version {first >> 6} is not RTCP")
        if at == 0 and kind not in (SR, RR):
            raise RtcpError(f"begins with a packet of type {kind}, not with a report")
        if end > size:
            raise RtcpError("a packet runs past the end")
        body = data[at + 4 : end]
        if first & 0x20:
            if end != size:
                raise RtcpError("padding before the last packet")
            if not body or not 0 < body[-1] <= len(body) or body[-1] % 4:
                raise RtcpError("padding that does not fit")
            body = body[: -body[-1]]
        packet = _read(kind, first & 0x1F, body)
        if packet is not None:
            packets.append(packet)
        at = end
    return packets


def _read(kind: int, count: int, body: bytes) -> Packet | None:
    try:
        if kind == SR:
            ssrc, ntp_time, timestamp, packets, octets = _SENDER.unpack_from(body)
            return SenderReport(ssrc, ntp_time, timestamp, packets, octets, _blocks(count, body, _SENDER.size))
        if kind == RR:
            (ssrc,) = _WORD.unpack_from(body)
            return ReceiverReport(ssrc, _blocks(count, body, _WORD.size))
        if kind == SDES:
            return _sdes(count, body)
        if kind == BYE:
            return _bye(count, body)
    except (struct.error, IndexError):
        raise RtcpError(f"a packet of type {kind} is shorter than what it holds") from None
    return None


def _blocks(count: int, body: bytes, at: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for place in range(count):
        ssrc, lost, *rest = _BLOCK.unpack_from(body, at + place * _BLOCK.size)
        signed = (lost & 0xFFFFFF ^ 0x800000) - 0x800000
        blocks.append(ReportBlock(ssrc, lost >> 24, signed, *rest))
    return tuple(blocks)


def _sdes(count: int, body: bytes) -> Sdes:
    names = []
    at = 0
    for _ in range(count):
        (ssrc,) = _WORD.unpack_from(body, at)
        at += 4
        name = ""
        while (item := body[at]) != 0:
            length = body[at + 1]
            text = body[at + 2 : at + 2 + length]
            if len(text) < length:
                raise RtcpError("a description runs past the end")
            if item == _CNAME:
                name = text.decode("utf-8", "surrogateescape")
            at += 2 + length
        at += 4 - at % 4
        names.append((ssrc, name))
    return Sdes(tuple(names))


def _bye(count: int, body: bytes) -> Bye:
    ssrcs = struct.unpack_from(f"!{count}I", body)
    rest = body[4 * count :]
    if rest and rest[0] >= len(rest):
        raise RtcpError("a reason runs past the end")
    return Bye(ssrcs, rest[1 : 1 + rest[0]].decode("utf-8", "surrogateescape") if rest else "")


def _packet(kind: int, count: int, body: bytes) -> bytes:
    if count > MAX_BLOCKS:
        raise ValueError(f"{count} do not fit in one packet of type {kind}: at most {MAX_BLOCKS}")
    return _HEADER.pack(VERSION << 6 | count, kind, len(body) // 4) + body


def ntp(seconds: float) -> int:
    """A Unix time in seconds as the 64 bits of NTP (RFC 3550 §4)."""
    return int((seconds + _UNIX_TO_NTP) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def round_trip(block: ReportBlock, seconds: float) -> float | None:
    """Seconds to the peer and back, from its block about us that came at the Unix time `seconds`; None where it had no
    report of ours yet, or where the numbers make no sense (RFC 3550 §6.4.1)."""
    if not block.last_report:
        return None
    passed = ((ntp(seconds) >> 16) - block.last_report - block.delay) & 0xFFFFFFFF
    return passed / 65536 if passed < 1 << 20 else None
