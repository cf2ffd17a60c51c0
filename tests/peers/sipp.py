"""Runs SIPp and believes nothing but its counts: exit code, calls made, calls that failed, retransmissions.

Only processes started here are ended, each by its own handle.
"""

import csv
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sipp_scenarios.suite import ANY, HERE, Caller, Case, Provider
from tests.network import is_bound

_BIND_PATIENCE = 30.0
_DRAIN_PATIENCE = 30.0
_LOG_LIMIT = 12_000


@dataclass(slots=True)
class Counts:
    """The last line of SIPp's statistics."""

    created: int = 0
    successful: int = 0
    failed: int = 0
    retransmissions: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of a case: `faults` is empty when it passed; `log` has SIPp's messages and errors when it did not."""

    name: str
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was as the case has it."""
        return not self.faults


class Sipp:
    """One SIPp process with its files in a temporary directory."""

    def __init__(self, role: Caller | Provider, host: str, port: int, timeout: float, words: Sequence[str]) -> None:
        self.role, self.host, self.port = role, host, port
        self.directory = tempfile.TemporaryDirectory(prefix="sipp-")
        path = Path(self.directory.name)
        keys = [word for key, value in {"max_forwards": "70", **role.keys}.items() for word in ("-key", key, value)]
        command = [
            "sipp", "-sf", str(HERE / f"{role.scenario}.xml"), "-i", host, "-p", str(port), "-bind_local", "-nostdin",
            "-t", role.transport, "-timeout", f"{timeout:.0f}s", "-timeout_error", "-f", "60",
            "-trace_stat", "-stf", str(path / "stat.csv"), "-fd", "1", "-trace_err",
            "-error_file", str(path / "errors"), "-trace_msg", "-message_file", str(path / "messages"),
            *keys, *words,
        ]  # fmt: skip
        with (path / "output").open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=path, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def listening(self) -> bool:
        """Waits until its port is taken; False when SIPp ended instead, or took too long."""
        kind = socket.SOCK_STREAM if self.role.transport.startswith("t") else socket.SOCK_DGRAM
        deadline = time.monotonic() + _BIND_PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            if is_bound(self.host, self.port, kind):
                return True
            time.sleep(0.02)
        return False

    def finish(self, patience: float) -> int | None:
        """Waits for its end; None when it did not come."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def drain(self) -> int | None:
        """Asks for a soft end: calls under way are finished, new ones are not taken."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
        return self.finish(_DRAIN_PATIENCE)

    def counts(self) -> Counts:
        """What it counted; complete once the process has ended."""
        try:
            rows = list(
                csv.DictReader((Path(self.directory.name) / "stat.csv").read_text().splitlines(), delimiter=";")
            )
        except OSError:
            rows = []
        if not rows:
            return Counts()
        last = rows[-1]
        return Counts(
            created=int(last["TotalCallCreated"]),
            successful=int(last["SuccessfulCall(C)"]),
            failed=int(last["FailedCall(C)"]),
            retransmissions=int(last["Retransmissions(C)"]),
        )

    def faults(self, code: int | None) -> list[str]:
        """What differs from the role: its exit code and each of its counts."""
        who, counts, expected = f"{self.role.scenario} at {self.host}", self.counts(), self.role.calls
        found = []
        if code is None:
            found.append(f"{who}: still running")
        elif code != 0 and not (code == 99 and expected == 0):
            found.append(f"{who}: exit code {code}")
        if (counts.created, counts.successful, counts.failed) != (expected, expected, 0):
            seen = f"{counts.created} created, {counts.successful} successful, {counts.failed} failed"
            found.append(f"{who}: {seen}; expected {expected} successful")
        low, high = self.role.retransmissions
        if not low <= counts.retransmissions <= high:
            found.append(f"{who}: {counts.retransmissions} retransmissions, expected {low} to {high}")
        if isinstance(self.role, Caller):
            for line, (low, high) in self.role.heard.items():
                times = self.received(line)
                if not low <= times <= high:
                    found.append(f"{who}: {times} times {line!r}, expected {low} to {high}")
        return found

    def received(self, start_line: str) -> int:
        """How many messages with this start line arrived, copies included."""
        text = (Path(self.directory.name) / "messages").read_text(errors="replace")
        arrived = [part.split("\n\n", 1)[1] for part in text.split("\n-----") if " message received " in part[:200]]
        return sum(message.startswith(start_line) for message in arrived)

    def log(self) -> str:
        """Its errors and messages, shortened."""
        text = f"===== {self.role.scenario} at {self.host}:{self.port}\n"
        for name in ("errors", "messages", "output"):
            try:
                content = (Path(self.directory.name) / name).read_text(errors="replace")
            except OSError:
                continue
            if name != "output" or self.process.returncode not in (0, 1, 99):
                text += f"----- {name}\n{content[:_LOG_LIMIT]}\n"
        return text

    def close(self) -> None:
        """Ends the process by its handle and removes its files."""
        if self.process.poll() is None:
            self.process.terminate()
            if self.finish(1.0) is None:
                self.process.kill()
                self.process.wait()
        self.directory.cleanup()


def run(case: Case, engine: str, port: int) -> Outcome:
    """Runs one case against the engine at `engine` (HOST:PORT) from a `port` that no parallel case has."""
    outcome, started = Outcome(case.name), time.monotonic()
    running: list[Sipp] = []
    try:
        patience = case.timeout + 5
        running.extend(Sipp(provider, provider.host, provider.port, patience, []) for provider in case.providers)
        for sipp in running:
            if not sipp.listening():
                outcome.faults.append(f"{sipp.role.scenario} did not start at {sipp.host}:{sipp.port}")
                outcome.log += sipp.log()
                return outcome
        caller = case.caller
        words = [engine, "-s", caller.number, "-m", str(caller.calls), "-l", "1", "-r", "10"]
        calling = Sipp(caller, caller.source, port, case.timeout, words)
        running.insert(0, calling)
        codes = [calling.finish(case.timeout + 2), *(sipp.drain() for sipp in running[1:])]
        for sipp, code in zip(running, codes, strict=True):
            outcome.faults += sipp.faults(code)
        if outcome.faults:
            outcome.log = "\n".join(sipp.log() for sipp in running)
    finally:
        for sipp in running:
            sipp.close()
        outcome.seconds = time.monotonic() - started
    return outcome


def direct(case: Case, port: int) -> Outcome:
    """Runs a case without an engine, caller against provider: proves the two scenarios, not the engine."""
    provider = case.providers[0]
    host = f"[{provider.host}]" if ":" in provider.host else provider.host
    source = case.caller.source if case.ipv6 else "127.0.9.1"  # no address that counts as a leak of the caller's leg
    caller = Caller(
        case.caller.scenario, case.caller.number, source, case.caller.calls, provider.transport,
        {**case.caller.keys, "max_forwards": "69"}, ANY,
    )  # fmt: skip
    return run(Case(case.name, caller, [provider], case.timeout), f"{host}:{provider.port}", port)
