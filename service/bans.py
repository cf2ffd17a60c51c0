"""Bans carried out: the line that names who is banned, connections closed, and the file of denied addresses."""

import asyncio
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from engine.log import Log, RateLimitedLog
from engine.user_agent import UserAgent
from engine.worker import Worker
from routing.access.bans import BAN_SECONDS, Ban
from routing.access.peers import KnownPeers
from routing.addresses import AddressTable

LOOK_EVERY: Final = 5.0  # s
MOST_FAULTS: Final = 20  # lines of a file that are logged, each time that it is read

Stamp = tuple[int, int, int]


class Bans:
    """What follows from a ban, and a worker that reads `deny_file` whenever it has changed.

    Attributes:
        deny_file: Replaced when the configuration is reloaded.
    """

    def __init__(self, peers: KnownPeers, agent: UserAgent, log: Log, deny_file: Path | None) -> None:
        self.deny_file = deny_file
        self._peers = peers
        self._agent = agent
        self._log = log
        self._lines = RateLimitedLog(time.monotonic)
        self._read: tuple[Path, Stamp] | None = None  # what the file was when it was read
        self._unreadable: Path | None = None  # said once
        self._worker = Worker("deny file", self.look, first=LOOK_EVERY, every=LOOK_EVERY)
        self._dropping: asyncio.Handle | None = None
        peers.bans.observers.append(self._banned)

    def start(self) -> None:
        """Look after the file from now on."""
        self._worker.start()

    async def close(self) -> None:
        """End the task."""
        if self._dropping is not None:
            self._dropping.cancel()
        await self._worker.close()

    # ---- a ban

    def _banned(self, ban: Ban) -> None:
        # docs/fail2ban/ has the filter that reads "source banned". A firewall that shut out an address for what a web
        # page did there would shut out its phones.
        self._lines.write(
            self._log.warning,
            "",
            "web pages banned" if ban.web_pages else "source banned",
            address=ban.shown,
            score=ban.score,
            seconds=round(BAN_SECONDS),
            reason=ban.reason,
        )
        self._drop_soon()

    def _drop_soon(self) -> None:
        """Connections are closed in a turn of their own: what is answered at this moment shall get out."""
        if self._dropping is None:
            self._dropping = asyncio.get_running_loop().call_soon(self._drop)

    def _drop(self) -> None:
        self._dropping = None
        self._agent.drop_banned()

    # ---- the file

    async def look(self) -> None:
        """Read the file if it is another one than last time. One that cannot be read leaves what was."""
        path = self.deny_file
        if path is None:
            self._read = self._peers.denied = None
            return
        try:
            stamp = await asyncio.to_thread(_stamp, path)
            if self._read == (path, stamp):
                return
            denied, faults, count = await asyncio.to_thread(_read, path)
        except OSError as error:
            if self._unreadable != path:
                self._unreadable = path
                self._log.warning("deny file not read", file=str(path), error=error.strerror or str(error))
            return
        self._unreadable = None
        self._read = (path, stamp)
        self._peers.denied = denied
        for number, problem in faults[:MOST_FAULTS]:
            self._log.warning("line of the deny file skipped", file=str(path), line=number, problem=problem)
        self._log.info("deny file read", file=str(path), entries=count, skipped=len(faults))
        self._drop_soon()


def read_networks(lines: Iterable[str]) -> tuple[AddressTable[bool], list[tuple[int, str]], int]:
    """The addresses and networks, one a line, `#` before a comment; the number of each line that is none, and what is
    wrong with it; and how many were read."""
    table: AddressTable[bool] = AddressTable()
    faults: list[tuple[int, str]] = []
    count = 0
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            table.add(text, True)
            count += 1
        except ValueError as error:
            faults.append((number, str(error)[:200]))
    return table, faults, count


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "is no file")  # a pipe would be waited for
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> tuple[AddressTable[bool], list[tuple[int, str]], int]:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return read_networks(lines)
