"""Garbage collection: Python's cycle collector runs while nobody is on the phone.

Calls leave no circles behind (tests hold that), so under load there is nothing to find. Looking costs a microsecond for
each object that is alive: half a second at a thousand calls a second, in which no packet is read.
"""

import gc
from collections.abc import Sized

from engine.log import Log
from engine.worker import Worker

EVERY = 10.0  # s
# What a user's flows leave behind must not grow without bound on an engine that is never idle: so many more objects
# made than freed since the last look are worth the pause.
MOST = 10_000_000


class GarbageCollection:
    """Takes the collector over from the interpreter, until `close`."""

    def __init__(self, calls: Sized, log: Log) -> None:
        self._calls = calls
        self._log = log
        self._worker = Worker("garbage collection", self._look, first=EVERY, every=EVERY)

    def start(self) -> None:
        """What start-up made stays and is not looked at again."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._worker.start()

    def keep(self) -> None:
        """What is there by now stays, too: a directory that was read anew is a million objects, none of them a
        circle's."""
        if self._worker.running:
            gc.freeze()

    async def close(self) -> None:
        """Leave it to the interpreter again."""
        await self._worker.close()
        gc.enable()
        gc.unfreeze()

    async def _look(self) -> None:
        if gc.get_count()[0] > MOST:
            self._log.warning("garbage collection under load: expect a pause")
            gc.collect()
        elif not self._calls:
            gc.collect()
