"""Whether phones come back when the engine is killed, and whether calls to them reach them meanwhile.

    python -m benchmarks.comeback [--phones 10000] [--streams 0.5] [--within 60] [--calls 10] [--store sqlite]

All phones register, by UDP and by TCP; while a caller rings one after another, the engine is ended by SIGKILL and
started again on its store. Phones by TCP come back when they notice that their connection is gone, after a pause that
grows and is drawn by chance (RFC 5626 §4.5), those by UDP at their next refresh. Printed are what failed and how long
it took. A call counts as failed unless its phone answers it.
"""

import argparse
import asyncio
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from benchmarks import proc
from benchmarks.programs import ADDRESS, Program, Running
from engine.sip.auth.digest_client import ClientSession, choose, parse_challenges

PASSWORD = "secret"
NATS = 40  # addresses that the phones share
CALLER = ("127.0.1.8", 5060)
BODY = (
    "v=0\r\no=- 1 1 IN IP4 127.0.1.8\r\ns=-\r\nc=IN IP4 127.0.1.8\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
)
WITH_BODY = f"Content-Type: application/sdp\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
WITHOUT = "Content-Length: 0\r\n\r\n"
_COPIED = re.compile(r"^(?:Via|From|To|Call-ID|CSeq|Record-Route):.*\r\n", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(r"^Content-Length: *(\d+)", re.IGNORECASE | re.MULTILINE)
tags = count(1)


def field(text: str, name: str) -> str:
    """The value of the first header field of this name."""
    found = re.search(rf"^{name}: *(.*)\r\n", text, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else ""


class Phone(asyncio.DatagramProtocol, asyncio.Protocol):
    """A phone that registers, answers calls and says what became of it; by UDP, or over a connection of its own."""

    def __init__(self, number: int, stream: bool, chance: random.Random) -> None:
        self.name, self.stream = f"u{number}", stream
        self._host = f"127.0.2.{1 + number % NATS}"
        self._chance = chance
        self._session: ClientSession | None = None
        self._cseq = 0
        self._way: Any = None
        self._unread = b""
        self._answer: asyncio.Future[str] | None = None
        self.lost = asyncio.Event()
        self.statuses: Counter[str] = Counter()

    async def connect(self) -> None:
        """Open its way to the engine."""
        loop = asyncio.get_running_loop()
        self.lost.clear()
        self._unread = b""
        if self.stream:
            await loop.create_connection(lambda: self, *ADDRESS, local_addr=(self._host, 0))
        elif self._way is None:
            await loop.create_datagram_endpoint(lambda: self, remote_addr=ADDRESS, local_addr=(self._host, 0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._way = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._way = None
        self.lost.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(OSError("connection lost"))

    def error_received(self, exc: Exception) -> None:
        """Nobody is there; what is asked is repeated."""

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while b"\r\n\r\n" in self._unread:
            head, _, rest = self._unread.partition(b"\r\n\r\n")
            text = head.decode() + "\r\n\r\n"
            found = _LENGTH.search(text)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                return
            self._unread = rest[length:]
            if head.strip():
                self._take(text)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._take(data.decode())

    def _take(self, text: str) -> None:
        method = text.split(" ", 1)[0]
        if method == "SIP/2.0":
            if (
                self._answer is not None
                and not self._answer.done()
                and field(text, "CSeq").split()[0] == str(self._cseq)
            ):
                self._answer.set_result(text)
        elif method == "INVITE":
            self._respond(text, "180 Ringing", WITHOUT)
            self._respond(text, "200 OK", f"Contact: <sip:{self.name}@{self._host}>\r\n{WITH_BODY}")
        elif method != "ACK":
            self._respond(text, "200 OK", WITHOUT)

    def _respond(self, request: str, status: str, rest: str) -> None:
        head = "".join(line.group() for line in _COPIED.finditer(request))
        if ";tag=" not in field(request, "To"):
            head = re.sub(r"^(To:.*)\r\n", rf"\1;tag={self.name}\r\n", head, flags=re.MULTILINE | re.IGNORECASE)
        self._send(f"SIP/2.0 {status}\r\n{head}{rest}")

    def _send(self, text: str) -> None:
        if self._way is not None:
            send = self._way.write if self.stream else self._way.sendto
            send(text.encode())

    async def register(self, patience: float = 32.0) -> None:
        """Register, with the credentials of before where there are any. Raises OSError and TimeoutError."""
        for _ in range(3):
            text = await self._request(patience)
            status = text.split(" ", 2)[1]
            self.statuses[status] += 1
            if status == "200":
                return
            challenge = choose(parse_challenges([field(text, "WWW-Authenticate")])) if status == "401" else None
            if challenge is None:
                raise OSError(f"REGISTER: {status}")
            self._session = ClientSession(challenge, self.name, PASSWORD)
        raise OSError("REGISTER: 401 again and again")

    async def _request(self, patience: float) -> str:
        self._cseq += 1
        if self._way is None:
            raise OSError("no connection")
        host, port = self._way.get_extra_info("sockname")
        transport = "TCP" if self.stream else "UDP"
        domain = f"sip:{ADDRESS[0]}"
        line = ""
        if self._session is not None:
            line = f"Authorization: {self._session.authorization('REGISTER', domain, 'c0ffee')}\r\n"
        text = (
            f"REGISTER {domain} SIP/2.0\r\n"
            f"Via: SIP/2.0/{transport} {host}:{port};rport;branch=z9hG4bK{self.name}x{self._cseq}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{self.name}@{ADDRESS[0]}>;tag=1\r\nTo: <sip:{self.name}@{ADDRESS[0]}>\r\n"
            f"Call-ID: {self.name}\r\nCSeq: {self._cseq} REGISTER\r\n"
            f"Contact: <sip:{self.name}@{host}:{port};transport={transport.lower()}>"
            f';+sip.instance="<urn:uuid:00000000-0000-4000-8000-{int(self.name[1:]):012}>"\r\n'
            f"Expires: 3600\r\n{line}{WITHOUT}"
        )
        self._answer = asyncio.get_running_loop().create_future()
        until, pause = time.monotonic() + patience, 0.5
        self._send(text)
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                return await asyncio.wait_for(asyncio.shield(self._answer), left if self.stream else min(pause, left))
            except TimeoutError:
                if not self.stream:
                    self._send(text)
                    pause = min(pause * 2, 4.0)

    async def come_back(self, within: float) -> float:
        """Be registered again: seconds since the beginning."""
        began, attempt = time.monotonic(), 0
        if not self.stream:
            await asyncio.sleep(self._chance.random() * within * 0.8)
        while True:
            try:
                if self.stream:
                    await self.lost.wait()
                    await asyncio.sleep((0.5 + self._chance.random() / 2) * min(within / 2, 4.0 * 2**attempt))
                    await self.connect()
                await self.register()
            except (OSError, TimeoutError):
                attempt += 1
                if self._way is None:
                    self.lost.set()
            else:
                return time.monotonic() - began


class Caller(asyncio.DatagramProtocol):
    """Calls phones by their names, one after another."""

    def __init__(self) -> None:
        self._way: Any = None
        self._calls: dict[str, Callable[[str], None]] = {}
        self.results: Counter[str] = Counter()
        self.failed: list[tuple[float, str, str]] = []
        self.waited: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._way = transport

    def error_received(self, exc: Exception) -> None:
        """Nobody is there; what is asked is repeated."""

    def datagram_received(self, data: bytes, addr: object) -> None:
        text = data.decode()
        take = self._calls.get(field(text, "Call-ID"))
        if take is not None:
            take(text)

    def _send(self, text: str) -> None:
        self._way.sendto(text.encode(), ADDRESS)

    async def call(self, phone: Phone, began: float) -> None:
        """One call, hung up as soon as it is answered."""
        call_id, loop, at = f"c{next(tags)}", asyncio.get_running_loop(), time.monotonic()
        final: asyncio.Future[str] = loop.create_future()
        heard = asyncio.Event()

        def take(text: str) -> None:
            if text.startswith("SIP/2.0 "):
                heard.set()
                if text[8] != "1" and not final.done() and field(text, "CSeq").endswith("INVITE"):
                    final.set_result(text)
            else:
                head = "".join(line.group() for line in _COPIED.finditer(text))
                self._send(f"SIP/2.0 200 OK\r\n{head}{WITHOUT}")

        self._calls[call_id] = take
        uri = f"sip:{phone.name}@{ADDRESS[0]}"

        def request(method: str, cseq: int, to: str, rest: str, branch: str) -> str:
            return (
                f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER[0]}:{CALLER[1]};branch=z9hG4bK{branch}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:caller@{CALLER[0]}>;tag={call_id}\r\nTo: {to}\r\n"
                f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
                f"Contact: <sip:caller@{CALLER[0]}:{CALLER[1]}>\r\n{rest}"
            )

        invite = request("INVITE", 1, f"<{uri}>", WITH_BODY, call_id)
        pause, until = 0.5, at + 32
        while not heard.is_set() and time.monotonic() < until:
            self._send(invite)
            await asyncio.wait({loop.create_task(heard.wait())}, timeout=pause)
            pause *= 2
        try:
            text = await asyncio.wait_for(final, 60 if heard.is_set() else 0.01)
        except TimeoutError:
            text = "SIP/2.0 408 nothing came\r\n"
        status = text.split(" ", 2)[1]
        to = field(text, "To")
        if status[0] == "2":
            self._send(request("ACK", 1, to, WITHOUT, f"{call_id}a"))
            for _ in range(2):
                self._send(request("BYE", 2, to, WITHOUT, f"{call_id}b"))
                await asyncio.sleep(0.5)
            self.waited.append(time.monotonic() - at)
        else:
            self._send(request("ACK", 1, to, WITHOUT, call_id))
            self.failed.append((at - began, "tcp" if phone.stream else "udp", status))
        self.results[status] += 1
        del self._calls[call_id]


def program(phones: int, store: str, directory: Path) -> Program:
    """The engine, with an extension for each phone."""
    file = directory / "trunkline.yaml"
    where = ":".join(map(str, ADDRESS))
    config = {
        "log": {"level": "warning"},
        "store": f"sqlite:///{directory}/comeback.db" if store == "sqlite" else store,
        "api": {"listen": ""},
        "node_name": "comeback",
        "sip": {
            "listen": [f"udp://{where}", f"tcp://{where}"],
            "trusted_networks": [f"{CALLER[0]}/32"],
            "invite_rate": {"rate": 0},
        },
        "extensions": [{"name": f"u{number}", "password": PASSWORD} for number in range(phones)],
    }
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    binary = Path(sys.executable).parent / "trunkline"
    return Program("trunkline", "comeback", [str(binary), "serve", "-c", str(file)], {})


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


async def comes_back(asked: argparse.Namespace, directory: Path) -> bool:
    """One run; whether nothing failed."""
    chance = random.Random(asked.seed)
    loop = asyncio.get_running_loop()
    phones = [Phone(number, number < asked.phones * asked.streams, chance) for number in range(asked.phones)]
    _, caller = await loop.create_datagram_endpoint(Caller, local_addr=CALLER)
    measured = program(asked.phones, asked.store, directory)
    running = await asyncio.to_thread(Running, measured)
    try:
        began = time.monotonic()
        some = asyncio.Semaphore(50)

        async def first(phone: Phone) -> None:
            async with some:
                await phone.connect()
                await phone.register()

        async with asyncio.TaskGroup() as group:
            for phone in phones:
                group.create_task(first(phone))
        say(f"{len(phones)} phones registered in {time.monotonic() - began:.1f} s")
        await asyncio.sleep(asked.settle)
        for phone in phones:
            phone.statuses.clear()
        os.kill(running.process.pid, signal.SIGKILL)
        killed = time.monotonic()
        running.close()
        back = [loop.create_task(phone.come_back(asked.within)) for phone in phones]
        calls: set[asyncio.Task[None]] = set()

        async def ring() -> None:
            while True:
                calls.add(loop.create_task(caller.call(chance.choice(phones), killed)))
                await asyncio.sleep(1 / asked.calls)

        ringing = loop.create_task(ring()) if asked.calls else None
        running = await asyncio.to_thread(Running, measured)
        up = time.monotonic() - killed
        say(f"the engine is up again after {up:.1f} s")
        _, late = await asyncio.wait(back, timeout=asked.within * 3)
        took = sorted(task.result() for task in back if task not in late)
        if ringing is not None:
            ringing.cancel()
            await asyncio.wait(calls)
        cpu = proc.cpu_ns(running.pids) / 1e9
    finally:
        running.close()
    statuses = sum((phone.statuses for phone in phones), Counter[str]())
    last, half = (took[-1], took[len(took) // 2]) if took else (0.0, 0.0)
    print(f"back: {len(took)} of {len(phones)}, the last {last:.1f} s after the kill, half of them {half:.1f} s")
    print(f"REGISTERs: {dict(statuses)}; CPU of the engine since its start: {cpu:.1f} s; load {os.getloadavg()[0]:.1f}")
    print(f"calls: {dict(caller.results)}; the slowest answer after {max(caller.waited, default=0):.1f} s")
    if caller.failed:
        print(f"failed, by transport and status: {dict(Counter(failed[1:] for failed in caller.failed))}")
        print("seconds after the kill:", " ".join(f"{at:.0f}" for at, *_ in sorted(caller.failed)[:60]))
    for task in late:
        task.cancel()
    return not late and not caller.failed


def main(words: Sequence[str]) -> int:
    """Run what was asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comeback", description=__doc__)
    parser.add_argument("--phones", type=int, default=10_000)
    parser.add_argument("--streams", type=float, default=0.5, help="which part of them registers by TCP")
    parser.add_argument("--within", type=float, default=60.0, help="seconds in which they try to come back")
    parser.add_argument("--calls", type=float, default=10.0, help="calls a second; 0: none")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds between the last REGISTER and the kill")
    parser.add_argument("--store", default="sqlite", help="sqlite, or the URL of a database")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(words)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-comeback-") as folder:
        return 0 if asyncio.run(comes_back(asked, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
