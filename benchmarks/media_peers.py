"""rtpengine in user space: it plays to callers, and it relays calls, for comparison with the engine's own media.

`--table=-1`, since Debian's kernel module is not loaded in most places where this runs, and one thread for packets. It
is on core 1, its peers on core 0.
"""

import os
import resource
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks import proc, relay
from benchmarks.media_calls import CALLERS, Held, prompts, udp_sockets
from benchmarks.media_sink import Sink
from benchmarks.programs import ADDRESS, Program, Running
from engine.media.rtpengine.bencode import Plain, decode, encode

RTP = "127.0.1.2"
_PORTS = (40_000, 48_000)
_SETTLE = 2.0  # s before the measurement begins


class Rtpengine:
    """One running instance. A context manager."""

    def __init__(self) -> None:
        # It is asked where the other programs listen for SIP: that is how `Running` sees that it is there.
        words = ["rtpengine", "--foreground", "--table=-1", f"--interface={RTP}", "--log-stderr", "--log-level=4"]
        words += [f"--listen-ng={ADDRESS[0]}:{ADDRESS[1]}", f"--port-min={_PORTS[0]}", f"--port-max={_PORTS[1]}"]
        # A file of our own: rtpengine deletes it when it ends, whatever it is.
        words += ["--num-threads=1", "--config-file=none", f"--pidfile={tempfile.gettempdir()}/bench-rtpengine.pid"]
        self._running = Running(Program("rtpengine", "media", words, {}))
        self.pids = self._running.pids
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.settimeout(2)
        self._sock.connect(ADDRESS)

    def ask(self, command: str, **words: Plain) -> dict[bytes, Any]:
        """A command, and its answer. Raises RuntimeError for a refusal."""
        named = {word.replace("_", "-"): value for word, value in words.items()}
        self._sock.send(os.urandom(8).hex().encode() + b" " + encode({"command": command, **named}))
        answer = decode(self._sock.recv(65536).partition(b" ")[2])
        if not isinstance(answer, dict) or answer.get(b"result") != b"ok":
            raise RuntimeError(f"rtpengine refuses {command!r}: {answer!r}")
        return answer

    def port(self, command: str, call: str, host: str, port: int, payload_type: int) -> int:
        """The port that rtpengine names instead of that in an offer or an answer of `host` and `port`."""
        body = f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        body += f"m=audio {port} RTP/AVP {payload_type}\r\n"
        tags: dict[str, Plain] = {"from_tag": "a"} if command == "offer" else {"from_tag": "a", "to_tag": "b"}
        told: bytes = self.ask(command, call_id=call, sdp=body, ICE="remove", **tags)[b"sdp"]
        return int(told.partition(b"m=audio ")[2].split()[0])

    def __enter__(self) -> "Rtpengine":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()
        self._running.close()


def playing(calls: int, seconds: float) -> Held:
    """`play media` to the caller of every call. There is no signalling: the share is of media alone."""
    found = Held("rtpengine, play media", calls, seconds)
    host, port = CALLERS
    with prompts() as folder, Rtpengine() as peer, Sink(host, port) as sink, Sink(host) as other:
        pids = peer.pids
        for place in range(calls):
            peer.port("offer", f"c{place}", host, port, 0)
            peer.port("answer", f"c{place}", host, other.port, 0)
            peer.ask("play media", call_id=f"c{place}", from_tag="a", file=f"{folder}/prompt.wav", repeat_times=1000)
            time.sleep(0.005)
        sink.listen(_SETTLE)
        load, waited, cpu = proc.cpu_ns([os.getpid()]), proc.waited_ns(pids), proc.cpu_ns(pids)
        started = time.monotonic()
        found.timing = sink.timing(seconds, 8000)
        cpu, waited = proc.cpu_ns(pids) - cpu, proc.waited_ns(pids) - waited
        took = (time.monotonic() - started) * 1e9
        found.load = (proc.cpu_ns([os.getpid()]) - load) / took
        found.share, found.waited = cpu / took / calls, waited / took
        found.udp_sockets = udp_sockets(pids)
        found.sources = sorted({source[0] for source in sink.sources})
    found.judge()
    return found


@dataclass(slots=True)
class Relayed:
    """One program with calls that are anchored there, 50 packets a second each way."""

    program: str
    calls: int
    seconds: float
    sent: int
    lost: int
    share: float
    """Of a core, for one call: two directions."""
    drops: int
    faults: list[str] = field(default_factory=list)

    @property
    def packet_us(self) -> float:
        """Microseconds of CPU for a packet that was sent."""
        return self.share * self.seconds * self.calls * 1e6 / max(self.sent, 1)


def relayed(name: str, calls: int, seconds: float) -> Relayed:
    """The engine's own relay ("trunkline"), the same with "both sides decoded" as for a recording, or "rtpengine"."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    drops = proc.udp_drops()
    if name == "rtpengine":
        sent, arrived, used = _through_rtpengine(calls, seconds)
    else:
        sent, arrived, used = relay.measure(calls, seconds, recorded=name.endswith("decoded"))
    found = Relayed(name, calls, seconds, sent, sent - arrived, used / seconds / calls, proc.udp_drops() - drops)
    if found.lost:
        found.faults.append(f"{found.lost} packets lost")
    if found.drops:
        found.faults.append(f"{found.drops} datagrams dropped")
    if sent < 0.98 * calls * 100 * seconds:
        found.faults.append(f"the sides sent {sent} packets of {calls * 100 * seconds:.0f}: they were the limit")
    return found


def _through_rtpengine(calls: int, seconds: float) -> tuple[int, int, float]:
    """As `benchmarks.relay.measure`: packets sent, packets that arrived, seconds of CPU."""
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2 * calls)]
    targets = []
    try:
        for sock in socks:
            sock.bind((relay.SIDES, 0))
            sock.setblocking(False)
        with Rtpengine() as peer:
            for place in range(calls):
                sides = socks[2 * place], socks[2 * place + 1]
                caller, callee = (sock.getsockname()[1] for sock in sides)
                for_callee = peer.port("offer", f"r{place}", relay.SIDES, caller, 8)
                for_caller = peer.port("answer", f"r{place}", relay.SIDES, callee, 8)
                targets += [(RTP, for_caller), (RTP, for_callee)]
            before = proc.cpu_ns(peer.pids)
            sent, arrived = relay.talk(socks, targets, seconds)
            return sent, arrived, (proc.cpu_ns(peer.pids) - before) / 1e9
    finally:
        for sock in socks:
            sock.close()


def version() -> str:
    """rtpengine's own word."""
    done = subprocess.run(["rtpengine", "--version"], capture_output=True, text=True, timeout=10, check=False)
    words = (done.stdout + done.stderr).strip().splitlines()
    return words[0] if words else "?"
