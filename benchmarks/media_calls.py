"""Calls that are played to, from end to end: SIPp callers, and whoever plays.

The callers' descriptions all name one port, where a sink stamps what comes. Calls come up, are held as long as
the measurement takes, and hang up. The program is on core 1; callers and sink are on core 0.
"""

import contextlib
import os
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy

from benchmarks import proc
from benchmarks.load import GENERATOR_CORE, SCENARIOS, Sipp
from benchmarks.media_sink import Sink, Timing
from benchmarks.programs import ADDRESS, NUMBER, PROVIDER, Program, Running, program
from engine.media.codec.registry import PCMU

CALLERS = ("127.0.1.31", 40_000)  # the port is that of scenarios/uac.xml
SILENT_NUMBER = "+15550000002"  # trunkline-media.yaml
RATE = 100  # calls/s while they come up
SETTLE = 6.0  # s before the measurement begins: what SIP keeps of a transaction is gone after T4, 5 s
PROMPT = 10  # s
MOST_WAITED = 0.05  # of the time; a program that waits longer for its core cannot be punctual
PLAYING, SILENT = "trunkline, playing", "trunkline, the same call without playing"
TONES = "trunkline, playing to callers without telephone-event"  # keys are listened for in their sound
BRIDGED = "trunkline, calls through, not anchored"


@dataclass(slots=True)
class Held:
    """One program with calls that are up."""

    program: str
    calls: int
    seconds: float
    share: float = 0.0
    """Of a core, for one call that is up."""
    whole_ms: float = 0.0
    """Milliseconds of CPU for one call, from its INVITE to its BYE, with all the time that it was up."""
    timing: Timing = field(default_factory=Timing)
    waited: float = 0.0
    """Share of the time in which the program wanted its core and did not have it."""
    load: float = 0.0
    """Share of their core that callers and sink used."""
    udp_sockets: int = 0
    """UDP sockets of the program while the calls are up."""
    sources: list[str] = field(default_factory=list)
    """Addresses that packets came from."""
    faults: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Says what spoils it."""
        timing = self.timing
        if timing.lost:
            self.faults.append(f"{timing.lost} packets lost")
        if timing.drops:
            self.faults.append(f"{timing.drops} datagrams dropped")
        if timing.packets and timing.streams != self.calls:
            self.faults.append(f"{timing.streams} streams")
        if timing.packets and timing.packets < 0.98 * self.calls * 50 * self.seconds:
            self.faults.append(f"{timing.packets} of {self.calls * 50 * self.seconds:.0f} packets")
        if self.load > 0.85:
            self.faults.append("callers and sink were the limit")
        if self.waited > MOST_WAITED:
            self.faults.append("other processes had its core")


@contextlib.contextmanager
def prompts() -> Iterator[Path]:
    """A folder with the sound that everybody plays, as prompt.wav (16 bit, 8 kHz) and prompt.raw (PCMU)."""
    with TemporaryDirectory(prefix="bench-prompts-") as name:
        samples = numpy.random.default_rng(1).integers(-4000, 4000, PROMPT * 8000, dtype=numpy.int16)
        with wave.open(f"{name}/prompt.wav", "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(samples.tobytes())
        encoder = PCMU.encoder()
        frames = [encoder.encode(samples[at : at + PCMU.frame]) for at in range(0, len(samples), PCMU.frame)]
        Path(name, "prompt.raw").write_bytes(b"".join(frames))
        yield Path(name)


def udp_sockets(pids: list[int]) -> int:
    """How many UDP sockets these processes have."""
    lines = [line.split() for name in ("udp", "udp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    inodes = {f"socket:[{words[9]}]" for words in lines}
    found = 0
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found += str(link.readlink()) in inodes
    return found


def _caller(folder: Path, *, keys: bool) -> Path:
    """The scenario of the callers. That of all benchmarks says nothing of keys (telephone-event); with `keys` the
    callers take them, as next to every phone does."""
    scenario = SCENARIOS / "uac.xml"
    if not keys:
        return scenario
    text, plain = scenario.read_text(), "RTP/AVP 0\n      a=rtpmap:0 PCMU/8000\n"
    if text.count(plain) != 1:
        raise RuntimeError(f"{scenario} has another media line than was expected")
    more = "RTP/AVP 0 101\n      a=rtpmap:0 PCMU/8000\n      a=rtpmap:101 telephone-event/8000\n"
    path = folder / "phone.xml"
    path.write_text(text.replace(plain, more))
    return path


def _held(
    name: str,
    pids: list[int],
    number: str,
    calls: int,
    seconds: float,
    *,
    others: tuple[Sipp, ...] = (),
    keys: bool = True,
) -> Held:
    """Brings calls up to the program of `pids`, and measures while all of them are. `others` belong to the load; `keys`
    as for `_caller`."""
    found = Held(name, calls, seconds)
    host, port = CALLERS
    ramp = calls / RATE
    hold = ramp + SETTLE + seconds + 1.0
    words = [f"{ADDRESS[0]}:{ADDRESS[1]}", "-s", number, "-r", str(RATE), "-m", str(calls), "-l", str(calls)]
    begun = proc.cpu_ns(pids)
    with Sink(host, port) as sink, TemporaryDirectory(prefix="bench-caller-") as folder:
        callers = Sipp(_caller(Path(folder), keys=keys), [*words, "-d", str(int(hold * 1000)), "-mi", host], host, 5061)
        try:
            sink.listen(ramp + SETTLE)
            load_pids = [os.getpid(), callers.pid, *(sipp.pid for sipp in others)]
            load, waited, cpu = proc.cpu_ns(load_pids), proc.waited_ns(pids), proc.cpu_ns(pids)
            started = time.monotonic()
            found.timing = sink.timing(seconds, 8000)
            cpu, waited = proc.cpu_ns(pids) - cpu, proc.waited_ns(pids) - waited
            took = (time.monotonic() - started) * 1e9
            # The sink sorts what it has heard when the time is over: that is no load of the measurement.
            found.load = (proc.cpu_ns(load_pids) - load) / took
            found.share, found.waited = cpu / took / calls, waited / took
            found.udp_sockets = udp_sockets(pids)
            found.sources = sorted({source[0] for source in sink.sources})
            callers.process.wait(hold + 20)
            counts, code = callers.counts(), callers.stop()
            found.whole_ms = (proc.cpu_ns(pids) - begun) / 1e6 / calls
        finally:
            callers.close()
    if counts.successful != calls or counts.failed or code:
        found.faults.append(f"{counts.successful} of {calls} calls, {counts.failed} failed, sipp exit {code}")
    if counts.retransmissions:
        found.faults.append(f"{counts.retransmissions} retransmissions")
    found.judge()
    return found


def trunkline(calls: int, seconds: float, what: str = PLAYING) -> Held:
    """A flow that answers and plays (PLAYING, TONES), or that answers and does nothing (SILENT)."""
    command = program("trunkline", "media").command
    with prompts() as folder:
        running = Running(Program("trunkline", "media", command, {"TRUNKLINE_MEDIA__SOUNDS": str(folder)}))
        try:
            number = SILENT_NUMBER if what == SILENT else NUMBER
            found = _held(what, running.pids, number, calls, seconds, keys=what != TONES)
        finally:
            running.close()
    if bool(found.timing.packets) != (what != SILENT):
        found.faults.append(f"{found.timing.packets} packets arrived")
    return found


@contextlib.contextmanager
def _player(address: tuple[str, int], core: int) -> Iterator[Sipp]:
    """A SIPp that plays to whoever calls it."""
    with prompts() as folder:
        # SIPp looks for the sound where it runs, which is a directory that Sipp makes: there it is linked to.
        sipp = Sipp(SCENARIOS / "player.xml", ["-mi", address[0]], *address, core=core)
        try:
            Path(sipp.directory.name, "prompt.raw").symlink_to(folder / "prompt.raw")
            time.sleep(0.7)
            if sipp.process.poll() is not None:
                raise RuntimeError(f"sipp does not play: {sipp.output.read_text(errors='replace')[-300:]}")
            yield sipp
        finally:
            sipp.close()


def sipp(calls: int, seconds: float) -> Held:
    """SIPp in the place of the program: its `rtp_stream` of the same sound."""
    with _player(ADDRESS, core=1) as player:
        return _held("SIPp, rtp_stream", proc.descendants(player.pid), NUMBER, calls, seconds)


def bridged(calls: int, seconds: float) -> Held:
    """Calls through Trunkline, not anchored: the callee, a SIPp behind a provider, plays straight to the caller."""
    with _player(PROVIDER, core=GENERATOR_CORE) as player:
        running = Running(program("trunkline", "through"))
        try:
            found = _held(BRIDGED, running.pids, NUMBER, calls, seconds, others=(player,))
        finally:
            running.close()
    if found.sources != [PROVIDER[0]]:
        found.faults.append(f"packets came from {found.sources}, not from the callee alone")
    if found.udp_sockets != 1:
        found.faults.append(f"{found.udp_sockets} UDP sockets, where one for SIP was expected")
    return found
