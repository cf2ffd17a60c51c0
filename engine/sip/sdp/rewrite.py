"""Rewriting of session descriptions for a media relay: addresses and ports are replaced, the rest stays.

What would bypass the relay is removed: candidates (RFC 8839), a bundled port (RFC 9143), a separate RTCP port (RFC
3605). Codecs and attributes that the two sides negotiate are left alone.
"""

from collections.abc import Sequence
from typing import Final

from engine.sip.sdp.description import Media, SessionDescription

NOWHERE: Final = frozenset({"0.0.0.0", "::", "0:0:0:0:0:0:0:0"})
"""Connection addresses that put a call on hold (RFC 3264 §8.4); they are kept as they are."""

_LEADS_AROUND: Final = frozenset(
    {
        "bundle-only",
        "candidate",
        "end-of-candidates",
        "ice-lite",
        "ice-mismatch",
        "ice-options",
        "ice-pacing",
        "ice-pwd",
        "ice-ufrag",
        "remote-candidates",
        "rtcp",
    }
)
_BEFORE_CONNECTION: Final = frozenset("vosiuep")
"""What stands before `c=` in a session's part (RFC 8866 §5)."""

_Lines = list[tuple[str, str]]


def redirect(
    description: SessionDescription, host: str, ports: Sequence[int | None], session_id: int, version: int
) -> bytes:
    """`description` with media to `host` (numeric, no brackets).

    ports: One for each `m=` line; 0 leaves a line that is not in use as it is, None leads where its author said.
    session_id, version: For `o=`, which is ours: its author's would name the author's address. RFC 3264 §8 has the
        version go up with every change.
    """
    held = description.connection in NOWHERE
    written: _Lines = []
    connected = False
    for letter, value in description.lines:
        if letter == "o":
            value = f"- {session_id} {version} IN {_family(host)} {host}"
        elif letter == "c":
            if connected:
                continue
            connected, value = True, _connection(host, held)
        elif not connected and letter not in _BEFORE_CONNECTION:
            connected = True
            written.append(("c", _connection(host, False)))
        if not _leads_around(letter, value):
            written.append((letter, value))
    if not connected:
        written.append(("c", _connection(host, False)))
    sections = [
        _section(description, media, host, port, held) for media, port in zip(description.media, ports, strict=True)
    ]
    return bytes(SessionDescription(written, sections))


def _section(description: SessionDescription, media: Media, host: str, port: int | None, held: bool) -> Media:
    lines: _Lines = []
    if port is None:
        # Nothing of it passes us, so the address has to stay with it.
        address = description.address_of(media)
        lines = [line for line in media.lines if line[0] != "c"]
        if address:
            lines.insert(0, ("c", f"IN {_family(address)} {address}"))
        return Media(media.kind, media.port, media.protocol, media.formats, lines, media.port_count)
    holds = description.address_of(media) in NOWHERE
    if holds != held:
        lines.append(("c", _connection(host, holds)))
    lines += [line for line in media.lines if line[0] != "c" and not _leads_around(*line)]
    return Media(media.kind, port, media.protocol, media.formats, lines)


def _leads_around(letter: str, value: str) -> bool:
    if letter != "a":
        return False
    name, _, rest = value.partition(":")
    return name in _LEADS_AROUND or (name == "group" and rest.lstrip().upper().startswith("BUNDLE"))


def _connection(host: str, held: bool) -> str:
    family = _family(host)
    if held:
        return f"IN {family} {'::' if family == 'IP6' else '0.0.0.0'}"
    return f"IN {family} {host}"


def _family(host: str) -> str:
    return "IP6" if ":" in host else "IP4"
