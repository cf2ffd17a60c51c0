"""Messages from the transports, and whose turn it is: known peers at once, strangers in turn for part of the time."""

import asyncio
from collections.abc import Callable

from engine.capture.trace import Trace
from engine.log import Log, RefusalLog
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.peers import Peers, counted_source
from engine.strangers import Strangers
from engine.waiting import Waiting

LIMITED = (b"INVITE ", b"MESSAGE ")  # what the limits of strangers count
IN_DIALOG = (b"ACK ", b"BYE ", b"PRACK ", b"UPDATE ", b"INFO ", b"SIP/2.0 ")  # not CANCEL: its INVITE may still wait
KNOWN_FOR = 1.0
"""Seconds for which it is remembered whether an address is a known peer's."""
MOST_REMEMBERED = 4096
STRANGERS_TURN = 0.002
"""Seconds of each turn of the event loop that strangers' messages may take."""


class Intake:
    """Hands the messages of the transports to the endpoint; the `Sink` of all listeners.

    Attributes:
        waiting: What strangers have sent and what begins something.
        in_dialog: What belongs to something that has begun: it does not wait behind what has not.
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
        self.waiting = Waiting()
        self.in_dialog = Waiting()
        self._known: dict[str, tuple[bool, float]] = {}  # whether known, and until when we say so

    def received(self, data: bytes, flow: Flow) -> None:
        """One message from the network."""
        host = flow.host
        if self.peers.banned(host):
            self.endpoint.counters.banned += 1
            flow.transport.drop(flow)
            return
        now = self.now()
        remembered = self._known.get(host)
        if remembered is None or remembered[1] < now:
            remembered = self._remember(host, now)
        if remembered[0]:
            self.take(data, flow)
        elif data.startswith(LIMITED) and self.strangers.exhausted(host, now):
            self.refusals.add("invite_rate_unread", counted_source(host), 0, "requests dropped")
        else:
            if not self.waiting and not self.in_dialog:
                self.loop.call_soon(self._serve_strangers)
            queue = self.in_dialog if data.startswith(IN_DIALOG) else self.waiting
            queue.put(counted_source(host), data, flow, now)

    def _remember(self, host: str, now: float) -> tuple[bool, float]:
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        found = self._known[host] = (self.peers.known(host), now + KNOWN_FOR)
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
            self.take(held.data, held.flow)
            now = self.now()
        if one or other:
            self.loop.call_soon(self._serve_strangers)

    def take(self, data: bytes, flow: Flow) -> None:
        """One message whose turn it is."""
        now = self.now()
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
        self.peers.accuse(flow.host, "not_sip")

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
