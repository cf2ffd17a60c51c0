"""Session descriptions (RFC 8866): reading and writing. See `engine.sip.sdp.offer_answer` for the negotiation.

A description is kept as its lines: lines that are not understood are written again as they were. Only the `m=` lines
are parsed when a description is read, everything else on demand.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from engine.sip.message.grammar import ParseError, excerpt

MAX_SIZE: Final = 65_535
"""The longest description that is read, in bytes: what one datagram could carry."""

MAX_LINES: Final = 1_000
"""The most lines that are read: what is longer must not hold up everybody else."""

MAX_FORMATS: Final = 256
"""The most formats that one stream may offer; RTP knows 128 payload types."""

_LINE = re.compile(r"([A-Za-z])=([^\r\n\0]*+)\r?+\n")
_WELL_FORMED = re.compile(r"(?:[A-Za-z]=[^\r\n\0]*+\r?+\n)+")
_MEDIA_LINE = re.compile(r"([^ ]+) +([0-9]{1,5})(?:/([0-9]{1,5}))? +([^ ]+)((?: ++[^ ]++)*) *+")
_RTPMAP = re.compile(r"rtpmap: *([0-9]{1,3}) +([^/ ]{1,64})/([0-9]{1,9})(?:/([0-9]{1,3}))? *")
_RTCP = re.compile(r"([0-9]{1,5})(?: +IN +IP[46] +\[?([^ \[\]]{1,255})\]?)?")
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,254}+")
_DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
# RFC 3264 §8.4: the address 0.0.0.0 takes the listening out of whatever is said besides.
_WITHOUT_LISTENING: Final = {"sendrecv": "sendonly", "recvonly": "inactive"}
_NOWHERE: Final = frozenset({"0.0.0.0", "::", "0:0:0:0:0:0:0:0"})

PLAIN_PROFILES: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
"""RTP as it is (RFC 3551), and with feedback (RFC 4585)."""

SECURE_PROFILES: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})
"""SRTP (RFC 3711, RFC 5124) whose keys stand in the description (RFC 4568)."""

_RTP: Final = PLAIN_PROFILES | SECURE_PROFILES | {"UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"}
"""All that is RTP in the end, the keys of WebRTC (RFC 5764) included."""


class Codec(NamedTuple):
    """An RTP payload format.

    Attributes:
        name: As in `a=rtpmap`; compared without regard to case (RFC 8866 §6.6).
        clock_rate: In Hz.
        payload_type: The static number, or the one that our own offers use.
        fmtp: What stands in `a=fmtp` after the number; "" for no such line.
        channels: Of sound.
    """

    name: str
    clock_rate: int
    payload_type: int
    fmtp: str = ""
    channels: int = 1

    def matches(self, other: "Codec") -> bool:
        """Whether both name the same format; the number means nothing."""
        return (
            self.clock_rate == other.clock_rate
            and self.channels == other.channels
            and (self.name == other.name or self.name.lower() == other.name.lower())
        )

    @property
    def is_events(self) -> bool:
        """Whether it carries keys (RFC 4733) and no sound."""
        return self.name.lower() == "telephone-event"


PCMU: Final = Codec("PCMU", 8000, 0)
PCMA: Final = Codec("PCMA", 8000, 8)
G722: Final = Codec("G722", 8000, 9)
"""Its clock is 8000 by a historic error: its sound has 16 kHz (RFC 3551 §4.5.2)."""
OPUS: Final = Codec("opus", 48000, 111, "", 2)
"""Always written with two channels; what is sent is mono as long as nobody says `stereo=1` (RFC 7587 §7)."""
TELEPHONE_EVENT: Final = Codec("telephone-event", 8000, 101, "0-16")
TELEPHONE_EVENT_48000: Final = Codec("telephone-event", 48000, 102, "0-16")
"""Events run on the clock of the sound that they stand beside (RFC 4733 §2.5.1.2): these beside Opus."""

# RFC 3551 §6, table 4: payload types that mean something without an rtpmap.
_STATIC: Final = {
    str(codec.payload_type): codec
    for codec in (
        PCMU,
        Codec("GSM", 8000, 3),
        Codec("G723", 8000, 4),
        PCMA,
        G722,
        Codec("CN", 8000, 13),
        Codec("G728", 8000, 15),
        Codec("G729", 8000, 18),
    )
}


@lru_cache(maxsize=512)
def _mapped(attribute: str) -> Codec | None:
    """The codec of an `rtpmap` attribute. Remembered: the world's phones write a few dozen of them, over and over."""
    match = _RTPMAP.fullmatch(attribute)
    if match is None or int(match[1]) > 127:
        return None
    number, name, rate, channels = match.groups()
    return Codec(name, int(rate), int(number), "", int(channels or 1))


@lru_cache(maxsize=512)
def attributes_of(codec: Codec) -> tuple[tuple[str, str], ...]:
    """The lines that describe `codec` in a media section: its rtpmap, and its fmtp where it has one."""
    channels = f"/{codec.channels}" if codec.channels != 1 else ""
    rtpmap = ("a", f"rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
    return (rtpmap, ("a", f"fmtp:{codec.payload_type} {codec.fmtp}")) if codec.fmtp else (rtpmap,)


@lru_cache(maxsize=512)
def usable_address(connection: str) -> str:
    """The address in the value of a `c=` line, without TTL, count and brackets; "" where it names none that is of the
    Internet: neither a numeric one nor what could be a name (RFC 8866 §5.7)."""
    parts = connection.split()
    if len(parts) != 3 or parts[0].upper() != "IN" or parts[1].upper() not in ("IP4", "IP6"):
        return ""
    address = parts[2].partition("/")[0]
    if address[:1] == "[" and address[-1:] == "]":
        address = address[1:-1]
    try:
        if ":" in address:
            IPv6Address(address)
        elif address.replace(".", "").isdigit():
            numbers = address.split(".")
            return address if len(numbers) == 4 and all(number and int(number[:9]) < 256 for number in numbers) else ""
        elif not _NAME.fullmatch(address):
            return ""
    except ValueError:
        return ""
    return address


class Origin(NamedTuple):
    """The `o=` line (RFC 8866 §5.2). Numbers stay text: peers send them longer than any integer type."""

    username: str
    session_id: str
    version: str
    address_type: str
    address: str


class _Lines:
    """The lines of a section and what both kinds of sections are asked for."""

    __slots__ = ()
    lines: list[tuple[str, str]]

    def values(self, kind: str) -> Iterator[str]:
        """The values of all lines of one letter, in order."""
        return (value for letter, value in self.lines if letter == kind)

    def attributes(self, name: str) -> Iterator[str]:
        """The values of all `a=name:value` lines, in order; "" for `a=name`."""
        for value in self.values("a"):
            found, _, rest = value.partition(":")
            if found == name:
                yield rest.strip()

    @property
    def direction(self) -> str:
        """`sendrecv`, `sendonly`, `recvonly` or `inactive`, as written in this section; "" where it is not."""
        for letter, value in self.lines:
            if letter == "a" and (value in _DIRECTIONS or value.strip() in _DIRECTIONS):
                return value.strip()
        return ""

    @property
    def connection(self) -> str:
        """The address of this section's first `c=` line that can be used, without TTL and count; "" where there is
        none."""
        return next((address for value in self.values("c") if (address := usable_address(value))), "")


@dataclass(slots=True)
class Media(_Lines):
    """One media section (RFC 8866 §5.14).

    Attributes:
        kind: `audio`, `video`, `image`, ...
        port: 0 for media that is refused or over.
        protocol: `RTP/AVP`, `RTP/SAVP`, `udptl`, ...
        formats: As written: payload types for RTP.
        lines: What follows the `m=` line, as (letter, value).
        port_count: Of consecutive ports; None where not written.
    """

    kind: str
    port: int
    protocol: str
    formats: list[str]
    lines: list[tuple[str, str]] = field(default_factory=list)
    port_count: int | None = None

    def __str__(self) -> str:
        """The value of the `m=` line."""
        count = "" if self.port_count is None else f"/{self.port_count}"
        return " ".join((self.kind, f"{self.port}{count}", self.protocol, *self.formats))

    def milliseconds(self, name: str) -> int:
        """What `a=ptime` or `a=maxptime` says; 0 where nothing, or nothing that can be understood."""
        for value in self.attributes(name):
            whole = value.partition(".")[0]
            if whole.isascii() and whole.isdigit() and len(whole) <= 4:
                return int(whole)
        return 0

    def codecs(self) -> list[Codec]:
        """The formats that are known by an `a=rtpmap` or by their static number, in order (RFC 3264 §5.1)."""
        mapped: dict[str, Codec] = {}
        parameters: dict[str, str] = {}
        for letter, value in self.lines:
            if letter != "a":
                continue
            if value.startswith("rtpmap:"):
                codec = _mapped(value) if len(value) <= 100 else None
                if codec is not None:
                    mapped[str(codec.payload_type)] = codec
            elif value.startswith("fmtp:"):
                number, _, rest = value[5:].strip().partition(" ")
                parameters.setdefault(number, rest.strip())
        codecs = []
        for number in self.formats:
            codec = mapped.get(number) or _STATIC.get(number)
            if codec is not None:
                codecs.append(codec._replace(fmtp=parameters[number]) if parameters.get(number) else codec)
        return codecs


@dataclass(slots=True)
class SessionDescription(_Lines):
    """A session description: the lines before the first `m=`, as (letter, value), and the media sections."""

    lines: list[tuple[str, str]]
    media: list[Media] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        """The description as it goes over the wire; every line ends in CRLF (RFC 8866 §5)."""
        parts = [f"{letter}={value}\r\n" for letter, value in self.lines]
        for media in self.media:
            parts.append(f"m={media}\r\n")
            parts.extend([f"{letter}={value}\r\n" for letter, value in media.lines])
        return "".join(parts).encode("utf-8", "surrogateescape")

    @property
    def origin(self) -> Origin | None:
        """The `o=` line; None where it is missing. ParseError where it is malformed."""
        for value in self.values("o"):
            parts = value.split()
            if len(parts) != 6:
                raise ParseError(f"malformed o= line: {excerpt(value)}")
            return Origin(parts[0], parts[1], parts[2], parts[4], parts[5])
        return None

    def address_of(self, media: Media) -> str:
        """Where `media` is to be sent: its own `c=`, or the session's; "" where neither is there."""
        return media.connection or self.connection

    def direction_of(self, media: Media) -> str:
        """What the author of this description does with `media` (RFC 3264 §5.1, RFC 8866 §6.7), the address 0.0.0.0
        of an older hold included (RFC 3264 §8.4)."""
        direction = media.direction or self.direction or "sendrecv"
        if self.address_of(media) in _NOWHERE:
            direction = _WITHOUT_LISTENING.get(direction, direction)
        return direction

    def rtcp_of(self, media: Media) -> tuple[str, int]:
        """Where RTCP for `media` is to be sent where it shares no port with RTP: its `a=rtcp` (RFC 3605), which may
        have an address of its own, else the port above."""
        for value in media.attributes("rtcp"):
            match = _RTCP.fullmatch(value)
            if match is not None and 0 < int(match[1]) <= 65535:
                return match[2] or self.address_of(media), int(match[1])
        return self.address_of(media), min(media.port + 1, 65535)

    def audio(self) -> Media | None:
        """The first audio section that is in use and of an RTP profile; None where there is none."""
        for media in self.media:
            if media.kind.lower() == "audio" and media.port and media.protocol.upper() in _RTP:
                return media
        return None


def parse(body: bytes) -> SessionDescription:
    """The session description in `body`. Lines may end in CRLF or in LF (RFC 8866 §5).

    Real phones leave out `s=` and `t=`, so neither is missed. Raises ParseError: 413 above `MAX_SIZE` and `MAX_LINES`;
    400 for a body that does not begin with `v=0`, for a line without a letter and "=", and for a malformed `m=` line.
    """
    if len(body) > MAX_SIZE:
        raise ParseError(f"session description of {len(body)} bytes", 413)
    if body.count(b"\n") > MAX_LINES:
        raise ParseError(f"session description of more than {MAX_LINES} lines", 413)
    text = body.decode("utf-8", "surrogateescape")
    if not _WELL_FORMED.fullmatch(text):
        text = _well_formed(text)
    session: list[tuple[str, str]] = []
    media: list[Media] = []
    lines = session
    for line in _LINE.findall(text):
        if line[0] == "m":
            section = _parse_media(line[1])
            media.append(section)
            lines = section.lines
        else:
            lines.append(line)
    if not session or session[0][0] != "v" or session[0][1].strip() != "0":
        raise ParseError("a session description begins with v=0")
    return SessionDescription(session, media)


def _well_formed(text: str) -> str:
    """`text` without blank lines and with an end to its last line, which is all that is put right here."""
    lines = [line for line in text.split("\n") if line.strip(" \t\r")]
    text = "\n".join(lines) + "\n"
    if not _WELL_FORMED.fullmatch(text):
        wrong = next((line for line in lines if not _LINE.fullmatch(line + "\n")), "")
        raise ParseError(f"not a line of a session description: {excerpt(wrong)}")
    return text


def _parse_media(value: str) -> Media:
    match = _MEDIA_LINE.fullmatch(value)
    if match is None:
        raise ParseError(f"malformed m= line: {excerpt(value)}")
    kind, port, count, protocol, formats = match.groups()
    if int(port) > 65535:
        raise ParseError(f"port above 65535 in m= line: {excerpt(value)}")
    texts = formats.split()
    if len(texts) > MAX_FORMATS:
        raise ParseError(f"more than {MAX_FORMATS} formats in m= line: {excerpt(value)}")
    if not texts and port != "0":
        raise ParseError(f"m= line without a format: {excerpt(value)}")
    return Media(kind, int(port), protocol, texts, [], None if count is None else int(count))


def direction(body: bytes) -> str:
    """What the sender of `body` does with its sound: "sendonly" and "inactive" mean that it holds us.

    "inactive" where it has no audio in use. ParseError as `parse`.
    """
    description = parse(body)
    audio = description.audio()
    return "inactive" if audio is None else description.direction_of(audio)
