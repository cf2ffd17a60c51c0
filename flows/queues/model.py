"""Queues and agents as their owners describe them, and the ports that queues need."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import UUID

from flows.calls.address import Address
from flows.calls.context import CallContext

RoutingMethod = Literal["random", "longest_idle", "ring_all"]
AgentStatus = Literal["available", "away", "busy", "offline", "ringing"]

RING_TIMEOUT = 20.0
"""Seconds that an agent's address rings where the queue does not say."""


@dataclass(slots=True, frozen=True)
class Queue:
    """A queue. Times are seconds, 0 for no limit (`ring_timeout`: for RING_TIMEOUT).

    Attributes:
        agent_ids: Agents of the queue, in order; all with one of `tag_ids` are so as well.
        music: What callers hear, as `play` takes it; "" for music of our own.
        max_waiting: Callers that may wait; 0 for no limit.
        overflow_flow_id: What runs where nobody answers in time, or nobody can wait.
        announce_every: Seconds between two announcements to who waits; 0 for none.
        announce_language: What they are spoken in; "" for English.
        announce_text: What they say, with variables; "" for words of our own.
    """

    id: UUID
    customer_id: UUID
    name: str = ""
    routing_method: RoutingMethod = "random"
    agent_ids: tuple[UUID, ...] = ()
    tag_ids: frozenset[UUID] = frozenset()
    wait_timeout: float = 0.0
    service_timeout: float = 0.0
    ring_timeout: float = 0.0
    wrap_up_timeout: float = 0.0
    max_waiting: int = 0
    music: str = ""
    overflow_flow_id: str = ""
    announce_every: float = 0.0
    announce_language: str = ""
    announce_text: str = ""


@dataclass(slots=True, frozen=True)
class Agent:
    """An agent. `status` is what it says of itself, or what a queue has made of that: ringing, busy."""

    id: UUID
    customer_id: UUID
    name: str = ""
    addresses: tuple[Address, ...] = ()
    ring_method: Literal["ring_all", "linear"] = "ring_all"
    tag_ids: frozenset[UUID] = frozenset()
    status: str = "available"


class QueueFinder(Protocol):
    """Who knows queues and agents (`service.contact_center.queue_directory.QueueDirectory`). Quick, and as of this
    moment."""

    def queue(self, reference: str, customer_id: UUID) -> Queue | None:
        """By its id or its name, as a call of this customer may join it; the nil UUID may join any by its id."""
        ...

    def agents(self, queue: Queue) -> Sequence[Agent]:
        """The agents of a queue that can be rung at all, in order: those of `agent_ids`, then those with a tag."""
        ...


class AgentBoard(Protocol):
    """Where every engine sees what the agents do (`service.contact_center.agent_status.AgentStatusStore`).

    What an agent says of itself meanwhile (away, offline) stands: none of these writes over it.
    """

    async def claim(self, agent_id: UUID) -> bool:
        """`available` becomes `ringing`, for this engine alone. False where it was not available. Does not raise."""
        ...

    def talks(self, agent_id: UUID) -> None:
        """`ringing` becomes `busy`."""

    def hold(self, agent_id: UUID) -> None:
        """`available` becomes `busy`: it said so itself, and talks."""

    def release(self, agent_id: UUID) -> None:
        """What we have made of it becomes `available`."""


class QueueVariables(Protocol):
    """The variables of the flow that a caller comes from (`flows.language.variables.Variables`)."""

    def set_result(self, name: str, value: str) -> None:
        """What there is to know of the caller's way: the names `queue.*`."""

    def expand(self, text: str) -> str:
        """`text` with every `${name}` filled in."""
        ...


class QueueResult(Protocol):
    """What became of a caller (`flows.queues.caller.QueueResult`)."""

    @property
    def status(self) -> str: ...


class QueueService(Protocol):
    """Where callers wait (`flows.queues.service.Queues`)."""

    finder: QueueFinder

    async def attend(self, context: CallContext, variables: QueueVariables, queue: Queue) -> QueueResult:
        """Until the caller has talked with an agent, or waits no more; sets the variables `queue.*`."""
        ...

    def callers(self, queue_id: UUID) -> Sequence[Any]:
        """Who waits in a queue, in order."""
        ...

    def close(self) -> None:
        """The end."""
