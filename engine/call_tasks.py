"""The tasks of calls: one runs what happens to a call, and ends with it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from engine.call import MEDIA_FAILURES, Call, CallEnded
from engine.log import Log
from engine.media.refusal import refusal

GRACE = 15.0
"""Seconds that a task may still run when its call is over, cleaning up."""


class CallTasks:
    """Those of one user agent.

    Attributes:
        running: All of them.
        leaving: Of them, those whose call is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self.running: set[asyncio.Task[Any]] = set()
        self.leaving: set[asyncio.Task[Any]] = set()
        self._overdue: set[asyncio.Task[Any]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def run(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        """Let `work` say what happens to `call`: one task, which ends with the call."""
        call.task = task = self._loop.create_task(work, name=call.id)
        self.running.add(task)
        task.add_done_callback(lambda done: self._ran(call, done))

    def _ran(self, call: Call, task: "asyncio.Task[Any]") -> None:
        self.running.discard(task)
        self.leaving.discard(task)
        call.task = None
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, CallEnded):
            if isinstance(error, MEDIA_FAILURES):
                # No fault of the flow's author: the error says itself what the caller is to hear.
                self._log.warning("no media of our own", call_id=call.id, status=error.status, error=str(error))
                response = refusal(error)
                if call.direction == "incoming" and not call.answered and not call.ended:
                    call.reject(response.status, headers=response.headers)
                else:
                    call.hangup(cause=response.cause)
                return
            self._log.error("call failed", call_id=call.id, error=repr(error))
            if not call.ended:
                call.hangup(500, 'Q.850;cause=41;text="internal error"')
        elif not call.ended and call.status != "terminating":
            call.hangup()

    def call_over(self, call: Call) -> None:
        """The call has ended, and its task has a while to do so."""
        task = call.task
        if task is None or task is asyncio.current_task(self._loop):
            return
        if not call.awaits_end:
            task.cancel()
        self.leaving.add(task)
        if self._sweep is None:
            self._sweep = self._loop.call_later(GRACE, self._cancel_again)

    def _cancel_again(self) -> None:
        """A task that ignored the end of its call (a flow that caught the cancellation) is cancelled once more."""
        self._sweep = None
        for task in self._overdue & self.leaving:
            self._log.warning("a flow runs on after its call: cancelled again", call_id=task.get_name())
            task.cancel()
        self._overdue = set(self.leaving)
        if self._overdue:
            self._sweep = self._loop.call_later(GRACE, self._cancel_again)

    def close(self) -> None:
        """Nobody is cancelled once more."""
        if self._sweep is not None:
            self._sweep.cancel()
