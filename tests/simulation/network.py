"""A network and a clock of our own: endpoints that talk to each other without a socket and without waiting."""

import random
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from engine.sip.core import Hooks, Policy
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.message.grammar import host_address
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.message.uri import SipUri, parse_uri
from engine.sip.peers import EVERYBODY, Peers
from tests.simulation.clock import SteppedClock

NEVER = float("inf")


class Clock(Protocol):
    """What the network needs of a clock: the stepped one, or a simulated loop."""

    def time(self) -> float: ...
    def call_at(self, when: float, act: Callable[..., object], *args: Any) -> object: ...


class Network:
    """Delivers datagrams after a delay, and loses, doubles and reorders them as told."""

    def __init__(
        self,
        seed: int = 0,
        loss: float = 0.0,
        duplicates: float = 0.0,
        jitter: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        self.clock = SteppedClock() if clock is None else clock
        self.random = random.Random(seed)
        self.loss, self.duplicates, self.jitter = loss, duplicates, jitter
        self.nodes: dict[tuple[str, int], Any] = {}
        self.log: list[tuple[float, str, str, bytes]] = []
        self.keep_log = True
        self.drop: Callable[[bytes], bool] = lambda data: False
        self._last, self._behind = 0.0, 0

    @property
    def now(self) -> float:
        return self.clock.time()

    def send(self, data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        if self.keep_log:
            self.log.append((self.now, source[0], target[0], data))
        if self.drop(data):
            return
        copies = 0 if self.random.random() < self.loss else 1
        if copies and self.random.random() < self.duplicates:
            copies = 2
        # What is sent at the same time arrives in its order: a loop's heap does not promise that of equal times.
        self._behind = self._behind + 1 if self._last == self.now else 0
        self._last = self.now
        for _ in range(copies):
            delay = 0.001 + self._behind * 1e-9 + self.random.random() * self.jitter
            self.at(self.now + delay, lambda: self._deliver(data, source, target))

    def _deliver(self, data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        node = self.nodes.get(target)
        if node is not None:
            node.endpoint.receive(data, Flow(node, *source), self.now)

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Let `act` happen at `when`."""
        self.clock.call_at(when, act)

    def run(self, seconds: float = float("inf")) -> None:
        """Let everything happen that happens within `seconds`."""
        assert isinstance(self.clock, SteppedClock)
        self.clock.run(self.now + seconds)

    def messages(self, source: str = "") -> list[str]:
        """Start lines (with the method of a response's CSeq) of what was sent, for comparing with a ladder."""
        lines = []
        for _, origin, _, data in self.log:
            if source and origin != source:
                continue
            message = parse(data)
            lines.append(message.method if isinstance(message, Request) else f"{message.status} {message.cseq_method}")
        return lines


class Node:
    """An endpoint at an address; also its own transport."""

    name = "udp"
    via_name = "UDP"
    reliable = False
    internal = False
    connects = True

    def __init__(
        self,
        network: Network,
        host: str,
        policy: Policy | None = None,
        port: int = 5060,
        peers: Peers = EVERYBODY,
    ) -> None:
        self.network = network
        self.names: dict[str, list[tuple[str, int]]] = {}  # what names stand for; [] for one that does not resolve
        self.slow: dict[str, float] = {}  # s that a name server takes for a name
        self.misled: list[tuple[str, str]] = []
        self.local = (host, port)
        self._armed = NEVER  # when the endpoint is to be run next
        self.calls: list[InviteServer] = []
        self.on_invite: Callable[[InviteServer], None] = self.calls.append
        tokens = count(1)
        self.endpoint = Endpoint(
            Hooks(
                clock=lambda: network.now,
                token=lambda: f"{host.replace('.', '')}x{next(tokens)}",
                locate=self.locate,
                select=lambda name, remote: self if name == "udp" else None,
                random=network.random.random,
                wake=self._wake,
                peers=peers,
                listens_at=lambda remote, port: (remote, port) == self.local,
                on_misled=lambda peer, doing: self.misled.append((peer, doing)),
            ),
            policy,
            on_invite=lambda session: self.on_invite(session),
        )
        network.nodes[self.local] = self

    def _wake(self, when: float) -> None:
        """The endpoint has something to do at `when`."""
        if when < self._armed:
            self._armed = when
            self.network.at(when, lambda: self._tick(when))

    def _tick(self, when: float) -> None:
        if when != self._armed:
            return  # something earlier took its place
        self._armed = NEVER
        self.endpoint.run(self.network.now)
        due = self.endpoint.next_deadline()
        if due < NEVER:
            self._wake(due)

    def locate(self, uri: str, done: Callable[[list[Flow]], None]) -> None:
        parsed = parse_uri(uri)
        assert isinstance(parsed, SipUri)
        host = host_address(parsed.params.get("maddr") or parsed.host)
        flows = [Flow(self, *target) for target in self.names.get(host, [(host, parsed.port or 5060)])]
        if host in self.slow:
            self.network.at(self.network.now + self.slow[host], lambda: done(flows))
        else:
            done(flows)

    def send(self, data: bytes, flow: Flow) -> None:
        self.network.send(data, self.local, (flow.host, flow.port))

    def connected(self, flow: Flow) -> bool:
        return True

    def sent_by(self, remote_host: str) -> str:
        return f"{self.local[0]}:{self.local[1]}"

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass

    def leftovers(self) -> dict[str, int]:
        """What an idle endpoint must not have any more."""
        endpoint = self.endpoint
        return {
            "clients": len(endpoint.transactions.clients),
            "servers": len(endpoint.transactions.servers),
            "dialogs": len(endpoint.dialogs),
            "sessions": len(endpoint.sessions),
            "timers": len(endpoint.deadlines),
        }


class Owner:
    """A user of sessions that notes what it is told and answers the simplest way."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    def on_progress(self, session, response: Response, now: float) -> None:
        self.events.append(("progress", response.status))

    def on_answered(self, session, response: Response, now: float) -> None:
        self.events.append(("answered", response.status))
        session.acknowledge(now)

    def on_refused(self, session, kind: str, status: int, reason: str, response, now: float) -> None:
        self.events.append((kind, status))

    def on_acknowledged(self, session, body: bytes, now: float) -> None:
        self.events.append(("acknowledged", body))

    def on_reinvite(self, session, request: Request, now: float) -> None:
        self.events.append(("reinvite", request.body))
        session.accept_reinvite(now, b"v=0\r\n")

    def on_request(self, session, transaction, request: Request, now: float) -> None:
        self.events.append((request.method, request.body))
        session.reply(transaction, 200, now)

    def on_ended(self, session, by: str, status: int, reason: str, now: float) -> None:
        self.events.append(("ended", by))
