"""Stateless refusals, which strangers get (RFC 3261 §8.2.7, §26.3.2.4).

One answer to one request, the same to its retransmission; its ACK and its CANCEL are ignored. A forged source costs its
owner one packet, and us no memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from engine.sip.message.message import Request

REMEMBERED = 8192
"""Refused calls that are remembered, so that each is counted and logged once; the oldest are forgotten first."""

Admission = Literal["take", "refuse", "drop"]
"""What a limit decides about one more call or text: it comes in, is told to come later (503), or gets no answer."""


@dataclass(slots=True, kw_only=True)
class Refusal:
    """The answer to a request that is refused.

    Attributes:
        status: Final status, 300 or more.
        reason: Its reason phrase; "" is the usual one.
        headers: Further lines, each ended by CRLF.
        cause: Why, as a stable word for counters; "" is the status.
        first: Called where this is the first such refusal of its call, to have it counted and logged.
    """

    status: int
    reason: str = ""
    headers: str = ""
    cause: str = ""
    first: Callable[[], None] | None = None


WAITS = Refusal(status=0)
"""In place of a refusal: it is not decided yet; `Endpoint.decided` is called when it is."""


class Refused:
    """Calls that were refused lately, by source and Call-ID."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], tuple[int, ...]] = {}

    def add(self, host: str, call_id: str, status: int) -> bool:
        """A request of this call was refused: True for the first time with this status."""
        key = (host, call_id)
        known = self._calls.get(key, ())
        if status in known:
            return False
        if not known and len(self._calls) >= REMEMBERED:
            del self._calls[next(iter(self._calls))]
        self._calls[key] = (*known[-7:], status)
        return True

    def __contains__(self, call: tuple[str, str]) -> bool:
        return call in self._calls

    def __len__(self) -> int:
        return len(self._calls)


def tag_of(request: Request, secret: bytes) -> str:
    """The To tag of every answer to this request and to its retransmissions (§8.2.7); no one else can guess it (§19.3).

    `secret`: 64 bytes at the most, secret.
    """
    first = request.first
    text = f"{first.get('Via')}\0{first.get('Call-ID')}\0{first.get('CSeq')}"
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8, key=secret).hexdigest()
