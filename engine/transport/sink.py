"""The sink of a transport: given what arrives, and told what failed, from the event loop and never within a send."""

import asyncio
from collections import deque
from typing import Protocol

from engine.sip.flow import Flow
from engine.transport.handshake.faults import HandshakeFault


class Sink(Protocol):
    """The engine, as its transports see it."""

    def received(self, data: bytes, flow: Flow) -> None:
        """One datagram, or one message cut out of a stream. Must not raise."""

    def sent(self, flow: Flow, data: bytes) -> None:
        """A message that a transport was given to send, before it is sent. Must not raise."""

    def known(self, host: str) -> bool:
        """Whether this is a known peer's address: there is room for its connections before strangers'."""

    def banned(self, host: str) -> bool:
        """Whether no connection from this address is taken, and none is kept. `host`: a `Flow.party`."""

    def not_sip(self, flow: Flow, error: str) -> None:
        """A stream holds something else than SIP; its connection is closed. Must not raise."""

    def unframed(self, flow: Flow, head: bytes, error: str) -> None:
        """A message of a stream has no end that could be told; its connection is closed when that is answered. `head`:
        its header. Must not raise."""

    def closed(self, flow: Flow, error: str) -> None:
        """A connection that was up is gone, whichever side closed it and why: for every one but those that end with
        their listener, once, and before `failed`. Must not raise.

        `flow.connection` is the connection that messages came by; nothing can be sent over it any more. `error` says
        in words what happened, "" where we closed it ourselves.
        """

    def insecure(self, flow: Flow, fault: HandshakeFault) -> None:
        """A client's TLS handshake has failed, and its connection is closed where that is `fatal`. Must not raise."""

    def failed(self, flow: Flow, data: bytes | None, error: str) -> None:
        """A message could not be delivered, or a connection broke (RFC 3261 §18.4). Must not raise.

        `data` is the message where it is known. For a datagram that ICMP reports back it is what the ICMP message
        holds of it: the beginning, as a rule at least 500 bytes and sometimes cut before the end of the message.
        `data` is None when a connection was lost and it is not known which messages were lost with it.
        """


class Failures:
    """Collects what failed while something was being sent and tells the sink at the loop's next turn.

    A sink that heard of a failure inside its own `send` would have to be ready for that in the middle of every change
    of state. One handle serves however many failures came together.
    """

    __slots__ = ("_loop", "_sink", "_timer", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, sink: Sink) -> None:
        self._loop = loop
        self._sink = sink
        self._waiting: deque[tuple[Flow, bytes | None, str]] = deque()
        self._timer: asyncio.Handle | None = None

    def add(self, flow: Flow, data: bytes | None, error: str) -> None:
        """`error` is in words, as in "connection refused"; `data` the message where it is known."""
        self._waiting.append((flow, data, error))
        if self._timer is None:
            self._timer = self._loop.call_soon(self._report)

    def _report(self) -> None:
        self._timer = None
        # What fails while these are reported is for the next turn: a sink that sends again to a dead peer from
        # `failed` must not keep the loop here for ever.
        for _ in range(len(self._waiting)):
            self._sink.failed(*self._waiting.popleft())

    def close(self) -> None:
        """Drops what has not been reported: the listener is closing."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
