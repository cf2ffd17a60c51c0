"""scripts/run_tests.py: what fails once by bad luck is forgiven and named, and nothing else is.

Each test makes a little project of its own with a history, and runs its tests as CI runs ours.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import run_tests

SCRIPT = Path(run_tests.__file__)
INI = "[pytest]\naddopts = -q -p no:schemathesis\npythonpath = {path}\n"
HOUR = 3600
NEW = 1_800_000_000
OLD = NEW - 48 * HOUR

# The first time that it runs in this tree, it is out of luck.
UNLUCKY = """
import os, pathlib, pytest

def first(name):
    seen = pathlib.Path(f"{name}.seen")
    found = seen.exists()
    seen.touch()
    return not found
"""
FLAKY = UNLUCKY + "def test_flaky():\n    assert not first('flaky'), 'no luck today'\n"


class Project:
    """A repository in a directory, with its tests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def new(cls, directory: Path) -> "Project":
        """One without a commit."""
        directory.mkdir(exist_ok=True)
        project = cls(directory)
        project.git("init", "-q", "-b", "main")
        project.write("pytest.ini", INI.format(path="."))
        return project

    def git(self, *words: str, at: int = NEW) -> str:
        who = {f"GIT_{role}_{what}": "x@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": f"{at} +0000", "GIT_COMMITTER_DATE": f"{at} +0000"}
        environment = os.environ | who | dates
        return subprocess.run(
            ["git", *words], cwd=self.directory, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, at: int, **files: str) -> str:
        """Writes files, `tests__test_a` for tests/test_a.py, and commits all that there is; returns the commit."""
        for name, text in files.items():
            self.write(name.replace("__", "/") + ".py", text)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", "x", at=at)
        return self.git("rev-parse", "HEAD")

    def run(self, *words: str, **environment: str) -> tuple[int, list[str]]:
        """The script's exit code and what it has printed."""
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *words],
            cwd=self.directory,
            env=inherited | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.splitlines()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """In the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI_BASE", raising=False)
    return Project.new(tmp_path)


@pytest.mark.long
def test_what_passes_the_second_time_is_forgiven_and_named_with_its_failure(project: Project) -> None:
    project.commit(OLD, tests__test_a=FLAKY + "def test_good(): pass\n@pytest.mark.skip\ndef test_left_out(): pass\n")
    project.commit(NEW)
    code, lines = project.run("--", "-n", "2")
    assert code == 0, lines
    told = lines[lines.index("flaky: 1") + 1 :]
    assert told[0] == "  tests/test_a.py::test_flaky"
    assert any("AssertionError: no luck today" in line for line in told[1:-1])
    assert lines[-1].startswith("2 passed, 1 skipped in ")


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("@pytest.fixture\ndef f():\n    assert not first('x')\ndef test_x(f): pass\n", 1),  # setup
        ("@pytest.fixture\ndef f():\n    yield\n    assert not first('x')\ndef test_x(f): pass\n", 1),  # teardown
        ("def test_x():\n    first('x') and os._exit(1)\ndef test_y(): pass\n", 2),  # the worker with it
    ],
    ids=["setup", "teardown", "crash"],
)
def test_faults_beside_a_test_and_crashes_are_failures_of_that_test(project: Project, text: str, passed: int) -> None:
    project.commit(OLD, tests__test_a=UNLUCKY + text)
    project.commit(NEW)
    code, lines = project.run("--", "-n", "1")
    assert code == 0, lines
    assert lines[lines.index("flaky: 1") + 1] == "  tests/test_a.py::test_x"
    assert lines[-1].startswith(f"{passed} passed in ")


@pytest.mark.long
def test_it_runs_alone_and_unparallel_the_second_time(project: Project) -> None:
    spoilt = "import tests.test_a\ndef test_spoils(): tests.test_a.left = True\n"
    alone = (
        "import os\nleft = False\ndef test_alone():\n    assert not left and 'PYTEST_XDIST_WORKER' not in os.environ\n"
    )
    project.commit(OLD, tests__test_0=spoilt, tests__test_a=alone)
    project.commit(NEW)
    code, lines = project.run("--", "-n", "1")
    assert (code, lines[-1].partition(" in ")[0]) == (0, "2 passed"), lines


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        "def test_x(): assert False, 'wrong'\ndef test_good(): pass\n",
        UNLUCKY + "def test_x():\n    first('x') or pytest.skip('now')\n    assert False\ndef test_good(): pass\n",
    ],
    ids=["fails", "is skipped"],
)
def test_what_does_not_pass_the_second_time_fails_the_run(project: Project, text: str) -> None:
    project.commit(OLD, tests__test_a=text)
    project.commit(NEW)
    code, lines = project.run()
    assert code == 1
    assert lines[-2] == "failed twice: tests/test_a.py::test_x"
    assert lines[-1].startswith("1 failed, 1 passed in ")


@pytest.mark.long
@pytest.mark.parametrize(("failures", "code"), [(3, 0), (4, 1)])
def test_more_than_three_are_not_forgiven(project: Project, failures: int, code: int) -> None:
    names = "".join(f"def test_{n}(): assert not first({n})\n" for n in range(failures))
    project.commit(OLD, tests__test_a=UNLUCKY + names)
    project.commit(NEW)
    found, lines = project.run()
    assert found == code, lines
    assert lines[-1].startswith("3 passed" if failures == 3 else "4 failed in ")
    assert any(line.startswith("once more") for line in lines) == (failures == 3)


@pytest.mark.long
def test_a_test_that_the_change_touches_is_not_forgiven(project: Project) -> None:
    project.commit(OLD, tests__test_a="")
    project.commit(NEW, tests__test_a=FLAKY)
    code, lines = project.run()
    assert code == 1
    assert lines[-2] == "touched by this change, and so not run once more: tests/test_a.py::test_flaky"
    assert lines[-1].startswith("1 failed in ")


@pytest.mark.long
def test_what_cannot_be_collected_is_not_forgiven(project: Project) -> None:
    project.commit(OLD, tests__test_a="import nothing_of_that_name\n", tests__test_b=FLAKY)
    project.commit(NEW)
    code, lines = project.run("--", "-n", "2")
    assert code == 1
    assert lines[-1].partition(" in ")[0].endswith("1 error"), lines


@pytest.mark.long
@pytest.mark.parametrize(("least", "code"), [(100, 0), (101, 1)])
def test_gates_count_what_a_forgiven_test_has_run_the_second_time(project: Project, least: int, code: int) -> None:
    text = "import made\n" + FLAKY.replace("\n    assert", "\n    assert made.one() == 1\n    assert")
    later = text + "    assert made.two() == 2\n"
    project.commit(OLD, made__made="def one():\n    return 1\n\n\ndef two():\n    return 2\n", tests__test_a=later)
    project.write("pytest.ini", INI.format(path="made"))
    project.write(".coveragerc", "[run]\nsource = made\n")
    project.commit(NEW)
    found, lines = project.run("--gate", f"made:{least}", "--", "--cov", "--cov-report=")
    assert found == code, lines
    assert (f"coverage is below made:{least}" in lines) == (code == 1)
    assert "coverage of made: 100.0% of lines" in "\n".join(lines)
    assert lines[-1].startswith("1 passed in ")


def test_the_change_is_what_was_committed_within_twelve_hours_of_the_last_commit(project: Project) -> None:
    """Whatever the time is now: a clone that is tested tomorrow has the same change."""
    project.commit(OLD - 24 * HOUR, a="1")
    landed = project.commit(OLD - 13 * HOUR, b="1")
    project.commit(OLD - 11 * HOUR, c="1")
    project.commit(OLD, d="1")
    assert run_tests.landed() == landed
    assert run_tests.changed_files() == {"c.py", "d.py"}
    project.write("e.py", "")
    project.write("a.py", "2")
    assert run_tests.changed_files() == {"a.py", "c.py", "d.py", "e.py"}


def test_the_change_is_what_a_clone_has_and_its_origin_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = Project.new(tmp_path / "origin")
    landed = origin.commit(NEW, a="1")
    origin.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    monkeypatch.chdir(clone.directory)
    assert run_tests.changed_files() is None  # nothing older had landed: all is new
    clone.git("checkout", "-q", "-b", "change")
    clone.commit(NEW, b="1")
    assert run_tests.landed() == landed
    assert run_tests.changed_files() == {"b.py"}


def test_the_base_may_be_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    base = project.commit(OLD, a="1")
    project.commit(OLD, b="1")
    monkeypatch.setenv("CI_BASE", base[:10])
    assert run_tests.changed_files() == {"b.py"}
    monkeypatch.setenv("CI_BASE", "nothing-of-that-name")
    assert run_tests.changed_files() is None


def test_without_a_history_everything_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run_tests.changed_files() is None
    assert run_tests.unforgiven({"tests/test_a.py::test_x": "text"}, coverage=False) == [
        "touched by this change, and so not run once more: tests/test_a.py::test_x"
    ]
