"""The API behind a real HTTP server on a free port, in a thread and a loop of its own: for clients that block."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import structlog

from api.app import make_app
from service.cdr.record_writer import CallRecordWriter
from service.rest.server import ApiServer
from service.workers.flow_sync import FlowSync
from store.directory.sync import DirectorySync
from store.feed import ChangeFeed
from tests.api.conftest import Api, opened

T = TypeVar("T")


class NobodyThere:
    """Dials in place of the engine: nobody is reached, and nothing is sent."""

    def dial(self, spec: Any, _caller: Any = None, _early_media: bool = True) -> Any:
        """As for an address where nobody listens."""
        raise ConnectionRefusedError(f"nobody listens at {spec.destination}")


@asynccontextmanager
async def _calls(api: Api) -> AsyncIterator[None]:
    """Calls by what the store holds, written into it."""
    services, log = api.services, structlog.get_logger()
    flows = services.flows
    flows.calls.dialler = NobodyThere()
    feed = ChangeFeed(
        api.store, DirectorySync(api.store, flows.calls.directory, FlowSync(flows.library, log), log), log
    )
    journal = CallRecordWriter(api.store, flows.calls.registry, services.node_id, log, flows.calls.clock)
    await feed.start()
    journal.start()
    services.settled, services.stored = feed.settled, journal.stored
    try:
        yield
    finally:
        await flows.close()
        await journal.close()
        await feed.close()


class LiveApi:
    """A running API. `address` is like http://127.0.0.1:40123."""

    def __init__(self) -> None:
        self.address = ""
        self.api: Api
        self.loop: asyncio.AbstractEventLoop
        self.stop: asyncio.Event
        self.ready = threading.Event()
        self.failure: BaseException | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def _serve(self, url: str) -> None:
        self.loop = asyncio.get_running_loop()
        async with opened(url) as self.api, _calls(self.api):
            server = ApiServer(make_app(self.api.services), "127.0.0.1:0")
            await server.start()
            self.address = server.url
            self.stop = asyncio.Event()
            self.ready.set()
            await self.stop.wait()
            await server.close()

    def thread(self, url: str) -> None:
        try:
            asyncio.run(self._serve(url))
        except BaseException as error:
            self.failure = error
        finally:
            self.ready.set()

    @classmethod
    @contextmanager
    def on(cls, url: str) -> Iterator["LiveApi"]:
        """Serve the store of this URL until the block ends."""
        live = cls()
        thread = threading.Thread(target=live.thread, args=(url,))
        thread.start()
        live.ready.wait(30)
        try:
            if live.failure is not None:
                raise live.failure
            yield live
        finally:
            if live.address:
                live.loop.call_soon_threadsafe(live.stop.set)
            thread.join(30)
