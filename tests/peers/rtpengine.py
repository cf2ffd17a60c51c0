"""A real rtpengine in user space, as Debian's `rtpengine-daemon` has it."""

import os
import signal
import socket
from pathlib import Path
from threading import Event
from time import monotonic

from engine.media.rtpengine.bencode import decode, encode
from tests.peers.process import Process, require


class Rtpengine:
    """One running instance. A context manager; leaving it ends the process."""

    def __init__(self, directory: Path, media: str, control: tuple[str, int], ports: tuple[int, int]) -> None:
        """`media` is the address that its RTP uses, `control` where it listens for ng, `ports` its range."""
        self.media, self.control = media, control
        directory.mkdir(parents=True, exist_ok=True)
        self._command = [
            require("rtpengine", "rtpengine-daemon"), "--foreground", "--table=-1", f"--interface={media}",
            f"--listen-ng={control[0]}:{control[1]}", f"--port-min={ports[0]}", f"--port-max={ports[1]}",
            "--log-stderr", "--log-level=6", "--num-threads=1", "--config-file=none", f"--pidfile={directory}/pid",
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start it, again where it was killed."""
        self.process = Process(self._command, env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin"})
        deadline, tick = monotonic() + 30, Event()
        while self.ask("ping") is None:
            if monotonic() > deadline:
                self.process.stop()
                raise AssertionError(f"rtpengine does not answer:\n{self.process.log}")
            tick.wait(0.05)

    def ask(self, command: str) -> dict[bytes, object] | None:
        """A command of our own; None where there is no answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.3)
            sock.connect(self.control)
            try:
                # A cookie that it has seen is answered with what was said then.
                sock.send(os.urandom(8).hex().encode() + b" " + encode({"command": command}))
                answer = decode(sock.recv(65536).partition(b" ")[2])
            except OSError:
                return None
        assert isinstance(answer, dict)
        return answer  # type: ignore[return-value]

    def calls(self) -> int:
        """How many it has."""
        answer = self.ask("list")
        assert answer is not None
        found = answer[b"calls"]
        assert isinstance(found, list)
        return len(found)

    def wait_calls(self, count: int, timeout: float = 30.0) -> None:
        """Waits until it has so many."""
        deadline, tick = monotonic() + timeout, Event()
        while self.calls() != count:
            assert monotonic() < deadline, f"rtpengine has {self.calls()} calls, not {count}"
            tick.wait(0.05)

    def kill(self) -> None:
        """Without a word."""
        self.process.stop(sign=signal.SIGKILL)

    def __enter__(self) -> "Rtpengine":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
