"""Readiness: whether the parts of an engine are ready for work, as `/readyz` tells it."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from service.storage import Storage
from store.database.engines import reason
from store.database.errors import StoreError
from store.database.file import disk_problem

CHECK_WITHIN: Final = 2.0
"""Seconds that the store has for an answer."""


class Readiness:
    """Looks at the engine, its store, its directory and the disk of its recordings.

    engine: "ok", or what is wrong with the engine itself. unwritten: why the store does not take calls, "" where it
    does. recordings: the folder of recordings, where there is one.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        engine: Callable[[], str],
        unwritten: Callable[[], str],
        recordings: Path | None,
    ) -> None:
        self._storage = storage
        self._engine = engine
        self._unwritten = unwritten
        self._recordings = recordings
        self._checking: asyncio.Task[Mapping[str, str]] | None = None

    async def checks(self) -> Mapping[str, str]:
        """What each part says of itself: "ok", or what is wrong. One look at a time, for all who ask meanwhile: anybody
        may, and as often as they like."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._checked(), name="readiness")
        return await asyncio.shield(self._checking)

    async def close(self) -> None:
        """Wait for the look that is under way."""
        if self._checking is not None:
            await asyncio.wait((self._checking,))

    async def _checked(self) -> Mapping[str, str]:
        feed = self._storage.feed
        checks = {
            "engine": self._engine(),
            "store": await self._store_answers(),
            "directory": "ok" if feed.healthy else f"not current for {feed.lag:.0f} s",
        }
        if self._recordings is not None and (problem := await asyncio.to_thread(disk_problem, self._recordings)):
            checks["recordings"] = problem
        return checks

    async def _store_answers(self) -> str:
        try:
            async with asyncio.timeout(CHECK_WITHIN), self._storage.store.read() as connection:
                await connection.execute(sa.select(1))
        except TimeoutError:
            return f"no answer within {CHECK_WITHIN:g} s"
        except (StoreError, SQLAlchemyError, OSError) as error:
            return reason(error)
        life = self._storage.life
        problem = life.problem or self._unwritten() or await life.disk_problem()
        return f"cannot be written: {problem}" if problem else "ok"
