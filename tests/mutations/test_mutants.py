"""No test that could not fail: mistakes made on purpose in the state machines, each of which their tests must notice.

The mistakes are found in the syntax tree (`mistakes.py`): every row of every table below, and lines of the code that
has no table. The tree is copied once; one mistake at a time is put in, the tests that are to notice it run, and the
file is put back.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.mutations.mistakes import Mistake, code_mistakes, row_mistakes

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("engine", "routing", "flows", "tests", "pyproject.toml")


class Machine(NamedTuple):
    """A file with tables or functions, and the tests that are to notice a mistake in one of them."""

    file: str
    tables: Sequence[str]
    tests: Sequence[str]


TABLES = [
    Machine(
        "engine/sip/transaction/client.py",
        ["INVITE_CLIENT", "INVITE_EXPIRY", "NON_INVITE_CLIENT", "NON_INVITE_EXPIRY"],
        ["tests/sip/test_transactions_client.py"],
    ),
    Machine(
        "engine/sip/transaction/server.py",
        ["INVITE_SERVER", "INVITE_EXPIRY", "NON_INVITE_SERVER"],
        ["tests/sip/test_transactions_server.py"],
    ),
    Machine("engine/sip/dialog/renegotiation.py", ["ROWS"], ["tests/sip/test_renegotiation.py"]),
    Machine("engine/sip/dialog/refer.py", ["REFERRAL", "SUBSCRIPTION"], ["tests/sip/test_refer.py"]),
    Machine("engine/sip/subscription.py", ["SUBSCRIPTION"], ["tests/sip/test_subscription.py"]),
    Machine("engine/sip/registrant.py", ["REGISTRANT"], ["tests/sip/test_registrant.py"]),
    Machine("engine/sip/dialog/replaces.py", ["FITS"], ["tests/sip/test_replaces.py"]),
    Machine("routing/hunt/failover.py", ["TRY_NEXT"], ["tests/routing/test_hunts.py"]),
    Machine(
        "routing/hunt/outcome.py",
        ["LOCAL_STATUS", "RELAYED_ANSWERS"],
        ["tests/routing/test_hunts.py", "tests/routing/test_final_response.py"],
    ),
    Machine("routing/access/admission.py", ["_ANSWERS"], ["tests/routing/test_admission.py"]),
    Machine("routing/directory/lifecycle.py", ["TRANSITIONS"], ["tests/routing/test_lifecycle.py"]),
    Machine("routing/hunt/outcome.py", ["STATUS_REASONS", "KIND_REASONS"], ["tests/routing/test_hangup_reason.py"]),
    Machine("flows/calls/hangup.py", ["CAUSES"], ["tests/flows/test_actions.py"]),
    Machine("flows/queues/states.py", ["CALLER", "AGENT"], ["tests/flows/test_queues.py"]),
    Machine("flows/messages/opt_out.py", ["_WORDS"], ["tests/flows/test_messages.py"]),
    Machine("engine/sip/endpoint.py", ["_ONLY_IN_DIALOGS"], ["tests/sip/test_endpoint.py"]),
    Machine("engine/sip/sdp/offer_answer.py", ["_MIRRORED"], ["tests/sip/test_sdp.py"]),
    Machine("routing/access/bans.py", ["POINTS"], ["tests/routing/test_bans.py"]),
    Machine("routing/access/destinations.py", ["_WHY"], ["tests/routing/test_destinations.py"]),
]
CODE = [
    Machine(
        "engine/sip/dialog/dialog.py",
        [
            "Dialog.as_callee",
            "Dialog.as_caller",
            "Dialog.confirm",
            "Dialog.refresh",
            "Dialog.accepts",
            "Dialog.way_back",
            "Dialog.route",
        ],
        ["tests/sip/test_dialog.py"],
    ),
    Machine(
        "engine/sip/dialog/next_hop.py",
        ["place_of", "_distance", "way_back"],
        ["tests/sip/test_next_hop.py", "tests/sip/test_dialog.py"],
    ),
    Machine(
        "engine/sip/dialog/session_timer.py",
        ["read", "too_small", "agree_as_server", "agree_as_client"],
        ["tests/sip/test_session_timer.py"],
    ),
    Machine(
        "engine/sip/dialog/usage.py", ["DialogUsage._answer", "DialogUsage._resend_2xx"], ["tests/sip/test_uas.py"]
    ),
    Machine("engine/sip/dialog/invite_server.py", ["InviteServer._take_prack"], ["tests/sip/test_uas.py"]),
    Machine("engine/sip/dialog/invite_client.py", ["InviteClient._take_reliable"], ["tests/sip/test_uac.py"]),
    Machine(
        "engine/sip/dialog/session.py", ["Session._take_reinvite", "Session._put_off"], ["tests/sip/test_session.py"]
    ),
    Machine(
        "engine/sip/registrar.py",
        [
            "register",
            "_remove_all",
            "_write",
            "_apply_outbound",
            "_replace",
            "_change",
            "_check_order",
            "_contact",
            "_seconds",
            "_preference",
            "_path",
            "_first_hop",
            "_first_hop_knows_outbound",
            "_check_sips",
            "_binding",
            "_shared",
            "_natted",
            "_same",
            "_make_room",
            "_answer",
            "_shown",
            "_gruu",
        ],
        ["tests/sip/test_registrar.py"],
    ),
    Machine("routing/hunt/failover.py", ["try_next"], ["tests/routing/test_hunts.py"]),
    Machine("routing/hunt/hunt.py", ["Hunt._try", "Hunt.final"], ["tests/routing/test_hunts.py"]),
]

UNSEEN = {
    'InviteServer._take_prack: self._disarm("reliable") left out': "the timer finds nothing to send, and ends",
    "_same: whole == contact.whole_uri taken for False": "what is written alike is equivalent: this is only quicker",
    "_make_room: row.present is not None taken for True": "a row that is not written was there before",
    "InviteServer._take_prack: waiting is None taken for False": "then no RAck fits: what was split has no empty part",
}
"""Mistakes that change nothing that anybody could see, and why."""


def mistakes() -> Iterator[tuple[Machine, Mistake]]:
    """Every mistake of every machine."""
    for machines, find in ((TABLES, row_mistakes), (CODE, code_mistakes)):
        for machine in machines:
            text = (ROOT / machine.file).read_text(encoding="utf-8")
            for name in machine.tables:
                yield from ((machine, mistake) for mistake in find(text, name) if mistake.name not in UNSEEN)


ALL = [pytest.param(machine, mistake, id=mistake.name) for machine, mistake in mistakes()]


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


NOTICED = (1, 2)
"""What pytest ends with where a test has failed, or where the mistake is noticed as soon as the module is loaded."""


# Loads what every test needs and none of ours, then forks for each run: a new interpreter each time takes seconds.
RUNNER = """
import asyncio, json, os, signal, sys
import dns.asyncresolver, httpx, hypothesis, phonenumbers, pydantic, pytest, pytest_timeout, yaml

for line in sys.stdin:
    child = os.fork()
    if not child:
        signal.alarm(60)  # a mistake may make an endless loop, of modules that are loaded; of tests, after 20 s
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", "-o", "timeout=20", "-W", "ignore"]
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


@pytest.mark.long
def test_without_a_mistake_the_named_tests_pass(copy: Copy) -> None:
    for tests in sorted({tuple(machine.tests) for machine in (*TABLES, *CODE)}):
        code, output = copy.run(tests)
        assert code == 0, output
    where = copy.root / "test_where.py"
    where.write_text(f"import engine\ndef test_where(): assert engine.__file__.startswith({str(copy.root)!r})\n")
    code, output = copy.run(["test_where.py"])
    assert code == 0, f"the copy is not what is tested: {output}"


@pytest.mark.long
@pytest.mark.parametrize(("machine", "mistake"), ALL)
def test_a_mistake_is_noticed(machine: Machine, mistake: Mistake, copy: Copy) -> None:
    copy.write(machine.file, mistake.source)
    try:
        code, output = copy.run(machine.tests)
    finally:
        copy.write(machine.file, (ROOT / machine.file).read_text(encoding="utf-8"))
    assert code in NOTICED, f"nobody noticed (exit code {code}): {machine.file}, {mistake.name}\n{output}"
