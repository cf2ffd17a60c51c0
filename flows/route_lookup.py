"""Routes that have somebody else asked which providers a call is to take: least-cost routing that lives elsewhere."""

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal
from uuid import UUID

from engine.log import Log, RateLimitedLog
from flows.calls.ports import Router
from flows.faults import ActionError
from flows.web import WebhookLimits, WebServices, exchange, url_text
from routing.directory.rows import RouteRow
from routing.hunt.hunt import Hunt
from routing.hunt.looked_up import AskedAttempt, LookupFault, parse_answer
from routing.identifiers import NIL
from routing.models.route_lookup import RouteLookup

LARGEST_ANSWER: Final = 16 * 1024
"""Bytes. Ten attempts take one."""
MOST_KEPT: Final = 10_000
"""Answers that are kept; the one that was used longest ago goes first."""

LookupOutcome = Literal["answered", "kept", "failed"]
_Question = tuple[str, str, str, UUID]


class RouteLookups:
    """Asks, and keeps answers.

    Attributes:
        counts: How many look-ups there were, by how they ended: answered, kept (an earlier answer was still good),
            failed (the routes decide).
    """

    def __init__(self, web: WebServices, router: Router, clock: Callable[[], float], log: Log) -> None:
        """`clock`: monotonic seconds."""
        self._web = web
        self._router = router
        self._clock = clock
        self._log = log
        self._lines = RateLimitedLog(clock)
        self._kept: OrderedDict[_Question, tuple[float, Sequence[AskedAttempt]]] = OrderedDict()
        self.counts: Counter[str] = Counter()

    @property
    def kept(self) -> int:
        """How many answers are kept."""
        return len(self._kept)

    async def ask(self, hunt: Hunt, customer_id: UUID, call_id: str) -> str:
        """Have the hunt follow what its route's look-up says. Where that cannot be had in time, or is not right, it
        stays as the routes have it. What became of it, in words for the call's record; "" where nobody is asked."""
        route = hunt.lookup
        if route is None or route.lookup is None:
            return ""
        where = url_text(route.lookup.url)
        try:
            attempts, outcome = await self._attempts(route, route.lookup, hunt, customer_id)
            hunt.follow(self._router.candidates(route, attempts, customer_id))
        except (LookupFault, ActionError) as error:
            self.counts["failed"] += 1
            self._lines.write(
                self._log.warning,
                where,
                "route look-up failed",
                call_id=call_id,
                route=str(route.id),
                target=route.target,
                url=where,
                cause=str(error)[:300],
            )
            return f"look-up at {where}: {error}; the routes decide"
        self.counts[outcome] += 1
        return f"look-up at {where}: {len(attempts)} attempts{' (kept)' if outcome == 'kept' else ''}"

    async def _attempts(
        self, route: RouteRow, lookup: RouteLookup, hunt: Hunt, customer_id: UUID
    ) -> tuple[Sequence[AskedAttempt], LookupOutcome]:
        caller = hunt.caller.asserted or hunt.caller.number
        question: _Question = (lookup.url, caller, hunt.target, customer_id)
        kept = self._kept.get(question)
        if kept is not None and self._clock() < kept[0]:
            self._kept.move_to_end(question)
            return kept[1], "kept"
        attempts = parse_answer(await self._answer(route, lookup, question))
        if lookup.cache:
            self._kept[question] = (self._clock() + lookup.cache, attempts)
            self._kept.move_to_end(question)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return attempts, "answered"

    async def _answer(self, route: RouteRow, lookup: RouteLookup, question: _Question) -> bytes:
        _, caller, destination, customer_id = question
        if not route.declared and lookup.url[:6].lower() != "https:":
            raise ActionError("only a configuration file may name an address without https")
        private = route.declared or self._web.limits.allow_private
        limits = WebhookLimits(timeout=lookup.timeout, body=LARGEST_ANSWER, allow_private=private)
        asked: dict[str, Any] = {"caller": caller, "destination": destination}
        asked["customer_id"] = None if customer_id == NIL else str(customer_id)
        headers = {"Content-Type": "application/json"}
        status, body = await exchange(
            replace(self._web, limits=limits), "POST", lookup.url, json.dumps(asked).encode(), headers
        )
        if status != 200:
            raise ActionError(f"{url_text(lookup.url)} answered {status}")
        return body
