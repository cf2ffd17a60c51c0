"""The explanation of a routing decision, in sentences (`trunkline explain`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from routing.access.admission import DialOut, RingExtension, RunFlow, Source, SourceKind, judge
from routing.access.destinations import NamedBy
from routing.directory.customers import barred_sentence
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.directory.rows import NumberRow, RouteRow
from routing.directory.trunk import Trunk
from routing.hunt.candidate import SKIP_SENTENCES, skip_cause
from routing.hunt.failover import MAX_ATTEMPTS
from routing.hunt.health import HealthBoard, TrunkState
from routing.numbers.normalise import DialledNumber
from routing.numbers.numbering import is_virtual
from routing.settings import RoutingSettings


@dataclass(slots=True, kw_only=True)
class ExplainedEntry:
    """A route, or a pinned provider, that a call comes by.

    Attributes:
        position: Place among those that would be tried, from 1; 0 where it would be skipped.
        target: The route's target; "pinned" for a pinned provider.
        rate: Micro-units of the currency a minute; 0 for a pinned provider.
        message_rate: Micro-units a text message.
        owner: "customer" or "platform".
        request_uri: What would be sent; "" where there is no such provider.
        tried: Whether it would be tried once those before it have failed.
        reason: Why, as a sentence.
    """

    position: int
    provider_id: UUID
    provider_name: str
    route_id: UUID | None
    target: str
    priority: int
    weight: int
    rate: int
    message_rate: int
    owner: str
    request_uri: str
    tried: bool
    reason: str


@dataclass(slots=True)
class SourceVerdict:
    """What a caller of this kind would get."""

    source: SourceKind
    reason: str


@dataclass(slots=True, kw_only=True)
class Explanation:
    """Where a dialled string leads.

    Attributes:
        number: Our own number, where it is one; then no provider is asked.
        reason: The outcome as a sentence.
        verdicts: What each kind of caller would get.
        lookup: Who is asked first for the attempts, and what that means; "" where nobody is.
        entries: Every route or pinned provider in the order of the attempts, equals by falling weight.
        named: Of a SIP URI: what becomes of it as a destination, by who names it
        (`routing.access.destinations.NamedBy`).
    """

    dialled: DialledNumber
    reason: str
    number: NumberRow | None = None
    verdicts: list[SourceVerdict] = field(default_factory=list)
    lookup: str = ""
    entries: list[ExplainedEntry] = field(default_factory=list)
    named: dict[NamedBy, str] = field(default_factory=dict)


_SOURCES: tuple[Source, ...] = (Source("trunk"), Source("client", all_extensions=True), Source("guest"))


def explain(
    directory: Directory,
    board: HealthBoard,
    settings: RoutingSettings,
    dialled: DialledNumber,
    now: float,
    customer_id: UUID,
    pinned: Sequence[UUID] = (),
) -> Explanation:
    """The explanation for what was dialled, at this moment."""
    verdicts = [SourceVerdict(source.kind, _sentence(directory, settings, source, dialled)) for source in _SOURCES]
    verdict = judge(directory, settings, _SOURCES[1], dialled)
    if isinstance(verdict, RingExtension):
        return Explanation(dialled=dialled, reason=_extension(verdict.extension), verdicts=verdicts)
    if dialled.kind != "number":
        return Explanation(dialled=dialled, reason=verdicts[1].reason, verdicts=verdicts)
    number = dialled.number
    row = directory.number(number)
    if row is not None:
        return Explanation(dialled=dialled, reason=_own(row), number=row, verdicts=verdicts)
    if is_virtual(number):
        reason = f"{number} is virtual and does not exist; no provider is asked"
        return Explanation(dialled=dialled, reason=reason, verdicts=verdicts)
    entries = (
        _pinned_entries(directory, board, number, pinned, now)
        if pinned
        else _routed_entries(directory, board, number, customer_id, now)
    )
    terms = directory.customer(customer_id.int)
    if terms is not None and (cause := barred_sentence(terms, number)):
        for entry in entries:
            entry.position, entry.tried, entry.reason = 0, False, "not reached: the customer may not make this call"
        reason = f"{number} is a foreign number, and the caller gets 403: {cause}"
        return Explanation(dialled=dialled, reason=reason, verdicts=verdicts, entries=entries)
    lookup = "" if pinned else _lookup(directory, number, customer_id)
    tried = sum(entry.tried for entry in entries)
    if tried:
        reason = f"{number} is a foreign number; {tried} of {len(entries)} entries would be tried, in this order"
    elif entries:
        reason = f"{number} is a foreign number, and every entry for it would be skipped: the caller gets 480"
    else:
        reason = f"{number} is a foreign number without a route: the caller gets 480; add a route with target all"
    return Explanation(dialled=dialled, reason=reason, verdicts=verdicts, lookup=lookup, entries=entries)


def _lookup(directory: Directory, number: str, customer_id: UUID) -> str:
    """The look-up of the first route of a call, which a draw by weight among equals may make another one's."""
    if not directory.routes.lookups:
        return ""
    rows = [row for found in directory.routes.matches(number, customer_id.int) for row in found if row.enabled]
    first = [row for row in rows if row.prefix == rows[0].prefix and _rank(row) == _rank(rows[0])]
    asked = [row.lookup for row in first if row.lookup is not None]
    if not asked:
        return ""
    shown = asked[0].url.partition("?")[0]
    drawn = " (where it is drawn before its equals)" if len(first) > len(asked) else ""
    return f"{shown} is asked first{drawn}, {asked[0].timeout:g} s at most; what follows is for when it does not say"


def _extension(row: ExtensionRow) -> str:
    then = (
        f"where none answers, flow {row.call_flow_id} runs" if row.call_flow_id.int else "480 where none is registered"
    )
    others = "to all but its customer's phones and trusted networks it does not exist"
    return f"{row.name} is an extension: its registered phones ring; {then}; {others}"


def _own(row: NumberRow) -> str:
    if not row.ours:
        return f"{row.number} is in the directory and {row.status}: nobody can call it until it is provisioned"
    if row.status == "suspended":
        return f"{row.number} is our own {row.type} number and suspended: calls get 480"
    if not row.call_flow_id.int:
        return f"{row.number} is our own {row.type} number and has no call flow: calls get 480"
    return f"{row.number} is our own {row.type} number: calls run flow {row.call_flow_id}"


def _sentence(directory: Directory, settings: RoutingSettings, source: Source, dialled: DialledNumber) -> str:
    verdict = judge(directory, settings, source, dialled)
    if isinstance(verdict, RunFlow):
        return f"flow {verdict.number.call_flow_id} runs"
    if isinstance(verdict, DialOut):
        return "goes out through the providers"
    if isinstance(verdict, RingExtension):
        return f"the phones of extension {verdict.extension.name} ring (for a phone, where it is its customer's)"
    asked_first = ("foreign_from_guest", "guests_not_allowed", "unknown_extension")
    login = settings.logins and source.kind == "guest" and verdict.cause in asked_first
    asked = "401 Unauthorized; goes on as a client with a login, and without one " if login else ""
    return f"{asked}{verdict.status} {verdict.reason}: {verdict.detail}"


class _Positions:
    """Hands out places in the order of attempts, and knows why somebody gets none."""

    def __init__(self, board: HealthBoard, now: float) -> None:
        self._board = board
        self._now = now
        self._seen: set[int] = set()
        self._taken = 0
        self._asked = 0
        self._silent: list[int] = []
        self._ill: list[int] = []

    def place(self, key: int, trunk: Trunk | None, route_enabled: bool) -> tuple[int, str]:
        """The place (0: skipped, or not known before `in_order`) and the reason."""
        self._asked += 1
        if not route_enabled:
            return 0, "skipped: the route is disabled"
        if key in self._seen:
            return 0, "skipped: the provider stands earlier in this list, and is tried once a call"
        self._seen.add(key)
        # A state that is not there yet is not made: explaining leaves no trace.
        state = self._board.peek(key) or TrunkState()
        cause = skip_cause(trunk, state, self._now, self._board.transports)
        if cause == "unhealthy":
            self._ill.append(self._asked - 1)
            return 0, f"tried when nobody else is left: {SKIP_SENTENCES[cause]}"
        if cause:
            return 0, f"skipped: {SKIP_SENTENCES[cause]}"
        if state.last:
            self._silent.append(self._asked - 1)
            return 0, "tried after the others: it has never answered a health probe, nor a call lately"
        return self._next("tried first" if not self._taken else "tried when those before it have failed")

    def _next(self, why: str) -> tuple[int, str]:
        if self._taken >= MAX_ATTEMPTS:
            return 0, f"not reached: a call makes at most {MAX_ATTEMPTS} attempts"
        self._taken += 1
        return self._taken, why

    def in_order(self, entries: list[ExplainedEntry]) -> list[ExplainedEntry]:
        """The entries, those behind the others that come after them for their health, with their places."""
        late = [*self._silent, *self._ill]
        for index in late:
            entry = entries[index]
            entry.position, entry.reason = self._next(entry.reason)
            entry.tried = entry.position > 0
        return [entry for index, entry in enumerate(entries) if index not in late] + [entries[index] for index in late]


def _routed_entries(
    directory: Directory, board: HealthBoard, number: str, customer_id: UUID, now: float
) -> list[ExplainedEntry]:
    positions = _Positions(board, now)
    entries = []
    for rows in directory.routes.matches(number, customer_id.int):
        for row in sorted(rows, key=lambda row: (row.priority, row.customer == 0, -row.weight)):
            trunk = directory.trunk(row.provider)
            position, why = positions.place(row.provider, trunk, row.enabled)
            equals = [other for other in rows if other.enabled and _rank(other) == _rank(row)]
            if row.enabled and len(equals) > 1:
                total = sum(other.weight for other in equals)
                why += f" (drawn by weight, {row.weight} of {total}, among {len(equals)} equals)"
            entries.append(_entry(position, trunk, UUID(int=row.provider), number, row, why))
    return positions.in_order(entries)


def _rank(row: RouteRow) -> tuple[int, bool]:
    return row.priority, row.customer == 0


def _pinned_entries(
    directory: Directory, board: HealthBoard, number: str, pinned: Sequence[UUID], now: float
) -> list[ExplainedEntry]:
    positions = _Positions(board, now)
    entries = []
    for identifier in pinned:
        trunk = directory.trunk(identifier.int)
        position, why = positions.place(identifier.int, trunk, True)
        entries.append(_entry(position, trunk, identifier, number, None, why))
    return positions.in_order(entries)


def _entry(
    position: int, trunk: Trunk | None, provider_id: UUID, number: str, row: RouteRow | None, why: str
) -> ExplainedEntry:
    return ExplainedEntry(
        position=position,
        provider_id=provider_id,
        provider_name=str(provider_id) if trunk is None else trunk.name,
        route_id=None if row is None else row.id,
        target="pinned" if row is None else row.target,
        priority=0 if row is None else row.priority,
        weight=0 if row is None else row.weight,
        rate=0 if row is None else row.rate,
        message_rate=0 if row is None else row.message_rate,
        owner="customer" if row is not None and row.customer else "platform",
        request_uri=""
        if trunk is None
        else trunk.request_uri(number, short_prefix=row is not None and row.short_prefix),
        tried=position > 0,
        reason=why if trunk is None else why + _shown(trunk),
    )


def _shown(trunk: Trunk) -> str:
    host = trunk.provider.contact_host
    return f"; it sees us as {host}" if host else ""
