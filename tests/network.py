"""A network of its own for each process that runs tests, and ports for what has to be bound by number.

As root on Linux every such process, and whatever it starts, has a network namespace with nothing in it but loopback:
programs that listen on the same addresses in two processes, or outside of the tests, do not meet. Elsewhere they share
the machine's network, and what calls with programs on fixed ports runs in one process (tests/conftest.py).

Who can, binds port 0 and keeps what it is given. A port that was free a moment ago may be anybody's, so that
- `reserved_port` is for what another program binds, or what is bound again after a restart;
- `refusing_port` is where nobody listens.
"""

import ctypes
import fcntl
import os
import random
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
# Nothing else has these: Linux gives other ports (32768 on) to whoever asks for none in particular, clients too, one of
# which could connect to itself on the port of a server that is down; engines have their RTP from 20000 on.
_PORTS = range(10000, 15000)
reservations: list[socket.socket] = []


def may_be_own() -> bool:
    """Whether a process may have a network of its own here."""
    try:
        return os.geteuid() == 0 and subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0
    except FileNotFoundError:
        return False


def become_own() -> None:
    """Gives this thread, and the threads and processes that it starts from now on, a network of their own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace was made")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        found = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        (flags,) = struct.unpack_from("H", found, 16)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def reserved_port() -> int:
    """A port that is free on all addresses, UDP and TCP, and that no test is given until this process has ended."""
    for port in random.sample(_PORTS, 200):
        # The name goes with the process, however that ends, and is seen in the same network namespace as the port.
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0trunkline-tests-{port}")
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET6, kind) as probe:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # "::" is all of IPv4, too
                    probe.bind(("::", port))
        except OSError:
            reservation.close()
            continue
        reservations.append(reservation)
        return port
    raise AssertionError("no free port was found")


@contextmanager
def refusing_port(host: str) -> Iterator[int]:
    """A UDP port that refuses what is sent there as one does where nobody listens, and that nobody else can take."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.connect(sock.getsockname()[:2])  # it takes from itself alone: anybody else's is answered by ICMP
        yield sock.getsockname()[1]


def is_bound(host: str, port: int, kind: socket.SocketKind) -> bool:
    """Whether somebody has the port, by the kernel's tables: one who tried to bind it would keep others from it."""
    address = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    # Words of 32 bits, as the machine has them.
    words = struct.unpack(f"={len(address) // 4}I", address)
    wanted = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    table = Path("/proc/net") / (("tcp" if kind == socket.SOCK_STREAM else "udp") + ("6" if ":" in host else ""))
    return any(line.split()[1] == wanted for line in table.read_text().splitlines()[1:])
