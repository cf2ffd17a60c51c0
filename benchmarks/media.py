"""The engine's own media: when its packets leave, and what a call costs that plays, is listened to, or is echoed.

    python -m benchmarks.media [--calls 200] [--seconds 10] [--kind play --kind hear --kind echo]

One process has the engine's pacer and streams, on core 1; this one is all of its peers, on core 0. Every packet is
stamped by the kernel when it arrives. How far it lies from where the 20 ms of its stream have it is its deviation: the
stream's own median is its zero, since when a stream begins is nobody's fault.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.synchronize import Event

import numpy

from benchmarks.proc import cpu_ns, machine, pin, waited_ns
from engine.media.codecs import Codec, Samples, by_name
from engine.media.plane import Plane
from engine.media.port import MediaPort
from engine.media.ports import PortPool
from engine.media.rtp import build

ENGINE, PEER = "127.0.0.71", "127.0.0.72"
LOW, HIGH = 34_000, 60_998
KINDS = ("play", "hear", "echo")
SETTLE = 1.0  # s before the measurement begins
_STAMPED = 35  # SO_TIMESTAMPNS, which the socket module does not name
_HEADER = struct.Struct("!BBHII")
_BUFFER = 8 << 20


class Loop:
    """A sound without end: two seconds of noise, encoded once for all calls."""

    __slots__ = ("_at", "_frames")

    def __init__(self, frames: list[bytes], at: int) -> None:
        self._frames = frames
        self._at = at % len(frames)

    def next(self, codec: Codec) -> bytes | None:
        """The next frame, whatever `codec` is: there is one in a run."""
        at = self._at
        self._at = at + 1 if at + 1 < len(self._frames) else 0
        return self._frames[at]


class Ear:
    """Somebody who listens, and does nothing with what is heard."""

    __slots__ = ("frames",)

    def __init__(self) -> None:
        self.frames = 0

    def hear(self, samples: Samples, rate: int) -> None:
        """Counts."""
        self.frames += 1


def noise(codec: Codec) -> list[bytes]:
    """Two seconds, a frame each."""
    rng = numpy.random.default_rng(1)
    encoder = codec.encoder()
    return [encoder.encode(rng.integers(-4000, 4000, codec.frame, dtype=numpy.int16)) for _ in range(100)]


def description(codec: Codec, port: int) -> bytes:
    """The offer of a peer at `port`."""
    number = codec.sdp.payload_type
    lines = [f"v=0\r\no=- 1 1 IN IP4 {PEER}\r\ns=-\r\nc=IN IP4 {PEER}\r\nt=0 0\r\nm=audio {port} RTP/AVP {number}\r\n"]
    channels = f"/{codec.sdp.channels}" if codec.sdp.channels > 1 else ""
    lines.append(f"a=rtpmap:{number} {codec.sdp.name}/{codec.sdp.clock_rate}{channels}\r\n")
    return "".join(lines).encode()


async def engine(kind: str, codec: Codec, calls: int, peer: int) -> None:
    """The measured program. It says its RTP ports, and after that a line on every line that it is given: turns, turns
    left out, and the longest that a turn was late."""
    loop = asyncio.get_running_loop()
    plane = Plane(loop, time.monotonic)
    pool = PortPool([ENGINE], LOW, HIGH)
    frames = noise(codec)
    ports = []
    for place in range(calls):
        port = MediaPort.open(pool, ENGINE, codecs=(codec,))
        port.answer(description(codec, peer + (place * 2 if kind != "play" else 0)))
        stream = port.open_stream(plane)
        if kind == "hear":
            stream.attach(Ear())
        elif kind == "echo":
            stream.echo(True)
        else:
            stream.play(Loop(frames, place))
        ports.append(port)
    print(" ".join(str(port.port) for port in ports), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        pacer = plane.pacer
        taken = sum(port.stream.counts.taken for port in ports if port.stream is not None)
        print(pacer.turns, pacer.skipped, round(pacer.latest * 1e6), taken, flush=True)
        pacer.latest = 0.0
    for port in ports:
        port.close()
    plane.close()
    pool.close()


def talk(codec: Codec, ports: list[int], first: int, over: Event) -> None:
    """A process that is the voices of all peers: one packet of each in 20 ms, spread over it."""
    frames, number = noise(codec), codec.sdp.payload_type
    socks = []
    for place in range(len(ports)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((PEER, first + 2 * place))
        sock.connect((ENGINE, ports[place]))
        socks.append(sock)
    turn, begin = 0, time.monotonic()
    slots = [range(slot, len(ports), 10) for slot in range(10)]
    while not over.is_set():
        frame, slot = divmod(turn, 10)
        for place in slots[slot]:
            packet = build(number, False, frame & 0xFFFF, frame * codec.step, place + 1, frames[frame % len(frames)])
            with contextlib.suppress(OSError):
                socks[place].send(packet)
        turn += 1
        time.sleep(max(begin + turn * 0.002 - time.monotonic(), 0))


@dataclass(slots=True)
class Result:
    """One run. Times in microseconds."""

    kind: str
    codec: str
    calls: int
    seconds: float
    packets: int
    """That left, or came where nothing leaves."""
    cpu_us: float
    """For each of them."""
    share: float
    """Of a core, for one call."""
    deviations: tuple[float, float, float, float]
    """p50, p99, p99.9 and the largest, either way; zeros where nothing leaves on its own clock."""
    within: float
    """Share of packets within 2 ms."""
    skipped: int
    lost: int
    """Packets that left and did not arrive."""
    waited: float
    """Share of the time in which the program wanted its core and did not have it."""

    def line(self) -> str:
        """In a line."""
        p50, p99, p999, largest = self.deviations
        timing = f"deviation p50 {p50:.0f} us, p99 {p99:.0f}, p99.9 {p999:.0f}, largest {largest:.0f}; "
        timing += f"{self.within:.3%} within 2 ms; " if self.within else ""
        return (
            f"{self.kind} {self.codec}, {self.calls} calls: {timing if p50 or p99 else ''}{self.cpu_us:.1f} us CPU a "
            f"packet, {self.share:.3%} of a core a call, {1 / self.share:.0f} calls a core; {self.packets} packets in "
            f"{self.seconds:.0f} s, {self.skipped} turns left out, {self.lost} lost, waited"
            f" {self.waited:.1%}"
        )


@contextlib.contextmanager
def running(kind: str, codec: Codec, calls: int, peer: int) -> Iterator["subprocess.Popen[str]"]:
    """The engine in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.media", "--engine", kind, codec.name, str(calls), str(peer)]
    process = subprocess.Popen([*pin(1), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(10)


def told(process: "subprocess.Popen[str]", ask: bool = True) -> list[int]:
    """What the engine says of itself."""
    assert process.stdin is not None
    assert process.stdout is not None
    if ask:
        process.stdin.write("\n")
        process.stdin.flush()
    return [int(word) for word in process.stdout.readline().split()]


def measure(kind: str, codec: Codec, calls: int, seconds: float) -> Result:
    """One run."""
    if kind == "play":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, _STAMPED, 1)
        sock.bind((PEER, 0))
        peer = sock.getsockname()[1]
    else:
        sock, peer = None, 20_000
    over = multiprocessing.Event()
    with running(kind, codec, calls, peer) as process:
        ports = told(process, ask=False)
        voices = multiprocessing.Process(target=talk, args=(codec, ports, peer, over))
        if kind != "play":
            voices.start()
        try:
            if sock is not None:
                arrivals(sock, SETTLE)
            else:
                time.sleep(SETTLE)
            told(process)
            began, pids = time.monotonic(), [process.pid]
            cpu, waited, before = cpu_ns(pids), waited_ns(pids), told(process)
            if sock is not None:
                found = arrivals(sock, seconds)
            else:
                time.sleep(seconds)
                found = {}
            after, cpu, waited = told(process), cpu_ns(pids) - cpu, waited_ns(pids) - waited
            took = time.monotonic() - began
        finally:
            over.set()
            if kind != "play":
                voices.join()
    if sock is not None:
        sock.close()
    packets = after[0] - before[0] if kind == "play" else after[3] - before[3]
    off = deviations(found, codec.clock)
    cuts = tuple(float(cut) for cut in numpy.percentile(off, [50, 99, 99.9, 100])) if len(off) else (0.0,) * 4
    return Result(
        kind=kind,
        codec=codec.name,
        calls=calls,
        seconds=took,
        packets=packets,
        cpu_us=cpu / 1000 / max(packets, 1),
        share=cpu / 1e9 / took / calls,
        deviations=(cuts[0], cuts[1], cuts[2], cuts[3]),
        within=float((off <= 2000).mean()) if len(off) else 0.0,
        skipped=after[1] - before[1],
        lost=gaps(found),
        waited=waited / 1e9 / took,
    )


Arrivals = dict[int, list[tuple[int, int, int]]]


def arrivals(sock: socket.socket, seconds: float) -> Arrivals:
    """Of every stream (SSRC), each packet's sequence number, timestamp, and moment of arrival (ns)."""
    found: Arrivals = {}
    end = time.monotonic() + seconds
    sock.setblocking(False)
    space = socket.CMSG_SPACE(16)
    while (left := end - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            continue
        with contextlib.suppress(BlockingIOError):
            while True:
                data, extra, _, _ = sock.recvmsg(2048, space)
                seconds_part, nanoseconds = struct.unpack("qq", extra[0][2])
                _, _, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
                moment = seconds_part * 1_000_000_000 + nanoseconds
                found.setdefault(ssrc, []).append((sequence, timestamp, moment))
    return found


def gaps(found: Arrivals) -> int:
    """Packets that are missing between the first and the last of a stream."""
    return sum(((each[-1][0] - each[0][0]) & 0xFFFF) + 1 - len(each) for each in found.values())


def deviations(found: Arrivals, clock: int) -> "numpy.typing.NDArray[numpy.float64]":
    """Microseconds that each packet lies from its place, without a sign."""
    parts = []
    for packets in found.values():
        stamps = numpy.unwrap(numpy.array([stamp for _, stamp, _ in packets], dtype=numpy.float64), period=1 << 32)
        times = numpy.array([when - packets[0][2] for _, _, when in packets], dtype=numpy.float64)
        places = times - (stamps - stamps[0]) * (1e9 / clock)
        parts.append(numpy.abs(places - numpy.median(places)) / 1000)
    return numpy.concatenate(parts) if parts else numpy.zeros(0)


def main(words: list[str]) -> int:
    """The command line. Exit code 1 where packets were dropped or turns left out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media", description=__doc__)
    parser.add_argument("--calls", type=int, action="append", help="calls at once (default 200, then 800)")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--codec", action="append", help="default PCMU; for `hear` also G722 and opus")
    parser.add_argument("--engine", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.engine:
        kind, name, calls, peer = asked.engine
        codec = by_name(name)
        assert codec is not None
        factory = None
        if find_spec("uvloop"):
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(engine(kind, codec, int(calls), int(peer)))
        return 0
    os.sched_setaffinity(0, {0})
    print(f"{machine()}; load {os.getloadavg()[0]:.2f}; {'uvloop' if find_spec('uvloop') else 'asyncio'}")
    faults = 0
    for kind in asked.kind or KINDS:
        for name in asked.codec or (["PCMU", "G722", "opus"] if kind == "hear" else ["PCMU"]):
            codec = by_name(name)
            if codec is None:
                print(f"{kind} {name}: no such codec here")
                continue
            for calls in asked.calls or ([200, 800] if kind == "play" else [200]):
                result = measure(kind, codec, calls, asked.seconds)
                faults += result.lost + result.skipped
                print(result.line(), flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
