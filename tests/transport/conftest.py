"""A sink that records, and event loops that must be left as they were found."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engine.sip.flow import Flow
from engine.transport.handshake.faults import HandshakeFault

WAIT = 30.0


class Recorder:
    """The engine's side in these tests: what arrives can be awaited."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.failures: list[tuple[Flow, bytes | None, str]] = []
        self.ended: list[tuple[Flow, str]] = []
        self.flow: Flow | None = None
        self.refused: set[str] = set()  # hosts
        self.friends: set[str] = set()  # hosts
        self.strange: list[Flow] = []
        self.faults: list[HandshakeFault] = []
        self.on_message: Callable[[bytes, Flow], None] | None = None
        self._changed = asyncio.Event()

    def received(self, data: bytes, flow: Flow) -> None:
        self.messages.append(data)
        self.flow = flow
        self._changed.set()
        if self.on_message:
            self.on_message(data, flow)

    def closed(self, flow: Flow, error: str) -> None:
        self.ended.append((flow, error))
        self._changed.set()

    def failed(self, flow: Flow, data: bytes | None, error: str) -> None:
        self.failures.append((flow, data, error))
        self._changed.set()

    def sent(self, flow: Flow, data: bytes) -> None:
        pass

    def known(self, host: str) -> bool:
        return host in self.friends

    def banned(self, host: str) -> bool:
        return host in self.refused

    def not_sip(self, flow: Flow, error: str) -> None:
        self.strange.append(flow)
        self._changed.set()

    def unframed(self, flow: Flow, head: bytes, error: str) -> None:
        pass

    def insecure(self, flow: Flow, fault: HandshakeFault) -> None:
        self.faults.append(fault)
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until the condition holds, looking whenever something arrives."""
        async with asyncio.timeout(WAIT):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def message(self, count: int = 1) -> bytes:
        await self.until(lambda: len(self.messages) >= count)
        return self.messages[count - 1]

    async def failure(self, count: int = 1) -> tuple[Flow, bytes | None, str]:
        await self.until(lambda: len(self.failures) >= count)
        return self.failures[count - 1]


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


def _sockets() -> set[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        except OSError:
            continue  # the descriptor of the listing itself
    return {name for name in found if name.startswith("socket:")}


def _loop_factories() -> list[Any]:
    found: list[Any] = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        return found
    return [*found, pytest.param(uvloop.new_event_loop, id="uvloop")]


@pytest.fixture(params=_loop_factories())
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    """Runs a test's coroutine on asyncio's loop and on uvloop; it must leave no task, socket or loop error behind."""

    def runner(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        errors: list[dict[str, Any]] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: errors.append(context))
            before = _sockets()
            async with asyncio.timeout(2 * WAIT):
                await test()
            for _ in range(5):  # a loop closes sockets a turn or two later
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert _sockets() <= before

        with asyncio.Runner(loop_factory=request.param) as loop_runner:
            loop_runner.run(main())
        assert not errors

    return runner
