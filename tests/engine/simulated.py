"""The real user agent in simulated time: an event loop whose clock jumps, and a transport without sockets."""

import asyncio
import random
import selectors
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

import pytest

from engine import user_agent
from engine.bridge import Bridge
from engine.call import Call
from engine.dial import DialSpec, OutgoingCall
from engine.settings import AgentSettings
from engine.sip.dialog.session import Session
from engine.sip.flow import Flow
from engine.sip.peers import EVERYBODY, Peers
from engine.transport.listeners import Listeners
from engine.user_agent import OnCall, UserAgent
from tests.sip.simulation import Node

T = TypeVar("T")
CALLER, ENGINE, CALLEE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


class _Selector(selectors.PollSelector):
    """Waiting is free."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everything waits for something that will never happen")
        if timeout > 0:
            self.loop.clock += timeout
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to the next timer when there is nothing else to do."""

    clock = 0.0

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.clock

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """No thread: simulated time does not wait for one."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class Air:
    """What `simulation.Network` is, on a simulated loop: datagrams that are lost, doubled and reordered as told."""

    opened: ClassVar[list["Air"]] = []  # for the fixture that closes them

    def __init__(self, seed: int = 0, loss: float = 0.0, duplicates: float = 0.0, jitter: float = 0.0) -> None:
        self.loop = SimulatedLoop()
        self.opened.append(self)
        self.random = random.Random(seed)
        self.loss, self.duplicates, self.jitter = loss, duplicates, jitter
        self.nodes: dict[tuple[str, int], Any] = {}
        self.keep_log = True
        self._last, self._behind = 0.0, 0
        self.log: list[tuple[float, str, str, bytes]] = []

    @property
    def now(self) -> float:
        return self.loop.clock

    def send(self, data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        if self.keep_log:
            self.log.append((self.now, source[0], target[0], data))
        chance = self.random.random
        copies = (chance() >= self.loss) * (1 + (chance() < self.duplicates))
        # What is sent at the same time arrives in its order: the loop's heap does not promise that of equal times.
        self._behind = self._behind + 1 if self._last == self.now else 0
        self._last = self.now
        for _ in range(copies):
            delay = 0.001 + self._behind * 1e-9 + chance() * self.jitter
            self.loop.call_later(delay, self._deliver, data, source, target)

    def _deliver(self, data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        node = self.nodes.get(target)
        if node is not None:
            node.endpoint.receive(data, Flow(node, *source), self.now)

    def at(self, when: float, act: Any) -> None:
        self.loop.call_at(when, act)

    def run(self, seconds: float) -> None:
        """Let everything happen that happens within `seconds`."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def until(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        """End what still runs, and the loop."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()

    def node(self, host: str) -> Node:
        """A protocol core without calls and tasks, which this loop wakes."""
        armed = [float("inf")]

        def wake(when: float) -> None:
            if when < armed[0]:
                armed[0] = when
                self.loop.call_at(when, tick, when)

        def tick(when: float) -> None:
            if when != armed[0]:
                return  # something earlier took its place
            armed[0] = float("inf")
            node.endpoint.run(self.now)
            due = node.endpoint.next_deadline()
            if due < float("inf"):
                wake(due)

        node = Node(self, host, wake=wake)  # type: ignore[arg-type]
        return node


class Wire:
    """The user agent's transport, and what `Air` delivers to."""

    name, via_name, reliable, tap = "udp", "UDP", False, None

    def __init__(self, air: Air, host: str) -> None:
        self.air = air
        self.local = (host, 5060)
        self.endpoint = self
        self.agent: UserAgent

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.agent.received(data, flow)

    def send(self, data: bytes, flow: Flow) -> None:
        self.air.send(data, self.local, (flow.host, flow.port))

    def connected(self, flow: Flow) -> bool:
        return True

    def made_from(self, host: str, port: int) -> bool:
        return False

    def sent_by(self, remote_host: str) -> str:
        return f"{self.local[0]}:{self.local[1]}"

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


def start_agent(
    air: Air,
    on_call: OnCall,
    patch: pytest.MonkeyPatch,
    settings: AgentSettings | None = None,
    host: str = ENGINE,
    peers: Peers = EVERYBODY,
    log: Any = None,
) -> UserAgent:
    """A user agent on `air`, with the air's clock and randomness."""
    wire = Wire(air, host)

    async def opened(*_: object, **__: object) -> Listeners:
        return Listeners((wire,))  # type: ignore[arg-type]

    patch.setattr(user_agent.Listeners, "open", opened)
    patch.setattr(user_agent, "time", SimpleNamespace(monotonic=air.loop.time))
    patch.setattr(user_agent, "os", SimpleNamespace(urandom=air.random.randbytes))
    wire.agent = agent = UserAgent(on_call, settings, log, peers)
    air.until(agent.start(["udp://simulated"]))
    air.nodes[wire.local] = wire
    return agent


def to_callee(user: str = "b", **more: Any) -> DialSpec:
    return DialSpec(
        request_uri=f"sip:{user}@{CALLEE}",
        destination=f"sip:{CALLEE}:5060",
        from_=f"<sip:a@{ENGINE}>",
        to=f"<sip:{user}@{CALLEE}>",
        **more,
    )


class ThroughCalls:
    """The simplest flow: dial the callee for the caller and connect both."""

    def __init__(self, **spec: Any) -> None:
        self.agent: UserAgent
        self.spec = spec
        self.legs: list[OutgoingCall] = []
        self.calls: list[Call] = []
        self.errors: list[BaseException] = []
        self.ended: list[str] = []
        self.pause = 0.0  # s between the answer and the bridge

    def __call__(self, call: Call) -> Coroutine[Any, Any, None]:
        return self.flow(call)

    async def flow(self, call: Call) -> None:
        self.calls.append(call)
        user = call.invite.uri_text.partition(":")[2].partition("@")[0]
        leg = self.agent.dial(to_callee(user, **self.spec), call)
        self.legs.append(leg)
        try:
            outcome = await leg.outcome()
            if self.pause:
                await call.sleep(self.pause)
            if outcome.kind == "answered":
                self.ended.append(await call.bridge(leg).ended())
            elif not call.ended:
                call.reject(outcome.status if outcome.status >= 300 else 480)
        except user_agent.CallEnded:
            pass
        finally:
            leg.cancel()


def alive(objects: list[object]) -> list[object]:
    """Calls, legs, bridges and sessions among `objects` (of `gc.get_objects`)."""
    return [thing for thing in objects if isinstance(thing, Session | Call | Bridge)]
