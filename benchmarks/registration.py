"""What a registration costs, beside Kamailio's registrar; and what many of them take in memory and at a start.

    python -m benchmarks.registration [--phones 3000] [--rate 300] [--rounds 3] [--bindings 100000]

A registration is two REGISTERs, the first of which is answered 401: digest with MD5, by UDP. The programs take turns;
what counts is their ratio within a round. Kamailio runs with both of its allocators, and keeps bindings in memory
alone; "trunkline-stored" writes them to SQLite. CPU is the process's own, whatever else runs beside it.
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import structlog
import yaml

from benchmarks import proc
from benchmarks.load import GENERATOR_CORE, SCENARIOS
from benchmarks.programs import ADDRESS, Program, Running, program
from engine.sip.auth.digest import ha1_of_each
from routing.access.peers import KnownPeers
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.location import Location
from routing.settings import RoutingSettings
from service.phones.binding_store import BindingStore
from service.phones.contacts import ExtensionContacts
from service.phones.keep_alive import KeepAlive
from service.phones.returning import ReturningPhones
from service.phones.revocation import Revocation
from store.resources import bindings
from store.store import Store

PHONES_AT = "127.0.1.9"
PROGRAMS = ("kamailio", "trunkline", "kamailio-qm", "trunkline-stored")
"""In the order of their turns. Kamailio with its fast allocator (`-x fm`), and as Debian starts it (`-x qm`)."""


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def prepared(name: str, phones: int, directory: Path) -> Program:
    """The program, with an extension for each phone."""
    if name.startswith("kamailio"):
        return program(name, "registrar")
    file = directory / f"{name}.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "log": {"level": "warning"},
                "store": ":memory:" if name == "trunkline" else f"sqlite:///{directory}/{time.monotonic_ns()}.db",
                "api": {"listen": ""},
                "sip": {"listen": [f"udp://{ADDRESS[0]}:{ADDRESS[1]}"], "trusted_networks": []},
                "extensions": [{"name": f"u{number}", "password": "secret"} for number in range(phones)],
            }
        ),
        encoding="utf-8",
    )
    binary = Path(sys.executable).parent / "trunkline"
    return Program(name, "registrar", [str(binary), "serve", "-c", str(file)], {})


def registered(phones: int, rate: int, directory: Path) -> int:
    """All phones register at this rate; how many failed."""
    fields = directory / "phones.csv"
    lines = [f"u{number};[authentication username=u{number} password=secret]" for number in range(phones)]
    fields.write_text("\n".join(["SEQUENTIAL", *lines, ""]), encoding="utf-8")
    words = [
        *proc.pin(GENERATOR_CORE),
        "sipp",
        f"{ADDRESS[0]}:{ADDRESS[1]}",
        "-sf",
        str(SCENARIOS / "register.xml"),
        "-inf",
        str(fields),
    ]
    words += ["-i", PHONES_AT, "-p", "5066", "-m", str(phones), "-r", str(rate), "-l", "20000", "-nostdin"]
    words += ["-buff_size", "4194304", "-trace_stat", "-stf", str(directory / "stat.csv"), "-fd", "1"]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False, timeout=60 + phones / rate)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"SIPp ended with {done.returncode}: {done.stderr[-300:]}")
    last = (directory / "stat.csv").read_text(encoding="utf-8").splitlines()
    values = dict(zip(last[0].split(";"), last[-1].split(";"), strict=False))
    return int(values["FailedCall(C)"])


def cost(name: str, phones: int, rate: int) -> tuple[float, int]:
    """Microseconds of CPU for each registration, and how many failed."""
    with tempfile.TemporaryDirectory(prefix="bench-registration-") as folder:
        directory = Path(folder)
        running = Running(prepared(name, phones, directory))
        try:
            before = proc.cpu_ns(running.pids)
            failed = registered(phones, rate, directory)
            time.sleep(1.5)  # what is written behind counts
            return (proc.cpu_ns(running.pids) - before) / phones / 1000, failed
        finally:
            running.close()


def _round(number: int, phones: int, rate: int) -> dict[str, float]:
    """What each program spends, one after the other."""
    spent = {}
    for name in PROGRAMS:
        spent[name], failed = cost(name, phones, rate)
        say(f"round {number}: {name} {spent[name]:.0f} us, {failed} failed, load {os.getloadavg()[0]:.1f}")
    return spent


def resident_mb() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


async def many(count: int) -> None:
    """Time and memory of a start with so many registrations in the store."""
    with tempfile.TemporaryDirectory(prefix="bench-bindings-") as folder:
        store = await Store.open(f"sqlite:///{folder}/bench.db")
        directory, log = Directory(), structlog.get_logger()
        ha1 = ha1_of_each("u", "trunkline", "secret")
        for number in range(count):
            directory.put_extension(ExtensionRow(id=uuid4(), name=f"u{number}", realm="trunkline", ha1=ha1))
        listener: Any = SimpleNamespace(name="udp", reliable=False, local=("192.0.2.1", 5060))
        host, port = listener.local
        now = store.clock()
        for first in range(0, count, 20_000):
            rows = [
                _row(number, f"{listener.name}/{host}:{port}", now)
                for number in range(first, min(first + 20_000, count))
            ]
            await bindings.write(store, rows, (), ())
        del rows
        memory, began = resident_mb(), time.perf_counter()
        location = Location()
        peers = KnownPeers(directory, RoutingSettings(), time.monotonic)
        # All that watches a location in a node.
        returning = ReturningPhones(location, time.monotonic)
        watching = [Revocation(directory, location), ExtensionContacts(directory, location, time.monotonic, None)]
        endpoint: Any = None
        keep_alive = KeepAlive(
            location, lambda: endpoint, lambda: "", lambda name: True, log, interval=25, clock=time.monotonic
        )
        keeper = BindingStore(store, "bench", location, directory, peers, log, time.monotonic, returning)
        await keeper.load()
        read = time.perf_counter() - began
        peak = resident_mb() - memory
        kept = keeper.restore([listener])
        keep_alive.start()
        took = time.perf_counter() - began
        print(f"{kept} registrations: read in {read:.1f} s, back in {took:.1f} s")
        print(f"memory: {resident_mb() - memory:.0f} MB beside the extensions' own, {peak:.0f} MB while they are read")
        await keep_alive.close()
        del watching
        await store.close()


def _row(number: int, listener: str, now: datetime) -> bindings.Row:
    contact = f"<sip:u{number}-0x5627@198.51.100.7:{1024 + number % 60000};transport=udp>"
    return {
        "id": str(uuid4()), "node": "bench", "extension": f"u{number}", "contact": contact,
        "expires_place": len(contact), "uri": contact.strip("<>"), "q": 1.0,
        "instance": f"<urn:uuid:{uuid4()}>", "reg_id": 0, "call_id": f"{uuid4()}@198.51.100.7", "cseq": 2, "path": "",
        "listener": listener, "host": "198.51.100.7", "port": 1024 + number % 60000, "source": "198.51.100.7",
        "user_agent": "Phone/1.0", "natted": False, "tm_create": now, "tm_expire": now + timedelta(hours=1),
    }  # fmt: skip


def main(words: Sequence[str]) -> None:
    """Run what was asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registration", description=__doc__)
    parser.add_argument("--phones", type=int, default=3000)
    parser.add_argument("--rate", type=int, default=300, help="registrations a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bindings", type=int, default=100_000, help="for memory and the start; 0 leaves them out")
    asked = parser.parse_args(words)
    say(f"{proc.machine()}, load {os.getloadavg()[0]:.1f}")
    rounds = [_round(turn + 1, asked.phones, asked.rate) for turn in range(asked.rounds)]
    if rounds:
        print("| program | CPU of a registration | beside Kamailio (fm) | beside Kamailio (qm) |\n|---|---|---|---|")
        for name in PROGRAMS:
            middle = statistics.median(spent[name] for spent in rounds)
            ratios = [
                statistics.median(spent[name] / spent[peer] for spent in rounds) for peer in ("kamailio", "kamailio-qm")
            ]
            print(f"| {name} | {middle:.0f} us | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    if asked.bindings:
        asyncio.run(many(asked.bindings))


if __name__ == "__main__":
    main(sys.argv[1:])
