"""The engine's own media without any signalling: what it costs to play, to listen, to record, to mix.

One process has the engine's pacer and streams, on core 1; all of its peers are processes on core 0. `KINDS` says what
can be measured; `python -m benchmarks.media` is the command.
"""

import asyncio
import contextlib
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.synchronize import Event
from pathlib import Path

from benchmarks.media_sink import Sink, Timing
from benchmarks.media_voices import ENGINE, FIRST, Loop, description, noise, talk
from benchmarks.proc import cpu_ns, pin, udp_drops, waited_ns
from engine.audio.dtmf_detector import DtmfDetector
from engine.audio.mixer import Mixer
from engine.audio.recorder import Recorder
from engine.media.codec.codec import Codec, Samples
from engine.media.codec.registry import by_name
from engine.media.plane import Plane
from engine.media.port import MediaPort
from engine.media.port_pool import PortPool
from engine.media.rtp.session import RtpSession

LOW, HIGH = 34_000, 60_998
SETTLE = 1.0  # s before the measurement begins


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that a stream is made to do."""

    name: str
    text: str
    codec: str = "PCMU"
    voices: bool = True
    """Whether its peers speak; else they are a sink, which says how punctual the packets are."""
    srtp: bool = False
    members: int = 0
    """Of a room; 0: no room."""
    talking: int = 0
    """Of the members, how many speak; the others send silence."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("play", "plays a sound that is encoded already", voices=False),
        Kind("play-srtp", "the same, SRTP", voices=False, srtp=True),
        Kind("hear", "listens: jitter buffer, decoder"),
        Kind("hear-srtp", "the same, SRTP", srtp=True),
        Kind("hear-g722", "the same, G.722", codec="G722"),
        Kind("hear-opus", "the same, Opus", codec="opus"),
        Kind("echo", "echoes packets as they are"),
        Kind("keys", "listens for keys in band, in noise"),
        Kind("record", "listens and writes a WAV file"),
        Kind("room-10", "member of a room of 10, of whom 3 speak", members=10, talking=3),
        Kind("room-50", "member of a room of 50, of whom 3 speak", members=50, talking=3),
        Kind("room-10-all", "member of a room of 10 who all speak", members=10, talking=10),
    )
}


class Ear:
    """Somebody who listens, and does nothing with what is heard."""

    __slots__ = ("frames",)

    def __init__(self) -> None:
        self.frames = 0

    def hear(self, samples: Samples, rate: int) -> None:
        """Counts."""
        self.frames += 1


class Work:
    """What the streams of one run are given to do."""

    def __init__(self, kind: Kind, codec: Codec, plane: Plane, directory: Path) -> None:
        self._kind = kind
        self._plane = plane
        self._directory = directory
        self._frames = noise(codec)
        self._recorders: list[Recorder] = []
        self._rooms: list[Mixer] = []

    def give(self, place: int, stream: RtpSession) -> None:
        """The work of the stream of call `place`."""
        works: dict[str, Callable[[int, RtpSession], None]] = {
            "play": self._play, "hear": self._hear, "echo": self._echo,
            "keys": self._keys, "record": self._record, "room": self._join,
        }  # fmt: skip
        works[self._kind.name.partition("-")[0]](place, stream)

    def _play(self, place: int, stream: RtpSession) -> None:
        stream.play(Loop(self._frames, place))

    def _hear(self, place: int, stream: RtpSession) -> None:
        stream.attach(Ear())

    def _echo(self, place: int, stream: RtpSession) -> None:
        stream.echo(True)

    def _keys(self, place: int, stream: RtpSession) -> None:
        stream.attach(DtmfDetector(lambda key: None))

    def _record(self, place: int, stream: RtpSession) -> None:
        recorder = Recorder(self._directory / f"{place}.wav")
        recorder.start()
        self._recorders.append(recorder)
        stream.attach(recorder.channel(0))

    def _join(self, place: int, stream: RtpSession) -> None:
        if place % self._kind.members == 0:
            self._rooms.append(Mixer(self._plane.pacer))
        member = self._rooms[-1].join()
        stream.attach(member)
        stream.play(member)

    async def end(self) -> None:
        """Files are finished and rooms closed."""
        for recorder in self._recorders:
            await recorder.stop()
        for room in self._rooms:
            room.close()


async def engine(kind: Kind, calls: int, peer: int) -> None:
    """The measured program. It says its RTP ports, and after that a line on every line that it is given: turns, turns
    left out, the longest that a turn was late, and the packets that it has taken."""
    loop = asyncio.get_running_loop()
    plane = Plane(loop, time.monotonic)
    pool = PortPool([ENGINE], LOW, HIGH)
    codec = by_name(kind.codec)
    assert codec is not None
    ports = []
    with tempfile.TemporaryDirectory(prefix="bench-media-") as directory:
        work = Work(kind, codec, plane, Path(directory))
        for place in range(calls):
            port = MediaPort.open(pool, ENGINE, codecs=(codec,))
            port.answer(description(codec, peer + (place * 2 if kind.voices else 0), srtp=kind.srtp))
            work.give(place, port.open_stream(plane))
            ports.append(port)
        print(" ".join(str(port.port) for port in ports), flush=True)
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            pacer = plane.pacer
            taken = sum(port.stream.counts.taken for port in ports if port.stream is not None)
            print(pacer.turns, pacer.skipped, round(pacer.latest * 1e6), taken, flush=True)
            pacer.latest = 0.0
        await work.end()
    for port in ports:
        port.close()
    plane.close()
    pool.close()


def run_engine(name: str, calls: int, peer: int) -> None:
    """`engine` on the loop that the service would use."""
    factory = None
    if find_spec("uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(engine(KINDS[name], calls, peer))


@dataclass(slots=True)
class Result:
    """One run."""

    kind: str
    calls: int
    seconds: float
    packets: int
    """That left, or came where the peers speak."""
    cpu_us: float
    """For each of them."""
    share: float
    """Of a core, for one call."""
    timing: Timing
    """Of the packets that left, where a sink took them."""
    skipped: int
    waited: float
    """Share of the time in which the program wanted its core and did not have it."""
    faults: list[str] = field(default_factory=list)


@contextlib.contextmanager
def running(kind: Kind, calls: int, peer: int) -> Iterator["subprocess.Popen[str]"]:
    """The engine in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.media", "--engine", kind.name, str(calls), str(peer)]
    process = subprocess.Popen([*pin(1), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(20)


def told(process: "subprocess.Popen[str]", ask: bool = True) -> list[int]:
    """What the engine says of itself."""
    assert process.stdin is not None
    assert process.stdout is not None
    if ask:
        process.stdin.write("\n")
        process.stdin.flush()
    return [int(word) for word in process.stdout.readline().split()]


@contextlib.contextmanager
def speaking(kind: Kind, ports: list[int]) -> Iterator[None]:
    """The voices of all peers, where they have any."""
    over: Event = multiprocessing.Event()
    size, talking = (kind.members, kind.talking) if kind.members else (1, 1)
    words = (kind.codec, ports, size, talking, kind.srtp, over)
    voices = multiprocessing.Process(target=talk, args=words) if kind.voices else None
    if voices is not None:
        voices.start()
    try:
        yield
    finally:
        over.set()
        if voices is not None:
            voices.join()


def measure(kind: Kind, calls: int, seconds: float) -> Result:
    """One run."""
    codec = by_name(kind.codec)
    assert codec is not None
    with Sink("127.0.0.72") as sink, running(kind, calls, FIRST if kind.voices else sink.port) as process:
        ports = told(process, ask=False)
        with speaking(kind, ports):
            sink.listen(SETTLE)
            told(process)
            began, pids, drops = time.monotonic(), [process.pid], udp_drops()
            cpu, waited, before = cpu_ns(pids), waited_ns(pids), told(process)
            timing = sink.timing(seconds, codec.clock)
            after, cpu, waited = told(process), cpu_ns(pids) - cpu, waited_ns(pids) - waited
            took, drops = time.monotonic() - began, udp_drops() - drops
    packets = after[3] - before[3] if kind.voices else after[0] - before[0]
    result = Result(
        kind=kind.name,
        calls=calls,
        seconds=took,
        packets=packets,
        cpu_us=cpu / 1000 / max(packets, 1),
        share=cpu / 1e9 / took / calls,
        timing=timing,
        skipped=after[1] - before[1],
        waited=waited / 1e9 / took,
    )
    _judge(result, drops)
    return result


def _judge(result: Result, drops: int) -> None:
    due = result.calls * 50 * result.seconds
    if result.skipped:
        result.faults.append(f"{result.skipped} turns left out")
    if result.timing.lost:
        result.faults.append(f"{result.timing.lost} packets lost")
    if drops:
        result.faults.append(f"{drops} datagrams dropped")
    if result.waited > 0.05:
        result.faults.append("other processes had its core")
    if result.packets < 0.98 * due:
        who = "the voices were the limit" if KINDS[result.kind].voices else "the engine was the limit"
        result.faults.append(f"{result.packets / due:.0%} of the packets that were due: {who}")


def available(kind: Kind) -> bool:
    """Whether the libraries for it are there."""
    return by_name(kind.codec) is not None and (not kind.srtp or find_spec("pylibsrtp") is not None)
