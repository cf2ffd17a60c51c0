"""Calls of phones that have lost their connection: they follow to the one by which these register anew (RFC 5626).

A phone that changes its network, or a page that is loaded again, comes back by another connection. What we send within
its call goes there from then on; where it only rang, that phone is not reached any more.
"""

import asyncio
from typing import Final

from engine.call import Call
from engine.dial import OutgoingCall
from engine.sip.flow import Flow
from engine.user_agent import UserAgent

GATHERED: Final = 0.1
"""Seconds in which moves are gathered: when thousands of phones come back, all calls are looked through for them at
once."""

FEW: Final = 200
"""Calls that are looked through for each move alone and at once, so that what the other side does next reaches
the phone that has come back."""


class MovedCalls:
    """Moves calls of `agent`."""

    def __init__(self, agent: UserAgent) -> None:
        self._agent = agent
        self._moves: dict[Flow, Flow | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def moved(self, old: Flow, new: Flow) -> None:
        """A device that was reached by `old` is reached by `new`."""
        self._note(old, new)
        if len(self._agent.calls) <= FEW:
            self._carry_out()

    def lost(self, flow: Flow) -> None:
        """The connection of a device is gone."""
        self._note(flow, None)

    def close(self) -> None:
        """End. Connections that close after that are no news."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _note(self, old: Flow, new: Flow | None) -> None:
        if self._closed:
            return
        self._moves[old] = new
        if self._timer is None:
            self._timer = self._agent.loop.call_later(GATHERED, self._carry_out)

    def _carry_out(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        moves, self._moves, self._timer = self._moves, {}, None
        for call in [call for call in self._agent.calls if _flow_of(call) in moves]:
            to = moves[_flow_of(call)]
            if to is not None:
                call.move_to(to)
            elif isinstance(call, OutgoingCall) and not call.answered:
                call.session.lose_flow(self._agent.now())


def _flow_of(call: Call) -> Flow:
    """By which flow a call is with its peer."""
    if isinstance(call, OutgoingCall) and not call.answered:
        return call.session.flow or call.session.invitation.flow or call.remote
    return call.remote
