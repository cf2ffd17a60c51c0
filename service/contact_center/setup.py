"""Queues and conferences of an engine: what flows use, on what the store holds."""

import asyncio
import importlib
from functools import partial
from typing import TYPE_CHECKING

from flows.queues.conferences import Conferences, Mixer
from flows.queues.service import Queues
from service.contact_center.agent_status import StoredBoard
from service.contact_center.queue_directory import QueueDirectory

if TYPE_CHECKING:
    from service.node import Node
    from service.storage import Storage


class Rooms:
    """Made on an open store; `start` comes before the first call."""

    def __init__(self, node: "Node", storage: "Storage") -> None:
        self._node = node
        self._feed = storage.feed
        self.board = StoredBoard(storage.store, storage.life.id, node.log)
        self.directory = QueueDirectory(storage.store, node.log)
        self.queues = Queues(self.directory, self.board)
        self.directory.agent_told = self.queues.agent_changed
        self.directory.read = self.queues.look

    async def start(self) -> None:
        """Read what there is, and let flows have it. Raises StoreError, or SQLAlchemy's errors."""
        for kind in ("queue", "agent", "conference"):
            self._feed.subscribe(kind, partial(self.directory.changed, kind))
        await self.directory.start()
        self.board.start()
        env = self._node.env
        env.queues = self.queues
        env.resolve_extension = self.directory.reachable
        env.conferences = Conferences(self.directory, self._mixer, env.wall)

    async def close(self) -> None:
        """After the calls have ended."""
        await self.directory.close()
        await self.board.close()

    async def _mixer(self) -> Mixer:
        # numpy and all that: not before somebody confers, and not in the loop's time.
        module = await asyncio.to_thread(importlib.import_module, "engine.audio.mixer")
        made: Mixer = module.Mixer(self._node.agent.plane.pacer)
        return made
