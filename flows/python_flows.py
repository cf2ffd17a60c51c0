"""Flows written in Python: `async def` functions, registered by name, with the actions as methods.

    from flows.python_flows import FlowCall, flow

    @flow("hotline")
    async def hotline(call: FlowCall) -> None:
        call.ringing()
        if await call.connect("+821012345678", ring_timeout=20) != "answered":
            await call.connect("sip:desk@example.com")

The end of the function hangs up, as the end of a list of actions does.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from flows.actions import answering
from flows.actions.call import call as call_action
from flows.actions.connect import connect as connect_action
from flows.actions.webhook import webhook_send as webhook_action
from flows.address import Address
from flows.contracts import CallEnded, CallLeg
from flows.interpreter import execute, hang_up
from flows.options import (
    CallOptions,
    ConnectOptions,
    NoOptions,
    ProgressOptions,
    RedirectOptions,
    RejectOptions,
    WebhookOptions,
)
from flows.program import HUNG_UP, STOP, Program, Step
from flows.record import CallRecord
from flows.run import ActionError, Run
from flows.variables import Variables
from routing.hangup import HangupReason
from routing.identifiers import named_id
from routing.identity import Anonymous
from routing.rows import NumberRow

PythonFlow = Callable[["FlowCall"], Awaitable[None]]

_NO_OPTIONS = NoOptions()
_registered: dict[str, PythonFlow] = {}


class FlowModuleError(Exception):
    """The module of Python flows cannot be used: which one, where, and what is wrong."""


def flow(name: str) -> Callable[[PythonFlow], PythonFlow]:
    """Registers a function under a name, which numbers and flows refer to. Raises FlowModuleError for a name in use."""

    def register(function: PythonFlow) -> PythonFlow:
        if not name:
            raise FlowModuleError('a flow in Python needs a name; write @flow("name")')
        if name in _registered:
            raise FlowModuleError(f"two flows in Python are called {name!r}; give each its own name")
        _registered[name] = function
        return function

    return register


def load_module(module: str, beside: Path | None = None) -> dict[str, PythonFlow]:
    """The flows that a module registers, by name. `module` is a dotted name, or the path of a `.py` file, relative to
    the folder `beside`. Raises FlowModuleError, in one line, when it cannot be imported or registers nothing.

    A module that was imported before is run again, so that a reload sees its changes.
    """
    _registered.clear()
    try:
        if module.endswith(".py"):
            _run_file((beside or Path()) / module)
        elif module in sys.modules:
            importlib.reload(sys.modules[module])
        else:
            importlib.import_module(module)
    except FlowModuleError as error:
        raise FlowModuleError(f"{module}: {error}") from None
    except Exception as error:  # whatever a module of the user's does when it is imported
        fault = f"{_where(error)}{type(error).__name__}: {error}"
        raise FlowModuleError(f"{module}: {fault}; mend it or remove flows_module") from error
    if not _registered:
        raise FlowModuleError(f'{module}: registers no flow; put @flow("name") before an async def function')
    found = dict(_registered)
    _registered.clear()
    return found


def _run_file(path: Path) -> None:
    if not path.is_file():
        raise FlowModuleError(f"there is no file {path}; write its path as seen from the configuration file")
    name = f"trunkline_flows_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FlowModuleError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames or "importlib" in frames[-1].filename:
        return ""
    return f"line {frames[-1].lineno}: "


def compile_python(name: str, function: PythonFlow) -> Program:
    """A function as a program of one step."""

    async def run_function(run: Run, _option: NoOptions) -> int | None:
        call = FlowCall(run)
        try:
            await function(call)
        except SystemExit as error:
            # asyncio lets this one end the program, with everybody's calls.
            raise ActionError(f"the flow tried to end the program: {error}") from None
        return call.result

    identifier = str(named_id("flow", name))
    return Program(identifier, name, [Step(name, "python", run_function, _NO_OPTIONS, 1, True)], {name: 0})


class FlowCall:
    """A call, as a flow in Python sees it. Its methods are the actions, with the same names and options.

    Orders raise CallEnded once the call is over, ActionError when they cannot be carried out, and pydantic's
    ValidationError (a ValueError) for an option that is wrong. Durations are milliseconds, ring timeouts seconds.
    """

    __slots__ = ("_run", "result")

    def __init__(self, run: Run) -> None:
        self._run = run
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
        """The number of ours that was called."""
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
        answering.answer(self._run, _NO_OPTIONS)

    def ringing(self) -> None:
        """180, once."""
        self._count()
        answering.ringing(self._run, _NO_OPTIONS)

    def progress(self, early_media: bool = True) -> None:
        """183 with the engine's own media."""
        self._count()
        answering.progress(self._run, ProgressOptions(early_media=early_media))

    def reject(self, code: int = 603, reason: str = "") -> None:
        """The final response that refuses; return afterwards."""
        self._count()
        self.result = answering.reject(self._run, RejectOptions(code=code, reason=reason))

    def redirect(self, contacts: Sequence[str]) -> None:
        """302; return afterwards."""
        self._count()
        self.result = answering.redirect(self._run, RedirectOptions(contacts=list(contacts)))

    def hangup(self, reason: HangupReason = "normal") -> None:
        """Ends the call; return afterwards."""
        self._count()
        hang_up(self._run, reason)
        self.result = HUNG_UP

    async def sleep(self, duration: int) -> None:
        """Waits for milliseconds."""
        self._count()
        await self._run.call.sleep(duration / 1000)

    async def echo(self, duration: int = 0) -> None:
        """Sends the caller's media back, for milliseconds or (0) until the hangup."""
        self._count()
        await self._run.call.echo(duration / 1000 if duration else None)

    async def block(self) -> None:
        """Waits for the hangup."""
        self._count()
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
        option = ConnectOptions(
            source=_address(source) if source else None,
            destinations=[_address(destination) for destination in destinations],
            ring_method=ring_method,
            ring_timeout=ring_timeout,
            early_media=early_media,
            relay_reason=relay_reason,
            anonymous=anonymous,
        )
        ended = await connect_action(self._run, option)
        if ended is not None:
            self.result = ended
        return self._run.variables.get("connect.status")

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
        call_action(self._run, option)

    async def webhook_send(
        self,
        uri: str,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST",
        data: str | dict[str, Any] | list[Any] = "",
        sync: bool = False,
    ) -> None:
        """Sends a webhook; with `sync` waits and takes variables from the answer."""
        self._count()
        await webhook_action(self._run, WebhookOptions(uri=uri, method=method, data=data, sync=sync))

    async def fetch_flow(self, flow_id: str) -> None:
        """Runs another flow in place. When that flow has ended the call, so has this one: return afterwards."""
        self._count()
        program = self._run.env.flows.find(flow_id)
        if program is None:
            raise ActionError(f"there is no flow {flow_id!r}")
        outer = self._run.program, self._run.step
        ended = await execute(self._run, program)
        self._run.program, self._run.step = outer
        if ended in (STOP, HUNG_UP):
            self.result = ended

    def _count(self) -> None:
        budget = self._run.budget
        if budget.left <= 0:
            raise ActionError("the call has run as many actions as a call may")
        budget.left -= 1


def _address(party: str | Address) -> Address:
    if isinstance(party, Address):
        return party
    kind: Literal["sip", "tel"] = "sip" if party[:4].lower() == "sip:" or party[:5].lower() == "sips:" else "tel"
    return Address(type=kind, target=party)


__all__ = ["CallEnded", "FlowCall", "FlowModuleError", "PythonFlow", "compile_python", "flow", "load_module"]
