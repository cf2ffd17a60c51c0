"""Forking: destinations that ring at the same time, of which one gets the caller (RFC 3261 §16.7)."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from engine.sip.message.status import reason_phrase
from flows.calls.context import CallContext
from flows.calls.dial import AnswerClaim, ConnectResult, ConnectTerms, always
from flows.calls.hangup import ELSEWHERE

MOST_BRANCHES: Final = 32
"""Devices of one extension that ring at once."""

Dial = Callable[[ConnectTerms, AnswerClaim], Coroutine[Any, Any, ConnectResult]]
"""Connects the caller with one of several destinations."""


class ParallelFork:
    """Destinations that are dialled at the same time. The first that answers wins, and the others are given up: their
    tasks are cancelled with the Reason value that the CANCEL has (`flows.calls.dial.dial_hunt`).

    claim: Asked for the first that answers; where it is False, somebody else was quicker than all of them.
    one_callee: They are devices of one callee: a 6xx of one ends all (RFC 3261 §16.7 step 5).
    """

    __slots__ = ("_one_callee", "_outer", "_tasks", "_winner")

    def __init__(self, claim: AnswerClaim = always, *, one_callee: bool = False) -> None:
        self._outer = claim
        self._one_callee = one_callee
        self._tasks: list[asyncio.Task[ConnectResult]] = []
        self._winner: int | None = None

    def _claim(self, index: int) -> bool:
        if self._winner is None:
            if not self._outer():
                return False
            self._winner = index
            self._give_up(ELSEWHERE, but=self._tasks[index])
        return self._winner == index

    def _give_up(self, *reason: str, but: object = None) -> None:
        for task in self._tasks:
            if task is not but:
                task.cancel(*reason)

    async def run(self, context: CallContext, terms: ConnectTerms, dials: Sequence[Dial]) -> list[ConnectResult]:
        """Every destination's result; the winner's alone where there is one, and of those that were still ringing when
        one spoke for all, none."""
        outer = context.breadth if terms.breadth is None else terms.breadth
        breadth = context.caller.max_breadth if outer is None else outer
        # A leg that gets none is not dialled: 440.
        terms = replace(terms, breadth=breadth // len(dials), diverts=terms.diverts and self._one_callee)
        loop = asyncio.get_running_loop()
        for index, dial in enumerate(dials):
            work = dial(terms, partial(self._claim, index))
            self._tasks.append(loop.create_task(work, name=f"connect {context.record.id} {index}"))
        try:
            await self._settled()
        except asyncio.CancelledError as error:
            self._give_up(*error.args)
            raise
        finally:
            self._give_up()
            if any(not task.done() for task in self._tasks):
                await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # taken: of several failures only one can be raised
        if self._winner is not None:
            return [self._tasks[self._winner].result()]
        return [task.result() for task in self._tasks if not (self._one_callee and task.cancelled())]

    async def _settled(self) -> None:
        """Until all of them are over."""
        waits = asyncio.FIRST_COMPLETED if self._one_callee else asyncio.ALL_COMPLETED
        pending: set[asyncio.Task[ConnectResult]] = set(self._tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=waits)
            for task in done if self._winner is None and self._one_callee else ():
                if not task.cancelled() and task.exception() is None and task.result().sip_status >= 600:
                    result = task.result()
                    self._give_up(f'SIP;cause={result.sip_status};text="{reason_phrase(result.sip_status)}"')
