"""The pool of agents that queues ring: who is free, rung, talks, or needs a moment; and who is next.

One entry for each agent, whichever queues it serves: that nobody is rung twice at a time is seen to here, and between
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
    """What an agent of the pool does, as this engine sees it.

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
    """The agents that this engine has rung, and has not forgotten. `freed` is called when one has become free."""

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
        entry = self._agents.get(agent_id)
        return "free" if entry is None else entry.state

    def reserve(self, queue: Queue, agents: Iterable[Agent]) -> list[PooledAgent]:
        """The agents that are to be rung for the next caller of a queue; from now on they are taken. Empty where nobody
        is free."""
        free = [agent for agent in agents if agent.status == "available" and self.state(agent.id) == "free"]
        if not free or self._closed:
            return []
        if queue.routing_method != "ring_all":
            free = [self._next(queue, free)]
        entries = [self._entry(agent) for agent in free]
        for entry in entries:
            entry.wrap_up = queue.wrap_up_timeout
            self.turn(entry, "offered")
        return entries

    def _next(self, queue: Queue, free: Sequence[Agent]) -> Agent:
        if queue.routing_method == "random":
            return self._random.choice(free)
        return min(free, key=self._idle_since)  # of several, the first of the queue's list

    def _idle_since(self, agent: Agent) -> float:
        entry = self._agents.get(agent.id)
        return -math.inf if entry is None else entry.idle_since

    def _entry(self, agent: Agent) -> PooledAgent:
        entry = self._agents.get(agent.id)
        if entry is None:
            entry = self._agents[agent.id] = PooledAgent(agent)
        entry.agent = agent
        return entry

    async def claim(self, entry: PooledAgent) -> bool:
        """Whether the agent is ours, among all engines."""
        entry.claimed = await self._board.claim(entry.agent.id)
        return entry.claimed

    def turn(self, entry: PooledAgent, event: AgentEvent) -> None:
        """Something has happened to an agent."""
        before, entry.state = entry.state, AGENT[entry.state, event]
        identifier = entry.agent.id
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if entry.state == "talking":
            entry.talked = True
            self._board.talks(identifier)
        elif entry.state == "wrap_up":
            self._later(entry, entry.wrap_up)
        elif entry.state == "resting":
            self._release(entry)
            self._later(entry, REST)
        elif entry.state == "free":
            if before != "resting":
                self._release(entry)
            if entry.gone:
                del self._agents[identifier]
            self._freed()

    def _release(self, entry: PooledAgent) -> None:
        entry.claimed = False
        if entry.state == "resting" or entry.talked:
            entry.idle_since = asyncio.get_running_loop().time()
        entry.talked = False
        self._board.release(entry.agent.id)

    def _later(self, entry: PooledAgent, seconds: float) -> None:
        if seconds <= 0 or self._closed:
            self.turn(entry, "over")
        else:
            entry.timer = asyncio.get_running_loop().call_later(seconds, self.turn, entry, "over")

    def says(self, agent_id: UUID, status: str) -> None:
        """What the board shows of an agent now; "" where there is no such agent any more."""
        entry = self._agents.get(agent_id)
        if entry is None:
            return
        entry.gone = not status
        if entry.gone and entry.state == "free":
            del self._agents[agent_id]
        elif entry.state == "ringing" and status not in ("available", "ringing"):
            if entry.task is not None:
                entry.task.cancel()  # it is away: whatever rings, stops
        elif status == "available" and entry.state == "wrap_up":
            self.turn(entry, "says_available")
        elif status == "available" and entry.claimed:
            self._board.hold(agent_id)

    def close(self) -> None:
        """Nobody is rung or waited for any more."""
        self._closed = True
        for entry in self._agents.values():
            if entry.timer is not None:
                entry.timer.cancel()
                entry.timer = None
