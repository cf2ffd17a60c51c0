"""A whole engine in the test's own event loop, with phones and providers around it: user agents on the loopback.

Every peer has an address of its own, as it is by its address that the engine knows it: the engine is 127.0.0.1, a
trusted client 127.0.0.11, a guest 127.0.0.12, providers 127.0.0.21 and further.
"""

import asyncio
import json
import logging
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import logs
from config.loading import load
from engine.call import Call
from engine.dial import DialSpec, Outcome, OutgoingCall, Peer
from engine.messages import OnMessage
from engine.settings import AgentSettings
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.transaction.timers import TimerValues
from engine.user_agent import AgentHooks, UserAgent
from service.cli import serve as app
from service.node import Node
from service.python_flows import python_flow_names
from service.workers.gc import GarbageCollection
from tests.simulation.closing import simulated_networks_are_closed

__all__ = ["simulated_networks_are_closed"]

WAIT = 30.0  # s; a bound for what takes milliseconds, on a machine that is busy with everything else
ENGINE, CLIENT, GUEST, ONE, TWO = "127.0.0.1", "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22"
OURS = "+15551234567"
ECHO = "+899100000001"
FOREIGN = "+821012345678"
SDP = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\n"
)


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Lets the loop turn until the condition holds, and returns its value; for what has no event of its own."""
    loop = asyncio.get_running_loop()
    held = loop.create_future()

    def look() -> None:
        if held.done():
            return
        try:
            if value := condition():
                held.set_result(value)
                return
        except Exception as error:
            held.set_exception(error)
            return
        loop.call_later(0.001, look)

    look()
    try:
        async with asyncio.timeout(WAIT):
            return await held
    except TimeoutError:
        raise AssertionError(f"did not come about: {what or condition}") from None


async def left_alone(_part: object) -> None:
    """In place of a method that would change the test run itself."""


class LogLines:
    """Stands in for standard error: JSON lines, which must be JSON."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def write(self, text: str) -> int:
        self.text += text.splitlines()
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [found for found in self.events if found["event"] == event]

    async def wait(self, event: str, count: int = 1) -> dict[str, Any]:
        found = await until(lambda: (lines := self.named(event))[count - 1 :] and lines, f"log line {event!r}")
        return found[count - 1]


class Phone:
    """A user agent as a peer. `does` says what it makes of a call: a final status, "echo" (200), "ring" for ever, or a
    coroutine function of the call."""

    def __init__(self, does: Any = "echo") -> None:
        self.does = does
        self.on_message: OnMessage = lambda message: message.answer(405)
        self.calls: list[Call] = []
        self.invites: list[Request] = []  # of them
        self.heard: Counter[str] = Counter()
        self.responses: list[Response] = []
        self.requests: list[Request] = []
        settings = AgentSettings(rtp_first=40_000, rtp_last=48_000, silence=False)  # it sends what it is told to
        settings.policy.timers = TimerValues(t1=0.2, d=1.0)
        hooks = AgentHooks(on_message=lambda message: self.on_message(message))
        self.agent = UserAgent(self._take, settings, hooks=hooks)

    async def start(self, host: str, transports: Sequence[str] = ("udp",)) -> None:
        await self.agent.start(
            [f"{transport}://{'[' + host + ']' if ':' in host else host}:0" for transport in transports]
        )
        received = self.agent.endpoint.receive

        def spy(data: bytes, flow: Any, now: float) -> None:
            with suppress(ValueError):
                message = parse(data)
                if isinstance(message, Response):
                    self.responses.append(message)
                    self.heard[str(message.status)] += 1
                else:
                    self.requests.append(message)
                    self.heard[message.method] += 1
            received(data, flow, now)

        self.agent.endpoint.receive = spy  # type: ignore[method-assign]

    @property
    def address(self) -> str:
        host, port = self.agent.nowhere.transport.local
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _take(self, call: Call) -> Coroutine[Any, Any, None] | None:
        self.calls.append(call)
        self.invites.append(call.invite)
        if isinstance(self.does, int):
            call.reject(self.does)
            return None
        return self._serve(call)

    async def _serve(self, call: Call) -> None:
        if callable(self.does):
            await self.does(call)
            return
        call.ringing()
        if self.does == "echo":
            call.answer()
        await call.wait_ended()

    def dial(
        self, engine: str, number: str, *, transport: str = "udp", username: str = "", password: str = "", **more: Any
    ) -> OutgoingCall:
        uri = number if ":" in number else f"sip:{number}@{engine}"
        host = self.agent.nowhere.transport.local[0]
        values: dict[str, Any] = {"from_": f'"Ann" <sip:+15550001111@{host}>'} | more
        values["peer"] = Peer(username=username, password=password)
        spec = DialSpec(
            request_uri=uri,
            destination=f"sip:{engine};transport={transport}",
            to=f"<{uri}>",
            no_reply_timeout=5.0,
            **values,
        )
        return self.agent.dial(spec)

    async def call(self, engine: str, number: str, **more: Any) -> tuple[OutgoingCall, Outcome]:
        leg = self.dial(engine, number, **more)
        async with asyncio.timeout(WAIT):
            return leg, await leg.outcome()

    async def incoming(self, count: int = 1) -> Call:
        await until(lambda: len(self.calls) >= count, "a call at the peer")
        return self.calls[count - 1]

    def final(self) -> Response:
        """The last final response to an INVITE."""
        return [found for found in self.responses if found.status >= 200 and found.cseq_method == "INVITE"][-1]


class Wire(asyncio.DatagramProtocol):
    """A peer that says exactly what it is told to, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.number = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        # Floods come back as answers: what is waited for must not be lost among them.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        self.host, self.port = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.heard.append(data)

    def send(self, data: bytes, engine: str) -> None:
        host, _, port = engine.rpartition(":")
        self.transport.sendto(data, (host.strip("[]"), int(port)))

    def request(
        self,
        method: str = "INVITE",
        uri: str = f"sip:{OURS}@127.0.0.1",
        headers: Sequence[str] = (),
        body: bool = True,
        from_: str = "<sip:+15550001111@127.0.0.12>",
    ) -> bytes:
        """A request with fresh identifiers."""
        self.number += 1
        number, via = self.number, f"{self.host}:{self.port}"
        sdp = SDP.format(host=self.host) if body else ""
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {via};branch=z9hG4bK{number}x{self.port}",
            f"From: {from_};tag=t{number}",
            f"To: <sip:{OURS}@127.0.0.1>",
            f"Call-ID: {number}.{self.port}@{self.host}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:peer@{via}>",
            "Max-Forwards: 70",
            *headers,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(sdp)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + sdp).encode()

    async def answer(self, request: bytes, engine: str) -> Response:
        """Sends the request, again and again as clients do, and returns its final response, acknowledged if it is an
        INVITE's."""
        found = re.search(rb"\r\nCall-ID: (\S+)", request)
        assert found is not None
        call_id, seen = found[1], len(self.heard)
        clock = asyncio.get_running_loop().time
        again = clock()

        def final() -> Response | None:
            nonlocal seen, again
            for data in self.heard[seen:]:
                if call_id in data and data.startswith(b"SIP/2.0 ") and not data.startswith(b"SIP/2.0 1"):
                    return parse(data)  # type: ignore[return-value]
            seen = len(self.heard)
            if clock() >= again:
                again = clock() + 0.5
                self.send(request, engine)
            return None

        response: Response = await until(final, f"a final response to {request[:60]!r}")
        if request.startswith(b"INVITE"):
            self.acknowledge(request, response, engine)
        return response

    def acknowledge(self, request: bytes, response: Response, engine: str) -> None:
        head = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        kept = {line.partition(":")[0]: line for line in head[1:]}
        via = kept["Via"] if response.status >= 300 else f"{kept['Via']}ack"
        lines = [
            head[0].replace("INVITE", "ACK", 1),
            via,
            kept["From"],
            f"To: {response.get('To')}",
            kept["Call-ID"],
            "CSeq: 1 ACK",
            "Content-Length: 0",
        ]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode(), engine)


class Engine:
    """A node and its configuration file."""

    def __init__(self, node: Node, path: Path, log: LogLines) -> None:
        self.node = node
        self.path = path
        self.log = log

    @property
    def address(self) -> str:
        return self.at("udp")

    def at(self, transport: str) -> str:
        found = next(listener for listener in self.node.agent.listeners if listener.name == transport)
        host, port = found.local
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def record(self) -> Any:
        """The record of the last call."""
        return self.node.flows.calls.registry.newest(1)[0]

    async def quiet(self) -> None:
        """Waits until no call is left."""
        await until(lambda: not self.node.agent.calls, "the end of all calls")

    async def alive(self, wire: Wire) -> int:
        """Asks by OPTIONS, and returns the status."""
        response = await wire.answer(wire.request("OPTIONS", body=False), self.address)
        return response.status


def document(**sections: Any) -> dict[str, Any]:
    """A configuration: one number that echoes, without a store. Sections given replace, those of `sip` are added."""
    whole: dict[str, Any] = {
        "log": {"level": "info", "format": "json"},
        "api": {"listen": ""},
        "store": ":memory:",
        "numbers": [{"number": OURS, "call_flow": "echo"}, {"number": ECHO, "call_flow": "echo"}],
        "flows": [{"name": "echo", "actions": [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]}],
    } | sections
    sip = {"listen": [f"udp://{ENGINE}:0"], "trusted_networks": [f"{CLIENT}/32"], "t1": 0.05, "drain_timeout": 1.0}
    whole["sip"] = sip | sections.get("sip", {})
    return whole


def providers(*peers: Phone, **more: Any) -> dict[str, Any]:
    """`providers` and `routes` that lead to these peers, in this order."""
    names = [f"p{index}" for index in range(1, len(peers) + 1)]
    return {
        "providers": [
            {"name": name, "hostname": peer.address, **more} for name, peer in zip(names, peers, strict=True)
        ],
        "routes": [{"target": "all", "provider": name, "priority": index} for index, name in enumerate(names, 1)],
    }


class Served(Engine):
    """`serve` itself, in a task of the test's loop; signals go to this process."""

    def __init__(self, node: Node, path: Path, log: LogLines, task: "asyncio.Task[int]") -> None:
        super().__init__(node, path, log)
        self.task = task

    def signal(self, number: signal.Signals) -> None:
        assert not self.task.done()  # else it would be the test run's own end
        os.kill(os.getpid(), number)

    async def reload(self, whole: dict[str, Any] | str) -> dict[str, Any]:
        """Writes the file anew, sends SIGHUP, and returns the log line that says how it went."""
        seen = len(self.outcomes)
        text = whole if isinstance(whole, str) else yaml.safe_dump(whole, sort_keys=False)
        self.path.write_text(text, encoding="utf-8")
        self.signal(signal.SIGHUP)
        await until(lambda: len(self.outcomes) > seen, "the end of a reload")
        return self.outcomes[-1]

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        return [line for line in self.log.events if line["event"] in ("reloaded", "reload: nothing has changed")]

    async def code(self) -> int:
        """The exit code."""
        async with asyncio.timeout(WAIT):
            return await self.task


class Bench:
    """Makes engines and peers for one test, and ends them."""

    document = staticmethod(document)
    providers = staticmethod(providers)
    until = staticmethod(until)

    def __init__(self, tmp_path: Path, log: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = tmp_path / "trunkline.yaml"
        self.log = log
        self.patch = monkeypatch
        self.ends: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def write(self, whole: dict[str, Any]) -> Path:
        self.path.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return self.path

    async def engine(self, **sections: Any) -> Engine:
        path = self.write(document(**sections))
        configuration = load(path, environ={}, python_flows=python_flow_names)
        logs.configure(configuration.settings.log.level, configuration.settings.log.format, self.log)  # type: ignore[arg-type]
        node = Node(configuration)
        await node.start()
        self.ends.append(node.close)
        return Engine(node, path, self.log)

    async def serve(self, **sections: Any) -> Served:
        """`trunkline serve`, ready for calls and signals."""
        path = self.write(document(**sections))
        ready: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        install = app.Signals.install

        def installed(signals: Any) -> None:
            install(signals)
            ready.set_result(signals.node)

        self.patch.setattr(app.Signals, "install", installed)
        self.patch.setattr(app, "configure", lambda level, style: logs.configure(level, style, self.log))  # type: ignore[arg-type]
        self.patch.setattr(GarbageCollection, "start", lambda collection: None)  # the test run has its own
        self.patch.setattr(GarbageCollection, "close", left_alone)
        task = asyncio.get_running_loop().create_task(app.run_engine(path))

        async def end() -> None:
            task.cancel()
            await asyncio.wait((task,))

        self.ends.append(end)
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        self.patch.setattr(app.Signals, "install", install)
        return Served(ready.result() if ready.done() else task.result(), path, self.log, task)  # type: ignore[arg-type]

    async def phone(self, host: str = CLIENT, does: Any = "echo", transports: Sequence[str] = ("udp",)) -> Phone:
        phone = Phone(does)
        await phone.start(host, transports)
        self.ends.append(phone.agent.stop)
        return phone

    async def wire(self, host: str = GUEST) -> Wire:
        loop = asyncio.get_running_loop()
        transport, wire = await loop.create_datagram_endpoint(Wire, local_addr=(host, 0))

        async def close() -> None:
            transport.close()

        self.ends.append(close)
        return wire

    def at_end(self, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.ends.append(end)

    async def close(self) -> None:
        for end in reversed(self.ends):
            await end()


@asynccontextmanager
async def _bench(tmp_path: Path, log: LogLines, monkeypatch: pytest.MonkeyPatch) -> Any:
    bench = Bench(tmp_path, log, monkeypatch)
    try:
        yield bench
    finally:
        await bench.close()


def _sockets() -> set[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        except OSError:
            continue  # the descriptor of the listing itself
    return {name for name in found if name.startswith("socket:")}


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop that `serve` runs on."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


@pytest.fixture
def log() -> Iterator[LogLines]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield LogLines()
    root.handlers[:], root.level = handlers, level


Run = Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(tmp_path: Path, log: LogLines, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a test's coroutine with a bench; it must leave no task, socket or loop error behind."""

    def runner(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
        errors: list[dict[str, Any]] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: errors.append(context))
            before = _sockets()
            async with asyncio.timeout(5 * WAIT), _bench(tmp_path, log, monkeypatch) as bench:
                await test(bench)
            for _ in range(5):  # a loop closes sockets a turn or two later
                await asyncio.sleep(0)
            await until(lambda: _sockets() <= before, "the end of all sockets")
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with asyncio.Runner(loop_factory=loop_factory()) as loop_runner:
            loop_runner.run(main())
        assert not errors

    return runner
