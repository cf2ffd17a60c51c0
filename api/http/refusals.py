"""The log's lines of refused requests: whoever quotes the request_id of an answer is found with it."""

from collections.abc import Callable
from typing import Final

import structlog

from api.http.exchange import Exchange
from api.http.tokens import without_keys
from engine.rate_limit import RateLimit
from engine.sip.peers import counted_source
from flows.faults import printable

LONGEST_PATH: Final = 200


class Refusals:
    """One line for each refusal, at `info`. So often for each customer, for each stranger's address and for all
    strangers together, and no oftener: what is left out is counted, and the next line tells. `clock`: monotonic
    seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._customers = RateLimit(50.0, 200)
        self._strangers = RateLimit(2.0, 20)
        self._all_strangers = RateLimit(20.0, 200)
        self._unlogged = 0

    def tell(self, exchange: Exchange, method: str, path: str, status: int) -> None:
        """A request was refused."""
        caller = exchange.caller
        if not self._allowed(exchange):
            self._unlogged += 1
            return
        who: dict[str, object] = {}
        if caller is not None:
            who["customer"] = str(caller.customer_id)
            if caller.key_id is not None:
                who["key"] = str(caller.key_id)
            else:
                who["agent"] = str(caller.agent_id)
        if self._unlogged:
            who["unlogged"], self._unlogged = self._unlogged, 0
        structlog.get_logger().info(
            "request refused",
            request_id=exchange.request_id,
            reason=exchange.reason,
            status=status,
            method=printable(method, 20),
            path=printable(without_keys(path), LONGEST_PATH),  # without the query: it may hold a key
            **who,
            address=printable(exchange.address),
        )

    def _allowed(self, exchange: Exchange) -> bool:
        now = self._clock()
        if exchange.caller is not None:
            return self._customers.allows(str(exchange.caller.customer_id), now)
        return self._strangers.allows(counted_source(exchange.address), now) and self._all_strangers.allows("", now)


__all__ = ["Refusals"]
