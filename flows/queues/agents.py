"""The agents as this engine sees them beyond their rows: who is rung, talks, or needs a moment; and who is next.

One desk for each agent, whichever queues it serves: that nobody is rung twice at a time is seen to here, and between
engines by the board.
"""

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from flows.queues.model import Agent, AgentBoard, Queue
from flows.queues.states import AGENT, AgentEvent, AgentState

REST: Final = 5.0
"""Seconds for which an agent who did not answer, or was busy, is left in peace."""


class PooledAgent:
    """An agent's.

    Attributes:
        idle_since: When it was last busy with a caller, on the event loop's clock.
        claimed: The board has it as ours.
        gone: There is no such agent any more.
        talked: It has talked since it was free.
        task: What rings it.
        wrap_up: Seconds that the queue of its talk leaves it afterwards.
    """

    __slots__ = ("agent", "claimed", "gone", "idle_since", "state", "talked", "task", "timer", "wrap_up")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.state: AgentState = "free"
        self.idle_since = -math.inf
        self.claimed = False
        self.gone = False
        self.talked = False
        self.wrap_up = 0.0
        self.task: asyncio.Task[Any] | None = None
        self.timer: asyncio.TimerHandle | None = None


class AgentPool:
    """All of them. `freed` is called when one has become free."""

    __slots__ = ("_agents", "_board", "_closed", "_freed", "_random")

    def __init__(self, board: AgentBoard, freed: Callable[[], None], dice: random.Random) -> None:
        self._board = board
        self._agents: dict[UUID, PooledAgent] = {}
        self._freed = freed
        self._random = dice
        self._closed = False

    def __len__(self) -> int:
        return len(self._agents)

    def state(self, agent_id: UUID) -> AgentState:
        """What an agent does here."""
        desk = self._agents.get(agent_id)
        return "free" if desk is None else desk.state

    def reserve(self, queue: Queue, agents: Iterable[Agent]) -> list[PooledAgent]:
        """The desks that are to be rung for the next caller of a queue; from now on they are taken. Empty where nobody
        is free."""
        free = [agent for agent in agents if agent.status == "available" and self.state(agent.id) == "free"]
        if not free or self._closed:
            return []
        if queue.routing_method != "ring_all":
            free = [self._next(queue, free)]
        desks = [self._desk(agent) for agent in free]
        for desk in desks:
            desk.wrap_up = queue.wrap_up_timeout
            self.turn(desk, "offered")
        return desks

    def _next(self, queue: Queue, free: Sequence[Agent]) -> Agent:
        if queue.routing_method == "random":
            return self._random.choice(free)
        return min(free, key=self._idle_since)  # of several, the first of the queue's list

    def _idle_since(self, agent: Agent) -> float:
        desk = self._agents.get(agent.id)
        return -math.inf if desk is None else desk.idle_since

    def _desk(self, agent: Agent) -> PooledAgent:
        desk = self._agents.get(agent.id)
        if desk is None:
            desk = self._agents[agent.id] = PooledAgent(agent)
        desk.agent = agent
        return desk

    async def claim(self, desk: PooledAgent) -> bool:
        """Whether the agent is ours, among all engines."""
        desk.claimed = await self._board.claim(desk.agent.id)
        return desk.claimed

    def turn(self, desk: PooledAgent, event: AgentEvent) -> None:
        """Something has happened to an agent."""
        before, desk.state = desk.state, AGENT[desk.state, event]
        identifier = desk.agent.id
        if desk.timer is not None:
            desk.timer.cancel()
            desk.timer = None
        if desk.state == "talking":
            desk.talked = True
            self._board.talks(identifier)
        elif desk.state == "wrap_up":
            self._later(desk, desk.wrap_up)
        elif desk.state == "resting":
            self._let_go(desk)
            self._later(desk, REST)
        elif desk.state == "free":
            if before != "resting":
                self._let_go(desk)
            if desk.gone:
                del self._agents[identifier]
            self._freed()

    def _let_go(self, desk: PooledAgent) -> None:
        desk.claimed = False
        if desk.state == "resting" or desk.talked:
            desk.idle_since = asyncio.get_running_loop().time()
        desk.talked = False
        self._board.release(desk.agent.id)

    def _later(self, desk: PooledAgent, seconds: float) -> None:
        if seconds <= 0 or self._closed:
            self.turn(desk, "over")
        else:
            desk.timer = asyncio.get_running_loop().call_later(seconds, self.turn, desk, "over")

    def says(self, agent_id: UUID, status: str) -> None:
        """What the board shows of an agent now; "" where there is no such agent any more."""
        desk = self._agents.get(agent_id)
        if desk is None:
            return
        desk.gone = not status
        if desk.gone and desk.state == "free":
            del self._agents[agent_id]
        elif desk.state == "ringing" and status not in ("available", "ringing"):
            if desk.task is not None:
                desk.task.cancel()  # it is away: whatever rings, stops
        elif status == "available" and desk.state == "wrap_up":
            self.turn(desk, "says_available")
        elif status == "available" and desk.claimed:
            self._board.hold(agent_id)

    def close(self) -> None:
        """Nobody is rung or waited for any more."""
        self._closed = True
        for desk in self._agents.values():
            if desk.timer is not None:
                desk.timer.cancel()
                desk.timer = None
