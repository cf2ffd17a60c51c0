"""A network and a clock of our own: endpoints that talk to each other without a socket and without waiting."""

import heapq
import random
from collections.abc import Callable
from itertools import count

from engine.sip.core import Hooks, Policy
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.message.grammar import host_address
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.message.uri import SipUri, parse_uri
from engine.sip.peers import EVERYBODY, Peers


class Network:
    """Delivers datagrams after a delay, and loses, doubles and reorders them as told."""

    def __init__(self, seed: int = 0, loss: float = 0.0, duplicates: float = 0.0, jitter: float = 0.0) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.loss, self.duplicates, self.jitter = loss, duplicates, jitter
        self.nodes: dict[tuple[str, int], Node] = {}
        self.log: list[tuple[float, str, str, bytes]] = []
        self.keep_log = True
        self._queue: list[tuple[float, int, bytes, tuple[str, int], tuple[str, int]]] = []
        self._acts: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self.drop: Callable[[bytes], bool] = lambda data: False

    def send(self, data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        if self.keep_log:
            self.log.append((self.now, source[0], target[0], data))
        if self.drop(data):
            return
        copies = 0 if self.random.random() < self.loss else 1
        if copies and self.random.random() < self.duplicates:
            copies = 2
        for _ in range(copies):
            at = self.now + 0.001 + self.random.random() * self.jitter
            heapq.heappush(self._queue, (at, next(self._order), data, source, target))

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Let `act` happen at `when`."""
        heapq.heappush(self._acts, (when, next(self._order), act))

    def next_due(self) -> float:
        """When the next thing happens anywhere; infinity when nothing ever will again."""
        due = [node.endpoint.next_deadline() for node in self.nodes.values()]
        due += [queue[0][0] for queue in (self._queue, self._acts) if queue]
        return min(due, default=float("inf"))

    def step(self) -> bool:
        """Do the next thing that is due anywhere; False when nothing will ever happen again."""
        due = self.next_due()
        if due == float("inf"):
            return False
        if self._acts and self._acts[0][0] <= due:
            when, _, act = heapq.heappop(self._acts)
            self.now = max(self.now, when)
            act()
            return True
        deadline = min((node.endpoint.next_deadline() for node in self.nodes.values()), default=float("inf"))
        arrival = self._queue[0][0] if self._queue else float("inf")
        if arrival <= deadline:
            at, _, data, source, target = heapq.heappop(self._queue)
            self.now = max(self.now, at)
            node = self.nodes.get(target)
            if node is not None:
                node.endpoint.receive(data, Flow(node, *source), self.now)
        else:
            self.now = max(self.now, deadline)
            for node in self.nodes.values():
                node.endpoint.run(self.now)
        return True

    def run(self, seconds: float = 1e9) -> None:
        """Let everything happen that happens within `seconds`."""
        end = self.now + seconds
        while True:
            if self.next_due() > end or not self.step():
                break
        if seconds < 1e9:
            self.now = end

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
    tap = None

    def __init__(
        self,
        network: Network,
        host: str,
        policy: Policy | None = None,
        port: int = 5060,
        wake: Callable[[float], None] | None = None,
        peers: Peers = EVERYBODY,
    ) -> None:
        self.network = network
        self.names: dict[str, list[tuple[str, int]]] = {}  # what names stand for; [] for one that does not resolve
        self.slow: dict[str, float] = {}  # s that a name server takes for a name
        self.misled: list[tuple[str, str]] = []
        self.local = (host, port)
        self.calls: list[InviteServer] = []
        self.on_invite: Callable[[InviteServer], None] = self.calls.append
        tokens = count(1)
        self.endpoint = Endpoint(
            Hooks(
                clock=lambda: network.now,
                token=lambda: f"{host.replace('.', '')}x{next(tokens)}",
                locate=self._locate,
                select=lambda name, remote: self if name == "udp" else None,
                random=network.random.random,
                wake=wake,
                peers=peers,
                ours=lambda remote, port: (remote, port) == self.local,
                on_misled=lambda peer, doing: self.misled.append((peer, doing)),
            ),
            policy,
            on_invite=lambda session: self.on_invite(session),
        )
        network.nodes[self.local] = self

    def _locate(self, uri: str, done: Callable[[list[Flow]], None]) -> None:
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
