"""A server on a TCP port of 127.0.0.1 that tests may stop and start again in the middle of a test.

It ends with the test run whatever happens to that, and its directory goes with it: the fixture that owns it sees to
both, and where the test run is killed, the kernel and a shell that waits for it.
"""

import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.network import reserved_port
from tests.peers.process import Process

HOST = "127.0.0.1"


# Reads until the other end of the pipe is closed, which a killed process's is too. The server may be writing still.
_SWEEPER = 'cat; for turn in 1 2 3 4 5 6 7 8 9; do rm -rf "$0" && exit; sleep 0.2; done'


class LocalServer:
    """What the servers have in common: a port and a directory for all their life, `start` and `stop`. A context
    manager."""

    ready = ""
    """The pattern of the line that says that it takes connections."""

    def __init__(self, name: str) -> None:
        self.port = reserved_port()
        # Not below pytest's directories: those are nobody else's, and too long for the name of a Unix socket.
        self.directory = Path(tempfile.mkdtemp(prefix=f"trunkline-{name}-"))
        self._process: Process | None = None
        self._sweeper = subprocess.Popen(
            ["sh", "-c", _SWEEPER, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """Its process; 0 where it does not run."""
        return 0 if self._process is None else self._process.pid

    @property
    def log(self) -> str:
        """All that it has printed since its last start."""
        return "" if self._process is None else self._process.log

    def command(self) -> Sequence[str]:
        """The words that start it in the foreground, on `port`."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts it, and returns when it takes connections. Does nothing where it runs."""
        if self._process is not None:
            return
        # The signal at the parent's end comes at the end of the thread that started it.
        assert threading.current_thread() is threading.main_thread(), "start it from the main thread"
        process = Process(self.command())
        try:
            process.wait_line(self.ready, 30)
        except BaseException:
            process.stop()
            raise
        self._process = process

    def stop(self) -> None:
        """Ends it; its clients lose their connections. Does nothing where it does not run."""
        process, self._process = self._process, None
        if process is not None:
            self.end(process)

    def end(self, process: Process) -> None:
        """How its process is ended."""
        process.stop()

    def close(self) -> None:
        """Ends it for good, and removes its directory."""
        self.stop()
        assert self._sweeper.stdin is not None
        self._sweeper.stdin.close()
        self._sweeper.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
