"""The route table: longest prefix, priority, weight."""

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from routing.directory.rows import RouteRow

_Bucket = RouteRow | tuple[RouteRow, ...]


def _rank(row: RouteRow) -> tuple[int, bool]:
    # Other customers' routes are left out when a call asks, so "a customer's before the platform's" is all it takes.
    return row.priority, row.customer == 0


class RouteTable:
    """A dict of prefixes and the list of their lengths: a match is one dict look-up per length in use.

    Attributes:
        lengths: Lengths of the prefixes that are in the table, longest first.
        lookups: How many routes ask somebody first.
    """

    __slots__ = ("_buckets", "_by_key", "_counts", "lengths", "lookups")

    def __init__(self) -> None:
        # A prefix with one route, which is the common case, holds it without a tuple around it: 48 bytes each.
        self._buckets: dict[str, _Bucket] = {}
        self._by_key: dict[int, RouteRow] = {}
        self._counts: dict[int, int] = {}
        self.lengths: tuple[int, ...] = ()
        self.lookups = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[RouteRow]:
        return iter(self._by_key.values())

    def put(self, row: RouteRow) -> None:
        """Add a route; one with the same id is replaced."""
        if row.key in self._by_key:
            self.remove(row.key)
        self._by_key[row.key] = row
        self.lookups += row.lookup is not None
        prefix = row.prefix
        present = self._buckets.get(prefix)
        if present is None:
            self._buckets[prefix] = row
            self._count(len(prefix), 1)
        else:
            rows = present if isinstance(present, tuple) else (present,)
            in_place = _rank(rows[-1]) <= _rank(row)
            self._buckets[prefix] = (*rows, row) if in_place else tuple(sorted((*rows, row), key=_rank))

    def remove(self, key: int) -> bool:
        """Take a route out by its id as an integer. False when there is none."""
        row = self._by_key.pop(key, None)
        if row is None:
            return False
        self.lookups -= row.lookup is not None
        present = self._buckets[row.prefix]
        left = tuple(other for other in present if other is not row) if isinstance(present, tuple) else ()
        if left:
            self._buckets[row.prefix] = left[0] if len(left) == 1 else left
        else:
            del self._buckets[row.prefix]
            self._count(len(row.prefix), -1)
        return True

    def _count(self, length: int, change: int) -> None:
        count = self._counts.get(length, 0) + change
        self._counts[length] = count
        if not count:
            del self._counts[length]
        if count == 0 or (change > 0 and count == 1):
            self.lengths = tuple(sorted(self._counts, reverse=True))

    def discard(self, limit: int) -> bool:
        """Throw away up to `limit` routes; True while some are left. For a table that nobody asks any more: freeing
        hundreds of thousands of objects at once would hold up every call."""
        for key in list(islice(self._by_key, limit)):
            self.remove(key)
        return bool(self._by_key)

    def matches(self, number: str, customer: int = 0) -> list[tuple[RouteRow, ...]]:
        """Every route for `number` that is this customer's or the platform's, enabled or not: one tuple per prefix,
        longest first, in it by priority and owner."""
        return _allowed(self.matched(number), customer)

    def matches_of(self, names: Sequence[str], customer: int = 0) -> list[tuple[RouteRow, ...]]:
        """As `matches`, for what is no number: the routes with one of these prefixes, in this order."""
        return _allowed(self._under(names), customer)

    def order(self, number: str, customer: int, rng: random.Random) -> Iterator[RouteRow]:
        """The enabled routes for `number` in the order of their attempts, equals drawn by weight.

        What matches is settled at once, so that later changes of the table do not matter to this call; the drawing is
        done as far as the attempts get, as most calls need one route only.
        """
        return _drawn_by_turns(self.matched(number), customer, rng)

    def order_of(self, names: Sequence[str], customer: int, rng: random.Random) -> Iterator[RouteRow]:
        """As `order`, for what is no number: the routes whose target is one of these names, the first ones first."""
        return _drawn_by_turns(self._under(names), customer, rng)

    def _under(self, names: Sequence[str]) -> list[_Bucket]:
        return [bucket for name in names if (bucket := self._buckets.get(name)) is not None]

    def matched(self, number: str) -> list[RouteRow | tuple[RouteRow, ...]]:
        """What stands under each prefix of `number`, longest first, whoever it belongs to."""
        get, end = self._buckets.get, len(number)
        # Cut at more than it has, a number would be its own prefix once more for every longer one in the table.
        return [bucket for length in self.lengths if length <= end and (bucket := get(number[:length])) is not None]


def _allowed(buckets: Sequence[_Bucket], customer: int) -> list[tuple[RouteRow, ...]]:
    found = []
    for bucket in buckets:
        rows = bucket if isinstance(bucket, tuple) else (bucket,)
        allowed = tuple(row for row in rows if row.customer == 0 or row.customer == customer)
        if allowed:
            found.append(allowed)
    return found


def _drawn_by_turns(matched: list[_Bucket], customer: int, rng: random.Random) -> Iterator[RouteRow]:
    for bucket in matched:
        if isinstance(bucket, tuple):
            rows = [row for row in bucket if row.enabled and (row.customer == 0 or row.customer == customer)]
            yield from rows if len(rows) < 2 else _drawn(rows, rng)
        elif bucket.enabled and (bucket.customer == 0 or bucket.customer == customer):
            yield bucket


def _drawn(rows: list[RouteRow], rng: random.Random) -> list[RouteRow]:
    """`rows`, which are in order of rank, with each run of equals shuffled by weight."""
    result: list[RouteRow] = []
    start = 0
    while start < len(rows):
        rank = _rank(rows[start])
        end = start + 1
        while end < len(rows) and _rank(rows[end]) == rank:
            end += 1
        equals = rows[start:end]
        while len(equals) > 1:
            result.append(equals.pop(_pick(equals, rng)))
        result.append(equals[0])
        start = end
    return result


def _pick(rows: list[RouteRow], rng: random.Random) -> int:
    total = 0
    for row in rows:
        total += row.weight
    if not total:
        return int(rng.random() * len(rows))
    point = rng.random() * total
    for position, row in enumerate(rows):
        point -= row.weight
        if point < 0:
            return position
    return next(position for position, row in enumerate(rows) if row.weight)
