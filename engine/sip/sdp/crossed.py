"""Two offers, each answered with the other: for two callers who are to talk with each other (RFC 3264 §6)."""

import re
from typing import Final, Literal

from engine.sip.sdp.description import Media, SessionDescription
from engine.sip.sdp.offer_answer import NO_FORMAT, NO_MEDIA, NoAgreement

_OF_FORMAT: Final = re.compile(r"(?:rtpmap|fmtp|rtcp-fb): *([^ ]+)")


def crossed(offer: SessionDescription, other: SessionDescription, setup: Literal["active", "passive"]) -> bytes:
    """The answer to `offer` that lets its sender talk with whoever has offered `other`. `setup`: the side of DTLS that
    the other one takes (RFC 5763 §5). Raises NoAgreement where the two do not offer the same streams, or have no codec
    in common."""
    if len(offer.media) != len(other.media):
        raise NoAgreement("the two offer different streams", warning=NO_MEDIA)
    for description in (offer, other):
        if any(_direction(description, media) != "sendrecv" for media in description.media):
            raise NoAgreement("one of the two does not both send and receive", warning=NO_MEDIA)
    media = [_answer(one, two, setup) for one, two in zip(offer.media, other.media, strict=True)]
    lines = [line for line in other.lines if not _is(line, "group")] + [
        line for line in offer.lines if _is(line, "group")
    ]
    return bytes(SessionDescription(lines, media))


def _direction(description: SessionDescription, media: Media) -> str:
    """What is said of it; with ICE the address in `c=` means nothing yet (RFC 8839 §4.3.1)."""
    if any(media.attributes("ice-ufrag")) or any(description.attributes("ice-ufrag")):
        return media.direction or description.direction or "sendrecv"
    return description.direction_of(media)


def _answer(offered: Media, other: Media, setup: str) -> Media:
    if (offered.kind, offered.protocol) != (other.kind, other.protocol):
        raise NoAgreement("the two offer different streams", warning=NO_MEDIA)
    known = {str(codec.payload_type): codec for codec in other.codecs()}
    wanted = offered.codecs()
    formats = [one for one in other.formats if one in known and any(known[one].matches(codec) for codec in wanted)]
    if not any(not known[one].is_events for one in formats):
        raise NoAgreement("the two have no codec in common", warning=NO_FORMAT)
    lines = []
    for letter, value in other.lines:
        found = _OF_FORMAT.match(value) if letter == "a" else None
        if found is not None and found[1] not in formats and found[1] != "*":
            continue
        if letter == "a" and value.startswith("setup:"):
            lines.append((letter, f"setup:{setup}"))
        elif not (letter == "a" and value.startswith(("mid:", "extmap:"))):
            lines.append((letter, value))
    lines += [line for line in offered.lines if _is(line, "mid")]
    return Media(other.kind, other.port, other.protocol, formats, lines)


def _is(line: tuple[str, str], name: str) -> bool:
    return line[0] == "a" and line[1].startswith(f"{name}:")
