"""Loading numbers that are not in memory from the store, one by one.

A directory that is not `complete` knows only some of the numbers. Whoever decides about a call then makes sure, before
routing looks, that every number in question is either in the directory or known not to exist. Routing itself never
waits; the waiting is done above it, like this:

    async def ensure(e164: str) -> None:
        for _ in range(3):
            if directory.number(e164) or directory.known_absent(e164, clock()):
                return
            fetch = directory.begin_fetch(e164)
            row = await source.number(e164)
            if directory.end_fetch(fetch, row, clock()):
                return

    if not directory.complete:
        for e164 in numbers_to_look_up(request_uri, settings):
            await ensure(e164)
    verdict = admit(directory, settings, source, normalise_dialled(request_uri, settings, directory.numbers))

`numbers_to_look_up` is in `routing.numbers.normalise`. Three rounds are enough: a round is lost only to a change of
that very number within the time of one query.
"""

from collections import OrderedDict
from typing import Final, Protocol

from routing.directory.rows import NumberRow

ABSENT_TTL: Final = 5.0
"""Seconds for which a number that the store did not have is not asked for again."""

MAX_ABSENT: Final = 10_000
"""Numbers remembered as absent; the oldest go first. Whoever dials at random cannot make it grow."""


class NumberUnavailable(Exception):
    """Whether the number exists cannot be told now: the store does not answer, or too many numbers are waited for. A
    call for it is to come again later (503)."""


class NumberSource(Protocol):
    """Where numbers are fetched from: the store."""

    async def number(self, e164: str) -> NumberRow | None:
        """The number in normal form, whatever its status; None where there is none.

        The store must be read after this is called: a query that was under way before may not know of a change that
        the fetch before this one was overtaken by.
        """


class NumberFetch:
    """One number on its way from the store, from `Directory.begin_fetch` to `end_fetch`.

    Attributes:
        number: In normal form.
        overtaken: Whether the number was changed meanwhile, so that what the store said before is worth nothing.
    """

    __slots__ = ("__weakref__", "number", "overtaken")

    def __init__(self, number: str) -> None:
        self.number = number
        self.overtaken = False


class AbsentNumbers:
    """Numbers that do not exist, as of a few seconds ago."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        # All are kept for the same time, so the order of coming is the order of going.
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def known(self, e164: str, now: float) -> bool:
        """Whether the number was absent within the last `ABSENT_TTL` seconds. `now` is monotonic."""
        return now < self._until.get(e164, 0.0)

    def remember(self, e164: str, now: float) -> None:
        """The store does not have the number."""
        until = self._until
        until.pop(e164, None)
        until[e164] = now + ABSENT_TTL
        while len(until) > MAX_ABSENT:
            until.popitem(last=False)

    def forget(self, e164: str) -> None:
        """The number exists now."""
        self._until.pop(e164, None)

    def clear(self) -> None:
        """Nothing is known any more."""
        self._until.clear()
