"""Groupcalls: several destinations are called for one purpose, and the first that answers has it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID, uuid4

from flows.calls.address import Address
from flows.calls.context import FlowRunner
from flows.calls.record import CallRecord
from flows.calls.services import CallServices
from flows.origination.call import OriginatedCall, TooManyTasksError
from flows.origination.orders import CallOrder, OriginatedCalls, prepare_calls, read_order, tasks_of

RingMethod = Literal["ring_all", "linear"]
GroupStatus = Literal["dialing", "progressing", "hangup"]

_QUICKER = "another destination answered before it was dialled"
_GIVEN_UP = "the groupcall was hung up before it was dialled"
_STOPPED = "the groupcall ended before it was dialled"


class GroupCallRequest(CallOrder):
    """What is asked for. `ring_all` calls all destinations at once, `linear` one after another."""

    ring_method: RingMethod = "ring_all"


class GroupCall:
    """One groupcall. Nothing is dialled before `start`; every call has its id from the beginning.

    Attributes:
        status: `dialing` until somebody answers, then `progressing`; `hangup` when all of its calls are over.
        call_ids: In the order of the destinations. A call that was never dialled has a record that says so in the end.
        answer_call_id: The call that was answered, "" while there is none.
        on_change: Told after every change of `status`; it must be quick.
    """

    __slots__ = (
        "_calls",
        "_given_up",
        "_services",
        "_task",
        "answer_call_id",
        "customer_id",
        "destinations",
        "flow_id",
        "id",
        "on_change",
        "ring_method",
        "source",
        "status",
        "tm_create",
        "tm_delete",
        "tm_update",
    )

    def __init__(
        self, services: CallServices, identifier: UUID, request: GroupCallRequest, calls: OriginatedCalls, now: datetime
    ) -> None:
        self._services = services
        self._calls = calls
        self._given_up = False
        self._task: asyncio.Task[None] | None = None
        self.id = identifier
        self.customer_id = request.customer_id
        self.source: Address | None = request.source
        self.destinations: list[Address] = request.destinations
        self.ring_method: RingMethod = request.ring_method
        self.flow_id = calls.flow_id
        self.status: GroupStatus = "dialing"
        self.answer_call_id = ""
        self.tm_create = self.tm_update = now
        self.tm_delete: datetime | None = None
        self.on_change: Callable[[GroupCall], None] | None = None
        for call in calls.calls:
            call.claim = partial(self._claim, call)

    @property
    def call_ids(self) -> list[str]:
        """The ids of its calls."""
        return self._calls.call_ids

    @property
    def records(self) -> list[CallRecord]:
        """The records of its calls, which fill in as they go on."""
        return self._calls.records

    def announce(self) -> None:
        """From now on its calls are known, before anything is dialled (`OriginatedCall.announce`)."""
        self._calls.announce()

    def start(self) -> None:
        """Begins to dial. Where no more calls may run, the records of those that are left out say so. A second time
        does nothing."""
        if self._task is not None or self.status == "hangup":
            return
        if self.ring_method == "ring_all":
            self._calls.start()
        try:
            self._task = self._services.tasks.start(self._conduct(), f"groupcall {self.id}")
        except TooManyTasksError as error:
            for call in self._calls.calls:
                call.give_up(str(error))
            self._over()
            return
        self._task.add_done_callback(lambda _: self._over())

    def hang_up(self) -> None:
        """Ends the calls that are still up; what was not dialled never will be."""
        self._given_up = True
        for call in self._calls.calls:
            call.give_up(_GIVEN_UP)
        if self._task is None:
            self._over()

    async def wait(self) -> list[CallRecord]:
        """The records when all is over. Cancelled, it lets the calls go on."""
        if self._task is not None:
            await asyncio.wait((self._task,))
        return self.records

    # ---- how it goes

    async def _conduct(self) -> None:
        calls = self._calls.calls
        if self.ring_method == "ring_all":
            if tasks := tasks_of(calls):
                await asyncio.wait(tasks)
            return
        for call in calls:
            if self.answer_call_id or self._given_up:
                break
            call.start_or_fail()
            if call.task is not None:
                await asyncio.wait((call.task,))

    def _claim(self, call: OriginatedCall) -> bool:
        """A call was answered: whether it has the group. All the others are given up then."""
        if self.answer_call_id or self._given_up:
            return False
        self.answer_call_id = call.record.id
        for other in self._calls.calls:
            if other is not call:
                other.give_up(_QUICKER)
        self._turn("progressing")
        return True

    def _over(self) -> None:
        for call in self._calls.calls:
            call.claim = None  # each knows us, and we know them: no circle may stay behind
            call.give_up(_STOPPED)
        if self.status != "hangup":
            self._turn("hangup")

    def _turn(self, status: GroupStatus) -> None:
        self.status = status
        self.tm_update = datetime.fromtimestamp(self._services.wall(), UTC)
        if self.on_change is not None:
            try:
                self.on_change(self)
            except Exception as error:
                self._services.log.error(
                    "groupcall observer failed",
                    groupcall_id=str(self.id),
                    error=f"{type(error).__name__}: {error}"[:500],
                )


def read_group_request(document: Mapping[str, Any]) -> GroupCallRequest:
    """A request from a document. Raises OrderError with one line for each fault."""
    return read_order(GroupCallRequest, document, "a groupcall")


def prepare_group_call(
    flows: FlowRunner, request: GroupCallRequest, *, metadata: Mapping[str, Any] | None = None
) -> GroupCall:
    """A groupcall with its calls; `start` begins it. Each call's record gets a copy of `metadata`.

    Raises OrderError when the flow does not exist or too many calls run already, and FlowError for faults in `actions`.
    """
    identifier = uuid4()
    calls = prepare_calls(flows, request, metadata=metadata, groupcall_id=str(identifier), kind="groupcall")
    return GroupCall(flows.calls, identifier, request, calls, datetime.fromtimestamp(flows.calls.wall(), UTC))


def place_group_call(flows: FlowRunner, request: GroupCallRequest) -> GroupCall:
    """`prepare_group_call` and its start in one."""
    made = prepare_group_call(flows, request)
    made.start()
    return made
