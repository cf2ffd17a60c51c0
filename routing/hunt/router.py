"""The router, which plans outgoing calls: which providers may get one, and in which order."""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from uuid import UUID

from routing.access.destinations import explain_destination
from routing.directory.customers import barred, barred_sentence, short_barred
from routing.directory.directory import Directory
from routing.directory.rows import RouteRow
from routing.hunt.candidate import Candidate
from routing.hunt.explanation import Explanation, explain
from routing.hunt.health import HealthBoard
from routing.hunt.hunt import Hunt
from routing.hunt.identity import NO_CALLER, CallerIdentity
from routing.hunt.looked_up import AskedAttempt, read_attempts
from routing.hunt.outcome import BARRED, NOTHING_TO_TRY
from routing.identifiers import NIL
from routing.models.route import prefixes_of_short
from routing.numbers.normalise import DialledNumber, normalise_dialled
from routing.numbers.numbering import is_e164, is_virtual
from routing.numbers.short_numbers import is_emergency, is_short
from routing.settings import RoutingSettings

_DOMAIN = re.compile(r"[A-Za-z0-9.:\[\]-]+")


class Router:
    """Plans calls by the directory's routes and the providers' state. It has no clock and asks no network."""

    def __init__(
        self, directory: Directory, board: HealthBoard, settings: RoutingSettings, rng: random.Random | None = None
    ) -> None:
        """`rng` draws among routes of equal rank; give a seeded one for a repeatable order."""
        self.directory = directory
        self.board = board
        self.settings = settings
        self.rng = rng or random.Random()

    def hunt(
        self,
        target: str,
        *,
        caller: CallerIdentity = NO_CALLER,
        customer_id: UUID = NIL,
        pinned: Sequence[UUID] = (),
        from_domain: str = "",
    ) -> Hunt:
        """The way of a call to `target` (a number in any form) through the providers.

        Numbers of ours and virtual ones get an empty hunt whose `cause` says so, whoever dials them; so does what the
        customer's terms forbid, which is refused with 403.

        pinned: Providers to use in this order, in place of the routes.
        from_domain: Host in From where the provider names none: the engine's own, as this peer sees it.
        """
        domain = from_domain if from_domain and _DOMAIN.fullmatch(from_domain) else self.settings.from_domain
        if not is_e164(target) and is_short(target, self.settings) and not self.directory.own(f"+{target}"):
            return self._short(target, caller, domain, customer_id, pinned)
        number = target if is_e164(target) else normalise_dialled(target, self.settings, self.directory.numbers).number
        if not number:
            return self._empty(target, caller, domain, f"{target!r} is no number", (484, "Address Incomplete"))
        if self.directory.own(number):
            cause = f"{number} is one of our own numbers, which are never sent to a provider"
            return self._empty(number, caller, domain, cause, NOTHING_TO_TRY)
        if is_virtual(number):
            cause = f"{number} is virtual: such numbers are never sent to a provider"
            return self._empty(number, caller, domain, cause, (404, "Not Found"))
        terms = self.directory.customer(customer_id.int)
        if terms is not None and (why := barred(terms, number)):
            self.directory.count_refusal(why)
            return self._empty(number, caller, domain, barred_sentence(terms, number), BARRED)
        if pinned:
            return Hunt(number, caller, domain, self.board, self._pinned(pinned))
        rows = self.directory.routes.order(number, customer_id.int, self.rng)
        asked = None
        if self.directory.routes.lookups and (first := next(rows, None)) is not None:
            rows, asked = chain((first,), rows), first if first.lookup is not None else None
        return Hunt(number, caller, domain, self.board, self._once_each(rows), lookup=asked)

    def _short(
        self, number: str, caller: CallerIdentity, domain: str, customer_id: UUID, pinned: Sequence[UUID]
    ) -> Hunt:
        """A short number goes out as it stands. Nothing keeps an emergency call from being tried but that there is
        nobody to try it with."""
        emergency = is_emergency(number, self.settings)
        terms = self.directory.customer(customer_id.int)
        if terms is not None and (why := short_barred(terms, number, self.settings)):
            self.directory.count_refusal(why)
            return self._empty(number, caller, domain, barred_sentence(terms, number, self.settings), BARRED)
        if pinned:
            candidates = self._pinned(pinned)
        else:
            prefixes = prefixes_of_short(number, self.settings)
            candidates = self._once_each(self.directory.routes.order_of(prefixes, customer_id.int, self.rng))
        return Hunt(number, caller, domain, self.board, candidates, emergency=emergency)

    def _empty(self, number: str, caller: CallerIdentity, domain: str, cause: str, answer: tuple[int, str]) -> Hunt:
        return Hunt(number, caller, domain, self.board, iter(()), cause=cause, refusal=answer)

    def _once_each(self, rows: Iterator[RouteRow]) -> Iterator[Candidate]:
        trunk = self.directory.trunk
        seen: set[int] = set()
        for row in rows:
            key = row.provider
            if key not in seen:
                seen.add(key)
                yield Candidate(key, trunk(key), row)

    def _pinned(self, providers: Sequence[UUID]) -> Iterator[Candidate]:
        for identifier in dict.fromkeys(providers):
            yield Candidate(identifier.int, self.directory.trunk(identifier.int), None)

    def candidates(self, route: RouteRow, attempts: Sequence[AskedAttempt], customer_id: UUID) -> list[Candidate]:
        """What was answered to the look-up of a route, checked like a configuration: providers that there are, numbers
        that may be called. Raises LookupFault."""
        return read_attempts(self.directory, self.settings, route, attempts, customer_id)

    def explain(
        self,
        asked: DialledNumber | str,
        now: float,
        *,
        customer_id: UUID = NIL,
        pinned: Sequence[UUID] = (),
    ) -> Explanation:
        """What a call to `asked` leads to, and why. Changes nothing: no token, no channel, no counter."""
        what = normalise_dialled(asked, self.settings, self.directory.numbers) if isinstance(asked, str) else asked
        found = explain(self.directory, self.board, self.settings, what, now, customer_id, pinned)
        if isinstance(asked, str):
            found.named = explain_destination(self.directory, self.settings, asked)
        return found
