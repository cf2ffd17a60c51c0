"""Runs tests once, and those that failed once more, each alone in a process of its own; then coverage's gates.

    python scripts/run_tests.py [--gate PACKAGE:PERCENT]... -- PYTEST'S ARGUMENTS

A test that passes the second time is flaky: it is named, and forgiven. Not forgiven are more than three of them, a test
that fails twice (a fault of its set-up or a worker that crashed under it is a failure, too), and a test that the change
touches, for that one is not known to have ever been right. The last line is a summary as pytest's own.

What a change touches is known from git. What had landed before it is, in this order:
- the commit that CI_BASE names;
- where this clone has commits that origin/HEAD has not: the last commit that both have;
- otherwise, as in a fresh clone, the last commit that is more than twelve hours older than HEAD (committer's dates):
  nobody works longer on one change. Where there is none, and without git, everything is touched.
A test is touched where its own file differs. Helper modules do not count: half of the tests share each of them, and
what a change breaks there fails twice.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from time import monotonic

import pytest

MOST_FORGIVEN = 3
CHANGE_LASTS = 12 * 3600  # s
SHOWN = 30  # lines of a failure that was forgiven


class Outcomes:
    """pytest's plugin that remembers what became of each test, whichever process ran it."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self.passed: set[str] = set()
        self.others: Counter[str] = Counter()
        self.errors = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.setdefault(report.nodeid, report.longreprtext)
        elif report.skipped:
            self.others["xfailed" if hasattr(report, "wasxfail") else "skipped"] += 1
        elif report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.errors += report.failed

    def summary(self, flaky: set[str], seconds: float) -> str:
        """A closing line as pytest writes it."""
        failed = self.failures.keys() - flaky
        counts = {"failed": len(failed), "passed": len((self.passed | flaky) - failed), **self.others}
        counts["error" if self.errors == 1 else "errors"] = self.errors
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count) + f" in {seconds:.2f}s"


def git(*words: str) -> str | None:
    """What git prints; None where it fails, or is not there."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def landed() -> str | None:
    """The commit that the change begins after; None where none is known."""
    if named := os.environ.get("CI_BASE"):
        return git("rev-parse", "--verify", f"{named}^{{commit}}")
    head = git("rev-parse", "HEAD")
    if (common := git("merge-base", "HEAD", "origin/HEAD")) and common != head:
        return common
    if not (newest := git("log", "-1", "--format=%ct")):
        return None
    return git("rev-list", "-1", f"--before={int(newest) - CHANGE_LASTS}", "HEAD") or None


def changed_files() -> set[str] | None:
    """What differs from what had landed, files that git does not know yet included; None where that is unknown."""
    base = landed()
    differing = git("diff", "--name-only", "--no-renames", base) if base else None
    if differing is None:
        return None
    return {*differing.splitlines(), *(git("ls-files", "--others", "--exclude-standard") or "").splitlines()}


def fails_again(test: str, coverage: bool) -> bool:
    """Runs one test alone. One that is skipped now has not passed."""
    words = [sys.executable, "-m", "pytest", "-n0", test]
    words += ["--cov", "--cov-append", "--cov-report="] if coverage else []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    print(f"once more, alone: {test}\n{done.stdout}{done.stderr}", flush=True)
    return done.returncode != 0 or re.search(r"^(=+ )?1 passed", done.stdout, re.MULTILINE) is None


def unforgiven(failures: dict[str, str], coverage: bool) -> list[str]:
    """Why the run has failed, a line for each reason; none where all that failed is forgiven."""
    if len(failures) > MOST_FORGIVEN:
        return [f"{len(failures)} tests failed; no more than {MOST_FORGIVEN} are run once more"]
    changed = changed_files()
    found = []
    for test in failures:
        if changed is None or test.partition("::")[0] in changed:
            found.append(f"touched by this change, and so not run once more: {test}")
        elif fails_again(test, coverage):
            found.append(f"failed twice: {test}")
    return found


def below_the_gate(gate: str) -> bool:
    """Whether the coverage of a package is less than what is asked."""
    package, _, least = gate.partition(":")
    report = [sys.executable, "-m", "coverage", "report", f"--include={package}/*", "--precision=1"]
    total = subprocess.run([*report, "--format=total"], capture_output=True, text=True, check=False).stdout.strip()
    if total and float(total) >= float(least):
        print(f"coverage of {package}: {total}% of lines")
        return False
    subprocess.run([*report, "--show-missing", "--skip-covered"], check=False)
    print(f"coverage of {package}: {total or 0}% of lines, and at least {least}% are asked")
    return True


def main() -> int:
    """The exit code of it all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gate", action="append", default=[], metavar="PACKAGE:PERCENT")
    parser.add_argument("arguments", nargs="*", help="pytest's, behind --")
    options = parser.parse_args()
    began, outcomes = monotonic(), Outcomes()
    code = pytest.main(options.arguments, plugins=[outcomes])
    failures, faults = outcomes.failures, []
    if outcomes.errors or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        faults = [f"pytest did not run all tests (exit code {int(code)})"]
    elif failures:
        faults = unforgiven(failures, "--cov" in options.arguments)
    elif code:
        faults = [f"pytest ended with exit code {int(code)}"]
    flaky = {} if faults else failures
    if not faults:
        low = [gate for gate in options.gate if below_the_gate(gate)]
        faults = [f"coverage is below {', '.join(low)}"] if low else []
    for fault in faults:
        print(fault)
    if flaky:
        print(f"flaky: {len(flaky)}")
    for test, text in flaky.items():
        print(f"  {test}", *(f"    {line}" for line in text.splitlines()[-SHOWN:]), sep="\n")
    print(outcomes.summary(set(flaky), monotonic() - began), flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
