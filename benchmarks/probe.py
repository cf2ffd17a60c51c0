"""How long a call takes to get through a program, measured with the kernel's own receive timestamps.

A caller and the providers are sockets of this process; calls are made one at a time, so that no identifier has to
survive the program. A datagram's arrival is what SO_TIMESTAMPNS says, not when this process got to read it.
"""

import contextlib
import os
import select
import socket
import statistics
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

SO_TIMESTAMPNS = 35  # linux/asm-generic/socket.h; Python's socket module does not name it
_TIMESPEC = struct.Struct("qq")
Address = tuple[str, int]

_INVITE = (
    "INVITE sip:{number}@{host}:{port} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {own}:{own_port};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n"
    "From: <sip:+15550009999@{own}>;tag={branch}\r\nTo: <sip:{number}@{host}:{port}>\r\nCall-ID: {branch}@{own}\r\n"
    "CSeq: 1 INVITE\r\nContact: <sip:probe@{own}:{own_port}>\r\n"
    "Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n"
)
_SDP = "v=0\r\no=- 1 1 IN IP4 {own}\r\ns=-\r\nc=IN IP4 {own}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


@dataclass(slots=True)
class Delays:
    """Milliseconds, one per call."""

    what: str
    program: str
    values: list[float] = field(default_factory=list)
    lost: int = 0

    def percentile(self, percent: int) -> float:
        """p50, p99, ... of the values; NaN without any."""
        if len(self.values) < 2:
            return self.values[0] if self.values else float("nan")
        return statistics.quantiles(self.values, n=100, method="inclusive")[percent - 1]

    def summary(self) -> str:
        """One line."""
        middle, high = self.percentile(50), self.percentile(99)
        return f"p50 {middle:.3f} ms, p99 {high:.3f} ms, {len(self.values)} calls, {self.lost} lost"


class Probe:
    """The sockets: a caller, and a provider for each address given."""

    def __init__(self, providers: list[Address]) -> None:
        self.caller = _socket(("127.0.1.90", 5062))
        self.providers = {address: _socket(address) for address in providers}
        self._counter = 0

    def close(self) -> None:
        """Gives the addresses back."""
        for opened in [self.caller, *self.providers.values()]:
            opened.close()

    def __enter__(self) -> "Probe":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self, program: Address, number: str, answers: dict[Address, int], last: Address, patience: float = 2.0
    ) -> dict[str, int]:
        """One call; each provider answers with its status (0: silence). Returns nanoseconds:

        "sent", "HOST" (first INVITE there), "HOST answered" (just before its answer was sent). Ends when the caller has
        heard a final response, or `last` has had its INVITE and `patience` seconds went by.
        """
        self._counter += 1
        own, own_port = self.caller.getsockname()
        branch = f"p{os.getpid()}x{self._counter}"
        body = _SDP.format(own=own)
        invite = _INVITE.format(
            number=number, host=program[0], port=program[1], own=own, own_port=own_port, branch=branch, length=len(body)
        )
        for opened in [self.caller, *self.providers.values()]:
            _drain(opened)
        seen: dict[str, int] = {"sent": time.time_ns()}
        self.caller.sendto((invite + body).encode(), program)
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            for ready in select.select([self.caller, *self.providers.values()], [], [], left)[0]:
                data, arrived, source = _receive(ready)
                if ready is self.caller:
                    status = int(data[8:11])
                    if status >= 200:
                        self._acknowledge(invite, data, source)
                        if last[0] in seen:
                            return seen
                    continue
                address = ready.getsockname()
                if not data.startswith(b"INVITE") or address[0] in seen:
                    continue
                seen[address[0]] = arrived
                if answers.get(address, 0):
                    reply = _response(data, answers[address])
                    seen[f"{address[0]} answered"] = time.time_ns()
                    ready.sendto(reply, source)
        return seen

    def _acknowledge(self, invite: str, response: bytes, program: Address) -> None:
        """The ACK to a failure carries the INVITE's Via and the response's To (RFC 3261 §17.1.1.3)."""
        head = invite.split("\r\n\r\n")[0].splitlines()
        to = next(line for line in response.decode().split("\r\n") if line.lower().startswith(("to:", "t:")))
        lines = [
            head[0].replace("INVITE", "ACK", 1),
            head[1],
            head[2],
            head[3],
            to,
            head[5],
            "CSeq: 1 ACK",
            "Content-Length: 0",
        ]
        self.caller.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), program)


def _socket(address: Address) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    opened.bind(address)
    return opened


def _receive(opened: socket.socket) -> tuple[bytes, int, Address]:
    data, ancillary, _, source = opened.recvmsg(65535, 64)
    stamp = next(
        (value for level, kind, value in ancillary if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS)), b""
    )
    seconds, nanoseconds = _TIMESPEC.unpack(stamp[: _TIMESPEC.size])
    return data, seconds * 1_000_000_000 + nanoseconds, source


def _drain(opened: socket.socket) -> None:
    while select.select([opened], [], [], 0)[0]:
        opened.recv(65535)


def _response(invite: bytes, status: int) -> bytes:
    copied = (b"via:", b"from:", b"to:", b"call-id:", b"cseq:", b"record-route:")
    lines = [line for line in invite.split(b"\r\n\r\n")[0].split(b"\r\n")[1:] if line.lower().startswith(copied)]
    lines = [line + b";tag=probe" if line.lower().startswith(b"to:") else line for line in lines]
    return b"\r\n".join([b"SIP/2.0 %d Probe" % status, *lines, b"Content-Length: 0", b"", b""])


@contextlib.contextmanager
def prompt() -> Iterator[None]:
    """Raises this process's priority meanwhile, where it may: the clock is not to be read late."""
    old = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, old)
