"""How a command runs and what it says: exit codes, errors on one line each, and the event loop."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from config.faults import ConfigurationError
from config.logs import escape
from service.cli.support import interrupts

DONE, FAILED, WRONG = 0, 1, 2


def complain(line: str) -> None:
    """An error, on standard error."""
    print(f"trunkline: {escape(line)}", file=sys.stderr)


def show_faults(error: ConfigurationError) -> None:
    """All faults of a configuration."""
    # FILE:LINE stands first, where editors look for it.
    for fault in error.faults:
        print(escape(str(fault)), file=sys.stderr)


def one_line(text: str) -> str:
    """The words of a text on one line."""
    return " ".join(text.split())


def run(program: Coroutine[Any, Any, int]) -> int:
    """Run a program in the fastest event loop there is. Ctrl-C and SIGTERM cancel it, and it may clean up."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(interrupts.cancelled(program))
