"""Session descriptions (RFC 8866) and the offer/answer exchange for one audio stream (RFC 3264).

A description is kept as its lines: what is not understood here stays where it is and is written again as it was. Only
the `m=` lines are taken apart when a description is read; everything else when something asks for it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from engine.sip.grammar import ParseError, excerpt

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
_DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
# RFC 3264 §6.1: what the answerer may say to each of the offerer's words.
_MIRRORED: Final = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
# RFC 3264 §8.4: the address 0.0.0.0 takes the listening out of whatever is said besides.
_WITHOUT_LISTENING: Final = {"sendrecv": "sendonly", "recvonly": "inactive"}
_NOWHERE: Final = frozenset({"0.0.0.0", "::", "0:0:0:0:0:0:0:0"})
_PROFILES: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
_NOT_ACCEPTABLE: Final = 488


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


PCMU: Final = Codec("PCMU", 8000, 0)
PCMA: Final = Codec("PCMA", 8000, 8)
G722: Final = Codec("G722", 8000, 9)
"""Its clock is 8000 by a historic error: its sound has 16 kHz (RFC 3551 §4.5.2)."""
OPUS: Final = Codec("opus", 48000, 111, "useinbandfec=1", 2)
"""Always written with two channels; what is sent is mono as long as nobody says `stereo=1` (RFC 7587 §7)."""
TELEPHONE_EVENT: Final = Codec("telephone-event", 8000, 101, "0-16")
_EVENTS: Final = "telephone-event"

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
def _attributes_of(codec: Codec) -> tuple[tuple[str, str], ...]:
    channels = f"/{codec.channels}" if codec.channels != 1 else ""
    rtpmap = ("a", f"rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
    return (rtpmap, ("a", f"fmtp:{codec.payload_type} {codec.fmtp}")) if codec.fmtp else (rtpmap,)


class Origin(NamedTuple):
    """The `o=` line (RFC 8866 §5.2). Numbers stay text: peers send them longer than any integer type."""

    username: str
    session_id: str
    version: str
    address_type: str
    address: str


class RemoteAudio(NamedTuple):
    """Where and how a peer wants its sound.

    Attributes:
        address: Numeric, IPv6 without brackets, or a name where the peer wrote one.
        port: Of RTP.
        codecs: In the peer's order, each with the peer's number; telephone-event is not among them.
        telephone_event: The number for RFC 4733 events; None where the peer takes none.
        direction: As the peer means it, seen from its side: "sendonly" is a peer that holds us.
        ptime: Milliseconds of sound in a packet; 0 where the peer says nothing.
    """

    address: str
    port: int
    codecs: tuple[Codec, ...]
    telephone_event: int | None
    direction: str
    ptime: int


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
        """The address of this section's first `c=` line, without TTL and count; "" where there is none.

        Raises ParseError where the line is malformed (RFC 8866 §5.7).
        """
        for letter, value in self.lines:
            if letter != "c":
                continue
            parts = value.split()
            if len(parts) != 3 or parts[0].upper() != "IN" or parts[1].upper() not in ("IP4", "IP6"):
                raise ParseError(f"malformed c= line: {excerpt(value)}")
            address = parts[2].partition("/")[0]
            return address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
        return ""


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

    def audio(self) -> Media | None:
        """The first audio section that is in use and of a plain RTP profile; None where there is none."""
        for media in self.media:
            if media.kind.lower() == "audio" and media.port and media.protocol.upper() in _PROFILES:
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


def remote_audio(description: SessionDescription) -> RemoteAudio | None:
    """Where the author of `description` wants to be sent sound; None when it has no audio in use, or no codec of it
    is known by name. ParseError(400) when the address is missing or malformed."""
    media = description.audio()
    if media is None:
        return None
    address = description.address_of(media)
    if not address:
        raise ParseError("audio without a c= line")
    known = media.codecs()
    codecs = tuple(codec for codec in known if codec.name.lower() != _EVENTS)
    if not codecs:
        return None
    return RemoteAudio(
        address, media.port, codecs, _events_for(codecs[0], known), description.direction_of(media), _ptime(media)
    )


def _events_for(codec: Codec, known: Sequence[Codec]) -> int | None:
    # RFC 4733 §2.5.1.2: events run on the clock of the sound that they stand beside.
    for events in known:
        if events.name.lower() == _EVENTS and events.clock_rate == codec.clock_rate:
            return events.payload_type
    return None


def _ptime(media: Media) -> int:
    for value in media.attributes("ptime"):
        whole = value.partition(".")[0]
        if whole.isascii() and whole.isdigit() and len(whole) <= 4:
            return int(whole)
    return 0


def offer_audio(
    codecs: Sequence[Codec],
    host: str,
    port: int,
    *,
    session_id: int,
    version: int,
    ptime: int = 20,
    direction: str = "sendrecv",
) -> SessionDescription:
    """An offer of one audio stream (RFC 3264 §5), codecs in our order.

    `host` is a numeric address without brackets, `ptime` in ms (0: not said). `session_id` and `version` fill `o=`; see
    `successor` for a later offer of the same session.
    """
    media = Media("audio", port, "RTP/AVP", [str(codec.payload_type) for codec in codecs])
    _describe(media, codecs, str(ptime) if ptime else "", direction)
    return SessionDescription([*_session_lines(host, session_id, version), ("t", "0 0")], [media])


def answer_audio(
    offer: SessionDescription,
    codecs: Sequence[Codec],
    host: str,
    port: int,
    *,
    session_id: int,
    version: int,
    direction: str = "sendrecv",
    rtcp_mux: bool = False,
) -> SessionDescription:
    """The answer that takes the offer's first usable audio stream and refuses everything else (RFC 3264 §6).

    The accepted codecs stand in the offerer's order under the offerer's numbers; ours are matched by name and clock.
    `direction` is what we would do if asked for both ways. `rtcp_mux`: agree where it is offered (RFC 5761 §5.1.1).

    Raises ParseError(488): no audio, only profiles that are not ours (RTP/SAVP), no codec in common, no address.
    """
    accepted, shared = _acceptable(offer, codecs)
    answer = SessionDescription(_session_lines(host, session_id, version))
    # RFC 3264 §6: the answer's t= lines are the offer's.
    answer.lines.extend([("t", value) for value in offer.values("t")] or [("t", "0 0")])
    for media in offer.media:
        if media is not accepted:
            answer.media.append(Media(media.kind, 0, media.protocol, list(media.formats)))
            continue
        taken = Media(media.kind, port, media.protocol, [str(codec.payload_type) for codec in shared])
        ptime = next((value for value in media.attributes("ptime") if value), "")
        _describe(taken, shared, ptime, _narrowed(_MIRRORED[offer.direction_of(media)], direction))
        if rtcp_mux and any(True for _ in media.attributes("rtcp-mux")):
            taken.lines.append(("a", "rtcp-mux"))
        answer.media.append(taken)
    return answer


def _acceptable(offer: SessionDescription, codecs: Sequence[Codec]) -> tuple[Media, list[Codec]]:
    fault = "no audio in the offer"
    for media in offer.media:
        if media.kind.lower() != "audio" or not media.port:
            continue
        if media.protocol.upper() not in _PROFILES:
            fault = f"audio is offered as {excerpt(media.protocol)} only"
            continue
        if not offer.address_of(media):
            fault = "audio without a c= line"
            continue
        shared = _in_common(media.codecs(), codecs)
        if shared:
            return media, shared
        fault = "no codec in common"
    raise ParseError(fault, _NOT_ACCEPTABLE)


def _in_common(offered: Sequence[Codec], ours: Sequence[Codec]) -> list[Codec]:
    shared = []
    for codec in offered:
        mine = next((mine for mine in ours if mine.matches(codec)), None)
        if mine is not None:
            shared.append(codec if codec.fmtp == mine.fmtp else codec._replace(fmtp=mine.fmtp))
    clocks = {codec.clock_rate for codec in shared if codec.name.lower() != _EVENTS}
    return [codec for codec in shared if codec.clock_rate in clocks]


def _narrowed(one: str, other: str) -> str:
    """What remains of two directions when both must agree."""
    sends = one in ("sendrecv", "sendonly") and other in ("sendrecv", "sendonly")
    receives = one in ("sendrecv", "recvonly") and other in ("sendrecv", "recvonly")
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _describe(media: Media, codecs: Sequence[Codec], ptime: str, direction: str) -> None:
    for codec in codecs:
        media.lines.extend(_attributes_of(codec))
    if ptime:
        media.lines.append(("a", f"ptime:{ptime}"))
    media.lines.append(("a", direction))


def _session_lines(host: str, session_id: int, version: int) -> list[tuple[str, str]]:
    family = "IP6" if ":" in host else "IP4"
    origin = f"- {session_id} {version} IN {family} {host}"
    return [("v", "0"), ("o", origin), ("s", "-"), ("c", f"IN {family} {host}")]


def successor(previous: SessionDescription, current: SessionDescription) -> SessionDescription:
    """`current` as the description that follows our own `previous` in the same session: the session id stays, and the
    version goes up by one if anything else differs, and stays if nothing does (RFC 3264 §8).

    Both need `o=` lines with numbers, as `offer_audio` and `answer_audio` write them; ValueError otherwise.
    """
    before, now = previous.origin, current.origin
    if before is None or now is None:
        raise ValueError("a description of ours has an o= line")
    same = _without_origin(previous) == _without_origin(current) and before.address == now.address
    version = before.version if same else str(int(before.version) + 1)
    origin = f"{before.username} {before.session_id} {version} IN {now.address_type} {now.address}"
    lines = [(letter, origin if letter == "o" else value) for letter, value in current.lines]
    return SessionDescription(lines, current.media)


def _without_origin(description: SessionDescription) -> tuple[list[tuple[str, str]], list[Media]]:
    return [line for line in description.lines if line[0] != "o"], description.media
