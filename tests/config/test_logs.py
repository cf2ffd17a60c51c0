"""Logs: one line per event whatever peers put into it, the call's id on every line, JSON that is JSON, UTC."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest
import structlog

from config import logs


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture
def log_to() -> Callable[..., io.StringIO]:
    def log_to(level: str = "info", style: str = "console") -> io.StringIO:
        stream = io.StringIO()
        logs.configure(level, style, stream)  # type: ignore[arg-type]
        return stream

    return log_to


def test_a_line_is_time_in_utc_level_event_and_values(log_to: Callable[..., io.StringIO]) -> None:
    stream = log_to()
    structlog.get_logger().info("call arrived", source="192.0.2.1", status=200, empty="")
    line = stream.getvalue()
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z info    call arrived source=192\.0\.2\.1 status=200 empty=""\n', line
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", '"a\\x0ab"'),
        ("\r\x1b[2J\x1b]0;title\x07", '"\\x0d\\x1b[2J\\x1b]0;title\\x07"'),
        ("\x7f\x9b", '"\\x7f\\x9b"'),
        ("\u2028\u202e\ufeff", '"\\u2028\\u202e\\ufeff"'),
        ("\udcff\ud800", '"\\xff\\ud800"'),
        ("Grüße 😀", '"Grüße 😀"'),
        ('"x"', '"\\"x\\""'),
        ("a=b", '"a=b"'),
        ("plain", "plain"),
    ],
)
def test_what_a_terminal_would_act_upon_is_shown_escaped(
    log_to: Callable[..., io.StringIO], text: str, shown: str
) -> None:
    stream = log_to()
    structlog.get_logger().info("request", agent=text)
    assert stream.getvalue().endswith(f" request agent={shown}\n")


def test_names_and_events_are_escaped_too(log_to: Callable[..., io.StringIO]) -> None:
    stream = log_to()
    structlog.get_logger().warning("a\nb", **{"x\ny": 1})
    assert stream.getvalue().count("\n") == 1


def test_a_traceback_cannot_pass_for_log_lines(log_to: Callable[..., io.StringIO]) -> None:
    stream = log_to()
    try:
        raise ValueError("one\n2026-01-01T00:00:00Z info    forged")
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("failed")
    assert rest
    assert all(line.startswith("    | ") for line in rest)


def test_every_line_of_a_call_carries_its_id(log_to: Callable[..., io.StringIO]) -> None:
    stream = log_to()
    logs.bind_call("0b5e")
    structlog.get_logger().info("ringing")
    assert "ringing call_id=0b5e" in stream.getvalue()


def test_json_lines_are_json_and_ascii(log_to: Callable[..., io.StringIO]) -> None:
    stream = log_to(style="json")
    structlog.get_logger().error("refused", reason="\x1b\x9b\udcff\nü", body=b"\x00")
    line = stream.getvalue()
    assert line.isascii()
    assert "\x1b" not in line
    event = json.loads(line)
    assert (event["event"], event["level"], event["reason"]) == ("refused", "error", "\x1b\x9b\udcff\nü")
    assert event["timestamp"].endswith("Z")


def test_below_the_level_nothing_is_written_and_can_be_asked(log_to: Callable[..., io.StringIO]) -> None:
    stream = log_to("warning")
    log = structlog.get_logger()
    log.info("no")
    log.debug("no")
    assert not log.is_enabled_for(logging.INFO)
    assert log.is_enabled_for(logging.WARNING)
    assert stream.getvalue() == ""


def test_warnings_of_libraries_come_in_the_same_form(log_to: Callable[..., io.StringIO]) -> None:
    stream = log_to()
    logging.getLogger("asyncio").info("no")
    logging.getLogger("asyncio").warning("slow %s", "a\nb")
    assert stream.getvalue().endswith("warning slow a\\x0ab logger=asyncio\n")
