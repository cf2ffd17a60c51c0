"""Simulated queues and conferences: whatever a flow names exists, and time passes in it."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn
from uuid import UUID

from flows.calls.context import CallContext
from flows.calls.ports import CallLeg
from flows.queues.caller import QueueResult, tell
from flows.queues.conferences import Conference, Conferences, Ended
from flows.queues.model import Agent, Queue, QueueFinder, QueueVariables
from flows.simulation.dialler import RINGS, RINGS_OUT, SimulatedDialler
from flows.simulation.leg import SimulatedLeg
from routing.identifiers import NIL, named_id


class SimulatedQueues:
    """`flows.queues.model.QueueService`: an agent answers, or nobody does, as outbound calls end in this run.
    `known` are the queues that are described somewhere; any other is one without settings."""

    def __init__(self, leg: SimulatedLeg, dialler: SimulatedDialler, known: Sequence[Queue] = ()) -> None:
        self._known = {reference: queue for queue in known for reference in (queue.name, str(queue.id))}
        self._leg = leg
        self._dialler = dialler
        self.finder: QueueFinder = self

    def queue(self, reference: str, customer_id: UUID) -> Queue | None:
        """One of that name."""
        return self._known.get(reference) or Queue(named_id("queue", reference), NIL, reference)

    def agents(self, queue: Queue) -> Sequence[Agent]:
        """None: no agent is rung."""
        return ()

    def callers(self, queue_id: UUID) -> Sequence[Any]:
        """None but this caller."""
        return ()

    async def attend(self, context: CallContext, variables: QueueVariables, queue: Queue) -> QueueResult:
        """The caller waits and talks, or waits in vain."""
        leg = self._leg
        if not context.call.answered:
            context.call.answer()
        variables.set_result("queue.position", "1")
        if self._dialler.ending == "answered":
            done = QueueResult("answered", RINGS, leg.talk, Agent(named_id("agent", "somebody"), NIL, "somebody"))
        else:
            done = QueueResult("timeout", queue.wait_timeout or RINGS_OUT)
        tell(context.record, variables, queue, done)
        await leg.pass_time(done.waited + done.duration)
        return done

    def close(self) -> None:
        """Nothing."""


class SimulatedConferences(Conferences):
    """A conference with no other members, which the caller leaves after its seconds of talk."""

    __slots__ = ("_leg",)

    def __init__(self, leg: SimulatedLeg) -> None:
        super().__init__(self, _nothing_is_mixed, leg.clock)
        self._leg = leg

    def conference(self, reference: str, customer_id: UUID) -> Conference | None:
        """One of that name."""
        return Conference(named_id("conference", reference), NIL, reference)

    async def attend(
        self,
        conference: Conference,
        call: CallLeg,
        call_id: str,
        source: str,
        joined: Callable[[int], None],
        overhears: object = None,
    ) -> Ended:
        """The caller's seconds of talk."""
        if not call.answered:
            call.answer()
        self._leg.report(f"joined, for {self._leg.talk:.1f} s (nobody is there)")
        joined(1)
        await self._leg.pass_time(self._leg.talk)
        return "left"


async def _nothing_is_mixed() -> NoReturn:
    raise NotImplementedError("nothing sounds")
