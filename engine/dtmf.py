"""DTMF: the digits that a peer has pressed, however they came, each counted once; and digits in SIP INFO."""

import asyncio
from collections import deque
from typing import Final

from engine.media.rtp.telephone_event import KEYS

_DIGITS: Final = frozenset(KEYS)

KEPT: Final = 64
"""Keys that wait to be asked for; the oldest give way."""

_SAME: Final = 1.5
"""Seconds within which one press may come by another way once more: an INFO may be sent again before it arrives."""

_REMEMBERED: Final = 16
"""Presses that another way may still bring."""


class DtmfBuffer:
    """One call's digits.

    Phones and gateways send a key by RFC 4733, by INFO, as a tone, or by several of these at once. What one way brings
    is matched with the oldest press that another way has brought and this one has not: "11" by two ways is "11".
    """

    __slots__ = ("_buffer", "_recent", "_stops", "_waiting")

    def __init__(self) -> None:
        self._buffer: deque[str] = deque(maxlen=KEPT)
        self._recent: deque[tuple[str, float, set[str]]] = deque(maxlen=_REMEMBERED)
        self._waiting: list[asyncio.Future[None]] = []
        self._stops: list[tuple[str, asyncio.Future[str]]] = []

    def __len__(self) -> int:
        return len(self._buffer)

    def receive(self, key: str, way: str, now: float) -> bool:
        """The peer has pressed `key`, as `way` says ("rfc4733", "info", "inband"). False where it is known already,
        or where there is no such key."""
        key = key.upper()
        if key not in _DIGITS:
            return False
        for known, when, ways in self._recent:
            if known == key and way not in ways and now - when <= _SAME:
                ways.add(way)
                return False
        self._recent.append((key, now, {way}))
        self._buffer.append(key)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        for until, stop in self._stops:
            if key in until and not stop.done():
                stop.set_result(key)
        return True

    def first_of(self, among: str) -> str:
        """The first key that waits in the buffer and is one of `among`; "" where there is none."""
        return next((key for key in self._buffer if key in among), "")

    def stop_on(self, until: str, future: asyncio.Future[str]) -> None:
        """Resolves `future` with the next key that is one of `until`; the key stays in the buffer."""
        self._stops.append((until, future))

    def cancel_stop(self, future: asyncio.Future[str]) -> None:
        """`future` is not waited for any more."""
        self._stops = [entry for entry in self._stops if entry[1] is not future]

    async def next(self) -> str:
        """The next key, as soon as there is one."""
        while not self._buffer:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            finally:
                if future in self._waiting:
                    self._waiting.remove(future)
        return self._buffer.popleft()

    def clear(self) -> None:
        """Throws away what nobody has asked for."""
        self._buffer.clear()

    def fail(self, error: Exception) -> None:
        """No more digits will come: those who wait get `error`."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_exception(error)


def info_key(content_type: str, body: bytes) -> str:
    """The key that an INFO brings: `Signal=5` and `Duration=160` in application/dtmf-relay, or the bare key in
    application/dtmf. "" for whatever is neither, or names no key. A hook flash (16, !) is none."""
    kind = content_type.partition(";")[0].strip().lower()
    if len(body) > 256:
        return ""
    text = body.decode("latin-1")
    if kind == "application/dtmf-relay":
        lines = (line.partition("=") for line in text.splitlines())
        text = next((value for name, _, value in lines if name.strip().lower() == "signal"), "")
    elif kind != "application/dtmf":
        return ""
    key = text.strip().upper()
    # Cisco's gateways write * and # as the numbers that RFC 4733 gives them.
    key = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}.get(key, key)
    return key if key in _DIGITS else ""


def info_body(key: str, duration: float) -> bytes:
    """The body of an INFO (application/dtmf-relay) that brings `key`, held for `duration` seconds."""
    return f"Signal={key}\r\nDuration={round(duration * 1000)}\r\n".encode("ascii")
