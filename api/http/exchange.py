"""One request, and what is found out about it on its way: for its limits, its answer and its line in the log."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from starlette.requests import Request

_SCOPE = "trunkline.exchange"


class Recognised(Protocol):
    """Whose credentials are good, as `api.http.auth` knows it."""

    @property
    def customer_id(self) -> UUID: ...
    @property
    def agent_id(self) -> UUID: ...
    @property
    def key_id(self) -> UUID | None: ...


@dataclass(slots=True)
class Exchange:
    """What `api.http.requests` begins, and everybody who has the request adds to.

    Attributes:
        request_id: In the answer, and in every line of the log.
        address: Who asks: the peer, or whom a trusted proxy asks for.
        caller: Whose credentials were good; None where none were.
        accepted: What was shown was good, though there is no caller: a login.
        counted: It has been counted against its address already.
        wait: Seconds after which the address may ask without good credentials; 0 while it may.
        reason: Why it is refused; "" where it is not.
    """

    request_id: str
    address: str
    caller: Recognised | None = None
    accepted: bool = False
    counted: bool = False
    wait: float = 0.0
    reason: str = ""


def begin(scope: MutableMapping[str, Any], exchange: Exchange) -> None:
    """Let everybody who has the request find it."""
    scope[_SCOPE] = exchange


def exchange_of(request: Request) -> Exchange:
    """What is known of a request."""
    found: Exchange | None = request.scope.get(_SCOPE)
    return found or Exchange("", "")


__all__ = ["Exchange", "Recognised", "begin", "exchange_of"]
