"""Descriptions that are refused wherever they come in, before anybody is asked: nobody could use them."""

import re
from typing import Final, NamedTuple

from engine.sip.sdp.description import usable_address

_PLAIN = re.compile(
    rb"(?:[vosiuep]=[^\r\n\0]*+\r\n)*c=IN IP4 (?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?!\r)|(?=\r))){4}\r\n"
)
"""The beginning of a description all of whose streams have an address."""

_STREAM = re.compile(rb"m=[^ ]+ +([0-9]+)")
_TAG = re.compile(rb"a=crypto: *([0-9]{1,9})(?= )")

BAD_REQUEST: Final = 400
NOT_ACCEPTABLE: Final = 488


class Fault(NamedTuple):
    """Why a description is refused, and the status that says so."""

    status: int
    words: str


def find_fault(body: bytes) -> Fault | None:
    """What is wrong with a description that came in; None where it can be looked at.

    400 for NUL, which no line may hold (RFC 8866 §5); 488 for a stream in use without an address that can be one
    (§5.7), and for two keys of a stream under one tag (RFC 4568 §4.1).
    """
    if b"\0" in body:
        return Fault(BAD_REQUEST, "a NUL in the session description")
    if _PLAIN.match(body) and b"a=crypto:" not in body:
        return None
    session, *streams = _sections(body)
    everywhere = _has_address(session)
    for stream in streams:
        described = _STREAM.match(stream[0])
        if described is None or not int(described[1][:9]):
            continue
        if not everywhere and not _has_address(stream):
            return Fault(NOT_ACCEPTABLE, "a stream without a usable c= line")
        tags = [int(found[1]) for line in stream if (found := _TAG.match(line))]
        if len(set(tags)) != len(tags):
            return Fault(NOT_ACCEPTABLE, "two keys of a stream have one tag")
    return None


def _sections(body: bytes) -> list[list[bytes]]:
    """The lines of the session's part, and those of each stream."""
    sections: list[list[bytes]] = [[]]
    for line in body.split(b"\n"):
        if line.startswith(b"m="):
            sections.append([])
        sections[-1].append(line.rstrip())
    return sections


def _has_address(lines: list[bytes]) -> bool:
    return any(usable_address(line[2:].decode("utf-8", "replace")) for line in lines if line[:2] == b"c=")
