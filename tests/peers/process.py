"""A peer program under test control: its output is read as it comes, every wait has a deadline, and it ends by pid."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

import pytest

from tests.network import is_bound

T = TypeVar("T")


def require(program: str, package: str, *folders: str) -> str:
    """The path of a peer program, on the PATH or in `folders`. Without it the test is skipped, saying how to get it;
    in CI that is a failure."""
    path = shutil.which(program, path=":".join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/bin", *folders]))
    if path is None:
        message = f"{program} is not installed: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def ending_with_parent(sign: str, *, user: str = "", group: str = "") -> list[str]:
    """What to put before a command so that the kernel sends it `sign` when this thread ends, however it ends; and so
    that it runs as `user` and `group`, which takes root. Nothing where there is no setpriv (util-linux)."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    identity = [f"--reuid={user}", f"--regid={group}", "--clear-groups"] if user else []
    return [setpriv, f"--pdeathsig={sign}", *identity, "--"]


def wait_bound(host: str, port: int, timeout: float = 30.0, kind: int = socket.SOCK_DGRAM) -> None:
    """Waits until somebody has the port `host:port`, of UDP unless `kind` is SOCK_STREAM. SIPp says nothing
    when it is ready, so the kernel is asked: a call that comes earlier would be refused by ICMP, another test."""
    deadline, tick = monotonic() + timeout, threading.Event()
    while not is_bound(host, port, kind):
        if monotonic() > deadline:
            raise AssertionError(f"nobody listens on {host}:{port} after {timeout} s")
        tick.wait(0.02)


class Process:
    """A program whose standard output and error are collected line by line in `lines`. It ends with the thread that
    has started it, however that ends: what a killed test run leaves behind would go on answering."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        told: bool = False,
    ) -> None:
        """`told`: its standard input is ours, for `tell`; otherwise there is none."""
        self.name = os.path.basename(argv[0])  # noqa: PTH119 - an argv is text
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [*ending_with_parent("KILL"), *argv],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE if told else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # forked children (Kamailio's) are ended with it, by the group of this pid
            text=True,
            errors="replace",
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, name=f"{self.name} output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has printed so far."""
        with self._news:
            return "\n".join(self.lines)

    def tell(self, line: str) -> None:
        """Writes a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait_line(self, pattern: str, timeout: float, *, count: int = 1) -> str:
        """Waits until `count` lines match and returns the last of them; fails with the output when it does not come."""
        search = re.compile(pattern).search

        def find(lines: Sequence[str]) -> str | None:
            found = [line for line in lines if search(line)]
            return found[count - 1] if len(found) >= count else None

        return self.wait_for(find, f"{pattern!r} x {count}", timeout)

    def wait_for(self, find: Callable[[Sequence[str]], T | None], what: str, timeout: float) -> T:
        """Waits until `find` makes something of the lines so far, and returns it; fails with the output otherwise."""
        deadline = monotonic() + timeout
        with self._news:
            while True:
                found = find(self.lines)
                if found is not None:
                    return found
                left = deadline - monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"said nothing of the kind in {timeout} s"
                    text = "\n".join(self.lines[-80:])
                    raise AssertionError(f"{self.name} {why}; awaited {what}:\n{text}")
                self._news.wait(left)

    def wait(self, timeout: float) -> int:
        """Waits for its own end and returns the exit code; one that does not end is killed, and the test fails."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"{self.name} did not end in {timeout} s:\n{self.log}") from None
        self._reader.join(5)
        return code

    def stop(self, timeout: float = 30.0, sign: signal.Signals = signal.SIGTERM) -> int:
        """Ends it: SIGTERM, and SIGKILL for its process group when that does not do. Returns the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(sign)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._kill_group()
                self._process.wait(timeout)
        self._kill_group()
        self._reader.join(5)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended with a line unread
                self._process.stdin.close()
        return self._process.returncode

    def kill(self) -> None:
        """Ends it as a power cut does."""
        self._kill_group()
        self._process.wait(30)
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left, as it should be
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
