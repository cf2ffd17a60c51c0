"""What a call costs that is anchored in the engine: two sides, 50 packets a second each, RTP through two sockets.

    python -m benchmarks.relay [--calls 100] [--seconds 8] [--recorded]

The engine's relays are a process on core 1; all sides are this one, on core 0. Every packet that is sent is counted
where it arrives: a run that loses some is no result.
"""

import argparse
import asyncio
import contextlib
import os
import re
import resource
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

from benchmarks.proc import cpu_ns, machine
from engine.media.anchor import CALLEE, CALLER, AnchorError, MediaAddress
from engine.media.plane import Plane
from engine.media.port_pool import PortPool
from engine.media.relay.relay import Relay, Relays

ENGINE, SIDES = "127.0.0.73", "127.0.0.74"
SLOTS = 10
FRAME = 0.02  # s
PACKET = b"\x80\x08" + bytes(170)


class _Deaf:
    def hear(self, samples: Any, rate: int) -> None:
        """A recorder that writes nothing."""


def _body(port: int) -> bytes:
    head = f"v=0\r\no=- 1 1 IN IP4 {SIDES}\r\ns=-\r\nc=IN IP4 {SIDES}\r\nt=0 0\r\n"
    return f"{head}m=audio {port} RTP/AVP 8\r\n".encode()


def _anchored(relays: Relays, caller: int, callee: int) -> tuple[Relay, list[int]]:
    """A relay for sides at these ports, and where the caller and the callee are to send to."""
    relay, ports = relays.open(MediaAddress(ENGINE), MediaAddress(ENGINE), None), list[int]()

    def rewritten(body: bytes, error: AnchorError | None) -> None:
        if error is not None:
            raise error
        found = re.search(rb"m=audio (\d+)", body)
        assert found is not None
        ports.append(int(found[1]))

    relay.offer(CALLER, _body(caller), rewritten)
    relay.answer(CALLEE, _body(callee), rewritten)
    return relay, ports[::-1]


async def engine(recorded: bool) -> None:
    """The measured process: ports of the sides come in, one line; where they are to send goes out."""
    os.sched_setaffinity(0, {1})
    loop = asyncio.get_running_loop()
    pool = PortPool([ENGINE], 20_000, 59_999)
    relays = Relays(pool, loop, Plane(loop, time.monotonic))
    ports = [int(word) for word in sys.stdin.readline().split()]
    found = [_anchored(relays, caller, callee) for caller, callee in zip(ports[::2], ports[1::2], strict=True)]
    if recorded:
        for relay, _ in found:
            relay.overhear(_Deaf(), _Deaf())
    print(*(port for _, pair in found for port in pair), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)


def measure(calls: int, seconds: float, recorded: bool) -> tuple[int, int, float]:
    """Packets sent, packets that arrived, and seconds of CPU that the engine used."""
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2 * calls)]
    for sock in socks:
        sock.bind((SIDES, 0))
        sock.setblocking(False)
    command = [sys.executable, "-m", "benchmarks.relay", "--engine", *(["--recorded"] if recorded else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(" ".join(str(sock.getsockname()[1]) for sock in socks) + "\n")
        process.stdin.flush()
        targets = [(ENGINE, int(word)) for word in process.stdout.readline().split()]
        before = cpu_ns([process.pid])
        sent, arrived = talk(socks, targets, seconds)
        used = (cpu_ns([process.pid]) - before) / 1e9
        process.stdin.write("\n")
    for sock in socks:
        sock.close()
    return sent, arrived, used


def talk(socks: list[socket.socket], targets: list[tuple[str, int]], seconds: float) -> tuple[int, int]:
    """50 packets a second from each socket to its target: how many left, and how many arrived at any of `socks`."""
    sent = arrived = step = 0
    begin = time.monotonic()
    slots = [range(slot, len(socks), SLOTS) for slot in range(SLOTS)]
    while (now := time.monotonic() - begin) < seconds:
        for index in slots[step % SLOTS]:
            socks[index].sendto(PACKET, targets[index])
            sent += 1
        for index in slots[(step + SLOTS // 2) % SLOTS]:
            arrived += _drained(socks[index])
        step += 1
        time.sleep(max(0.0, step * FRAME / SLOTS - now))
    time.sleep(0.3)
    return sent, arrived + sum(map(_drained, socks))


def _drained(sock: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while sock.recv(2048):
            count += 1
    return count


def main(words: list[str]) -> int:
    """The command line. Exit code 1 where packets were lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--recorded", action="store_true", help="decode both sides, as for a recording")
    parser.add_argument("--engine", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if asked.engine:
        factory = None
        if find_spec("uvloop"):
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(engine(asked.recorded))
        return 0
    os.sched_setaffinity(0, {0})
    print(f"{machine()}; load {os.getloadavg()[0]:.2f}; {'uvloop' if find_spec('uvloop') else 'asyncio'}")
    sent, arrived, used = measure(asked.calls, asked.seconds, asked.recorded)
    share = 100 * used / asked.seconds / asked.calls
    print(
        f"{asked.calls} calls anchored{', recorded' * asked.recorded}: {sent} packets, {sent - arrived} lost, "
        f"{1e6 * used / max(1, sent):.1f} us of CPU a packet, {share:.3f} % of a core a call"
    )
    return 1 if arrived < sent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
