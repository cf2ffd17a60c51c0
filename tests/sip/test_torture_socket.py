"""The torture messages, and random bytes, over real sockets to a whole user agent on the loopback."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from engine.call import Call
from engine.settings import AgentSettings
from engine.sip.core import Policy
from engine.sip.message.framing import StreamFramer
from engine.sip.message.grammar import ParseError
from engine.sip.message.parsing import parse
from engine.sip.transaction.timers import TimerValues
from engine.transport.dns.locator import Locator
from engine.transport.dns.resolver import Resolver
from engine.user_agent import UserAgent
from tests.simulation.stage import in_chunks, request, rfc4475, rfc5118, status_of
from tests.sip.torture import DROP, RFC4475, RFC5118

pytestmark = pytest.mark.long  # every message of two corpora through a socket, twice

T1 = 0.01  # s: 64*T1 is 0.64 s
WAIT = 30.0  # s: longer than anything here takes
# An address of the loopback for this process alone: without rport, responses go to the port in Via, so it must be free.
PEER = f"127.77.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
PORTS = (5060, 5050, 6050, 19823)  # that the messages' topmost Vias name

MESSAGES = [(name, rfc4475(name), verdict) for name, verdict in RFC4475.items()]
MESSAGES += [(name, rfc5118(name), verdict) for name, verdict in RFC5118.items()]
# What a stream cannot carry as one message: no Content-Length, a wrong one or two, no end of the header, two messages.
NO_STREAM = {
    "test",
    "clerr",
    "ncl",
    "mcl01",
    "inv2543",
    "baddn",
    "dblreq",
    "ipv6-in-sdp",
    "mult-ip-in-sdp",
    "ipv4-mapped-ipv6",
}


class Log:
    """Whatever is logged above info."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))

    error = warning


class NoNames:
    """Look-ups that find nothing."""

    def in_hosts(self, name: str) -> bool:
        return False

    def known(self, question: object) -> tuple[()]:
        return ()


@asynccontextmanager
async def agent() -> AsyncIterator[UserAgent]:
    """A user agent that is busy; afterwards nothing may be left of what came."""
    policy = Policy(timers=TimerValues(t1=T1, t2=0.04, t4=0.05, d=64 * T1))
    log = Log()

    def busy(call: Call) -> Coroutine[Any, Any, None] | None:
        call.reject(486)
        return None

    running = UserAgent(busy, AgentSettings(policy=policy), log)
    before = asyncio.all_tasks()
    await running.start(["udp://127.0.0.1:0", "tcp://127.0.0.1:0"])
    # Contacts with names are looked up: here nobody knows any, and says so at once.
    running.locator = Locator(running.listeners, Resolver(NoNames()), log)  # type: ignore[arg-type]
    try:
        yield running
        await until(lambda: left(running) == {})
        assert log.lines == []
    finally:
        await running.stop()
    assert asyncio.all_tasks() == before


def left(running: UserAgent) -> dict[str, int]:
    endpoint = running.endpoint
    held = {
        "clients": len(endpoint.transactions.clients),
        "servers": len(endpoint.transactions.servers),
        "dialogs": len(endpoint.dialogs),
        "sessions": len(endpoint.sessions),
        "timers": len(endpoint.deadlines),
        "calls": len(running.calls),
        "tasks": len(running.tasks.running),
    }
    return {name: number for name, number in held.items() if number}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110  (nothing tells when a table is empty)
            await asyncio.sleep(0.005)


def address(running: UserAgent, name: str) -> tuple[str, int]:
    return next(transport.local for transport in running.listeners if transport.name == name)


class Datagrams:
    """A peer at the ports that the messages name. An OPTIONS behind each message tells when it has been dealt with."""

    def __init__(self, running: UserAgent) -> None:
        self.target = address(running, "udp")
        self.sockets = []
        for port in PORTS:
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.setblocking(False)
            one.bind((PEER, port))
            self.sockets.append(one)
        self.probes = 0
        self.seen: set[bytes] = set()

    def close(self) -> None:
        for one in self.sockets:
            one.close()

    async def ask(self, *messages: bytes) -> list[int]:
        """The status codes that came back, retransmissions aside."""
        for data in messages:
            self.sockets[0].sendto(data, self.target)
        self.probes += 1
        mark = f"probe-{self.probes}-"
        via = f"SIP/2.0/UDP {PEER}:5060;branch=z9hG4bK{mark}"
        self.sockets[0].sendto(request("OPTIONS", via=via, call_id=mark), self.target)
        statuses: list[int] = []
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT):
            while True:
                data = await loop.sock_recv(self.sockets[0], 65536)
                if f"Call-ID: {mark}\r\n".encode() in data:
                    assert status_of(data) == 200
                    break
                self._note(data, statuses)
        for one in self.sockets[1:]:
            while True:
                try:
                    self._note(one.recv(65536), statuses)
                except BlockingIOError:
                    break
        return statuses

    def _note(self, data: bytes, statuses: list[int]) -> None:
        if data not in self.seen:
            statuses.append(status_of(data))
        if b" INVITE\r\n" in data:
            self.seen.add(data)  # nobody acknowledges: it comes again, Timer G after Timer G


@pytest.fixture
def loop_runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    return asyncio.run


@pytest.mark.parametrize("order", ["of the RFC", "reversed", "alphabet"])
def test_every_verdict_over_udp_and_nothing_is_left(order: str, loop_runner: Callable[..., None]) -> None:
    """Some share branch and sent-by: what was malformed must not answer for what is not, nor the other way round."""
    messages = {"reversed": MESSAGES[::-1], "alphabet": sorted(MESSAGES)}.get(order, MESSAGES)

    async def scenario() -> None:
        async with agent() as running:
            peer = Datagrams(running)
            try:
                for name, data, verdict in messages:
                    finals = [status for status in await peer.ask(data) if status >= 200]
                    assert finals == ([] if verdict.status == DROP else [verdict.status]), name
                assert await peer.ask() == []  # and OPTIONS is answered with 200 (see there)
            finally:
                peer.close()

    loop_runner(scenario())


def test_every_verdict_over_tcp_that_a_stream_can_carry(loop_runner: Callable[..., None]) -> None:
    async def scenario() -> None:
        async with agent() as running:
            reader, writer = await asyncio.open_connection(*address(running, "tcp"))
            framer = StreamFramer()
            waiting: list[bytes] = []

            async def next_response() -> bytes:
                while not waiting:
                    waiting.extend(framer.feed(await reader.read(65536)))
                return waiting.pop(0)

            async with asyncio.timeout(WAIT):
                for number, (name, data, verdict) in enumerate(MESSAGES):
                    if name in NO_STREAM:
                        continue
                    writer.write(data)
                    mark = f"probe-{number}-"
                    via = f"SIP/2.0/TCP {PEER};branch=z9hG4bK{mark}"
                    writer.write(request("OPTIONS", via=via, call_id=mark))
                    finals = []
                    while True:
                        answer = await next_response()
                        if f"Call-ID: {mark}\r\n".encode() in answer:
                            assert status_of(answer) == 200
                            break
                        if status_of(answer) >= 200:
                            finals.append(status_of(answer))
                    assert finals == ([] if verdict.status == DROP else [verdict.status]), name
            writer.close()
            await writer.wait_closed()

    loop_runner(scenario())


def test_what_a_stream_cannot_carry_is_what_was_left_out() -> None:
    left_out = set()
    for name, data, _ in MESSAGES:
        try:
            whole = StreamFramer().feed(data) == [data]
        except ParseError:
            whole = False
        if not whole:
            left_out.add(name)
    assert left_out == NO_STREAM


@pytest.mark.parametrize("name", ["ncl", "mcl01", "inv2543"])
def test_a_stream_that_cannot_be_framed_is_closed_and_others_go_on(name: str, loop_runner: Callable[..., None]) -> None:
    async def scenario() -> None:
        async with agent() as running:
            reader, writer = await asyncio.open_connection(*address(running, "tcp"))
            writer.write(rfc4475(name))
            async with asyncio.timeout(WAIT):
                while await reader.read(65536):
                    pass
            writer.close()
            peer = Datagrams(running)
            try:
                assert await peer.ask() == []
            finally:
                peer.close()

    loop_runner(scenario())


def options(*headers: bytes, end: bytes = b"\r\n", body: bytes = b"") -> bytes:
    lines = [
        b"OPTIONS sip:x@192.0.2.1 SIP/2.0",
        b"Via: SIP/2.0/TCP 192.0.2.7:5060;branch=z9hG4bKbad;rport",
        b"Max-Forwards: 70",
        b"From: <sip:a@192.0.2.7>;tag=a",
        b"To: <sip:x@192.0.2.1>",
        b"Call-ID: bad",
        b"CSeq: 1 OPTIONS",
        *headers,
    ]
    return end.join(lines) + 2 * end + body


@pytest.mark.parametrize(
    "data",
    [
        options(),
        options(b"Content-Length: -1"),
        options(b"Content-Length: four"),
        options(b"Content-Length:"),
        options(b"l: 0x4"),
        options(b"Content-Length: 4", b"l: 5", body=b"abcde"),
        options(b"Content-Length: 0", b"Content-Length: 00"),
        options(b"Content-Length: 1048576"),
        options(b"Content-Length: " + b"9" * 3000),
        options(b"Content-Length: 0", end=b"\n"),
        options(b"Content-Length: 0", end=b"\r") + b"x",
        options(b"Content-Length: 0")[:-2] + b"\n",
        options(end=b"\n", body=b"v=0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_a_request_without_an_end_gets_400_and_the_close_18_3(
    data: bytes, pieces: int, loop_runner: Callable[..., None]
) -> None:
    async def scenario() -> None:
        async with agent() as running:
            reader, writer = await asyncio.open_connection(*address(running, "tcp"))
            writer.write(options(b"Content-Length: 0").replace(b"bad", b"good"))
            async with asyncio.timeout(WAIT):
                good = await reader.readuntil(b"\r\n\r\n")
                assert parse(good).call_id == "good"
                size = max(1, len(data) // pieces)
                for at in range(0, len(data), size):
                    writer.write(data[at : at + size])
                    await asyncio.sleep(0)
                answer = await reader.readuntil(b"\r\n\r\n")
                with suppress(ConnectionError):
                    writer.write(options(b"Content-Length: 0").replace(b"bad", b"late"))
                assert await reader.read() == b""
            assert answer.startswith(b"SIP/2.0 400 ") and b"Call-ID: bad\r\n" in answer and b"z9hG4bKbad" in answer
            writer.close()
            await until(lambda: not left(running))

    loop_runner(scenario())


@pytest.mark.parametrize("data", [options(b"Content-Length: 0", b"Subject: a\0b"), options(b"l: 0", b"Subject: a\nb")])
def test_a_stream_goes_on_behind_a_broken_message_whose_end_is_known(
    data: bytes, loop_runner: Callable[..., None]
) -> None:
    async def scenario() -> None:
        async with agent() as running:
            reader, writer = await asyncio.open_connection(*address(running, "tcp"))
            writer.write(data + options(b"Content-Length: 0").replace(b"bad", b"good"))
            async with asyncio.timeout(WAIT):
                answers = [await reader.readuntil(b"\r\n\r\n") for _ in range(2)]
            assert answers[0].startswith(b"SIP/2.0 400 ") and parse(answers[1]).call_id == "good"
            writer.close()

    loop_runner(scenario())


def spoiled(source: random.Random, data: bytes) -> bytes:
    """A message with some of its bytes cut out, doubled or replaced."""
    for _ in range(source.randint(1, 6)):
        at, length = source.randrange(len(data) + 1), source.choice([0, 1, 3, 30])
        put = source.choice([b"", b"\r\n", b"\0", b'"', b"<", b";", b",", source.randbytes(8), data[at : at + 40]])
        data = data[:at] + put + data[at + length :]
    return data


def test_random_and_spoiled_datagrams_leave_it_standing(loop_runner: Callable[..., None]) -> None:
    async def scenario() -> None:
        source = random.Random(4475)
        async with agent() as running:
            peer = Datagrams(running)
            try:
                for _ in range(20):
                    batch = [spoiled(source, source.choice(MESSAGES)[1]) for _ in range(15)]
                    await peer.ask(*batch, source.randbytes(source.randint(1, 1400)), b"\r\n\r\n", b"\0\1\2")
                    # What was sent to another port than ours is not of interest here.
                assert running.endpoint.counters.malformed > 100
            finally:
                peer.close()

    loop_runner(scenario())


def test_random_and_spoiled_streams_in_random_chunks_leave_it_standing(loop_runner: Callable[..., None]) -> None:
    async def scenario() -> None:
        source = random.Random(5118)
        good = request("OPTIONS", via="SIP/2.0/TCP h;branch=z9hG4bKgood", call_id="good")
        async with agent() as running:
            for number in range(30):
                reader, writer = await asyncio.open_connection(*address(running, "tcp"))
                parts = [source.choice([good, spoiled(source, source.choice(MESSAGES)[1])]) for _ in range(4)]
                if number % 5 == 0:
                    parts.append(source.randbytes(500))
                stream = b"".join(parts)
                for chunk in in_chunks(stream, [source.randrange(len(stream)) for _ in range(8)]):
                    writer.write(chunk)
                    await asyncio.sleep(0)
                async with asyncio.timeout(WAIT):
                    with suppress(OSError):  # it may be closed on us already
                        writer.write_eof()
                        while await reader.read(65536):
                            pass
                writer.close()
            reader, writer = await asyncio.open_connection(*address(running, "tcp"))
            writer.write(good)
            async with asyncio.timeout(WAIT):
                assert parse(await reader.readuntil(b"\r\n\r\n")).call_id == "good"
            writer.close()

    loop_runner(scenario())
