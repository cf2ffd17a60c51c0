"""What a transport is to the engine, and the engine to a transport.

`Hop` and `Transport` stand in `engine.sip`, whose messages and transactions name them. UDP and TCP implement
`Transport`; TLS and WebSocket can be added as further implementations without a change here.
"""

from typing import Protocol

from engine.sip.hop import Hop, Transport

__all__ = ["Hop", "Sink", "Transport"]


class Sink(Protocol):
    """The engine's side."""

    def received(self, data: bytes, hop: Hop) -> None:
        """One datagram, or one message cut out of a stream. Must not raise."""

    def known(self, host: str) -> bool:
        """Whether this is a known peer's address: there is room for its connections before strangers'."""

    def banned(self, host: str) -> bool:
        """Whether no connection from this address is taken, and none is kept."""

    def not_sip(self, hop: Hop, error: str) -> None:
        """A stream holds something else than SIP; its connection is closed. Must not raise."""

    def failed(self, hop: Hop, data: bytes | None, error: str) -> None:
        """A message could not be delivered, or a connection broke (RFC 3261 §18.4). Must not raise.

        `data` is the message where it is known. For a datagram that ICMP reports back it is what the ICMP message
        holds of it: the beginning, as a rule at least 500 bytes and sometimes cut before the end of the message.
        `data` is None when a connection was lost and it is not known which messages were lost with it.
        """
