"""Trace: the last SIP messages as raw bytes, in a bounded ring."""

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from engine.sip.flow import Flow

LONGEST = 8192  # bytes kept of one message: with the number of messages, this bounds the memory

# Call-ID or its short form, the only header by which a message belongs to a call.
_CALL_ID = re.compile(rb"\r\n(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)


class Traced(NamedTuple):
    """One message on the wire. `time` is monotonic seconds; `inbound` says which way it went."""

    time: float
    inbound: bool
    flow: Flow
    data: bytes


class Trace:
    """A ring of so many messages; with 0 nothing is kept."""

    __slots__ = ("_ring",)

    def __init__(self, messages: int = 10_000) -> None:
        self._ring: deque[tuple[float, bool, Flow, bytes]] = deque(maxlen=messages)

    def add(self, now: float, inbound: bool, flow: Flow, data: bytes) -> None:
        """Keep one message; the oldest makes room."""
        self._ring.append((now, inbound, flow, data if len(data) <= LONGEST else data[:LONGEST]))

    def __len__(self) -> int:
        return len(self._ring)

    def __iter__(self) -> Iterator[Traced]:
        return (Traced(*entry) for entry in self._ring)

    @property
    def since(self) -> float | None:
        """The time of the oldest message, where older ones have made room; None: none has."""
        ring = self._ring
        return ring[0][0] if ring and len(ring) == ring.maxlen else None

    def of_calls(self, call_ids: set[str]) -> list[Traced]:
        """The messages of some Call-IDs, oldest first."""
        wanted = {call_id.encode("utf-8", "surrogateescape") for call_id in call_ids}
        found = []
        for entry in self._ring:
            data = entry[3]
            # Most are another call's, and to see that takes no pattern. A short Call-ID stands in many a message.
            if any(call_id in data for call_id in wanted) and call_id_of(data) in wanted:
                found.append(Traced(*entry))
        return found


def call_id_of(data: bytes) -> bytes:
    """The Call-ID of a message as it is on the wire; empty where there is none."""
    match = _CALL_ID.search(data)
    return match[1] if match else b""
