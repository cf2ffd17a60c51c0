"""Two that talk, as the run knows them that has connected them; and one of the two, who leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from flows.calls.address import Address
from flows.calls.causes import CAUSES
from flows.calls.hangup import end
from flows.calls.ports import CallEnded, Tether
from flows.language.options import ConnectOptions
from flows.language.run import Run
from flows.transfer.successor import OfTask

if TYPE_CHECKING:
    from engine.bridge import Bridge

MAX_TRANSFERS: Final = 5
"""Transfers of one call, and of what becomes of it."""

Reach = Callable[[Run, ConnectOptions, Address, Callable[[], bool]], Awaitable[Any]]
"""`flows.connect.reach`, which carries a transfer out, and whose calls may be transferred."""

Next = Literal["", "leads", "holds", "beside", "onward"]


class Talk:
    """Two that talk.

    Attributes:
        run: For which they do.
        leg: The callee, an `OutgoingLeg`.
        close: Gives back what `leg` costs, and may be called again.
        bridge: The engine's, between them.
        joining: While somebody else joins one of the two with another: done when it is known whether that came to be.
        next: What the run does now that one of the two has left for another; "" while they talk.
        onward: What remains of the call, where that is its next.
        tether: What the caller was loosened from, and may leave without an end to the run.
    """

    __slots__ = ("bridge", "close", "joining", "leg", "next", "onward", "reach", "run", "tether")

    def __init__(self, run: Run, leg: Any, close: Callable[[], None], bridge: "Bridge", reach: Reach) -> None:
        self.run = run
        self.leg = leg
        self.close = close
        self.bridge = bridge
        self.reach = reach
        self.joining: asyncio.Future[None] | None = None
        self.next: Next = ""
        self.onward: Talk | None = None
        self.tether: Tether | None = None

    async def settled(self) -> None:
        """Until nobody joins one of the two with another."""
        if self.joining is not None:
            await asyncio.wait((self.joining,))

    async def outlast(self) -> None:
        """The caller has left, and this run is there for `leg` alone, for what that costs: until that is over, and the
        run with it. Raises CallEnded."""
        await self.leg.wait_ended()
        await self.gone()

    async def gone(self) -> None:
        """The caller has left for good, and the run is over. Raises CallEnded."""
        end(self.run.caller, self.run.record, "normal")
        if self.tether is not None:
            self.tether.cut()
        await asyncio.sleep(0)
        raise CallEnded("the caller has left its call")


class Part:
    """One of two that talk, who leaves, and the one who stays.

    Attributes:
        by: "caller" or "callee": who leaves.
        talk: That of the two.
        leaves: The engine's call of the one who leaves.
        stays: And of the one who stays.
    """

    __slots__ = ("_bridge", "by", "leaves", "stays", "talk")

    def __init__(self, talk: Talk, by: str) -> None:
        bridge = talk.bridge
        self.talk = talk
        self.by = by
        self.leaves: Any = bridge.caller if by == "caller" else bridge.callee
        self.stays: Any = bridge.callee if by == "caller" else bridge.caller
        self._bridge = bridge

    @property
    def tied(self) -> bool:
        """The run cannot outlive the one who leaves: that was called by an order, whose own it is."""
        run = self.talk.run
        return self.by == "caller" and run.tether is None and run.caller.task is None

    def loosen(self) -> None:
        """From now on the end of the one who leaves is not that of the one who stays."""
        talk = self.talk
        if self.by == "callee":
            close = talk.close
            self.leaves.on_end = lambda _leg: close()  # what it costs ends with it, however long the other talks on
            return
        talk.tether = talk.run.tether or OfTask(talk.run.caller)
        talk.tether.loosen()
        self._bridge.callee_survives = True

    def fasten(self) -> None:
        """Nothing came of it: who has not left stays, and where the caller has left, its call is over."""
        tether, self.talk.tether = self.talk.tether, None
        if tether is None or self.by == "callee":
            return
        self._bridge.callee_survives = False
        if self.leaves.ended_at is None:
            tether.fasten()
            return
        if self.stays.ended_at is None:
            self.stays.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
        tether.cut()

    def hang_up(self) -> None:
        """The one who leaves has nothing left to do here."""
        if self.by == "caller":
            end(self.leaves, self.talk.run.record, "normal")
        elif self.leaves.ended_at is None:
            self.leaves.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
