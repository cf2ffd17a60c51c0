"""OPTIONS outside of a dialog: whether a peer is there (RFC 3261 §11)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.sip.message import Response
from engine.sip.outgoing import OutgoingRequest

if TYPE_CHECKING:
    from engine.sip.endpoint import Endpoint

Answered = Callable[[int, str], None]
"""Status and reason phrase of the final response; 0 and the cause where none came."""


class Ping:
    """One OPTIONS on its way. `tell` is called once."""

    __slots__ = ("_request", "_tell")

    def __init__(self, endpoint: "Endpoint", uri: str, destination: str, domain: str, tell: Answered) -> None:
        """`uri`: the Request-URI; `destination`: the SIP URI that it really goes to; `domain`: host of our From."""
        self._tell: Answered | None = tell
        head = (
            f"Max-Forwards: 70\r\nFrom: <sip:{domain}>;tag={endpoint.token()}\r\nTo: <{uri}>\r\n"
            f"Call-ID: {endpoint.token()}{endpoint.token()}\r\nCSeq: 1 OPTIONS\r\n"
        )
        tail = f"Accept: application/sdp\r\n{endpoint.agent_line}"
        self._request = OutgoingRequest(endpoint, self, "OPTIONS", uri, head, tail, contact=True)
        self._request.send(destination, endpoint.clock())

    def give_up(self, now: float) -> None:
        """Nobody waits any more; nothing is told."""
        self._tell = None
        self._request.abandon(now)

    def on_response(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The response, provisional or final."""
        if response.status >= 200:
            self._told(response.status, response.reason)

    def on_failure(self, request: OutgoingRequest, cause: str, now: float) -> None:
        """None will come."""
        self._told(0, cause)

    def _told(self, status: int, reason: str) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(status, reason)
