"""Messages of strangers that wait for their turn: sources take turns, so that one that sends much waits for itself."""

from collections import deque
from typing import NamedTuple

from engine.sip.flow import Flow

MOST = 4096  # messages, of all sources together
MOST_BYTES = 4 * 2**20
MOST_OF_ONE = 1024  # of one source; fewer where there are many sources
LONGEST = 2.0  # s: by then its sender has sent it again (T1), or does not wait for an answer any more


class Held(NamedTuple):
    """One message, where it came from, and when."""

    data: bytes
    flow: Flow
    since: float


class Waiting:
    """A queue for each source, served in turn.

    Attributes:
        dropped: Messages that found no room, or had waited too long.
    """

    __slots__ = ("_bytes", "_queues", "_size", "dropped")

    def __init__(self) -> None:
        self._queues: dict[str, deque[Held]] = {}  # the source whose turn it is stands first
        self._size = self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return self._size

    def put(self, source: str, data: bytes, flow: Flow, now: float) -> None:
        """One more message. The oldest of its source makes room for it, or the oldest of whose turn it is."""
        queue = self._queues.get(source)
        if queue is None:
            queue = self._queues[source] = deque()
        elif len(queue) >= MOST_OF_ONE or len(queue) * len(self._queues) >= MOST:
            self._forget(queue)
        queue.append(Held(data, flow, now))
        self._size += 1
        self._bytes += len(data)
        while self._size > MOST or (self._bytes > MOST_BYTES and self._size > 1):
            first = next(iter(self._queues))
            self._forget(self._queues[first])
            if not self._queues[first]:
                del self._queues[first]

    def take(self, now: float) -> Held | None:
        """The next message in turn; None where nothing waits."""
        while self._queues:
            source = next(iter(self._queues))
            queue = self._queues.pop(source)
            held = queue.popleft()
            self._size -= 1
            self._bytes -= len(held.data)
            if queue:
                self._queues[source] = queue
            if now - held.since <= LONGEST:
                return held
            self.dropped += 1
        return None

    def clear(self) -> None:
        """Nothing waits any more."""
        self._queues.clear()
        self._size = self._bytes = 0

    def _forget(self, queue: deque[Held]) -> None:
        held = queue.popleft()
        self._size -= 1
        self._bytes -= len(held.data)
        self.dropped += 1
