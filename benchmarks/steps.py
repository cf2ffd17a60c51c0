"""The two jobs' figures: CPU time per call over interleaved rounds, and the highest rate that stays clean."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.load import SCENARIOS, Callers, Run, Sipp, measure
from benchmarks.programs import ADDRESS, NUMBER, PROVIDER, Running, program

Say = Callable[[str], None]
WARM_UP_SECONDS = 2.0
CALLS_PER_GENERATOR = 2000  # calls a second that one SIPp caller sends without being the limit


def target() -> str:
    """Where callers send to."""
    return f"{ADDRESS[0]}:{ADDRESS[1]}"


class Bed:
    """A measured program with what belongs behind it (the provider of the job "through"), for one `with` block."""

    def __init__(self, name: str, job: str) -> None:
        self.name, self.job = name, job
        self.providers: list[Sipp] = []

    def __enter__(self) -> "Bed":
        self.running = Running(program(self.name, self.job))
        try:
            if self.job == "through":
                self.providers = [Sipp(SCENARIOS / "uas.xml", [], *PROVIDER)]
                time.sleep(0.3)
                code = self.providers[0].process.poll()
                if code is not None:
                    raise RuntimeError(f"the provider did not start (exit code {code}): {self.providers[0].errors()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for provider in self.providers:
            provider.close()
        self.running.close()

    def load(self, rate: int, seconds: float, *, hold_ms: int = 0, generators: int = 0) -> Run:
        """One run of `rate` calls a second."""
        count = generators or 1 + (rate - 1) // CALLS_PER_GENERATOR
        callers = Callers(target(), NUMBER, count=count, hold_ms=hold_ms)
        return measure(self.name, self.job, self.running.pids, callers, rate, seconds, self.providers)


@dataclass(slots=True)
class Cost:
    """CPU time per call of one program: the runs of all rounds, and the median of the clean ones."""

    program: str
    job: str
    runs: list[Run] = field(default_factory=list)

    @property
    def clean(self) -> list[Run]:
        """The runs that count."""
        return [run for run in self.runs if run.clean]

    @property
    def median(self) -> float | None:
        """Microseconds per call; None when no run counts."""
        return statistics.median(run.cpu_us_per_call for run in self.clean) if self.clean else None


def costs(job: str, rates: dict[str, int], seconds: float, rounds: int, say: Say) -> dict[str, Cost]:
    """CPU per call for every program in `rates` (its rate of calls), interleaved: one round runs each of them once."""
    found = {name: Cost(name, job) for name in rates}
    for number in range(rounds):
        for name, rate in rates.items():
            with Bed(name, job) as bed:
                bed.load(max(rate // 2, 5), WARM_UP_SECONDS)
                run = bed.load(rate, seconds)
            found[name].runs.append(run)
            say(f"{job} round {number + 1} {name}: {run.cpu_us_per_call:.0f} us/call at {rate}/s {verdict(run)}")
    return found


def ratios(found: dict[str, Cost], numerator: str, denominator: str) -> list[float]:
    """Per round, the cost of one program as a multiple of another's; only rounds in which both runs were clean."""
    pairs = zip(found[numerator].runs, found[denominator].runs, strict=True)
    return [a.cpu_us_per_call / b.cpu_us_per_call for a, b in pairs if a.clean and b.clean]


def verdict(run: Run) -> str:
    """A run's standing in words."""
    return "clean" if run.clean else "NOT A RESULT: " + ", ".join(run.faults)


@dataclass(slots=True)
class Peak:
    """The highest clean rate: the steps to it and the long run at it."""

    program: str
    job: str
    steps: list[Run] = field(default_factory=list)
    long: Run | None = None

    @property
    def rate(self) -> int | None:
        """Calls a second that the long run carried without a fault; None when there was none."""
        return self.long.rate if self.long is not None and self.long.clean else None


def peak(job: str, name: str, step: int, step_seconds: float, long_seconds: float, limit: int, say: Say) -> Peak:
    """Steps up by `step` until a run fails twice, then holds the highest clean rate for `long_seconds`.

    Every long run has a program of its own, that no overload has gone before. When it is not clean the rate below it is
    tried, three times at most.
    """
    found = Peak(name, job)
    highest = 0
    with Bed(name, job) as bed:
        bed.load(max(step // 2, 5), WARM_UP_SECONDS)
        for rate in range(step, limit + 1, step):
            if not _clean_step(bed, found, rate, step_seconds, say):
                break
            highest = rate
    for rate in range(highest, max(highest - 3 * step, 0), -step):
        with Bed(name, job) as bed:
            bed.load(max(rate // 2, 5), WARM_UP_SECONDS)
            found.long = bed.load(rate, long_seconds)
        say(f"{job} {name}: {rate}/s for {long_seconds:.0f} s {verdict(found.long)}")
        if found.long.clean:
            break
    return found


def _clean_step(bed: Bed, found: Peak, rate: int, seconds: float, say: Say) -> bool:
    """One step of the search; tried twice, for another process on this machine may have had the core."""
    for _ in range(2):
        run = bed.load(rate, seconds)
        found.steps.append(run)
        shares = f"CPU {run.cpu_share:.0%}, waited {run.waited_share:.0%}, generators {run.generator_share:.0%}"
        say(f"{bed.job} {bed.name}: {rate}/s {verdict(run)}, {shares}")
        if run.clean:
            return True
        time.sleep(2.0)
    return False
