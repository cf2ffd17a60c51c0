"""The real user agent in simulated time: an event loop whose clock jumps, and a transport without sockets."""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

import pytest

from engine import user_agent
from engine.bridge import Bridge
from engine.call import Call
from engine.dial import DialSpec, OutgoingCall
from engine.media.anchor import Anchors
from engine.settings import AgentSettings
from engine.sip.dialog.session import Session
from engine.sip.flow import Flow
from engine.sip.peers import EVERYBODY, Peers
from engine.transport.listeners import Listeners
from engine.user_agent import NO_HOOKS, AgentHooks, OnCall, UserAgent
from tests.simulation.clock import SimulatedLoop
from tests.simulation.network import Network

T = TypeVar("T")
CALLER, ENGINE, CALLEE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


class LoopNetwork(Network):
    """The network on an event loop whose clock jumps: for user agents, which have tasks."""

    opened: ClassVar[list["LoopNetwork"]] = []  # closed by the fixture of closing.py

    def __init__(self, seed: int = 0, loss: float = 0.0, duplicates: float = 0.0, jitter: float = 0.0) -> None:
        self.loop = SimulatedLoop()
        super().__init__(seed, loss, duplicates, jitter, clock=self.loop)
        self.opened.append(self)

    def run(self, seconds: float = 0.0) -> None:
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
        self.opened.remove(self)


class Wire:
    """The user agent's transport, and what `LoopNetwork` delivers to."""

    name, via_name, reliable, internal, connects = "udp", "UDP", False, False, True

    def __init__(self, network: LoopNetwork, host: str) -> None:
        self.network = network
        self.local = (host, 5060)
        self.endpoint = self
        self.agent: UserAgent

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.agent.intake.received(data, flow)

    def send(self, data: bytes, flow: Flow) -> None:
        self.network.send(data, self.local, (flow.host, flow.port))

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
    network: LoopNetwork,
    on_call: OnCall,
    patch: pytest.MonkeyPatch,
    settings: AgentSettings | None = None,
    host: str = ENGINE,
    peers: Peers = EVERYBODY,
    log: Any = None,
    *,
    hooks: AgentHooks = NO_HOOKS,
    anchors: Anchors | None = None,
) -> UserAgent:
    """A user agent on `network`, with its clock and randomness."""
    wire = Wire(network, host)

    async def opened(*_: object, **__: object) -> Listeners:
        return Listeners((wire,))  # type: ignore[arg-type]

    patch.setattr(user_agent.Listeners, "open", opened)
    wire.agent = agent = UserAgent(
        on_call,
        settings,
        log,
        peers,
        hooks=hooks,
        anchors=anchors,
        clock=network.loop.time,
        random_bytes=network.random.randbytes,
    )
    network.until(agent.start(["udp://simulated"]))
    network.nodes[wire.local] = wire
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
