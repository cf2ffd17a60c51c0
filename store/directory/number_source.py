"""Numbers that are not in memory, fetched from the store when a call asks for them."""

import asyncio
from typing import Final

import sqlalchemy as sa

from routing.directory.directory import Directory
from routing.directory.number_source import NumberUnavailable
from routing.directory.row_factory import NUMBER_COLUMNS, RowFactory
from routing.directory.rows import NumberRow
from store.database.engines import reason
from store.database.errors import StoreError
from store.database.tables import numbers
from store.feed import StoreFailure
from store.store import Store

MOST_WAITING: Final = 1_000
"""Numbers that may be waited for at once; a call for one more is refused."""
ASKED_AT_ONCE: Final = 200
"""Numbers in one query. While a query runs, those that are asked for meanwhile gather for the next one."""
PATIENCE: Final = 2.0
"""Seconds that a caller waits at most."""


class StoredNumbers:
    """Looks numbers up in the store: each once, however many calls wait for it, and many in one query."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory
        self._clock = asyncio.get_running_loop().time
        self._maker = RowFactory()
        self._waiting: dict[str, asyncio.Future[NumberRow | None]] = {}
        self._asked: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self.refused = 0

    async def fetch(self, e164: str) -> NumberRow | None:
        """The number in normal form, whatever its status, from memory or from the store; None where there is none.
        Raises NumberUnavailable."""
        # A round is lost only to a change of that very number within the time of one query.
        for _ in range(3):
            row = self._directory.number(e164)
            if row is not None or self._directory.known_absent(e164, self._clock()):
                return row
            fetch = self._directory.begin_fetch(e164)
            row = await self.number(e164)
            if self._directory.end_fetch(fetch, row, self._clock()):
                return row
        return row

    async def number(self, e164: str) -> NumberRow | None:
        """The number as the store has it now. Raises NumberUnavailable."""
        waiter = self._waiting.get(e164)
        if waiter is None:
            if len(self._waiting) >= MOST_WAITING:
                self.refused += 1
                raise NumberUnavailable(f"{MOST_WAITING} numbers are being looked up already")
            waiter = self._waiting[e164] = asyncio.get_running_loop().create_future()
            self._asked.append(e164)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._look_up(), name="number look-up")
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(waiter)
        except TimeoutError:
            raise NumberUnavailable(f"the store did not answer within {PATIENCE:g} s") from None

    async def close(self) -> None:
        """End; who still waits is told that the number is unavailable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._fail(list(self._waiting), "the engine is stopping")

    async def _look_up(self) -> None:
        while self._asked:
            asked, self._asked = self._asked[:ASKED_AT_ONCE], self._asked[ASKED_AT_ONCE:]
            try:
                async with asyncio.timeout(PATIENCE):
                    found = await self._read(asked)
            except StoreFailure as error:
                self._fail(asked, error.args[0] if isinstance(error, StoreError) else reason(error))
                continue
            for e164 in asked:
                waiter = self._waiting.pop(e164)
                if not waiter.done():
                    waiter.set_result(found.get(e164))

    async def _read(self, asked: list[str]) -> dict[str, NumberRow]:
        columns = [numbers.c[name] for name in NUMBER_COLUMNS]
        query = sa.select(*columns).where(numbers.c.number.in_(asked), numbers.c.tm_delete.is_(None))
        async with self._store.read() as connection:
            rows = (await connection.execute(query)).all()
        return {row[0]: self._maker.number_from(row) for row in rows}

    def _fail(self, asked: list[str], why: str) -> None:
        for e164 in asked:
            waiter = self._waiting.pop(e164, None)
            if waiter is not None and not waiter.done():
                waiter.set_exception(NumberUnavailable(why))
                waiter.exception()  # looked at: nobody may be waiting any more
