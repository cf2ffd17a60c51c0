"""Lines about strangers: bounded, and shared between them."""

from typing import Any

import pytest

from engine import log as engine_log
from engine.log import BURST, BURST_OF_ONE, LINES, LINES_OF_ONE, LONGEST, MOST_COUNTED, RateLimitedLog


class Log:
    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[dict[str, Any]] = []
        self.strangers = RateLimitedLog(lambda: self.now)

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append({"event": event, **values})

    def tell(self, source: str, kind: str = "403", event: str = "call refused") -> None:
        self.strangers.write(self.warning, kind, event, source=source)

    def of(self, source: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["source"] == source]


@pytest.mark.parametrize("quiet", ["198.51.100.2", "2001:db8:2::1"])
@pytest.mark.parametrize("loud", ["198.51.100.1", "2001:db8:1::1"])
def test_a_loud_stranger_does_not_hide_a_quiet_one(loud: str, quiet: str) -> None:
    log = Log()
    for second in range(60):
        log.now = float(second)
        for _ in range(1_000):
            log.tell(loud)
        if second % 10 == 0:
            log.tell(quiet)
    assert len(log.of(quiet)) == 6
    assert BURST_OF_ONE <= len(log.of(loud)) <= BURST_OF_ONE + 60 * LINES_OF_ONE + 1
    last = log.of(loud)[-1]
    assert last["unlogged"] >= 1_000  # and how much it was can be seen


def test_an_ipv6_customer_is_one_stranger() -> None:
    log = Log()
    for number in range(1, 100):
        log.tell(f"2001:db8:1:2::{number:x}")
    assert len(log.lines) == BURST_OF_ONE


def test_strangers_without_end_are_bounded_together() -> None:
    log = Log()
    for number in range(20_000):
        log.now = number / 1_000
        log.tell(f"198.51.{number // 250}.{number % 250}")
    assert len(log.lines) <= BURST + 20 * LINES + 1
    assert log.strangers.remembered <= MOST_COUNTED


def test_kinds_and_events_have_lines_of_their_own() -> None:
    log = Log()
    for _ in range(10):
        for kind in ("403", "404"):
            for event in ("call refused", "message refused"):
                log.tell("198.51.100.1", kind, event)
    assert len(log.lines) == 4 * BURST_OF_ONE


def test_what_was_not_logged_is_counted_once_in_the_next_line() -> None:
    log = Log()
    for _ in range(BURST_OF_ONE + 7):
        log.tell("198.51.100.1")
    log.now = 1 / LINES_OF_ONE
    log.tell("198.51.100.1")
    log.now *= 2
    log.tell("198.51.100.1")
    assert [line.get("unlogged") for line in log.lines] == [None] * BURST_OF_ONE + [7, None]


def test_a_line_that_names_nobody_is_bounded_too() -> None:
    log = Log()
    for _ in range(100):
        log.strangers.write(log.warning, "", "odd")
    assert len(log.lines) == BURST_OF_ONE == engine_log.BURST_OF_ONE


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1, 60_000])
def test_a_stranger_fills_no_line_with_its_text(length: int) -> None:
    log = Log()
    log.strangers.write(log.warning, "", "credentials refused", user="B" * length, status=403, source="198.51.100.1")
    [line] = log.lines
    assert line["user"] == ("B" * length if length <= LONGEST else "B" * LONGEST + "...")
    assert (line["status"], line["source"]) == (403, "198.51.100.1")
