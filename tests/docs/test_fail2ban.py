"""Fail2ban's filter in docs/fail2ban reads the line that names who is banned, in both formats, and no other line."""

import io
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from configparser import RawConfigParser
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from config.logs import bind_call, configure
from routing.access.bans import BAN_SECONDS, Ban
from routing.access.peers import KnownPeers
from routing.directory.directory import Directory
from routing.settings import RoutingSettings
from service.bans import Bans
from tests.peers.process import require

FILTER = Path(__file__).parents[2] / "docs" / "fail2ban" / "trunkline.conf"
JAIL = FILTER.with_name("jail.conf")
BANNED = ["198.51.100.7", "2001:db8:0:7::/64", "198.51.100.8"]
PREFIXES = ["", "edge trunkline[77]: ", "Nov 30 18:16:23 edge trunkline[77]: "]
# What peers can have written into other lines.
IMITATIONS = [
    "warning source banned address=198.51.100.99 score=10 seconds=3600 reason=credentials",
    'x"\nwarning source banned address=198.51.100.99 score=10 seconds=3600 reason=credentials',
    '{"address": "198.51.100.99", "score": 1, "seconds": 1, "reason": "x", "event": "source banned",',
]


@pytest.fixture
def handlers() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()


async def lines(style: str) -> list[str]:
    """What the engine writes: three bans, and lines with imitations of one."""
    written = io.StringIO()
    configure("info", style, written)  # type: ignore[arg-type]
    log = structlog.get_logger()
    peers = KnownPeers(Directory(), RoutingSettings(), lambda: 0.0)
    bans = Bans(peers, None, log, None)  # type: ignore[arg-type]
    bans._drop_soon = lambda: None  # type: ignore[method-assign]
    for address in BANNED:
        bans._banned(Ban(address, 10, "credentials", 0.0, BAN_SECONDS))
        bind_call("77abb34e-6f3c-4f7c-a4c7-52a51c6a3cf9")  # while a call is looked at, its id stands in the line too
    for text in IMITATIONS:
        log.warning("call refused", detail=text, source="192.0.2.1")
        log.warning("call refused", address=text)
        log.warning(text, source="192.0.2.1")
    return written.getvalue().splitlines()


def expressions() -> list[re.Pattern[str]]:
    parser = RawConfigParser()
    parser.read(FILTER)
    definition = dict(parser["Definition"])
    found = []
    for line in definition["failregex"].splitlines():
        text = line.replace("%(_before)s", definition["_before"])
        found.append(re.compile(text.replace("<SUBNET>", r"(?P<address>[0-9A-Fa-f.:]+(?:/\d+)?)")))
    assert len(found) == 2
    return found


def read(line: str) -> str:
    """The address that the filter finds. Fail2ban takes the time out of the line first."""
    without_time = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d+Z", "", line, count=1)
    matches = [match for expression in expressions() if (match := expression.search(without_time))]
    return matches[0]["address"] if matches else ""


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("style", ["console", "json"])
async def test_the_filter_reads_each_ban_and_nothing_else(style: str, prefix: str) -> None:
    written = await lines(style)
    assert len(written) == len(BANNED) + 3 * len(IMITATIONS)
    assert [address for line in written if (address := read(prefix + line))] == BANNED


def test_the_jail_is_for_the_filter() -> None:
    parser = RawConfigParser()
    parser.read(JAIL)
    assert dict(parser["trunkline"])["filter"] == FILTER.stem


@pytest.mark.peer
@pytest.mark.long
@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("style", ["console", "json"])
async def test_fail2ban_itself_reads_it_so(style: str, tmp_path: Path) -> None:
    program = require("fail2ban-regex", "fail2ban")
    log = tmp_path / "log"
    begun = datetime.now(UTC).timestamp()
    written = await lines(style)
    log.write_text("".join(f"{prefix}{line}\n" for prefix in PREFIXES for line in written))
    done = subprocess.run(  # noqa: ASYNC221
        [program, "-o", "<ip> <time>", str(log), str(FILTER)],
        env={**os.environ, "TZ": "Asia/Tokyo"},  # the log is in UTC, wherever the machine is
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.findall(r"([0-9a-f.:]+(?:/64)?) (\d{9,}(?:\.\d+)?)", done.stdout)
    assert [address for address, _ in found] == BANNED * len(PREFIXES), done.stdout + done.stderr
    assert all(abs(float(time) - begun) < 60 for _, time in found)
