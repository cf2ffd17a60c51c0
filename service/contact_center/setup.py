"""The contact center of an engine: its queues and conferences, on what the store holds."""

import asyncio
import importlib
from collections.abc import Callable
from functools import partial

from engine.log import Log
from engine.media.pacer import Pacer
from flows.queues.conferences import Conferences, Mixer
from flows.queues.service import Queues
from service.contact_center.agent_status import AgentStatusStore
from service.contact_center.queue_directory import QueueDirectory
from service.storage import Storage


class ContactCenter:
    """Made on an open store; `start` comes before the first call.

    Attributes:
        directory: Queues, agents and conferences, as the store has them.
        queues: The queues that run.
        conferences: The conferences that run.
    """

    def __init__(self, storage: Storage, pacer: Callable[[], Pacer], wall: Callable[[], float], log: Log) -> None:
        """`pacer` gives what paces the engine's media; `wall`, seconds since 1970."""
        self._feed = storage.feed
        self._pacer = pacer
        self._board = AgentStatusStore(storage.store, storage.life.id, log)
        self.directory = QueueDirectory(storage.store, log)
        self.queues = Queues(self.directory, self._board)
        self.conferences = Conferences(self.directory, self._mixer, wall)
        self.directory.subscribe(self.queues.agent_changed, self.queues.dispatch)

    async def start(self) -> None:
        """Read what there is, and follow it. Raises StoreError, or SQLAlchemy's errors."""
        for kind in ("queue", "agent", "conference"):
            self._feed.subscribe(kind, partial(self.directory.changed, kind))
        await self.directory.start()
        self._board.start()

    async def close(self) -> None:
        """After the calls have ended."""
        await self.directory.close()
        await self._board.close()

    async def _mixer(self) -> Mixer:
        # numpy and all that: not before somebody confers, and not in the loop's time.
        module = await asyncio.to_thread(importlib.import_module, "engine.audio.mixer")
        made: Mixer = module.Mixer(self._pacer())
        return made
