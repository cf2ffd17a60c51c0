"""What a flood of strangers' INVITEs, or REGISTERs, costs the engine, and those who call meanwhile.

    python -m benchmarks.flood          # 3,000 a second from one address, then from 1,000; half a minute each
    python -m benchmarks.flood --write  # and results/DATE-flood.md
    python -m benchmarks.flood --method REGISTER

Loopback only. The generator is flood.c, compiled where there is a gcc, and a slower one in Python elsewhere. A phone
in a trusted network and a guest at an address of its own make calls all the while: INVITE, 200, ACK, BYE, 200.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import proc
from benchmarks.programs import ADDRESS, Running, program, version

HERE = Path(__file__).parent
NUMBER = "+15550000001"
FOREIGN = "+447911123456"
PHONE, GUEST = "127.0.1.30", "127.0.1.31"
NETWORK = "127.61"
CALLS, GUESTS_CALLS = 20.0, 3.0  # a second
AGAIN = 0.5  # s, T1
SETTLE = 34.0  # s after the flood: 64*T1, and a little


@dataclass(slots=True)
class Caller:
    """Somebody whose calls should succeed, with a socket of its own."""

    host: str
    name: str
    rate: float
    sock: socket.socket = field(init=False)
    number: int = 0
    waiting: dict[str, tuple[float, float, bytes]] = field(default_factory=dict)  # Call-ID: sent, again at, INVITE
    took: list[float] = field(default_factory=list)  # s to the 200
    failed: int = 0
    resent: int = 0

    def __post_init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.bind((self.host, 5062))
        self.sock.setblocking(False)

    def call(self, now: float) -> None:
        """One more call."""
        self.number += 1
        call_id = f"{self.name}-{self.number}"
        data = self._request("INVITE", call_id, 1, "", f"z9hG4bK{call_id}")
        self.sock.sendto(data, ADDRESS)
        self.waiting[call_id] = (now, now + AGAIN, data)

    def look(self, now: float) -> None:
        """Take what has come, and send again what nobody has answered."""
        while True:
            try:
                data = self.sock.recv(65535)
            except OSError:
                break
            self._heard(data.decode("utf-8", "replace"), now)
        for call_id, (sent, again, data) in list(self.waiting.items()):
            if again <= now:
                self.sock.sendto(data, ADDRESS)
                self.resent += 1
                self.waiting[call_id] = (sent, now + AGAIN, data)

    def _heard(self, text: str, now: float) -> None:
        lines = dict(line.split(": ", 1) for line in text.split("\r\n\r\n")[0].split("\r\n")[1:] if ": " in line)
        call_id = lines.get("Call-ID", "")
        if lines.get("CSeq") != "1 INVITE" or text[8] == "1" or call_id not in self.waiting:
            return
        sent, _, _ = self.waiting.pop(call_id)
        if text[8:11] != "200":
            self.failed += 1
            return
        self.took.append(now - sent)
        tag = lines["To"].rpartition(";tag=")[2]
        self.sock.sendto(self._request("ACK", call_id, 1, tag, f"z9hG4bK{call_id}a"), ADDRESS)
        self.sock.sendto(self._request("BYE", call_id, 2, tag, f"z9hG4bK{call_id}b"), ADDRESS)

    def _request(self, method: str, call_id: str, cseq: int, tag: str, branch: str) -> bytes:
        body = (
            f"v=0\r\no=- 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
        )
        body = body if method == "INVITE" else ""
        uri = f"sip:{NUMBER}@{ADDRESS[0]}"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host}:5062;branch={branch}",
            "Max-Forwards: 70",
            f"From: <sip:{self.name}@{self.host}>;tag={self.name}{self.number}",
            f"To: <{uri}>" + (f";tag={tag}" if tag else ""),
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:{self.name}@{self.host}:5062>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        took = sorted(self.took)
        return 1000 * took[min(len(took) - 1, int(share * len(took)))] if took else float("nan")


def _kind() -> str:
    return "flood.c" if shutil.which("gcc") or shutil.which("cc") else "Python"


def generator() -> list[str]:
    """The command of the generator, without its arguments."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is not None:
        binary = Path(tempfile.mkdtemp(prefix="flood-bench-")) / "flood"
        subprocess.run([compiler, "-O2", "-o", str(binary), str(HERE / "flood.c")], check=True)
        return [str(binary)]
    return [sys.executable, "-m", "benchmarks.flood_generator"]


@dataclass(slots=True)
class Found:
    """What one flood did."""

    sources: int
    rate: float
    sent: int
    answers: int
    ratio: float  # bytes out for bytes in
    cpu_us: float  # of the engine for each hostile INVITE, less what its calls cost without a flood
    cpu_share: float
    memory: tuple[int, int, int]  # bytes before, at the most during, after
    callers: list[Caller]


def calls(callers: list[Caller], seconds: float, pids: list[int] | None = None) -> int:
    """Make calls for so long; the most memory that `pids` had meanwhile."""
    begun = time.monotonic()
    made = dict.fromkeys((caller.name for caller in callers), 0)
    most, look_at = 0, 0.0
    while (passed := time.monotonic() - begun) < seconds:
        now = time.monotonic()
        for caller in callers:
            if made[caller.name] < passed * caller.rate:
                made[caller.name] += 1
                caller.call(now)
            caller.look(now)
        if pids and passed >= look_at:
            most, look_at = max(most, proc.memory_bytes(pids)), passed + 1.0
        time.sleep(0.001)
    return most


def finish(callers: list[Caller]) -> None:
    """Wait for the last answers; what has none after 64*T1 has failed."""
    end = time.monotonic() + 32
    while time.monotonic() < end and any(caller.waiting for caller in callers):
        for caller in callers:
            caller.look(time.monotonic())
        time.sleep(0.002)
    for caller in callers:
        caller.failed += len(caller.waiting)
        caller.waiting.clear()
        caller.sock.close()


def _words(sources: int, rate: float, seconds: float, method: str = "INVITE") -> list[str]:
    host, port = ADDRESS
    uri = f"sip:{FOREIGN}@{host}" if method == "INVITE" else f"sip:{host}"
    return [host, str(port), NETWORK, str(sources), str(rate), str(seconds), uri, method]


def flood(command: list[str], sources: int, rate: float, seconds: float, method: str = "INVITE") -> Found:
    """One engine, quiet at first, then flooded, then quiet again."""
    engine = Running(program("trunkline", "flood"))
    try:
        pids = engine.pids
        quiet = [Caller(PHONE, "warm", CALLS), Caller(GUEST, "up", GUESTS_CALLS)]
        calls(quiet, 3.0)  # whatever is made once is made
        cpu = proc.cpu_ns(pids)
        calls(quiet, 5.0)
        share = (proc.cpu_ns(pids) - cpu) / 5e9
        finish(quiet)
        # The trace keeps the last 10,000 messages: it is filled before anything is measured.
        subprocess.run([*command, *_words(1000, 3000.0, 6.0)], stdout=subprocess.DEVNULL, cwd=HERE.parent, check=True)
        time.sleep(SETTLE)
        before = proc.memory_bytes(pids)
        callers = [Caller(PHONE, "phone", CALLS), Caller(GUEST, "guest", GUESTS_CALLS)]
        cpu, begun = proc.cpu_ns(pids), time.monotonic()
        flooding = subprocess.Popen(
            [*command, *_words(sources, rate, seconds, method)], stdout=subprocess.PIPE, text=True, cwd=HERE.parent
        )
        try:
            most = calls(callers, seconds, pids)
            said, _ = flooding.communicate(timeout=30)
        finally:
            flooding.kill()
        elapsed = time.monotonic() - begun
        used = (proc.cpu_ns(pids) - cpu) / 1e9
        finish(callers)
        sent, sent_bytes, answers, answer_bytes = map(int, said.split())
        time.sleep(SETTLE)
        after = proc.memory_bytes(pids)
    finally:
        engine.close()
    return Found(
        sources=sources,
        rate=sent / seconds,
        sent=sent,
        answers=answers,
        ratio=answer_bytes / max(sent_bytes, 1),
        cpu_us=max(used - share * elapsed, 0.0) / max(sent, 1) * 1e6,
        cpu_share=used / elapsed,
        memory=(before, most, after),
        callers=callers,
    )


def markdown(found: list[Found], command: str, seconds: float) -> str:
    """The page of results."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    lines = [
        f"# Flood of {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"- Machine: {proc.machine()}; load average at the end: {load}",
        f"- {version('trunkline')}",
        f"- Command: `{command}`; generator: {_kind()}; {seconds:.0f} s each",
        "- Every hostile INVITE is a guest's for a foreign number, by UDP, with a Call-ID of its own; all limits are "
        "as they are by default.",
        "",
        "| sources | INVITE/s | answered | bytes out per byte in | CPU per hostile INVITE, µs | engine's core "
        "| memory before, during, after, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        memory = ", ".join(f"{value / 1e6:.1f}" for value in one.memory)
        lines.append(
            f"| {one.sources} | {one.rate:.0f} | {one.answers / max(one.sent, 1):.1%} | {one.ratio:.2f} "
            f"| {one.cpu_us:.1f} | {one.cpu_share:.0%} | {memory} |"
        )
    lines += ["", "| sources | caller | calls | failed | INVITEs sent again | p50, ms | p99, ms | slowest, ms |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for one in found:
        for caller in one.callers:
            times = " | ".join(f"{caller.percentile(share):.1f}" for share in (0.5, 0.99, 1.0))
            total = len(caller.took) + caller.failed
            lines.append(f"| {one.sources} | {caller.name} | {total} | {caller.failed} | {caller.resent} | {times} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=3000.0, help="INVITEs a second (3000)")
    parser.add_argument("--method", choices=("INVITE", "REGISTER"), default="INVITE")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each flood, at most 60 (20)")
    parser.add_argument("--sources", type=int, action="append", help="addresses that it comes from (1, then 1000)")
    parser.add_argument("--write", action="store_true", help="write results/DATE-flood.md")
    arguments = parser.parse_args()
    if not 0 < arguments.seconds <= 60:
        parser.error("--seconds is at most 60")
    command = generator()
    found = [
        flood(command, sources, arguments.rate, arguments.seconds, arguments.method)
        for sources in arguments.sources or [1, 1000]
    ]
    page = markdown(found, " ".join(["python -m benchmarks.flood", *sys.argv[1:]]), arguments.seconds)
    if arguments.method != "INVITE":
        page = page.replace(
            "Every hostile INVITE is a guest's for a foreign number", "Every one is a stranger's REGISTER"
        )
        page = page.replace("INVITE/s", "REGISTER/s").replace("hostile INVITE", "hostile REGISTER")
    print(page)
    if arguments.write:
        (HERE / "results" / f"{datetime.now(UTC):%Y-%m-%d}-flood.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
