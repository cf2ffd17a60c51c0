"""Connections to the API: bounded in number, and in the time that one may take for the head of a request.

uvicorn counts connections against its limit whether or not anybody asks for anything on them, and waits for the first
request, and for the end of a request's head, for ever: a thousand silent clients would shut all others out.
"""

import asyncio
import json
import logging
import math
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
except ImportError:  # without the extra `speed`
    from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol  # type: ignore[assignment]

from api.http.clients import Clients
from api.http.errors import ApiError, envelope, http_status
from api.http.exchange import Exchange
from api.http.requests import HEADERS, new_request_id

MOST_CONNECTIONS: Final = 1000
"""Beyond it, a new connection takes the place of one that has not asked for anything yet."""
HEAD_WITHIN: Final = 10.0
"""Seconds from the beginning of a connection, or of the next request on it, to the end of the request's head."""
LARGEST_HEAD: Final = 64 * 1024
"""Bytes of a request's head; one that comes in a single piece may have as many as the socket hands over at once."""


# uvicorn warns of whatever anybody sends it, a line or two for each request: what is refused is told at a bounded rate.
_FAULTS: Final = logging.getLogger("uvicorn.error.connection")
_FAULTS.setLevel(logging.ERROR)

Told = Callable[[Exchange, str, str, int], None]
"""Told of what is refused before it is a request (`api.http.refusals.Refusals.tell`)."""


def nobody_told(_exchange: Exchange, _method: str, _path: str, _status: int) -> None:
    """Nobody wants to know."""


class Connection(Protocol):
    """One connection of a client."""

    def __init__(self, *arguments: Any, told: Told = nobody_told, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = _FAULTS
        self._told = told

    began = math.inf
    """When it began to owe us the head of a request, on the loop's clock; infinite while it owes none."""
    _head = 0  # bytes of a head that is not whole yet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Come in, if need be in another's place."""
        super().connection_made(transport)
        self.began = self.loop.time()
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        super().data_received(data)
        if self.began == math.inf:
            self.began = self.loop.time()
        self._head = self._head + len(data) if self.waits else 0
        if self._head > LARGEST_HEAD and not self.transport.is_closing():
            most = f"the head of the request is larger than {LARGEST_HEAD // 1024} KiB"
            self._refuse(ApiError("REQUEST_TOO_LARGE", f"{most}; send less in its address and its headers"))

    def send_400_response(self, msg: str) -> None:
        """uvicorn's words for what it cannot read, in the envelope that all errors have."""
        self._refuse(ApiError("INVALID_REQUEST_PARAMETER", msg))

    def _refuse(self, error: ApiError) -> None:
        exchange = Exchange(new_request_id(), Clients.peer(self.client), reason=error.reason)
        body, code = json.dumps(envelope(error, exchange.request_id)), HTTPStatus(http_status(error))
        self._told(exchange, "", "", code.value)
        head = [f"HTTP/1.1 {code.value} {code.phrase}", "content-type: application/json", "connection: close"]
        head += [f"{name.decode()}: {value.decode()}" for name, value in HEADERS.items()]
        head += [f"x-request-id: {exchange.request_id}", f"content-length: {len(body)}"]
        self.transport.write("\r\n".join([*head, "", body]).encode("ascii"))
        self.transport.close()

    def on_response_complete(self) -> None:
        """Nothing is owed; uvicorn closes it when nothing comes for a while."""
        self.began = math.inf
        super().on_response_complete()

    @property
    def waits(self) -> bool:
        """Whether no request has come, or none since the last answer."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        """End the one that has kept us waiting longest. What is being answered stays."""
        others = [other for other in self.connections if other is not self and isinstance(other, Connection)]
        idle = [other for other in others if other.waits or other.cycle.more_body]
        if idle:
            longest = min(idle, key=lambda other: other.began)
            # Gone from the count at once: uvicorn's own limit would refuse this one's request.
            self.connections.discard(longest)
            longest.transport.abort()


def end_overdue(connections: Iterable[object], now: float) -> None:
    """End those that have not said within HEAD_WITHIN what they want."""
    for connection in list(connections):
        if isinstance(connection, Connection) and connection.waits and now - connection.began > HEAD_WITHIN:
            connection.transport.abort()
