"""SIGINT and SIGTERM, which end every command alike.

A shell without job control starts what stands before `&` with SIGINT ignored (POSIX shell §2.11), and Python leaves it
so: nobody who asks for both signals here is caught by that.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)

_handlers: list[Callable[[], None]] = []
"""Who is told, in the loop that runs: the last one."""


def _interrupt(*_: object) -> None:
    """Not `default_int_handler`, which asyncio would replace by one of its own that waits for the loop's next turn."""
    raise KeyboardInterrupt


@contextmanager
def raised() -> Iterator[None]:
    """Either raises KeyboardInterrupt, whatever runs."""
    with _kept():
        if _come_here():
            for number in NUMBERS:
                signal.signal(number, _interrupt)
        yield


def behind(error: BaseException) -> bool:
    """Whether an interrupt is what `error` came of: raised while a module is loaded, it may be wrapped (Python 3.11
    makes a RuntimeError of what comes out of `__set_name__`)."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


@contextmanager
def handled_by(act: Callable[[], None]) -> Iterator[None]:
    """In the running loop, either calls `act`, in place of whoever handled them until then."""
    if not _come_here():
        yield
        return
    loop = asyncio.get_running_loop()
    with _kept():
        _handlers.append(act)
        _install(loop)
        try:
            yield
        finally:
            _handlers.remove(act)
            _install(loop)


def _come_here() -> bool:
    """Signals come to the main thread alone."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _kept() -> Iterator[None]:
    """Whoever handles them now does so again, once nobody else does."""
    before = [(number, signal.getsignal(number)) for number in NUMBERS]
    try:
        yield
    finally:
        if _come_here() and not _handlers:
            for number, handler in before:
                if handler is not None:
                    signal.signal(number, handler)


def _install(loop: asyncio.AbstractEventLoop) -> None:
    for number in NUMBERS:
        if _handlers:
            loop.add_signal_handler(number, _handlers[-1])
        else:
            loop.remove_signal_handler(number)


async def cancelled(program: Coroutine[Any, Any, int]) -> int:
    """`program` in this task, which either signal cancels. Raises KeyboardInterrupt where one has."""
    task = asyncio.current_task()
    assert task is not None
    came = False

    def cancel() -> None:
        nonlocal came
        came = True
        task.cancel()

    with handled_by(cancel):
        try:
            return await program
        except asyncio.CancelledError:
            if came:
                raise KeyboardInterrupt from None
            raise
