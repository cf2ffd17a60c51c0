"""`trunkline flow run`: a flow, run against a simulated caller, in simulated time and without a network."""

import asyncio
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
from rich.console import Console

from config.faults import ConfigurationError, Fault
from config.loading import load
from config.settings import MediaSettings
from config.yaml import Document
from flows.actions import ACTIONS
from flows.calls.address import Address
from flows.calls.destinations import Contact
from flows.calls.record import CallRecord
from flows.calls.registry import CallRegistry
from flows.calls.services import CallServices, MediaServices
from flows.faults import FlowError
from flows.language.interpreter import Interpreter
from flows.language.library import FlowLibrary
from flows.language.model import read_flow
from flows.language.program import Program
from flows.language.registry import Report
from flows.messages.opt_out import keyword
from flows.queues.declared import DeclaredQueue
from flows.simulation.dialler import SimulatedDialler
from flows.simulation.leg import SimulatedCaller, SimulatedClock, SimulatedLeg
from flows.simulation.rooms import SimulatedConferences, SimulatedQueues
from flows.simulation.sounds import SimulatedRecordings, SimulatedSounds
from flows.web import WebhookLimits, WebServices
from routing.directory.directory import Directory
from routing.directory.rows import NumberRow
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.identifiers import named_id
from routing.models.provider import Provider
from routing.models.route import Route
from routing.numbers.normalise import normalise_dialled
from routing.settings import RoutingSettings
from service.contact_center.queue_directory import queue_of
from service.python_flows import python_flow_names, python_flows
from service.simulator.message import texted
from service.simulator.order import FlowOrder
from service.simulator.view import FlowView
from service.sounds import sound_library

DONE, FAILED = 0, 1
STUCK = 60.0
"""Seconds that a run may really take: sounds are read and spoken."""
CALLED = "+15555550100"
"""What is called where nothing says so."""


class FlowRunError(Exception):
    """The order cannot be carried out, in a sentence. `option` is what to change: "" for what has to be added."""

    def __init__(self, problem: str, option: str = "") -> None:
        super().__init__(problem)
        self.option = option


@dataclass(slots=True, kw_only=True)
class _Source:
    """What a file holds."""

    library: FlowLibrary
    directory: Directory
    routing: RoutingSettings
    transports: list[str]
    media: MediaSettings
    queues: Sequence[DeclaredQueue] = ()


async def run_flow(order: FlowOrder, console: Console | None = None) -> int:
    """Runs the flow and prints it: 0 when all went well, 1 when an action failed. Raises ConfigurationError for a
    faulty file, FlowRunError for a flow that is not there."""
    source = read_source(order.file)
    number = _number(source, order.called) or _texted(source, order)
    program = _program(source, order, number)
    if number is None and program is not None:
        number = _number_of(source, order, program)
    clock = SimulatedClock()
    view = FlowView(console or Console(highlight=False), clock)
    _simulate(source.library, view.report)
    caller = SimulatedCaller(order.digits, order.patience, order.hangup_after or math.inf)
    leg = SimulatedLeg(clock, caller, view.report, order.talk)
    leg.key_listeners.append(view.on_key)
    dialler = SimulatedDialler(clock, order.connect)
    dialler.leg = leg
    sounds = sound_library(source.media, order.file.absolute().parent)
    began = order.at or datetime.now(UTC)
    recordings = SimulatedRecordings(order.file.parent / source.media.recordings, clock, view)
    async with httpx.AsyncClient(transport=httpx.MockTransport(_answer)) as http:
        calls = CallServices(
            dialler=dialler,
            router=Router(source.directory, HealthBoard(source.transports), source.routing),
            directory=source.directory,
            routing=source.routing,
            library=source.library,
            log=view,
            registry=CallRegistry(log=view),
            media=MediaServices(sounds=SimulatedSounds(sounds), recordings=recordings),
            clock=clock,
            wall=lambda: began.timestamp() + clock(),
            contacts=_EveryContact(),
        )
        flows = Interpreter(
            calls=calls,
            library=source.library,
            # Nothing is sent anywhere.
            web=WebServices(http=http, limits=WebhookLimits(allow_private=True), resolve_host=_somewhere),
            queues=SimulatedQueues(leg, dialler, [queue_of(queue.row()) for queue in source.queues]),
            conferences=SimulatedConferences(leg),
            utc_now=lambda: began + timedelta(seconds=clock()),
            observer=view,
        )
        record = CallRecord(
            leg.id,
            "incoming",
            source=order.caller,
            destination=number.number if number else order.called or CALLED,
            created=flows.calls.wall(),
        )
        if number is not None:
            record.number_row, record.customer_id = number, number.customer_id
        if order.text is not None:
            try:
                await texted(flows, view, order.text, program, record)
            finally:
                await flows.close()
                await sounds.close()
            return FAILED if view.problems else DONE
        assert program is not None
        view.begin(record, program)
        try:
            await _carry_out(flows, program, leg, record, number, order.variables)
            if recording := recordings.call_over(leg.id):
                view.report(f"recording {recording.filename}: {recording.duration / 1000:.1f} s, ended by hangup")
            await _completed(flows)
        finally:
            await flows.close()
            await sounds.close()
    view.end(record, clock())
    return FAILED if view.problems else DONE


def _simulate(programs: Iterable[Program], report: Report) -> None:
    """Replaces the functions of these programs' steps by those that simulate them. The programs must not be shared."""
    for program in programs:
        for step in program.steps:
            kind = ACTIONS.get(step.type)
            if kind is not None and kind.simulate is not None:
                step.function, step.waits = partial(kind.simulate, report), True


async def _carry_out(
    flows: Interpreter,
    program: Program,
    leg: SimulatedLeg,
    record: CallRecord,
    number: NumberRow | None,
    variables: Mapping[str, str],
) -> None:
    work = flows.run(program, leg, record, number=number, own=dict(variables))
    leg.task = asyncio.get_running_loop().create_task(work, name="flow")
    done, _ = await asyncio.wait((leg.task,), timeout=STUCK)
    if not done:
        leg.task.cancel()
        flows.calls.log.error(
            "stuck", error=f"the flow waits for something that is not simulated; given up after {STUCK:g} s"
        )
    with suppress(asyncio.CancelledError):
        await leg.task


async def _completed(flows: Interpreter) -> None:
    """Waits for what completes the flow, and for webhooks sent without `sync`."""
    for _ in range(1000):
        if not len(flows.calls.tasks):
            break
        await asyncio.sleep(0.001)


def read_source(path: Path) -> _Source:
    """A configuration, or a file with one flow: an object with actions, or a list of them. Raises
    ConfigurationError."""
    document = Document.read(path)
    data = document.data
    if isinstance(data, list) or (isinstance(data, dict) and "actions" in data):
        return _one_flow(path, document)
    configuration = load(path, python_flows=python_flow_names)
    directory = Directory(limit=0)
    directory.replace(configuration.numbers, configuration.providers, configuration.routes)
    return _Source(
        library=FlowLibrary(ACTIONS, configuration.flows, python_flows(configuration)),
        directory=directory,
        routing=configuration.routing_settings(),
        transports=configuration.transports,
        media=configuration.settings.media,
        queues=configuration.queues,
    )


def _one_flow(path: Path, document: Document) -> _Source:
    data = document.data
    listed = isinstance(data, list)
    try:
        flow = read_flow({"actions": data} if listed else data, ACTIONS, title=path.stem)
    except FlowError as error:
        faults = []
        for fault in error.faults:
            place = fault.path[1:] if listed else fault.path
            faults.append(Fault(document.place(place), place, fault.problem, document.line(place)))
        raise ConfigurationError(sorted(faults, key=lambda fault: fault.line)) from None
    flow.name = flow.name or path.stem
    # A flow alone has no providers: whatever it dials goes through one that is as good as any.
    provider = Provider(id=named_id("provider", "any"), name="a provider", hostname="provider.invalid")
    directory = Directory(limit=0)
    directory.replace([], [provider], [Route(target="all", provider_id=provider.id, priority=1, name="all")])
    return _Source(
        library=FlowLibrary(ACTIONS, [flow]),
        directory=directory,
        routing=RoutingSettings(),
        transports=["udp"],
        media=MediaSettings(),
    )


def _number(source: _Source, called: str) -> NumberRow | None:
    if not called:
        return None
    found = normalise_dialled(called, source.routing, source.directory.numbers)
    return source.directory.number(found.number) if found.number else None


def _texted(source: _Source, order: FlowOrder) -> NumberRow | None:
    """The number that a text goes to where none is named: the only one that has a message flow."""
    if order.text is None or order.called or order.flow:
        return None
    found = [row for row in source.directory.numbers.values() if row.message_flow_id.int]
    return found[0] if len(found) == 1 else None


def _program(source: _Source, order: FlowOrder, number: NumberRow | None) -> Program | None:
    """What runs; None where a text is answered without a flow. Raises FlowRunError."""
    names = sorted(program.title for program in source.library)
    if order.flow:
        program = source.library.find(order.flow)
        if program is None:
            has = ", ".join(names) or "none"
            raise FlowRunError(f"there is no flow {order.flow!r} in {order.file}; it has: {has}", "--flow")
        return program
    if number is not None:
        program = source.library.find(_flow_id(order, number))
        if program is not None or (order.text is not None and keyword(order.text) is not None):
            return program
        problem = f"{number.number} has no call flow in {order.file}; choose one with --flow"
        if order.text is not None:
            problem = f"{number.number} has no message flow in {order.file}, and takes no text but STOP, START and HELP"
            problem += "; give it one, or choose one with --flow"
        raise FlowRunError(problem, "--called")
    if order.called and source.directory.numbers:
        problem = f"{order.called} is none of the numbers in {order.file}; choose a flow with --flow"
        raise FlowRunError(problem, "--called")
    if len(names) != 1:
        found = f"has the flows {', '.join(names)}; choose one with --flow or --called" if names else "has no flow"
        raise FlowRunError(f"{order.file} {found}")
    return next(iter(source.library))


def _number_of(source: _Source, order: FlowOrder, program: Program) -> NumberRow | None:
    """The number that leads to the flow, where there is just one."""
    found = [row for row in source.directory.numbers.values() if str(_flow_id(order, row)) == program.id]
    return found[0] if len(found) == 1 else None


def _flow_id(order: FlowOrder, number: NumberRow) -> UUID:
    return number.call_flow_id if order.text is None else number.message_flow_id


async def _answer(request: httpx.Request) -> httpx.Response:
    """What every web server says here: a webhook's answer sets nothing, a fetched flow is empty."""
    try:
        body = json.loads(request.content or b"null")
    except ValueError:
        body = None
    fetched = "call.id" in request.url.params or (
        isinstance(body, dict) and {"call", "flow", "variables"} <= body.keys()
    )
    return httpx.Response(200, content=b"[]" if fetched else b"")


async def _somewhere(host: str, port: int) -> list[str]:
    return ["192.0.2.1"]


class _EveryContact:
    """Whoever a flow names is reached somewhere."""

    async def resolve(self, address: Address, customer_id: UUID) -> Sequence[Contact]:
        return (Contact(uri=f"sip:{address.target}@simulated.invalid", customer_id=customer_id),)

    async def returned(self, extension: str, at_most: float) -> bool:
        """Nobody is away."""
        return False
