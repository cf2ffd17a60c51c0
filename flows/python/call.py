"""FlowCall: a call as a flow in Python sees it, with the actions as methods."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from flows.actions import ACTIONS, answering, conference, connect, fetch, message, queue, transfer, webhook
from flows.actions.call import CallOptions, begin_calls
from flows.calls.address import Address
from flows.calls.ports import CallLeg
from flows.calls.record import CallRecord
from flows.faults import ActionError
from flows.language.interpreter import execute
from flows.language.options import NO_OPTIONS, Options
from flows.language.program import HUNG_UP, STOP, Program, StepResult
from flows.language.registry import ActionType
from flows.language.run import Run
from flows.language.variables import Variables
from flows.python.sound import SoundMethods
from routing.directory.rows import NumberRow
from routing.hunt.identity import Anonymous
from routing.hunt.outcome import HangupReason


class FlowCall(SoundMethods):
    """A call, as a flow in Python sees it. Its methods are the actions, with the same names and options.

    Orders raise CallEnded once the call is over, ActionError when they cannot be carried out, and pydantic's
    ValidationError (a ValueError) for an option that is wrong. Durations are milliseconds, ring timeouts seconds.
    """

    __slots__ = ("result",)

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.result: int | None = None
        """How the flow ends: None hangs up."""

    # ---- what it is

    @property
    def leg(self) -> CallLeg:
        """The engine's call, for what has no method here."""
        return self._run.call

    @property
    def record(self) -> CallRecord:
        """What is kept of the call; notes may be added."""
        return self._run.record

    @property
    def number(self) -> NumberRow | None:
        """Our number that was called."""
        return self._run.number

    @property
    def variables(self) -> Variables:
        """`get`, `set` and `expand`, with the names and limits of all flows."""
        return self._run.variables

    @property
    def answered(self) -> bool:
        """Whether the call has been answered."""
        return self._run.call.answered

    @property
    def source(self) -> str:
        """The caller's number."""
        return self._run.record.source

    # ---- actions

    def answer(self) -> None:
        """200 OK unless already answered."""
        self._count()
        answering.answer(self._run, NO_OPTIONS)

    def ringing(self) -> None:
        """180, once."""
        self._count()
        answering.ringing(self._run, NO_OPTIONS)

    def progress(self, early_media: bool = True) -> None:
        """183 with the engine's own media."""
        self._count()
        answering.progress(self._run, answering.ProgressOptions(early_media=early_media))

    def reject(self, code: int = 603, reason: str = "") -> None:
        """The final response that refuses; return afterwards."""
        self._count()
        self.result = answering.reject(self._run, answering.RejectOptions(code=code, reason=reason))

    def redirect(self, contacts: Sequence[str]) -> None:
        """302; return afterwards."""
        self._count()
        self.result = answering.redirect(self._run, answering.RedirectOptions(contacts=list(contacts)))

    def hangup(self, reason: HangupReason = "normal") -> None:
        """Ends the call; return afterwards."""
        self._count()
        self._run.hangup(reason)
        self.result = HUNG_UP

    async def sleep(self, duration: int) -> None:
        """Waits for milliseconds."""
        self._count()
        await self._run.call.sleep(duration / 1000)

    async def block(self) -> None:
        """Waits for the hangup."""
        self._count()
        self._run.call.rest()
        await self._run.call.wait_ended()
        self.result = HUNG_UP

    def stop(self) -> None:
        """The end of the function will not hang up."""
        self._count()
        self.result = STOP

    async def connect(
        self,
        *destinations: str | Address,
        source: str | Address | None = None,
        ring_method: Literal["ring_all", "linear"] = "ring_all",
        ring_timeout: int = 0,
        early_media: bool = True,
        relay_reason: bool = False,
        anonymous: Anonymous = "auto",
    ) -> str:
        """Dials and bridges; returns `connect.status` when the far end has hung up or nobody answered."""
        self._count()
        option = connect.ConnectOptions(
            source=_address(source) if source else None,
            destinations=[_address(destination) for destination in destinations],
            ring_method=ring_method,
            ring_timeout=ring_timeout,
            early_media=early_media,
            relay_reason=relay_reason,
            anonymous=anonymous,
        )
        await self._conclude(await connect.connect(self._run, option))
        return self._run.variables.get("connect.status")

    async def queue_join(self, queue_id: str) -> str:
        """Waits in a queue and talks with an agent; returns `queue.status`. The queue's overflow flow runs in place:
        when it has ended the call, return afterwards."""
        self._count()
        await self._conclude(await queue.queue_join(self._run, queue.QueueJoinOptions(queue_id=queue_id)))
        return self._run.variables.get("queue.status")

    async def conference_join(self, conference_id: str) -> str:
        """Talks with those in the conference until that is over; returns `conference.status`."""
        self._count()
        await conference.conference_join(self._run, conference.ConferenceJoinOptions(conference_id=conference_id))
        return self._run.variables.get("conference.status")

    async def transfer(self, target: str | Address, mode: Literal["blind"] = "blind") -> str:
        """Has the caller's phone call another party; returns `transfer.status`. When that is `answered`, the call is
        over: return afterwards."""
        self._count()
        option = transfer.TransferOptions(target=_address(target), mode=mode)
        await self._conclude(await transfer.transfer(self._run, option))
        return self._run.variables.get("transfer.status")

    def call(
        self,
        *destinations: str | Address,
        source: str | Address | None = None,
        flow_id: str = "",
        chained: bool = False,
        anonymous: Anonymous = "auto",
    ) -> None:
        """Begins calls of their own; `flow_id` (an id or a name) runs on each when it is answered."""
        self._count()
        option = CallOptions(
            source=_address(source) if source else None,
            destinations=[_address(destination) for destination in destinations],
            flow_id=flow_id,
            chained=chained,
            anonymous=anonymous,
        )
        begin_calls(self._run, option)

    async def webhook_send(
        self,
        uri: str,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST",
        data: str | dict[str, Any] | list[Any] = "",
        sync: bool = False,
    ) -> None:
        """Sends a webhook; with `sync` waits and takes variables from the answer."""
        self._count()
        await webhook.webhook_send(self._run, webhook.WebhookOptions(uri=uri, method=method, data=data, sync=sync))

    async def message_send(self, text: str, *destinations: str | Address, source: str | Address | None = None) -> None:
        """Sends a text message; to who texts or calls where no destination is given, from our number that was texted
        or called. It does not wait for the far end."""
        self._count()
        option = message.MessageSendOptions(
            source=_address(source) if source else None,
            destinations=[_address(destination) for destination in destinations],
            text=text,
        )
        await message.message_send(self._run, option)

    async def fetch(self, event_url: str, event_method: Literal["POST", "GET"] = "POST") -> None:
        """Runs the actions that a web server answers with. When they have ended the call, return afterwards."""
        self._count()
        option = fetch.FetchOptions(event_url=event_url, event_method=event_method)
        await self._conclude(await fetch.fetch(self._run, option))

    async def fetch_flow(self, flow_id: str) -> None:
        """Runs another flow in place. When that flow has ended the call, so has this one: return afterwards."""
        self._count()
        program = self._run.find_flow(flow_id)
        if program is None:
            raise ActionError(f"there is no flow {flow_id!r}")
        await self._conclude(program)

    async def _conclude(self, result: StepResult) -> None:
        """Does what an action's result asks for: runs a program in place, or keeps how the call has been ended."""
        if isinstance(result, Program):
            outer = self._run.program, self._run.step
            ended = await execute(self._run, result)
            self._run.enter(outer[0])
            self._run.step = self._run.context.step = outer[1]
            if ended in (STOP, HUNG_UP):
                self.result = ended
        elif result is not None:
            self.result = result


def _method(action: ActionType) -> Callable[..., object]:
    """An action as a method, with its options as keywords."""

    def carry_out(self: FlowCall, **options: Any) -> None:
        self._count()
        ended: int | None = action.function(self._run, action.options.model_validate(options))
        if ended is not None:
            self.result = ended

    async def wait_for(self: FlowCall, **options: Any) -> None:
        self._count()
        await self._conclude(await action.function(self._run, action.options.model_validate(options)))

    method = wait_for if action.waits else carry_out
    method.__name__, method.__doc__ = action.name, action.function.__doc__
    return method


# Jumps are Python's own. What has no method above, with types, has one all the same.
for _action in ACTIONS.values():
    if not hasattr(FlowCall, _action.name) and _action.options.jumps is Options.jumps:
        setattr(FlowCall, _action.name, _method(_action))


def _address(party: str | Address) -> Address:
    if isinstance(party, Address):
        return party
    kind: Literal["sip", "tel"] = "sip" if party[:4].lower() == "sip:" or party[:5].lower() == "sips:" else "tel"
    return Address(type=kind, target=party)
