"""The API behind a real HTTP server on a free port, in a thread and a loop of its own: for clients that block."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn

from api.app import make_app
from tests.api.conftest import Api, opened

T = TypeVar("T")


class LiveApi:
    """A running API. `address` is like http://127.0.0.1:40123."""

    def __init__(self) -> None:
        self.address = ""
        self.api: Api
        self._loop: asyncio.AbstractEventLoop
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._server: uvicorn.Server | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self, url: str) -> None:
        self._loop = asyncio.get_running_loop()
        async with opened(url) as self.api:
            config = uvicorn.Config(make_app(self.api.services), log_level="error", lifespan="off")
            self._server = _Quiet(config)
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            serving = asyncio.ensure_future(self._server.serve([listener]))
            self.address = f"http://127.0.0.1:{port}"
            self._ready.set()
            await serving

    def _thread(self, url: str) -> None:
        try:
            asyncio.run(self._serve(url))
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    @classmethod
    @contextmanager
    def on(cls, url: str) -> Iterator["LiveApi"]:
        """Serve the store of this URL until the block ends."""
        live = cls()
        thread = threading.Thread(target=live._thread, args=(url,))
        thread.start()
        live._ready.wait(30)
        try:
            if live._failure is not None:
                raise live._failure
            yield live
        finally:
            if live._server is not None:
                live._server.should_exit = live._server.force_exit = True
            thread.join(30)


class _Quiet(uvicorn.Server):
    """Signals are the test runner's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None."""
        yield
