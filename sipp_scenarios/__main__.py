"""`python -m sipp_scenarios`: runs the SIPp cases against an engine and draws a table.

Exit codes: 0 all passed, 1 not all, 2 wrong usage.

Without --engine it starts one with trunkline.yaml, and ends it afterwards.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sipp_scenarios.suite import CASES, CONFIGURATION, Case
from tests.peers import sipp

ENGINE = ("127.0.0.1", 5060)
ENGINE_IPV6 = "[::1]:5060"
FIRST_PORT = 21000
_START_PATIENCE = 30.0


class Engine:
    """An engine of our own, started with trunkline.yaml for as long as a `with` block lasts."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="sipp-engine-")
        self.output = Path(self.directory.name) / "output"

    def __enter__(self) -> "Engine":
        program = Path(sys.executable).parent / "trunkline"
        words = [str(program)] if program.exists() else [sys.executable, "-m", "service.cli"]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*words, "serve", "-c", str(CONFIGURATION)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_PATIENCE
        while not answers(*ENGINE):
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = self.output.read_text(errors="replace")[-2000:]
                self.__exit__()
                raise RuntimeError(f"the engine did not start: {text}")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.directory.cleanup()

    def faults(self) -> list[str]:
        """What the engine itself did wrong meanwhile: it ended, or it wrote a traceback."""
        text = self.output.read_text(errors="replace")
        found = [] if self.process.poll() is None else [f"the engine ended with code {self.process.returncode}"]
        if "Traceback" in text:
            found.append("the engine wrote a traceback:\n" + text[text.index("Traceback") :][:3000])
        return found


def answers(host: str, port: int) -> bool:
    """Whether something answers OPTIONS there by UDP within 0.2 s; whatever it answers, it is ready."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.bind(("127.0.3.9", 0))
            own = ":".join(map(str, probe.getsockname()))
            request = (
                f"OPTIONS sip:{host}:{port} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {own};branch=z9hG4bK{os.urandom(6).hex()};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:ready@{own}>;tag=ready\r\nTo: <sip:{host}:{port}>\r\n"
                f"Call-ID: {os.urandom(8).hex()}@{own}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            )
            probe.sendto(request.encode(), (host, port))
            return probe.recv(65535).startswith(b"SIP/2.0")
        except OSError:
            time.sleep(0.1)  # refused at once while nobody listens
            return False


def run_all(cases: list[Case], engine: str, engine_ipv6: str, jobs: int) -> list[sipp.Outcome]:
    """Runs the cases, `jobs` side by side, and returns their outcomes in order; the slowest start first."""

    def one(numbered: tuple[int, Case]) -> tuple[int, sipp.Outcome]:
        number, case = numbered
        return number, sipp.run(case, engine_ipv6 if case.ipv6 else engine, FIRST_PORT + 2 * number)

    order = sorted(enumerate(cases), key=lambda numbered: not numbered[1].long)
    with ThreadPoolExecutor(jobs) as pool:
        return [outcome for _, outcome in sorted(pool.map(one, order), key=lambda found: found[0])]


def draw(outcomes: list[sipp.Outcome], seconds: float, console: Console) -> None:
    """The table, and the messages of what failed."""
    for outcome in outcomes:
        if not outcome.passed:
            console.rule(f"[red]{escape(outcome.name)}")
            console.print(escape(outcome.log), highlight=False)
    table = Table(title="SIPp cases")
    for column in ("case", "result", "s", "what was wrong"):
        table.add_column(column, justify="right" if column == "s" else "left")
    for outcome in outcomes:
        result = "[green]pass" if outcome.passed else "[red]FAIL"
        table.add_row(escape(outcome.name), result, f"{outcome.seconds:.1f}", escape("\n".join(outcome.faults)))
    console.print(table)
    passed = sum(outcome.passed for outcome in outcomes)
    console.print(f"{passed} of {len(outcomes)} passed in {seconds:.0f} s")


def main(words: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sipp_scenarios", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", metavar="HOST:PORT", help="an engine that runs already, with trunkline.yaml")
    parser.add_argument("--engine-ipv6", metavar="[HOST]:PORT", default=ENGINE_IPV6, help="its IPv6 listener")
    parser.add_argument("--jobs", type=int, default=6, help="cases side by side (default 6; they mostly wait)")
    parser.add_argument("--no-long", action="store_true", help="leave out what takes longer than a few seconds")
    parser.add_argument(
        "--direct", action="store_true", help="without an engine: callers against providers, where both fit"
    )
    parser.add_argument("names", nargs="*", help="only cases whose name contains one of these words")
    asked = parser.parse_args(words)
    cases = [case for case in CASES if not asked.names or any(name in case.name for name in asked.names)]
    cases = [case for case in cases if not (asked.no_long and case.long)]
    console, started = Console(), time.monotonic()
    faults: list[str] = []
    if asked.direct:
        outcomes = [sipp.direct(case, FIRST_PORT + number) for number, case in enumerate(cases) if case.direct]
    elif asked.engine:
        outcomes = run_all(cases, asked.engine, asked.engine_ipv6, asked.jobs)
    else:
        try:
            with Engine() as engine:
                outcomes = run_all(cases, ":".join(map(str, ENGINE)), ENGINE_IPV6, asked.jobs)
                faults = engine.faults()
        except (RuntimeError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
    draw(outcomes, time.monotonic() - started, console)
    for fault in faults:
        console.print(escape(fault), style="red", highlight=False)
    return int(bool(faults) or not all(outcome.passed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
