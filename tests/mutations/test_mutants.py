"""No test that could not fail: deliberate mistakes in the state machines, each of which the named tests must notice.

A table is a module `mutants_*.py` beside this one with `MUTANTS`: (file, old text, new text, tests). The tree is copied
once; one mistake at a time is put in, the tests that are to notice it run, and the file is put back.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("engine", "routing", "flows", "tests", "pyproject.toml")
LEAST = 3  # mutants of each machine

Mutant = tuple[str, str, str, str | Sequence[str]]


def tables() -> dict[str, Sequence[Mutant]]:
    """The mutants of every table, by its machine ("client", "session", ...)."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("mutants_*.py")):
        specification = importlib.util.spec_from_file_location(path.stem, path)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        found[path.stem.removeprefix("mutants_")] = module.MUTANTS
    return found


TABLES = tables()
ALL = [
    pytest.param(tuple(mutant), id=f"{machine}-{number}")
    for machine, mutants in TABLES.items()
    for number, mutant in enumerate(mutants, 1)
]


def named(tests: str | Sequence[str]) -> list[str]:
    return [tests] if isinstance(tests, str) else list(tests)


class Copy:
    """The tree, somewhere else, where mistakes do no harm."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._runner: subprocess.Popen[str] | None = None
        self._ticks = count(int(time.time()) - 10_000_000, 10)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy(source, root / part)

    def write(self, path: str, text: str) -> None:
        """Each version gets a time of its own: compiled modules are told apart by that and by their size."""
        target = self.root / path
        target.write_text(text, encoding="utf-8")
        tick = next(self._ticks)
        os.utime(target, (tick, tick))

    def run(self, tests: Sequence[str]) -> tuple[int, str]:
        """Exit code and last lines of a test run, in a process of its own that begins where the runner stands."""
        if self._runner is None:
            # Without plugins, and with compiled modules kept, a run begins in half the time.
            environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            self._runner = subprocess.Popen(
                [sys.executable, "-c", RUNNER],
                cwd=self.root,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._runner.stdin is not None and self._runner.stdout is not None
        self._runner.stdin.write(json.dumps(list(tests)) + "\n")
        self._runner.stdin.flush()
        code = int(self._runner.stdout.readline())
        return code, (self.root / "output.txt").read_text(encoding="utf-8", errors="replace")[-1500:]

    def close(self) -> None:
        if self._runner is not None:
            self._runner.communicate()


# Loads what every test needs and none of ours, then forks for each run: a new interpreter each time takes seconds.
RUNNER = """
import asyncio, json, os, signal, sys
import dns.asyncresolver, httpx, hypothesis, phonenumbers, pydantic, pytest, pytest_timeout, yaml

for line in sys.stdin:
    child = os.fork()
    if not child:
        signal.alarm(10)  # a mistake may make an endless loop
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", "-W", "ignore"]
        code = pytest.main([*options, *json.loads(line)])
        sys.stdout.flush()
        os._exit(int(code))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    copy = Copy(tmp_path_factory.mktemp("mutants"))
    yield copy
    copy.close()


def test_every_machine_has_its_mutants() -> None:
    assert {"client_invite", "client_other", "server_invite", "server_other", "dialog", "failover", "flows"} <= set(
        TABLES
    )
    for machine, mutants in TABLES.items():
        assert len(mutants) >= LEAST, f"{machine} has {len(mutants)} mutants, at least {LEAST} are wanted"


@pytest.mark.long
def test_without_a_mistake_the_named_tests_pass(copy: Copy) -> None:
    tests = sorted({test for mutants in TABLES.values() for mutant in mutants for test in named(mutant[3])})
    code, output = copy.run(tests)
    assert code == 0, output
    where = copy.root / "test_where.py"
    where.write_text(f"import engine\ndef test_where(): assert engine.__file__.startswith({str(copy.root)!r})\n")
    code, output = copy.run(["test_where.py"])
    assert code == 0, f"the copy is not what is tested: {output}"


@pytest.mark.long
@pytest.mark.parametrize("mutant", ALL)
def test_a_mistake_is_noticed(mutant: Mutant, copy: Copy) -> None:
    path, old, new, tests = mutant
    text = (ROOT / path).read_text(encoding="utf-8")
    times = text.count(old)
    assert times == 1, f"{path} has {times} times, not once: {old!r}; bring the table up to date with the code"
    copy.write(path, text.replace(old, new))
    try:
        code, output = copy.run(named(tests))
    finally:
        copy.write(path, text)
    assert code == 1, f"nobody noticed (exit code {code}) that {path} has {new!r} for {old!r}:\n{output}"
