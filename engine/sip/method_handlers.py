"""The methods that an endpoint serves: who takes their requests, and what Allow says of them (RFC 3261 §8.2.1, §20.5).

A further method is a row: see `engine.sip.endpoint.Endpoint.handle`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from engine.sip.capabilities import ACCEPT_LINES, SUPPORTED_LINE
from engine.sip.flow import Flow
from engine.sip.message.message import METHODS, Request
from engine.sip.transaction.server import ServerTransaction

RequestHandler = Callable[[ServerTransaction, Request, Flow, float], None]
"""Answers a request, now or later: its transaction, the request, where it came from, and the time (s)."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """The one answer to a request.

    Attributes:
        status: Final status.
        headers: Further lines, each ended by CRLF.
        kept: Whether a retransmission is to get the same answer: something came of the request.
        after: Where it may not be said yet: told what to call, with the time, once it may; None: at once.
    """

    status: int
    headers: str = ""
    kept: bool = False
    after: Callable[[Callable[[float], None]], None] | None = None


Answerer = Callable[[Request, Flow, float], Answer]
"""Answers a request at once: it, where it came from, and the time (s)."""

NewRequestHandler = Callable[[Request, Flow, Flow, float], None]
"""Takes a request that has no transaction yet: the request, where it came from, where responses go, and the time
(s)."""


@dataclass(slots=True, frozen=True)
class MethodHandler:
    """What becomes of a method's requests.

    Attributes:
        new: Takes those outside of any dialog.
        limited: Whether each counts as one more call or text: limits apply, and none comes in while calls are drained.
        limited_within: Whether those within a dialog do, too.
        extensions: The option tags that its requests may require, beside those of every request.
    """

    new: NewRequestHandler
    limited: bool = False
    limited_within: bool = False
    extensions: frozenset[str] = frozenset()


class MethodHandlers:
    """All of them, by method. ACK and CANCEL have no row: they belong to an INVITE."""

    __slots__ = ("allow_line", "capabilities", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, MethodHandler] = {}
        self._describe()

    def __setitem__(self, method: str, handler: MethodHandler) -> None:
        self.rows[method] = handler
        self._describe()

    def _describe(self) -> None:
        served = {"ACK", "CANCEL", *self.rows}
        names = [method for method in METHODS if method in served] + sorted(served.difference(METHODS))
        self.allow_line = f"Allow: {', '.join(names)}\r\n"
        self.capabilities = f"{self.allow_line}{ACCEPT_LINES}{SUPPORTED_LINE}"
        """The answer to OPTIONS (§11.2)."""
