"""SIPp under load: starts callers and providers, reads their counts, says what spoils a run."""

import csv
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import proc

SCENARIOS = Path(__file__).parent / "scenarios"
GENERATOR_CORE = 0
MEASURED_CORE = 1
_BUFFER = "4194304"  # bytes; SIPp's own default of 64 KiB drops datagrams that the measured program is not to blame for


@dataclass(slots=True)
class Counts:
    """What one SIPp, or several added up, say of their calls."""

    created: int = 0
    successful: int = 0
    failed: int = 0
    retransmissions: int = 0
    unexpected: int = 0
    elapsed: float = 0.0

    def add(self, other: "Counts") -> None:
        """Adds the counts of another SIPp that ran at the same time."""
        self.created += other.created
        self.successful += other.successful
        self.failed += other.failed
        self.retransmissions += other.retransmissions
        self.unexpected += other.unexpected
        self.elapsed = max(self.elapsed, other.elapsed)


def read_counts(path: Path) -> Counts:
    """The last line of a -trace_stat file; all zero when SIPp wrote none (it ended before its first dump)."""
    try:
        rows = list(csv.DictReader(path.read_text().splitlines(), delimiter=";"))
    except OSError:
        return Counts()
    if not rows:
        return Counts()
    last = rows[-1]
    hours, minutes, seconds = last["ElapsedTime(C)"].split(":")[:3]
    return Counts(
        created=int(last["TotalCallCreated"]),
        successful=int(last["SuccessfulCall(C)"]),
        failed=int(last["FailedCall(C)"]),
        retransmissions=int(last["Retransmissions(C)"]),
        unexpected=int(last["FailedUnexpectedMessage(C)"]),
        elapsed=int(hours) * 3600 + int(minutes) * 60 + float(seconds),
    )


class Sipp:
    """One SIPp process, pinned to the generators' core, with its statistics in a temporary directory."""

    def __init__(self, scenario: Path, words: list[str], host: str, port: int, *, core: int = GENERATOR_CORE) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="sipp-bench-")
        self.stat = Path(self.directory.name) / "stat.csv"
        self.output = Path(self.directory.name) / "output"
        command = [
            *proc.pin(core), "sipp", "-sf", str(scenario), "-i", host, "-p", str(port), "-bind_local", "-nostdin",
            "-buff_size", _BUFFER, "-trace_stat", "-stf", str(self.stat), "-fd", "1", "-f", "60",
            "-trace_err", "-error_file", str(Path(self.directory.name) / "errors"), *words,
        ]  # fmt: skip
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=self.directory.name, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def pid(self) -> int:
        """taskset and SIPp share it: taskset replaces itself."""
        return self.process.pid

    def counts(self) -> Counts:
        """What it has written so far; complete after the process has ended."""
        return read_counts(self.stat)

    def errors(self) -> str:
        """The beginning of SIPp's error file."""
        try:
            return (Path(self.directory.name) / "errors").read_text(errors="replace")[:2000]
        except OSError:
            return ""

    def stop(self) -> int:
        """Ends it: softly (SIGUSR1 lets calls finish), then by force. Returns the exit code."""
        for sent, patience in ((signal.SIGUSR1, 3.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
            if self.process.poll() is not None:
                break
            self.process.send_signal(sent)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        return self.process.wait()

    def close(self) -> None:
        """Ends it and forgets its files."""
        self.stop()
        self.directory.cleanup()


@dataclass(slots=True)
class Run:
    """One load on one program: what was asked, what came back, what it cost, and what spoils it."""

    program: str
    job: str
    rate: int
    seconds: float
    counts: Counts = field(default_factory=Counts)
    cpu_us_per_call: float = 0.0
    cpu_share: float = 0.0
    waited_share: float = 0.0
    """Share of the time in which the program wanted its core and another process had it: 0 on a quiet machine."""
    generator_share: float = 0.0
    achieved: float = 0.0
    udp_drops: int = 0
    load_average: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether the run counts as a result."""
        return not self.faults


@dataclass(slots=True)
class Callers:
    """The load: how many SIPp callers, from which addresses on, to which program, dialling what."""

    target: str
    number: str
    count: int = 1
    hold_ms: int = 0
    first_host: int = 30

    def start(self, rate: int, calls: int) -> list[Sipp]:
        """Starts them; each carries its share of rate and calls."""
        started = []
        for index in range(self.count):
            share = rate // self.count + (index < rate % self.count)
            part = calls // self.count + (index < calls % self.count)
            words = [
                self.target,
                "-s",
                self.number,
                "-r",
                str(share),
                "-m",
                str(part),
                "-l",
                str(max(part, 10)),
                "-d",
                str(self.hold_ms),
            ]
            started.append(Sipp(SCENARIOS / "uac.xml", words, f"127.0.1.{self.first_host + index}", 5061))
        return started


def measure(
    program: str, job: str, pids: list[int], callers: Callers, rate: int, seconds: float, extra: list[Sipp]
) -> Run:
    """Runs `rate` calls a second for `seconds` and measures the CPU time of `pids` meanwhile.

    `extra` are the providers (SIPp uas) that belong to the generators; their counts and CPU time are looked at too.
    """
    run = Run(program, job, rate, seconds, load_average=os.getloadavg()[0])
    calls = max(int(rate * seconds), 1)
    before = [sipp.counts() for sipp in extra]
    waited = proc.waited_ns(pids)
    drops, cpu, extra_cpu = proc.udp_drops(), proc.cpu_ns(pids), proc.cpu_ns([sipp.pid for sipp in extra])
    started = time.monotonic()
    sipps = callers.start(rate, calls)
    generator_pids = [sipp.pid for sipp in sipps]
    generator_cpu = 0
    deadline = started + seconds * 1.5 + callers.hold_ms / 1000 + 8.0
    try:
        while any(sipp.process.poll() is None for sipp in sipps) and time.monotonic() < deadline:
            generator_cpu = max(generator_cpu, proc.cpu_ns(generator_pids))
            time.sleep(0.05)
        elapsed = time.monotonic() - started
        run.cpu_share = (proc.cpu_ns(pids) - cpu) / 1e9 / elapsed
        run.waited_share = (proc.waited_ns(pids) - waited) / 1e9 / elapsed
        generator_cpu += proc.cpu_ns([sipp.pid for sipp in extra]) - extra_cpu
        run.generator_share = generator_cpu / 1e9 / elapsed
        run.udp_drops = proc.udp_drops() - drops
        codes = [sipp.stop() for sipp in sipps]
        for sipp in sipps:
            run.counts.add(sipp.counts())
        retransmissions = run.counts.retransmissions
        time.sleep(1.1)  # the providers dump their statistics once a second
        for sipp, old in zip(extra, before, strict=True):
            now = sipp.counts()
            retransmissions += now.retransmissions - old.retransmissions
            run.counts.failed += now.failed - old.failed
        run.counts.retransmissions = retransmissions
        _judge(run, calls, codes, callers.hold_ms / 1000)
        if run.counts.successful:
            run.cpu_us_per_call = run.cpu_share * elapsed * 1e6 / run.counts.successful
    finally:
        for sipp in sipps:
            sipp.close()
    return run


def _judge(run: Run, calls: int, codes: list[int], hold: float) -> None:
    counts = run.counts
    busy = max(counts.elapsed - hold, 0.001)
    run.achieved = counts.successful / busy
    if counts.failed:
        run.faults.append(f"{counts.failed} failed")
    if counts.successful != calls:
        run.faults.append(f"{calls - counts.successful} of {calls} calls missing")
    if any(codes):
        run.faults.append(f"sipp exit {codes}")
    if counts.retransmissions:
        run.faults.append(f"{counts.retransmissions} retransmissions")
    if run.udp_drops:
        run.faults.append(f"{run.udp_drops} datagrams dropped")
    if run.achieved < 0.97 * run.rate and run.seconds >= 2:
        limit = "generator" if run.generator_share > 0.85 else "program" if run.cpu_share > 0.85 else "no core full"
        run.faults.append(f"only {run.achieved:.0f}/s reached ({limit})")
