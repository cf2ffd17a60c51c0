"""Messages from the transports, and whose turn it is: known peers at once, strangers in turn for part of the time."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from engine.capture.trace import Trace
from engine.log import Log, RateLimitedLog, RefusalLog
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.peers import Peers, counted_source
from engine.strangers import Strangers
from engine.transport.handshake.faults import HandshakeFault

LIMITED = (b"INVITE ", b"MESSAGE ")  # what the limits of strangers count
REGISTER = b"REGISTER "  # has a limit of its own
IN_DIALOG = (b"ACK ", b"BYE ", b"PRACK ", b"UPDATE ", b"INFO ", b"SIP/2.0 ")  # not CANCEL: its INVITE may still wait
KNOWN_FOR = 1.0
"""Seconds for which it is remembered whether an address is a known peer's."""
MAX_REMEMBERED = 4096
STRANGERS_TURN = 0.002
"""Seconds of each turn of the event loop that strangers' messages may take."""
MAX_QUEUED = 4096
"""Messages of strangers that wait, of all sources together."""
MAX_QUEUED_BYTES = 4 * 2**20
MAX_QUEUED_OF_ONE = 1024
"""Of one source; fewer where there are many sources."""
MAX_WAIT = 2.0
"""Seconds: by then its sender has sent it again (T1), or does not wait for an answer any more."""


class QueuedMessage(NamedTuple):
    """One message, where it came from, and when."""

    data: bytes
    flow: Flow
    since: float


class FairQueue:
    """A queue for each source, served in turn.

    Attributes:
        queues: What waits, by source; the source whose turn it is stands first.
        bytes_held: Octets of all that waits.
        dropped: Messages that found no room, or had waited too long.
    """

    __slots__ = ("_size", "bytes_held", "dropped", "queues")

    def __init__(self) -> None:
        self.queues: dict[str, deque[QueuedMessage]] = {}
        self._size = self.bytes_held = 0
        self.dropped = 0

    def __len__(self) -> int:
        return self._size

    def put(self, source: str, data: bytes, flow: Flow, now: float) -> None:
        """One more message. The oldest of its source makes room for it, or the oldest of whose turn it is."""
        queue = self.queues.get(source)
        if queue is None:
            queue = self.queues[source] = deque()
        elif len(queue) >= MAX_QUEUED_OF_ONE or len(queue) * len(self.queues) >= MAX_QUEUED:
            self._forget(queue)
        queue.append(QueuedMessage(data, flow, now))
        self._size += 1
        self.bytes_held += len(data)
        while self._size > MAX_QUEUED or (self.bytes_held > MAX_QUEUED_BYTES and self._size > 1):
            first = next(iter(self.queues))
            self._forget(self.queues[first])
            if not self.queues[first]:
                del self.queues[first]

    def take(self, now: float) -> QueuedMessage | None:
        """The next message in turn; None where nothing waits."""
        while self.queues:
            source = next(iter(self.queues))
            queue = self.queues.pop(source)
            held = queue.popleft()
            self._size -= 1
            self.bytes_held -= len(held.data)
            if queue:
                self.queues[source] = queue
            if now - held.since <= MAX_WAIT:
                return held
            self.dropped += 1
        return None

    def clear(self) -> None:
        """Nothing waits any more."""
        self.queues.clear()
        self._size = self.bytes_held = 0

    def _forget(self, queue: deque[QueuedMessage]) -> None:
        held = queue.popleft()
        self._size -= 1
        self.bytes_held -= len(held.data)
        self.dropped += 1


class Intake:
    """Hands the messages of the transports to the endpoint; the `Sink` of all listeners.

    Attributes:
        waiting: What strangers have sent and what begins something.
        in_dialog: What belongs to something that has begun: it does not wait behind what has not.
        messages_sent: Retransmissions too.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        peers: Peers,
        strangers: Strangers,
        trace: Trace,
        refusals: RefusalLog,
        log: Log,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self.peers = peers
        self.strangers = strangers
        self.trace = trace
        self.refusals = refusals
        self.log = log
        self.loop = loop
        self.now = now
        self.waiting = FairQueue()
        self.in_dialog = FairQueue()
        self.messages_sent = 0
        self._handshakes_log = RateLimitedLog(now)
        self._known: dict[str, tuple[bool, float]] = {}  # by party: whether known, and until when we say so

    def sent(self, flow: Flow, data: bytes) -> None:
        """See `Sink`."""
        self.messages_sent += 1
        self.trace.add(self.now(), False, flow, data)

    def received(self, data: bytes, flow: Flow) -> None:
        """One message from the network."""
        party = flow.identity or flow.host
        if self.peers.banned(party):
            self.endpoint.counters.banned += 1
            flow.transport.drop(flow)
            return
        now = self.now()
        remembered = self._known.get(party)
        if remembered is None or remembered[1] < now:
            remembered = self._remember(party, now)
        if remembered[0]:
            self.take(data, flow, now)
        elif data.startswith(LIMITED) and self.strangers.exhausted(flow.host, now):
            self.refusals.add("invite_rate_unread", counted_source(flow.host), 0, "requests dropped")
        elif data.startswith(REGISTER) and self.strangers.registers_exhausted(flow.host, now):
            self.refusals.add("register_rate_unread", counted_source(flow.host), 0, "requests dropped")
        else:
            if not self.waiting and not self.in_dialog:
                self.loop.call_soon(self._serve_strangers)
            queue = self.in_dialog if data.startswith(IN_DIALOG) else self.waiting
            queue.put(counted_source(flow.host), data, flow, now)

    def _remember(self, party: str, now: float) -> tuple[bool, float]:
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        found = self._known[party] = (self.peers.known(party), now + KNOWN_FOR)
        return found

    def _serve_strangers(self) -> None:
        """Strangers have their turn: so much time, and then known peers, timers and calls have theirs."""
        began = now = self.now()
        one, other = self.in_dialog, self.waiting
        while now - began < STRANGERS_TURN:
            held = one.take(now) or other.take(now)
            if held is None:
                return
            one, other = other, one
            self.take(held.data, held.flow, now)
            now = self.now()
        if one or other:
            self.loop.call_soon(self._serve_strangers)

    def take(self, data: bytes, flow: Flow, now: float) -> None:
        """One message whose turn it is."""
        self.trace.add(now, True, flow, data)
        try:
            self.endpoint.receive(data, flow, now)
        except Exception:
            # A fault of ours in one call must not cost another call its packet.
            self.log.error("message not handled", source=f"{flow.host}:{flow.port}", exc_info=True)

    def known(self, host: str) -> bool:
        """Whether this is a known peer's address."""
        return self.peers.known(host)

    def banned(self, host: str) -> bool:
        """Whether nothing from this address is looked at."""
        return self.peers.banned(host)

    def not_sip(self, flow: Flow, error: str) -> None:
        """A stream that holds something else than SIP."""
        self.peers.accuse(flow.party, "not_sip")

    def unframed(self, flow: Flow, head: bytes, error: str) -> None:
        """A message of a stream that has no end."""
        now = self.now()
        self.trace.add(now, True, flow, head)
        try:
            self.endpoint.refuse_unframed(head, error, flow)
        except Exception:
            self.log.error("message not handled", source=f"{flow.host}:{flow.port}", exc_info=True)

    def closed(self, flow: Flow, error: str) -> None:
        """A connection is gone."""
        try:
            self.endpoint.closed(flow, error, self.now())
        except Exception:
            self.log.error("lost connection not handled", peer=f"{flow.host}:{flow.port}", exc_info=True)

    def insecure(self, flow: Flow, fault: HandshakeFault) -> None:
        """A client's TLS handshake has failed, or its certificate is worth nothing."""
        if fault.misdeed:
            self.peers.accuse(flow.party, "handshake")
        hint = {"hint": fault.hint} if fault.hint else {}
        event = "TLS handshake failed" if fault.fatal else "client certificate not trusted"
        self._handshakes_log.write(self.log.warning, fault.cause, event, source=flow.host, cause=fault.cause, **hint)

    def failed(self, flow: Flow, data: bytes | None, error: str) -> None:
        """What could not be delivered."""
        try:
            self.endpoint.failed(flow, data, error, self.now())
        except Exception:
            self.log.error("failure not handled", peer=f"{flow.host}:{flow.port}", exc_info=True)

    def close(self) -> None:
        """Nothing waits any more."""
        self.waiting.clear()
        self.in_dialog.clear()
