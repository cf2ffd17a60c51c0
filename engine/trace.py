"""The last messages that went through: raw bytes in a bounded ring, read only when somebody looks."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from engine.sip.hop import Hop


class Traced(NamedTuple):
    """One message on the wire. `time` is monotonic seconds; `inbound` says which way it went."""

    time: float
    inbound: bool
    hop: Hop
    data: bytes


class Trace:
    """A ring bounded by messages and by bytes."""

    __slots__ = ("_bytes", "_most_bytes", "_ring")

    def __init__(self, messages: int = 10_000, octets: int = 16 * 2**20) -> None:
        self._ring: deque[Traced] = deque(maxlen=messages)
        self._most_bytes = octets
        self._bytes = 0

    def add(self, now: float, inbound: bool, hop: Hop, data: bytes) -> None:
        """Keep one message; the oldest make room."""
        ring = self._ring
        if not ring.maxlen:
            return
        if len(ring) == ring.maxlen:
            self._bytes -= len(ring.popleft().data)
        ring.append(Traced(now, inbound, hop, data))
        self._bytes += len(data)
        while self._bytes > self._most_bytes and len(ring) > 1:
            self._bytes -= len(ring.popleft().data)

    def __len__(self) -> int:
        return len(self._ring)

    def __iter__(self) -> Iterator[Traced]:
        return iter(self._ring)

    def of_calls(self, call_ids: set[str]) -> list[Traced]:
        """The messages of some Call-IDs, oldest first."""
        wanted = [call_id.encode("utf-8", "surrogateescape") for call_id in call_ids]
        return [traced for traced in self._ring if any(call_id in traced.data for call_id in wanted)]
