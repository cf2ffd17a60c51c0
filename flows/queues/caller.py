"""A caller in a queue: its state, and what its flow and its record learn of that."""

import asyncio
from dataclasses import dataclass

from flows.calls.context import CallContext
from flows.calls.dial import ConnectResult
from flows.calls.record import CallRecord
from flows.queues.agents import PooledAgent
from flows.queues.model import Agent, Queue, QueueVariables
from flows.queues.states import CALLER, CallerEvent, CallerState


@dataclass(slots=True)
class QueueResult:
    """What became of a caller: `queue.status`, the seconds that it has waited and talked, and with whom."""

    status: CallerState
    waited: float = 0.0
    duration: float = 0.0
    agent: Agent | None = None


class WaitingCaller:
    """A caller in a line. `joined` and `answered` are on the clock of the environment."""

    __slots__ = (
        "agent",
        "announced",
        "answered",
        "context",
        "ended",
        "joined",
        "limit",
        "music",
        "offered",
        "queue",
        "reserved",
        "state",
        "takes_more",
        "tasks",
        "variables",
    )

    def __init__(self, context: CallContext, variables: QueueVariables, queue: Queue) -> None:
        self.context = context
        self.variables = variables
        self.queue = queue
        self.state: CallerState = "new"
        self.joined = context.services.clock()
        self.announced = False
        self.answered: float | None = None
        self.ended: float | None = None
        self.agent: Agent | None = None
        self.reserved: list[PooledAgent] = []
        self.offered = asyncio.Event()
        self.takes_more = False  # whoever becomes free is rung as well
        self.limit: asyncio.Timeout | None = None
        self.music: asyncio.Task[None] | None = None
        self.tasks: dict[asyncio.Task[ConnectResult | None], PooledAgent] = {}

    @property
    def call_id(self) -> str:
        """The call's id."""
        return self.context.record.id

    @property
    def source(self) -> str:
        """The caller's number."""
        return self.context.record.source

    def turn(self, event: CallerEvent) -> None:
        """Something has happened to it."""
        self.state = CALLER[self.state, event]

    def attended(self) -> QueueResult:
        """How it stands."""
        now = self.context.services.clock()
        if self.answered is None:
            return QueueResult(self.state, now - self.joined)
        ended = now if self.ended is None else self.ended
        return QueueResult(self.state, self.answered - self.joined, ended - self.answered, self.agent)

    def tell(self) -> None:
        """What the flow and the call's record learn."""
        tell(self.context.record, self.variables, self.queue, self.attended())


def tell(record: CallRecord, variables: QueueVariables, queue: Queue, done: QueueResult) -> None:
    """Sets the variables `queue.*`, and makes a note in the call's record."""
    set_ = variables.set_result
    set_("queue.status", done.status)
    set_("queue.waited", str(int(done.waited)))
    set_("queue.duration", str(int(done.duration)))
    set_("queue.agent", str(done.agent.id) if done.agent is not None else "")
    set_("queue.agent_name", done.agent.name if done.agent is not None else "")
    if done.agent is None:
        how = f"{done.status} after {done.waited:.0f} s"
    else:
        who = done.agent.name or done.agent.id
        how = f"waited {done.waited:.0f} s, talked {done.duration:.0f} s with {who}"
    record.note(f"queue {queue.name or queue.id}: {how}")
