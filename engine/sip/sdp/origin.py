"""Descriptions as they go on: whole (RFC 8866 §5), and each the successor of the one before (RFC 3264 §8).

Whoever has written it, a description that we send in a dialog is one of ours: to its peer there is one session, with
one id, whoever it talks with, and a version that only rises. Descriptions are looked at as lines here, not read: what
cannot be understood goes on as it is.
"""

import re
from collections.abc import Callable
from typing import Final

_WHOLE = re.compile(
    rb"v=0\r\no=([^ \r\n\0]++ [0-9]{1,64}+) ([0-9]{1,64}+) ((?i:IN IP[46]) [^ \r\n\0]++)(\r\n"
    rb"s=[^\r\n\0]++\r\n(?:[iuepcb]=[^\r\n\0]*+\r\n)*t=[^\r\n\0]++\r\n)"
)
"""A session's part with all that has to be there; what follows its `o=` begins with group 4."""

_ORDER: Final = b"vosiuepcbtrzk"
"""The lines of a session's part before its attributes; `r=` belongs to the `t=` before it."""
_CONNECTION = re.compile(rb"c=(IN IP[46] [^ \r\n/]+)", re.IGNORECASE)
_PORT = re.compile(rb"(m=[^ ]+) +[0-9]+(?:/[0-9]+)?(?= )")
_ORIGIN = re.compile(rb"o=[^ ]+ [0-9]{1,64} [0-9]{1,64} (?i:IN IP[46]) [^ ]+")


def succeed(previous: bytes, body: bytes, random: Callable[[], float]) -> bytes:
    """`body` as what follows `previous` in a dialog, b"" for its first description: with `s=` and `t=` where they are
    missing, and an `o=` of ours where that is missing or malformed; with the `o=` of `previous`, one version up, where
    it does not follow on that by itself; `previous` again where nothing else differs. `random` (0 to 1) is for an id.
    """
    if body == previous:
        return previous
    found = _WHOLE.match(body)
    if found is None or not body.endswith(b"\r\n"):
        body = _completed(body, random)
        found = _WHOLE.match(body)
    before = _WHOLE.match(previous)
    if found is None or before is None:
        return body
    if body[found.start(4) :] == previous[before.start(4) :]:
        return previous
    if found[1] == before[1] and found[3] == before[3] and int(found[2]) > int(before[2]):
        return body
    return b"v=0\r\no=%b %d %b%b" % (before[1], int(before[2]) + 1, before[3], body[found.start(4) :])


def declined(offer: bytes, previous: bytes) -> bytes:
    """The answer that takes no stream of `offer` (RFC 3264 §6), to go on as what follows `previous`; b"" where nothing
    is offered that can be answered."""
    lines = [line.rstrip(b"\r") for line in offer.split(b"\n")]
    streams = [_PORT.sub(rb"\g<1> 0", line, count=1) for line in lines if _PORT.match(line) and b"\0" not in line]
    if not streams:
        return b""
    session = [line.rstrip(b"\r") for line in previous.split(b"\n") if line[:2] in (b"o=", b"c=")][:2]
    times = [line for line in lines if line.startswith(b"t=") and b"\0" not in line][:1]
    return b"\r\n".join([b"v=0", *session, *times, *streams, b""])


def _completed(body: bytes, random: Callable[[], float]) -> bytes:
    """`body` with all lines that it has to have, those of the session in their order, each ended by CRLF."""
    lines = [line.rstrip(b"\r") for line in body.split(b"\n") if line.strip()]
    at = next((at for at, line in enumerate(lines) if line.startswith(b"m=")), len(lines))
    session, media = lines[:at], lines[at:]
    if not session or session[0].rstrip() != b"v=0":
        return body
    origin = next((line for line in session if _ORIGIN.fullmatch(line.rstrip())), b"")
    session = [line for line in session[1:] if line[:2] not in (b"o=", b"v=") and line not in (b"s=", b"t=")]
    if not origin:
        connection = next((line for line in lines if _CONNECTION.match(line)), b"c=IN IP4 0.0.0.0")
        where = _CONNECTION.match(connection)
        number = int(random() * 2**47)
        origin = b"o=- %d %d %b" % (number, number, where[1] if where is not None else b"IN IP4 0.0.0.0")
    if not any(line.startswith(b"s=") for line in session):
        session.append(b"s=-")
    if not any(line.startswith(b"t=") for line in session):
        session.append(b"t=0 0")
    session.sort(key=_place)
    return b"\r\n".join([b"v=0", origin.rstrip(), *session, *media, b""])


def _place(line: bytes) -> int:
    letter = b"t" if line[:2] == b"r=" else line[:1]
    found = _ORDER.find(letter) if line[1:2] == b"=" else -1
    return len(_ORDER) if found < 0 else found
