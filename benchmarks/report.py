"""The figures as a page of Markdown and as JSON, with what is needed to read and to repeat them."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.delay import NO_REPLY_TIMEOUT
from benchmarks.load import Run
from benchmarks.memory import Memory
from benchmarks.probe import Delays
from benchmarks.steps import Cost, Peak, ratios, verdict

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Report:
    """Everything that one `python -m benchmarks` found out."""

    date: str
    command: str
    machine: str
    load_average: str
    versions: dict[str, str]
    costs: dict[str, dict[str, Cost]] = field(default_factory=dict)
    peaks: list[Peak] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    delays: list[Delays] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The page."""
        lines = [
            f"# Benchmarks of {self.date}",
            "",
            f"- Machine: {self.machine}",
            f"- Load average at the start: {self.load_average}",
        ]
        lines += [f"- {name}: {version}" for name, version in self.versions.items()]
        lines += [f"- Command: `{self.command}`", *(f"- {note}" for note in self.notes), ""]
        for job, found in self.costs.items():
            lines += _costs(job, found)
        lines += _peaks(self.peaks) + _memory(self.memory) + _delays(self.delays)
        return "\n".join(lines).rstrip() + "\n"

    def json(self) -> str:
        """The same with every single run and value."""
        return json.dumps(dataclasses.asdict(self), indent=1, default=str)

    def write(self, directory: Path = RESULTS) -> Path:
        """Writes DATE.md and DATE.json; a second report of one day gets a number."""
        directory.mkdir(exist_ok=True)
        name, number = self.date, 1
        while (directory / f"{name}.md").exists():
            number += 1
            name = f"{self.date}-{number}"
        (directory / f"{name}.md").write_text(self.markdown())
        (directory / f"{name}.json").write_text(self.json())
        return directory / f"{name}.md"


def table(head: list[str], rows: list[list[Any]]) -> list[str]:
    """Lines of Markdown, with an empty one after them."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows), ""]


def _spoilt(runs: list[Run]) -> str:
    """Failed calls, retransmissions and dropped datagrams, always shown beside a rate."""
    failed = sum(run.counts.failed for run in runs)
    again = sum(run.counts.retransmissions for run in runs)
    return f"{failed} / {again} / {sum(run.udp_drops for run in runs)}"


def _costs(job: str, found: dict[str, Cost]) -> list[str]:
    rows = []
    for name, cost in found.items():
        median = "no result" if cost.median is None else f"{cost.median:.0f}"
        each = ", ".join(f"{run.cpu_us_per_call:.0f}" + ("" if run.clean else " (spoilt)") for run in cost.runs)
        waited = f"{max(run.waited_share for run in cost.runs):.0%}"
        rows.append([name, cost.runs[0].rate, median, each, waited, _spoilt(cost.runs)])
    lines = [f"## {job}: CPU per call", ""]
    lines += table(
        [
            "program",
            "calls/s",
            "µs per call (median of clean rounds)",
            "rounds",
            "waited for the core (worst)",
            "failed / retransmissions / UDP drops",
        ],
        rows,
    )
    others = [name for name in found if name != "trunkline"]
    if "trunkline" in found:
        for other in others:
            each_ratio = ratios(found, "trunkline", other)
            text = ", ".join(f"{ratio:.3f}" for ratio in each_ratio) or "no clean pair of runs"
            lines += [f"- trunkline / {other}, round by round: {text}"]
        lines += [""]
    return lines


def _peaks(peaks: list[Peak]) -> list[str]:
    if not peaks:
        return []
    rows = []
    for found in peaks:
        last = found.steps[-1] if found.steps else None
        long = found.long
        rows.append([
            found.program, found.job, found.rate or "no result",
            "-" if long is None else f"{long.seconds:.0f} s: {verdict(long)}",
            "-" if long is None else f"{long.cpu_share:.0%} / {long.waited_share:.0%} / {long.generator_share:.0%}",
            "-" if long is None else _spoilt([long]),
            "" if last is None else f"{last.rate}/s, {last.cpu_share:.0%} / {last.generator_share:.0%} {verdict(last)}",
        ])  # fmt: skip
    head = [
        "program",
        "job",
        "highest clean calls/s",
        "long run",
        "CPU program / waited for it / generators",
        "failed / retransmissions / UDP drops",
        "last step",
    ]
    return ["## Highest clean rate", "", *table(head, rows)]


def _memory(memory: list[Memory]) -> list[str]:
    rows = [
        [
            found.program,
            found.calls,
            f"{found.hold:.0f} s",
            f"{found.before / 2**20:.1f} MB",
            f"{found.per_call / 1000:.1f} KB",
            ", ".join(f"{value / 2**20:.1f}" for value in found.held),
            ", ".join(f"{value / 2**20:.1f}" for value in found.released),
            f"{found.growth / 1000:.0f} KB",
            found.failed,
        ]
        for found in memory
    ]
    head = [
        "program",
        "held calls",
        "hold",
        "before",
        "per held call",
        "held, MB",
        "released, MB",
        "growth per round",
        "failed calls",
    ]
    return ["## Memory (Pss)", "", *table(head, rows)] if rows else []


def _delays(delays: list[Delays]) -> list[str]:
    rows = [
        [found.program, found.what, len(found.values), f"{found.percentile(50):.3f}", f"{found.percentile(99):.3f}",
         f"{max(found.values, default=float('nan')):.3f}", found.lost]
        for found in delays
    ]  # fmt: skip
    head = ["program", "delay", "calls", "p50 ms", "p99 ms", "max ms", "lost"]
    note = f"Failover after silence is what was added to the no_reply_timeout of {NO_REPLY_TIMEOUT} s."
    return ["## Delays", "", *table(head, rows), note, ""] if rows else []
