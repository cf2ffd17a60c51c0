"""The ng protocol of rtpengine: a command in a datagram, and its answer in another, matched by a cookie.

A command that gets no answer is sent again, with the same cookie: rtpengine remembers what it answered and says it
again, so that a command is carried out once. No thread, no task, no future: an answer is a callback.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.media.rtpengine.bencode import BencodeError, Plain, Value, decode, encode

RETRIES: Final = (0.1, 0.2, 0.3)
"""Seconds after which a command is sent again, each counted from the one before."""

LAST_WAIT: Final = 0.3
"""Seconds that the last time of sending is waited for; 0.9 s in all, so that another instance is asked within one."""

MAX_PENDING: Final = 20_000
"""Commands without an answer; more than this a call rate that can be served does not leave."""

_LARGEST: Final = 65_507  # octets in a UDP datagram

Answer = dict[bytes, Value]
Answered = Callable[[Answer | None, str], None]
"""Told once: the answer, or None and why there is none."""


class _Command:
    __slots__ = ("answered", "data", "timer", "tries")

    def __init__(self, data: bytes, answered: Answered) -> None:
        self.data = data
        self.answered = answered
        self.tries = 0
        self.timer: asyncio.TimerHandle | None = None


class NgClient(asyncio.DatagramProtocol):
    """Commands to one rtpengine.

    Attributes:
        where: `host:port` of the instance.
        unmatched: Datagrams that answered nothing: late, twice, or garbage.
        resent: Commands that were sent again.
        heard: Told when something that answers came from the instance.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.unmatched = 0
        self.resent = 0
        self.heard: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._pending: dict[bytes, _Command] = {}
        # A cookie that cannot be guessed: whoever could would answer in the instance's place.
        self._prefix = os.urandom(8).hex()
        self._count = 0

    @classmethod
    async def open(cls, host: str, port: int, where: str) -> "NgClient":
        """A client for the instance at `host` (numeric) and `port`. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_datagram_endpoint(lambda: cls(where), remote_addr=(host, port))
        return client

    @property
    def pending(self) -> int:
        """Commands without an answer yet."""
        return len(self._pending)

    def ask(self, command: str, arguments: Mapping[str, Plain], answered: Answered) -> None:
        """Send a command. `answered` is told later, and in any case within `sum(RETRIES) + LAST_WAIT`."""
        self._count += 1
        cookie = f"{self._prefix}_{self._count}".encode()
        data = cookie + b" " + encode({"command": command, **arguments})
        entry = _Command(data, answered)
        problem = ""
        if self._transport is None or self._transport.is_closing():
            problem = "the client is closed"
        elif len(self._pending) >= MAX_PENDING:
            problem = "too many commands wait for an answer"
        elif len(data) > _LARGEST:
            problem = "the description is too long for a datagram"
        if problem:
            self._loop.call_soon(answered, None, problem)
            return
        self._pending[cookie] = entry
        self._send(cookie, entry)

    def _send(self, cookie: bytes, entry: _Command) -> None:
        assert self._transport is not None
        wait = RETRIES[entry.tries] if entry.tries < len(RETRIES) else LAST_WAIT
        entry.timer = self._loop.call_later(wait, self._waited, cookie)
        self._transport.sendto(entry.data)

    def _waited(self, cookie: bytes) -> None:
        entry = self._pending[cookie]
        entry.tries += 1
        if entry.tries <= len(RETRIES):
            self.resent += 1
            self._send(cookie, entry)
        else:
            self._finish(cookie, None, "no answer")

    def _finish(self, cookie: bytes, answer: Answer | None, problem: str) -> None:
        entry = self._pending.pop(cookie)
        if entry.timer is not None:
            entry.timer.cancel()
        entry.answered(answer, problem)

    # ---- asyncio.DatagramProtocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        cookie, _, body = data.partition(b" ")
        if cookie not in self._pending:
            self.unmatched += 1
            return
        try:
            answer = decode(body)
        except BencodeError:
            answer = 0
        if not isinstance(answer, dict):
            self.unmatched += 1  # the command is sent again, and perhaps understood then
            return
        if self.heard is not None:
            self.heard()
        self._finish(cookie, answer, "")

    def error_received(self, exc: Exception) -> None:
        """The kernel says that nobody listens there (ICMP): nothing that was sent is answered."""
        if isinstance(exc, ConnectionRefusedError):
            self._fail("nobody listens there")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the client is closed")

    def _fail(self, problem: str) -> None:
        for cookie in list(self._pending):
            if cookie in self._pending:
                self._finish(cookie, None, problem)

    def close(self) -> None:
        """Whoever waits is told; nothing is sent any more."""
        if self._transport is not None:
            self._transport.close()
        self._fail("the client is closed")
