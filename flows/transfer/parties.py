"""The parties of a transfer: a connected pair, and the one of the two who leaves it (RFC 5589: the transferor)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from flows.calls.address import Address
from flows.calls.context import CallContext
from flows.calls.dial import AnswerClaim, ConnectResult
from flows.calls.hangup import CAUSES, end_leg
from flows.calls.ports import CallEnded, CallerBinding
from flows.transfer.successor import TaskBinding

if TYPE_CHECKING:
    from engine.bridge import Bridge

MAX_TRANSFERS: Final = 5
"""Transfers of one call, and of what becomes of it."""

Connect = Callable[[CallContext, Address, AnswerClaim], Awaitable[ConnectResult]]
"""`flows.connect.connect_destination`, which dials the target of a transfer, and whose calls may be transferred."""

Continuation = Literal["", "continue_with_peer", "wait_for_callee", "bridge_only", "successor"]
"""What becomes of a call, one of whose parties has left it for another call:

- continue_with_peer: its caller goes on, and talks with the other call's callee.
- wait_for_callee: its caller has left, and it waits for the end of its callee, which it pays for.
- bridge_only: its caller talks with the other call's caller, and neither ends the other's flow.
- successor: its caller has left, and its callee goes on as a call of its own.
"""


class ConnectedPair:
    """A caller and a callee who talk with each other.

    Attributes:
        context: The call that has connected them.
        leg: The callee, an `OutgoingLeg`.
        close: Gives back what `leg` costs, and may be called again.
        bridge: The engine's, between them.
        connect: Dials the target of a transfer.
        joining: While somebody else joins one of the two with another: done when it is known whether that came to be.
        continuation: What becomes of the call now that one of the two has left for another; "" while they talk.
        successor: The call that remains, where that is its continuation.
        binding: What the caller was detached from: it may leave without an end to the call.
    """

    __slots__ = ("binding", "bridge", "close", "connect", "context", "continuation", "joining", "leg", "successor")

    def __init__(
        self, *, context: CallContext, leg: Any, close: Callable[[], None], bridge: "Bridge", connect: Connect
    ) -> None:
        self.context = context
        self.leg = leg
        self.close = close
        self.bridge = bridge
        self.connect = connect
        self.joining: asyncio.Future[None] | None = None
        self.continuation: Continuation = ""
        self.successor: ConnectedPair | None = None
        self.binding: CallerBinding | None = None

    async def settled(self) -> None:
        """Waits until nobody is joining one of the two with another."""
        if self.joining is not None:
            await asyncio.wait((self.joining,))

    async def wait_callee(self) -> None:
        """The caller has left, and the call is up for `leg` alone, for what that costs: until that is over, and the
        call with it. Raises CallEnded."""
        await self.leg.wait_ended()
        await self.abandon()

    async def abandon(self) -> None:
        """The caller has left for good, and its call is over. Raises CallEnded."""
        end_leg(self.context.caller, self.context.record, "normal")
        if self.binding is not None:
            self.binding.cancel()
        await asyncio.sleep(0)
        raise CallEnded("the caller has left its call")


class Transferor:
    """The one of a pair who leaves it, and the one who stays.

    Attributes:
        pair: The two.
        by: "caller" or "callee": who leaves.
        leaves: The engine's call of the one who leaves.
        stays: The engine's call of the one who stays.
    """

    __slots__ = ("_bridge", "by", "leaves", "pair", "stays")

    def __init__(self, pair: ConnectedPair, by: str) -> None:
        bridge = pair.bridge
        self.pair = pair
        self.by = by
        self.leaves: Any = bridge.caller if by == "caller" else bridge.callee
        self.stays: Any = bridge.callee if by == "caller" else bridge.caller
        self._bridge = bridge

    @property
    def tied(self) -> bool:
        """The call cannot outlive the one who leaves: that was called by an order, whose own it is."""
        context = self.pair.context
        return self.by == "caller" and context.binding is None and context.caller.task is None

    def detach(self) -> None:
        """From now on the end of the one who leaves is not that of the one who stays."""
        pair = self.pair
        if self.by == "callee":
            close = pair.close
            self.leaves.on_end = lambda _leg: close()  # what it costs ends with it, however long the other talks on
            return
        pair.binding = pair.context.binding or TaskBinding(pair.context.caller)
        pair.binding.detach()
        self._bridge.callee_survives = True

    def reattach(self) -> None:
        """The transfer has failed: who has not left stays, and where the caller has left, its call is over."""
        binding, self.pair.binding = self.pair.binding, None
        if binding is None or self.by == "callee":
            return
        self._bridge.callee_survives = False
        if self.leaves.ended_at is None:
            binding.reattach()
            return
        if self.stays.ended_at is None:
            self.stays.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
        binding.cancel()

    def hang_up(self) -> None:
        """The one who leaves has nothing left to do here."""
        if self.by == "caller":
            end_leg(self.leaves, self.pair.context.record, "normal")
        elif self.leaves.ended_at is None:
            self.leaves.hangup(CAUSES["normal"].status, CAUSES["normal"].header)
