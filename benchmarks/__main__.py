"""`python -m benchmarks`: the figures of docs/performance.md, for Trunkline and for its peers."""

import argparse
import datetime
import os
import subprocess
import sys
from collections.abc import Callable

from benchmarks import programs
from benchmarks.delay import failover, post_dial
from benchmarks.memory import held_calls
from benchmarks.proc import machine
from benchmarks.report import Report
from benchmarks.steps import costs, peak

ALL = ["trunkline", "trunkline-stored", "kamailio", "kamailio-qm", "sippy", "sipp"]
PEERS = {"answering": [name for name in ALL if name != "sippy"], "through": [name for name in ALL if name != "sipp"]}
PROBED = ("trunkline", "kamailio")  # Sippy has one static route, and so none for the probe
SLOW_RATE = {"sippy": 50, "kamailio-qm": 400}  # calls/s well below these programs' limits; all others run at --rate
FIRST_STEP = {"sippy": 25, "kamailio-qm": 200}
MEASURES = ("cpu", "rate", "memory", "delay")


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="short runs for a look while working; writes no results unless --write"
    )
    parser.add_argument("--job", choices=sorted(PEERS), action="append", help="only this job (may be repeated)")
    parser.add_argument(
        "--peer",
        choices=ALL,
        action="append",
        help="only this program",
    )
    parser.add_argument("--measure", choices=MEASURES, action="append", help="only this measurement")
    parser.add_argument(
        "--rate", type=int, default=1000, help="calls/s for CPU per call (default 1000; slow peers get less)"
    )
    parser.add_argument("--seconds", type=float, help="length of one run for CPU per call (default 10, quick 3)")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 5, quick 2)")
    parser.add_argument("--limit", type=int, default=6000, help="highest rate that the search tries (calls/s)")
    parser.add_argument("--step", type=int, default=500, help="steps of the search (calls/s)")
    parser.add_argument("--long", type=float, help="seconds at the highest clean rate (default 60, quick 10)")
    parser.add_argument("--calls", type=int, help="held calls for the memory figures (default 2000, quick 500)")
    parser.add_argument("--write", action="store_true", help="write the results although --quick")
    return parser.parse_args(words)


def say(text: str) -> None:
    """Progress goes to standard error; the report to standard output."""
    print(text, file=sys.stderr, flush=True)


class Bench:
    """One run of the bench: what was asked, and the report that grows."""

    def __init__(self, asked: argparse.Namespace, words: list[str]) -> None:
        self.asked = asked
        self.quick: bool = asked.quick
        wanted = asked.peer or ALL
        self.peers = [name for name in wanted if programs.available(name)]
        self.failed = False
        self.report = Report(
            date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            command="python -m benchmarks " + " ".join(words),
            machine=machine(),
            load_average=" ".join(f"{value:.2f}" for value in os.getloadavg()),
            versions={name: programs.version(name) for name in dict.fromkeys([*self.peers, "sipp"])},
            notes=[f"not installed, left out: {name}" for name in wanted if name not in self.peers],
        )

    def attempt(self, work: Callable[..., None], *words: str) -> None:
        """Does one measurement; a program that cannot be measured is noted and does not end the others."""
        try:
            work(*words)
        except (programs.NotReadyError, subprocess.TimeoutExpired, OSError, RuntimeError) as error:
            self.failed = True
            what = " ".join([work.__name__, *words])
            say(f"{what}: {error}")
            self.report.notes.append(f"{what} could not be measured: {str(error).splitlines()[0]}")

    def names(self, job: str) -> list[str]:
        """The programs that take part in a job, in the order in which a round runs them."""
        return [name for name in PEERS[job] if name in self.peers]

    def cpu(self, job: str) -> None:
        """CPU per call of all programs of a job, interleaved."""
        rates = {name: min(SLOW_RATE.get(name, self.asked.rate), self.asked.rate) for name in self.names(job)}
        seconds = self.asked.seconds or (3.0 if self.quick else 10.0)
        rounds = self.asked.rounds or (2 if self.quick else 5)
        self.report.costs[job] = costs(job, rates, seconds, rounds, say)

    def rate(self, job: str, name: str) -> None:
        """The highest clean rate of one program."""
        step = min(FIRST_STEP.get(name, self.asked.step), self.asked.step)
        step_seconds, long_seconds = (2.0, 10.0) if self.quick else (4.0, 60.0)
        self.report.peaks.append(
            peak(job, name, step, step_seconds, self.asked.long or long_seconds, self.asked.limit, say)
        )

    def memory(self, name: str) -> None:
        """Memory per held call; Sippy is too slow to bring many calls up in time."""
        calls: int = self.asked.calls or (500 if self.quick else 2000)
        calls, rate = (min(calls, 500), 50) if name == "sippy" else (calls, 400)
        hold, rounds = (5.0, 2) if self.quick else (40.0, 6 if name == "trunkline" else 2)
        self.report.memory.append(held_calls(name, calls, rate, hold, rounds, say))

    def delay(self, name: str) -> None:
        """Post-dial delay, idle and at half of the highest clean rate (of 2 * --rate where that was not sought)."""
        reached = [found.rate for found in self.report.peaks if (found.program, found.job) == (name, "through")]
        half = (reached[0] if reached and reached[0] else 2 * self.asked.rate) // 2
        for load in (0, half):
            seconds = 4.0 if self.quick else 30.0 if load else 5.0
            found, run = post_dial(name, load, seconds, say)
            self.report.delays.append(found)
            if run is not None and not run.clean:
                self.report.notes.append(f"post-dial delay of {name}: the load was not clean ({', '.join(run.faults)})")
        self.report.delays += failover(name, 20 if self.quick else 200, say)


def main(words: list[str]) -> int:
    """Runs what was asked. Exit codes: 0 done, 1 something could not be measured, 2 wrong usage."""
    asked = arguments(words)
    bench = Bench(asked, words)
    jobs, measures = asked.job or sorted(PEERS), asked.measure or MEASURES
    for job in jobs:
        if "cpu" in measures and bench.names(job):
            bench.attempt(bench.cpu, job)
        if "rate" in measures:
            for name in bench.names(job):
                bench.attempt(bench.rate, job, name)
    if "through" in jobs and "memory" in measures:
        for name in [name for name in ("trunkline", "sippy") if name in bench.peers]:
            bench.attempt(bench.memory, name)
    if "through" in jobs and "delay" in measures:
        for name in [name for name in PROBED if name in bench.peers]:
            bench.attempt(bench.delay, name)
    print(bench.report.markdown())
    if not bench.quick or asked.write:
        say(f"written to {bench.report.write()}")
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
