"""The programs that are measured: how to start them, when they are ready, which version they are."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proc
from benchmarks.load import MEASURED_CORE, SCENARIOS

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ADDRESS = ("127.0.1.1", 5060)
PROVIDER = ("127.0.1.20", 5070)
PROBE_PROVIDER = ("127.0.1.21", 5070)
SECOND_PROVIDER = ("127.0.1.22", 5070)
REFUSING_PROVIDER = ("127.0.1.23", 5070)
SILENT_PROVIDER = ("127.0.1.24", 5070)
API, API_KEY = "127.0.1.1:8089", "key-of-the-bench"
# Every call and attempt kept in SQLite, and the API on: what a single machine runs with.
STORED = {
    "TRUNKLINE_STORE": "sqlite:///{directory}/bench.db",
    "TRUNKLINE_API__LISTEN": API,
    "TRUNKLINE_API__ADMIN_KEY": API_KEY,
    "TRUNKLINE_API__REQUEST_RATE__RATE": "0",
}
NUMBER, PROBE_NUMBER = "+15550000001", "+15550000002"
REFUSED_NUMBER, SILENT_NUMBER = "+15550000003", "+15550000004"


class NotReadyError(RuntimeError):
    """A program did not start; the message has the end of its output."""


@dataclass(slots=True)
class Program:
    """One program in one job: its command line."""

    name: str
    job: str
    command: list[str]
    environment: dict[str, str]


class Running:
    """A started program, pinned to the measured core; `pids` are all of its processes."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.directory = tempfile.TemporaryDirectory(prefix="bench-program-")
        self.log = Path(self.directory.name) / "output"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*proc.pin(MEASURED_CORE), *program.command],
                cwd=HERE.parent,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise
        self.pids = proc.descendants(self.process.pid)

    def _environment(self) -> dict[str, str]:
        """What the program is told, files in a directory that goes with it."""
        return {name: value.format(directory=self.directory.name) for name, value in self.program.environment.items()}

    def _wait(self) -> None:
        """Waits until its port is taken (a second bind fails) and gives forking programs a moment for their workers."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(ADDRESS)
                except OSError:
                    time.sleep(0.7)
                    if self.process.poll() is None:
                        return
                    break
            time.sleep(0.05)
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        told = " / ".join([*lines[:3], *lines[-3:]])
        raise NotReadyError(f"{self.program.name} did not start (exit code {self.process.poll()}): {told}")

    def close(self) -> None:
        """SIGTERM, then SIGKILL to its own processes; waits until the port is free."""
        pids = proc.descendants(self.process.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                for pid in pids:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                self.process.wait(5)
        self.directory.cleanup()


def program(name: str, job: str) -> Program:
    """The program `name` (trunkline, kamailio, sippy, sipp) set up for `job` (answering, through)."""
    if name in ("kamailio", "kamailio-qm"):
        # Debian's Kamailio starts with its debugging allocator (qm), whose searches alone cost more than the call;
        # "kamailio" has the fast one, so that Trunkline is compared with what a careful operator would run.
        allocator = "qm" if name == "kamailio-qm" else "fm"
        words = ["kamailio", "-DD", "-E", "-x", allocator, "-X", allocator, "-m", "512", "-M", "32"]
        words += ["-f", str(PEERS / f"kamailio-{job}.cfg")]
        return Program(
            name, job, [*words, "-Y", tempfile.gettempdir(), "-P", f"{tempfile.gettempdir()}/bench-kamailio.pid"], {}
        )
    if name == "sippy":
        if job != "through":
            raise NotReadyError("Sippy is a B2BUA: it only takes part in the job 'through'")
        return Program(
            name,
            job,
            [str(PEERS / "sippy.sh"), ":".join(map(str, ADDRESS)), ":".join(map(str, PROVIDER))],
            {"SIPLOG_BEND": "none"},
        )
    if name == "sipp":
        if job != "answering":
            raise NotReadyError("SIPp's uas is the floor of the job 'answering' only")
        words = ["sipp", "-sf", str(SCENARIOS / "uas.xml"), "-i", ADDRESS[0], "-p", str(ADDRESS[1]), "-bind_local"]
        return Program(name, job, [*words, "-nostdin", "-buff_size", "4194304", "-f", "60"], {})
    if name in ("trunkline", "trunkline-stored"):
        binary = Path(sys.executable).parent / "trunkline"
        words = [str(binary)] if binary.exists() else [sys.executable, "-m", "service.cli"]
        command = [*words, "serve", "-c", str(HERE / f"trunkline-{job}.yaml")]
        return Program(name, job, command, STORED if name == "trunkline-stored" else {})
    raise NotReadyError(f"no such program: {name}")


def available(name: str) -> bool:
    """Whether the program is installed here."""
    if name == "sippy":
        return (PEERS / ".venv/bin/b2bua_radius").exists()
    if name in ("trunkline", "trunkline-stored"):
        return (HERE.parent / "service/cli/commands.py").exists()
    return shutil.which(name.removesuffix("-qm")) is not None


def version(name: str) -> str:
    """The program's own word on its version."""
    commands = {
        "kamailio-qm": ["kamailio", "-v"],
        "kamailio": ["kamailio", "-v"],
        "sipp": ["sipp", "-v"],
        "sippy": [
            str(PEERS / ".venv/bin/python"),
            "-c",
            "import importlib.metadata as m; print('sippy', m.version('sippy'))",
        ],
        "trunkline-stored": ["git", "-C", str(HERE.parent), "describe", "--always", "--dirty"],
        "trunkline": ["git", "-C", str(HERE.parent), "describe", "--always", "--dirty"],
    }
    try:
        output = subprocess.run(commands[name], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return f"{name}: not installed"
    text = (output.stdout + output.stderr).strip().splitlines()
    words = next((line.strip().rstrip(".") for line in text if line.strip()), "?")
    return f"{name} {words}" if name.startswith("trunkline") else words
