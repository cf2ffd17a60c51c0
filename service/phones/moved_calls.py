"""Calls of phones that have lost their connection: they follow to the one by which these register anew (RFC 5626).

A phone that changes its network, or a page that is loaded again, comes back by another connection. What we send within
its call waits for that, and goes there from then on; where it only rang, that phone is not reached any more.
"""

import asyncio
from typing import Final

from engine.call import Call
from engine.dial import OutgoingCall
from engine.sip.dialog.session import Session
from engine.sip.dialog.usage import GONE
from engine.sip.flow import Flow
from engine.sip.request import OutgoingRequest
from engine.user_agent import UserAgent

RETURNS_WITHIN: Final = 30.0
"""Seconds in which a device whose connection was lost is expected to register anew."""

GATHERED: Final = 0.1
"""Seconds in which moves are gathered: when thousands of phones come back, all calls are looked through for them at
once."""

FEW: Final = 200
"""Calls that are looked through for each move alone and at once, so that what the other side does next reaches
the phone that has come back."""


NOT_BACK: Final = 'Q.850;cause=27;text="Destination out of order"'


class _Away:
    """The calls of a device that has lost its connection, what was sent to it and not heard, and when all of that is
    given up."""

    __slots__ = ("requests", "sessions", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.sessions: list[Session] = []
        self.requests: list[OutgoingRequest] = []
        self.timer = timer


class MovedCalls:
    """Moves calls of `agent`.

    Attributes:
        away: Calls that were up when their device lost its connection, by that.
    """

    def __init__(self, agent: UserAgent) -> None:
        self._agent = agent
        self._moves: dict[Flow, Flow | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.away: dict[Flow, _Away] = {}

    def moved(self, old: Flow, new: Flow) -> None:
        """A device that was reached by `old` is reached by `new`."""
        self._note(old, new)

    def lost(self, flow: Flow) -> None:
        """The connection of a device is gone."""
        self._note(flow, None)

    def close(self) -> None:
        """End. Connections that close after that are no news."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for away in self.away.values():
            away.timer.cancel()
        self.away.clear()

    def _note(self, old: Flow, new: Flow | None) -> None:
        if self._closed:
            return
        self._moves[old] = new
        if len(self._agent.calls) <= FEW:
            self._carry_out()
        elif self._timer is None:
            self._timer = self._agent.loop.call_later(GATHERED, self._carry_out)

    def _carry_out(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        moves, self._moves, self._timer = self._moves, {}, None
        for call in [call for call in self._agent.calls if _flow_of(call) in moves]:
            old = _flow_of(call)
            to = moves[old]
            if to is not None:
                call.move_to(to)
            elif call.answered:
                self._await(old, call.session)
            elif isinstance(call, OutgoingCall):
                call.session.lose_flow(self._agent.now())
        for old, to in moves.items():
            if to is None:
                unheard = self._agent.endpoint.take_unheard(old)
                if unheard:
                    self._away_from(old).requests += unheard
            else:
                self._back(old, to)

    def _back(self, old: Flow, flow: Flow) -> None:
        """A device is there again."""
        away = self.away.pop(old, None)
        if away is None:
            return
        away.timer.cancel()
        for request in away.requests:
            request.send_to([flow], self._agent.now())
        for session in away.sessions:
            if session.ended:  # its BYE waits
                session.move_to(flow)

    def _away_from(self, flow: Flow) -> _Away:
        away = self.away.get(flow)
        if away is None:
            timer = self._agent.loop.call_later(RETURNS_WITHIN, self._give_up, flow)
            away = self.away[flow] = _Away(timer)
        return away

    def _await(self, flow: Flow, session: Session) -> None:
        """What is sent within the call waits, for a while, until its phone is back."""
        away = self._away_from(flow)
        if session not in away.sessions:
            away.sessions.append(session)
        session.await_peer()

    def _give_up(self, flow: Flow) -> None:
        away, now = self.away.pop(flow, None), self._agent.now()
        if away is not None:
            for request in away.requests:
                request.fail(GONE, now)
            for session in away.sessions:
                session.give_up(now)
            if not flow.transport.connects:
                self._end(away.sessions)

    def _end(self, sessions: list[Session]) -> None:
        """The calls of a browser's page that has not come back are over: no page that is loaded later knows of them,
        nothing else leads to it (RFC 7118 §5), and whoever it talked with would wait for ever."""
        left = {id(session) for session in sessions}
        for call in [call for call in self._agent.calls if call.answered and id(call.session) in left]:
            call.hangup(480, NOT_BACK)


def _flow_of(call: Call) -> Flow:
    """By which flow a call is with its peer."""
    if isinstance(call, OutgoingCall) and not call.answered:
        return call.session.flow or call.session.invitation.flow or call.remote
    return call.remote
