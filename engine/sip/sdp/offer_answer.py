"""The offer/answer exchange for one audio stream (RFC 3264): our offer, our answer, and what follows either."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from engine.sip.message.grammar import ParseError, excerpt
from engine.sip.sdp.description import PLAIN_PROFILES, SECURE_PROFILES, Codec, Media, SessionDescription, attributes_of

# RFC 3264 §6.1: what the answerer may say to each of the offerer's words.
_MIRRORED: Final = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
_BROKEN: Final = 400
_NOT_ACCEPTABLE: Final = 488

# RFC 3261 §20.43: what a Warning header says is wrong with a description.
NO_TRANSPORT: Final = 302
NO_MEDIA: Final = 304
NO_FORMAT: Final = 305
MISCELLANEOUS: Final = 399


class NoAgreement(ParseError):
    """Nothing in an offer can be taken. `warning` is the code for a Warning header (RFC 3261 §20.43)."""

    def __init__(self, message: str, status: int = _NOT_ACCEPTABLE, warning: int = MISCELLANEOUS) -> None:
        super().__init__(message, status)
        self.warning = warning


def offer_audio(
    codecs: Sequence[Codec],
    host: str,
    port: int,
    *,
    session_id: int,
    version: int,
    ptime: int = 20,
    direction: str = "sendrecv",
    crypto: Sequence[str] = (),
    profile: str = "",
) -> SessionDescription:
    """An offer of one audio stream (RFC 3264 §5), codecs in our order.

    `host` is a numeric address without brackets, `ptime` in ms (0: not said). `session_id` and `version` fill `o=`; see
    `successor` for a later offer of the same session. `crypto` are the values of `a=crypto` lines: with any, the
    profile is RTP/SAVP (RFC 4568 §7.1.1) where no other `profile` is given.
    """
    profile = profile or ("RTP/SAVP" if crypto else "RTP/AVP")
    media = Media("audio", port, profile, [str(codec.payload_type) for codec in codecs])
    _describe(media, codecs, str(ptime) if ptime else "", direction)
    media.lines.extend(("a", f"crypto:{value}") for value in crypto)
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
    keys: Callable[[Media], str] | None = None,
    running: bool = False,
) -> SessionDescription:
    """The answer that takes the offer's first usable audio stream and refuses everything else (RFC 3264 §6).

    The accepted codecs stand in the offerer's order under the offerer's numbers; ours are matched by name and clock.
    `direction` is what we would do if asked for both ways. `rtcp_mux`: agree where it is offered (RFC 5761 §5.1.1).

    `keys`, where secure profiles are taken, gives our `a=crypto` value for a stream, "" where it has no keys that can
    be used (RFC 4568 §7.1.2). Keys beside a plain profile are taken as well: phones whose SRTP is optional offer it so.

    `running`: the session has had audio, and an offer may end that by port 0 (§8.2); the answer then takes nothing.

    Raises NoAgreement: 488 for no audio, only profiles that are not ours, no keys, no codec in common, audio
    without an address (RFC 8866 §5.7); 400 for what ends before its `t=` line.
    """
    ends = running and ends_audio(offer)
    accepted, shared, crypto = (None, [], "") if ends else _acceptable(offer, codecs, keys)
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
        if crypto:
            taken.lines.append(("a", f"crypto:{crypto}"))
        if rtcp_mux and any(True for _ in media.attributes("rtcp-mux")):
            taken.lines.append(("a", "rtcp-mux"))
        answer.media.append(taken)
    return answer


def ends_audio(offer: SessionDescription) -> bool:
    """Whether an offer of a session that runs takes its audio away: what it has of it is on port 0 (RFC 3264 §8.2)."""
    streams = [media for media in offer.media if media.kind.lower() == "audio"]
    return bool(streams) and not any(media.port for media in streams)


def _acceptable(
    offer: SessionDescription, codecs: Sequence[Codec], keys: Callable[[Media], str] | None
) -> tuple[Media, list[Codec], str]:
    """The stream that is taken, its codecs, and our crypto attribute for it, "" where it is plain."""
    fault = NoAgreement("no audio in the offer", warning=NO_MEDIA)
    if not offer.media and not any(True for _ in offer.values("t")):
        # RFC 8866 §5.9 wants a t= line. Phones that leave it out do have media: this is the beginning of something.
        fault = NoAgreement("a session description that ends before its t= line", _BROKEN)
    for media in offer.media:
        if media.kind.lower() != "audio" or not media.port:
            continue
        profile = media.protocol.upper()
        secure = keys is not None and profile in SECURE_PROFILES
        if profile not in PLAIN_PROFILES and not secure:
            fault = NoAgreement(f"audio is offered as {excerpt(media.protocol)} only", warning=NO_TRANSPORT)
            continue
        if not offer.address_of(media):
            fault = NoAgreement("audio without a usable c= line")
            continue
        shared = _in_common(media, codecs)
        if not shared:
            fault = NoAgreement("no codec in common", warning=NO_FORMAT)
            continue
        crypto = keys(media) if keys is not None else ""
        if secure and not crypto:
            fault = NoAgreement(f"audio is offered as {excerpt(media.protocol)} without keys that can be used")
            continue
        return media, shared, crypto
    raise fault


def _in_common(media: Media, ours: Sequence[Codec]) -> list[Codec]:
    shared = []
    for codec in media.codecs():
        mine = next((mine for mine in ours if mine.matches(codec)), None)
        if mine is not None:
            shared.append(codec if codec.fmtp == mine.fmtp else codec._replace(fmtp=mine.fmtp))
    clocks = {codec.clock_rate for codec in shared if not codec.is_events}
    # RFC 4733 §2.5.1.2 wants events on the clock of their sound. Phones that offer Opus with events of 8000 alone send
    # those beside it: they are better than none.
    fitting = [codec for codec in shared if codec.clock_rate in clocks]
    return shared if clocks and not any(codec.is_events for codec in fitting) else fitting


def _narrowed(one: str, other: str) -> str:
    """What remains of two directions when both must agree."""
    sends = one in ("sendrecv", "sendonly") and other in ("sendrecv", "sendonly")
    receives = one in ("sendrecv", "recvonly") and other in ("sendrecv", "recvonly")
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _describe(media: Media, codecs: Sequence[Codec], ptime: str, direction: str) -> None:
    for codec in codecs:
        media.lines.extend(attributes_of(codec))
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


_HELD = re.compile(rb"^a=(?:sendonly|recvonly|inactive)[ \t]*(?=\r?$)", re.MULTILINE)


def resumed(body: bytes) -> bytes:
    """The description with `a=sendrecv` in place of hold, for a new partner: whoever held the call is gone."""
    return _HELD.sub(b"a=sendrecv", body)
