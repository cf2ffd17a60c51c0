"""Fakes that behave as the engine's calls do, and an environment around the real routing."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from engine.call import CallEnded
from engine.dial import Outcome
from flows.actions import ACTIONS
from flows.calls.address import Address
from flows.calls.destinations import Contact
from flows.calls.record import CallRecord
from flows.calls.registry import CallRegistry
from flows.calls.services import CallServices, MediaServices
from flows.language.interpreter import Interpreter
from flows.language.library import FlowLibrary, read_library
from routing.directory.directory import Directory
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.identifiers import named_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.settings import RoutingSettings

ANSWERED = Outcome(kind="answered", status=200, reason="OK", retry_after=0, first_reply=1.0)
NEVER = "never"


def refused(status: int, reason: str = "") -> Outcome:
    return Outcome(kind="refused", status=status, reason=reason, retry_after=0, first_reply=1.0)


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeBridge:
    def __init__(self, caller: "FakeCall", leg: "FakeLeg") -> None:
        self.caller, self.leg = caller, leg

    async def ended(self) -> str:
        if self.leg.talk == NEVER:
            await self.leg.ended_future
            return "callee"
        self.leg.clock.now += self.leg.talk
        self.leg.end("remote", 200)
        return "callee"


class FakeCall:
    """Keeps its orders. `task` is cancelled when it ends, as the engine does."""

    direction = "incoming"
    media: Any = None

    def __init__(self, clock: FakeClock, call_id: str = "call-1") -> None:
        self.clock = clock
        self.id = self.sip_call_id = call_id
        self.on_status: Any = None
        self._status = "dialing"
        self.created = clock()
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.ended_by = ""
        self.end_status = 0
        self.end_reason = self.peer_reason = ""
        self.orders: list[Any] = []
        self.task: asyncio.Task[Any] | None = None
        self._ended_future: asyncio.Future[None] | None = None
        self.refuse_answer: Exception | None = None
        self.refused_with: dict[str, str] = {}
        """Headers of the response that refused."""
        self.sleeping: float | None = None
        self.bridged: list[FakeLeg] = []
        self.refuse_bridge: Exception | None = None
        self.early = False
        self.typed: list[str | float] = []
        """Keys, and seconds before the next one."""
        self.taps: list[Any] = []
        self.on_play: Any = None
        self.transferred: Any = None

    @property
    def status(self) -> str:
        return self._status

    @status.setter
    def status(self, status: str) -> None:
        changed, self._status = status != self._status, status
        if changed and status != "hangup" and self.on_status is not None:
            self.on_status(self)

    @property
    def answered(self) -> bool:
        return self.answered_at is not None

    @property
    def ended_future(self) -> "asyncio.Future[None]":
        if self._ended_future is None:
            self._ended_future = asyncio.get_running_loop().create_future()
            if self.ended_at is not None:
                self._ended_future.set_result(None)
        return self._ended_future

    def _order(self, order: Any) -> None:
        if self.ended_at is not None:
            raise CallEnded("the call is over")
        self.orders.append(order)

    def ringing(self) -> None:
        self._order("ringing")
        self.status = "ringing"

    def progress(self, body: bytes = b"") -> None:
        self._order("progress")
        self.status = "ringing"
        self.early = True

    def answer(self, body: bytes = b"") -> None:
        if self.refuse_answer:
            raise self.refuse_answer
        self._order("answer")
        self.answered_at = self.clock()
        self.status = "progressing"

    def reject(self, status: int, reason: str = "", headers: Any = ()) -> None:
        if self.answered:
            raise CallEnded("answered")
        self._order(("reject", status, reason))
        self.refused_with = dict(headers)
        self.end("local", status, reason)

    def redirect(self, contacts: Iterable[str]) -> None:
        self._order(("redirect", *contacts))
        self.end("local", 302)

    def hangup(self, status: int = 480, cause: str = "", reason: str = "") -> None:
        if self.ended_at is not None:
            return
        self._order(("hangup", status, cause.partition(";text")[0]))
        self.end("local", 200 if self.answered else status)

    def end(self, by: str, status: int, reason: str = "") -> None:
        """The leg is over, whoever ended it."""
        if self.ended_at is not None:
            return
        self.ended_at = self.clock()
        self.ended_by, self.end_status, self.end_reason, self.status = by, status, reason, "hangup"
        if self._ended_future is not None and not self._ended_future.done():
            self._ended_future.set_result(None)
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()

    def rest(self, on: bool = True) -> None:
        """Nothing is sent here."""

    async def wait_ended(self) -> None:
        await asyncio.shield(self.ended_future)

    async def sleep(self, seconds: float) -> None:
        self._order(("sleep", seconds))
        self.sleeping = seconds
        self.clock.now += seconds
        await asyncio.sleep(0)

    async def echo(self, seconds: float | None) -> None:
        if not self.answered:
            self.answer()
        self._order(("echo", seconds))
        if seconds is None:
            await self.wait_ended()
        else:
            self.clock.now += seconds
            await asyncio.sleep(0)

    async def play(self, feed: Any, until: str = "") -> str:
        await self.listen()
        self._order(("play", feed.name, until) if until else ("play", feed.name))
        if self.on_play is not None:
            await self.on_play(feed)
        if self.typed and str(self.typed[0]) in until:
            return str(self.typed[0])
        self.clock.now += feed.seconds
        await asyncio.sleep(0)
        return ""

    async def key(self, timeout: float | None = None) -> str:  # noqa: ASYNC109
        while self.typed and isinstance(self.typed[0], float):
            wait = self.typed[0]
            if timeout is not None and wait > timeout:
                self.typed[0] = wait - timeout
                break
            self.clock.now += wait
            timeout = None if timeout is None else timeout - wait
            del self.typed[0]
        if self.typed and isinstance(self.typed[0], str):
            return str(self.typed.pop(0))
        self.clock.now += timeout or 0.0
        return ""

    async def listen(self) -> None:
        if self.ended_at is not None:
            raise CallEnded("the call is over")
        if not self.answered and not self.early:
            self.answer()

    async def pressed(self, among: str) -> str:
        self.watched: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.watched_for = among
        return await self.watched

    def forget_keys(self) -> None:
        self.typed.clear()

    async def send_keys(self, digits: str, duration: float, interval: float) -> None:
        await self.listen()
        self._order(("send_keys", digits, duration, interval))

    def attach(self, tap: Any) -> None:
        self.taps.append(tap)

    def detach(self, tap: Any) -> None:
        if tap in self.taps:
            self.taps.remove(tap)

    own_address = "engine.example:5060"
    max_breadth = 60

    async def transfer(self, refer_to: str, referred_by: str = "") -> Any:
        self._order(("transfer", refer_to, referred_by))
        if isinstance(self.transferred, BaseException):
            raise self.transferred
        return self.transferred

    def bridge(self, leg: "FakeLeg") -> FakeBridge:
        if self.refuse_bridge:
            raise self.refuse_bridge
        if not self.answered:
            self.answer()
        self._order(("bridge", leg.spec.request_uri))
        self.bridged.append(leg)
        return FakeBridge(self, leg)


class FakeLeg(FakeCall):
    direction = "outgoing"

    def __init__(self, clock: FakeClock, spec: Any, caller: Any, early_media: bool, outcome: Any) -> None:
        super().__init__(clock, f"leg {spec.request_uri}")
        self.spec, self.caller, self.early_media, self.result = spec, caller, early_media, outcome
        self.talk: Any = 5.0
        self.cancelled = 0
        self.first_reply: float | None = None
        self.waiting: asyncio.Future[Outcome] | None = None
        self.overheard: list[Any] = []

    def overhear(self, caller: Any, callee: Any) -> None:
        self.overheard += [caller, callee]

    @property
    def anchored(self) -> bool:
        return bool(self.spec.anchor)

    async def passed(self) -> dict[str, Any] | None:
        return {"anchor": "fake"} if self.spec.anchor else None

    async def outcome(self) -> Outcome:
        if isinstance(self.result, Outcome):
            outcome = self.result
        else:
            self.waiting = asyncio.get_running_loop().create_future()
            outcome = await self.waiting
        if outcome.kind == "answered":
            self.answered_at = self.clock()
            self.status = "progressing"
        else:
            self.end("remote", outcome.status, outcome.reason)
        return outcome

    def settle(self, outcome: Outcome) -> None:
        """The far end speaks; the waiting task learns of it at the next turn of the loop."""
        assert self.waiting is not None
        if outcome.kind == "answered":
            self.answered_at = self.clock()
        self.waiting.set_result(outcome)

    def cancel(self, cause: str = "") -> None:
        self.cancelled += 1
        if self.answered:
            self.hangup(cause=cause)
        else:
            self.status = "canceling"
            self.end("local", 487)
            if self.waiting is not None and not self.waiting.done():
                self.waiting.set_result(Outcome(kind="cancelled", status=487, reason="cancelled"))


class FakeAgent:
    """Dials into a script: by a part of the Request-URI, an Outcome, an exception, or NEVER (settled by the test)."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.script: dict[str, Any] = {}
        self.legs: list[FakeLeg] = []
        self.talk: Any = 5.0

    def dial(self, spec: Any, caller: Any = None, early_media: bool = True) -> FakeLeg:
        found = next((value for key, value in self.script.items() if key in spec.request_uri), ANSWERED)
        if isinstance(found, Exception):
            raise found
        leg = FakeLeg(self.clock, spec, caller, early_media, found)
        leg.talk = self.talk
        self.legs.append(leg)
        return leg


class FakeSound:
    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds = name, seconds

    def feed(self, loop: int = 1) -> Any:
        return SimpleNamespace(name=self.name if loop == 1 else f"{self.name} x{loop}", seconds=self.seconds * loop)


class FakeSounds:
    """Every source lasts a second, unless `script` has its seconds or its failure."""

    def __init__(self) -> None:
        self.script: dict[str, Any] = {}
        self.asked: list[Any] = []

    async def load(self, source: str) -> FakeSound:
        self.asked.append(source)
        found = self.script.get(source, 1.0)
        await asyncio.sleep(0)
        if isinstance(found, asyncio.Event):
            await found.wait()
            found = 1.0
        if isinstance(found, Exception):
            raise found
        return FakeSound(source, found)

    async def speech(self, text: str, language: str = "en-US", gender: str = "female", voice: str = "") -> FakeSound:
        self.asked.append((text, language, gender, voice))
        found = self.script.get(text, 1.0)
        if isinstance(found, Exception):
            raise found
        return FakeSound(f"say {text}", found)


class FakeContacts:
    """Where extensions and agents are reached, by their names."""

    def __init__(self, **known: Sequence[Contact]) -> None:
        self.known = known

    async def resolve(self, address: Address, customer_id: UUID) -> Sequence[Contact]:
        return self.known.get(address.target, ())

    async def returned(self, extension: str, at_most: float) -> bool:
        return False


class FakeLog:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **values: self.lines.append((level, event, values))

    def errors(self) -> list[str]:
        return [values["error"] for level, _, values in self.lines if level in ("warning", "error")]


class World:
    """The services of flows, what is around them, and ways to run flows with them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.agent = FakeAgent(self.clock)
        self.log = FakeLog()
        self.directory = Directory()
        self.settings = RoutingSettings(from_domain="engine.example")
        self.board = HealthBoard()
        self.library = FlowLibrary(ACTIONS)
        self.one = Provider(id=named_id("provider", "one"), name="one", hostname="192.0.2.1:5060", tech_prefix="1")
        self.two = Provider(id=named_id("provider", "two"), name="two", hostname="192.0.2.2:5060", tech_prefix="2")
        self.routes = [
            Route(target="all", provider_id=self.one.id, priority=1, name="r1"),
            Route(target="all", provider_id=self.two.id, priority=2, name="r2"),
        ]
        self.numbers: list[Number] = []
        self.fill()
        self.sounds = FakeSounds()
        self.calls = CallServices(
            dialler=self.agent,
            router=Router(self.directory, self.board, self.settings),
            directory=self.directory,
            routing=self.settings,
            library=self.library,
            log=self.log,
            registry=CallRegistry(log=self.log),
            media=MediaServices(sounds=self.sounds),
            clock=self.clock,
            wall=lambda: 1_700_000_000.0,
        )
        self.services = Interpreter(calls=self.calls, library=self.library)

    def fill(self) -> None:
        self.directory.replace(self.numbers, [self.one, self.two], self.routes)

    def number(self, number: str, flow: str = "", status: str = "active", **more: Any) -> Number:
        made = (
            Number(number=number, status=status, call_flow_id=named_id("flow", flow) if flow else named_id("n", ""))
            if flow
            else Number(number=number, status=status)
        )
        made = made.model_copy(update=more)
        self.numbers.append(made)
        self.fill()
        return made

    def flows(self, **flows: Any) -> None:
        documents = [
            {"name": name, **(flow if isinstance(flow, dict) else {"actions": flow})} for name, flow in flows.items()
        ]
        self.library.replace(read_library(ACTIONS, documents, check_references=False))

    def record(self, **more: Any) -> CallRecord:
        values = {
            "source": "+15550001111",
            "source_name": "Ann",
            "destination": "+15550002222",
            "created": 1.7e9,
        } | more
        return CallRecord("call-1", "incoming", **values)

    def channels(self) -> int:
        return self.board.channels(self.one.id) + self.board.channels(self.two.id)

    async def run(self, actions: Any, call: FakeCall | None = None, **more: Any) -> SimpleNamespace:
        """Runs a flow on a call, in a task that the call's end cancels, and lets what it started finish."""
        if isinstance(actions, list):
            actions = {"actions": actions}
        if isinstance(actions, dict):
            program = read_library(ACTIONS, [actions], check_references=False)
            program = next(iter(program))
        else:
            program = actions
        call = call or FakeCall(self.clock)
        record = more.pop("record", None) or self.record()
        call.task = asyncio.get_running_loop().create_task(self.services.run(program, call, record, **more))
        cancelled = False
        try:
            await call.task
        except asyncio.CancelledError:
            cancelled = True
        for _ in range(20):
            await asyncio.sleep(0)
        return SimpleNamespace(call=call, record=record, cancelled=cancelled, orders=call.orders)

    def go(self, actions: Any, call: FakeCall | None = None, **more: Any) -> SimpleNamespace:
        return asyncio.run(self.run(actions, call, **more))

    fake_call = FakeCall
    fake_contacts = FakeContacts
    answered = ANSWERED
    never = NEVER
    refused = staticmethod(refused)
    outcome = Outcome


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    """For properties, which need a fresh one for each example."""
    return World
