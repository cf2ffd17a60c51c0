"""What the kernel knows of a process and of UDP: CPU time, memory, dropped datagrams, all read from /proc."""

import os
import platform
import time
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it, as of now (a program may fork its workers)."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def cpu_ns(pids: list[int]) -> int:
    """Nanoseconds on a CPU of `pids`, by their own clocks: threads that have ended count; processes gone do not."""
    total = 0
    for pid in pids:
        try:
            total += time.clock_gettime_ns(~pid << 3 | 2)  # clock_getcpuclockid(3)
        except OSError:
            continue
    return total


def waited_ns(pids: list[int]) -> int:
    """Nanoseconds that the threads of `pids` were ready to run but another process had the core (second field)."""
    total = 0
    for pid in pids:
        for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(schedstat.read_text().split()[1])
            except OSError:
                continue
    return total


def memory_bytes(pids: list[int]) -> int:
    """Bytes of memory of `pids` (Pss of smaps_rollup: what forked workers share counts once)."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def udp_drops() -> int:
    """Datagrams that the kernel dropped at full socket buffers, of all IPv4 sockets so far."""
    names, values = [
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Udp:")
    ]
    counters = dict(zip(names, values, strict=True))
    return int(counters["RcvbufErrors"]) + int(counters["SndbufErrors"])


def pin(core: int | None) -> list[str]:
    """The words in front of a command that keep it on one core; none where the machine has a single core."""
    if core is None or (os.cpu_count() or 1) <= core:
        return []
    return ["taskset", "-c", str(core)]


def machine() -> str:
    """One line on where this ran: processor, cores, kernel, Python."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, CPython {platform.python_version()}"
