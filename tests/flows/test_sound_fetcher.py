"""Sounds of the web, for flows: guarded and bounded as webhooks are, with a size of their own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.audio.errors import SoundError
from engine.audio.library import SoundLibrary
from service.sounds import sound_fetcher

URL = "https://sounds.example.com/a.wav?key=secret"


class Site:
    """A web server behind httpx's mock, and the names that lead to it."""

    def __init__(self, world: Any) -> None:
        self.services = world.services
        self.answer = httpx.Response(200, content=b"sound")
        self.addresses = ["93.184.216.34"]
        self.requests: list[httpx.Request] = []
        self.hangs = False
        self.services.web.resolve_host = self.resolve

    async def resolve(self, host: str, port: int) -> list[str]:
        return self.addresses

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.hangs:
            await asyncio.Event().wait()
        return self.answer

    async def fetch(self, url: str = URL, largest: int = 100_000) -> bytes:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self.handle)) as client:
            self.services.web.http = client
            return await sound_fetcher(self.services.web, largest)(url)


@pytest.fixture
def site(world: Any) -> Site:
    return Site(world)


async def test_the_body_comes_from_the_address_that_was_checked(site: Site) -> None:
    assert await site.fetch() == b"sound"
    (request,) = site.requests
    assert (request.method, request.url.host) == ("GET", "93.184.216.34")
    assert request.headers["host"] == "sounds.example.com"
    assert request.headers["accept"].startswith("audio/*")
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:192.168.0.1"])
async def test_private_addresses_are_not_asked(site: Site, address: str) -> None:
    site.addresses = [address]
    with pytest.raises(SoundError, match=r"is private; set webhook.allow_private to allow it"):
        await site.fetch()
    assert site.requests == []


async def test_a_private_address_where_it_is_allowed(site: Site) -> None:
    site.addresses = ["127.0.0.1"]
    site.services.web.limits.allow_private = True
    assert await site.fetch() == b"sound"


async def test_sounds_may_be_larger_than_webhooks_up_to_their_own_bound(site: Site) -> None:
    site.answer = httpx.Response(200, content=bytes(100_000))
    assert len(await site.fetch()) == 100_000 > site.services.web.limits.body
    site.answer = httpx.Response(200, content=bytes(100_001))
    with pytest.raises(SoundError, match=r"^the answer of https://.*/a.wav is longer than 100000 bytes$"):
        await site.fetch()


async def test_an_answer_without_end_is_not_read_to_it(site: Site) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10_000
            yield bytes(10_000)

    site.answer = httpx.Response(200, content=endless())
    with pytest.raises(SoundError, match="is longer than 100000 bytes"):
        await site.fetch()
    assert sent <= 120_000


@pytest.mark.parametrize("status", [204, 206, 302, 404, 500])
async def test_an_answer_that_is_no_sound(site: Site, status: int) -> None:
    site.answer = httpx.Response(status, headers={"Location": "http://127.0.0.1/"})
    with pytest.raises(SoundError, match=f"^https://sounds.example.com/a.wav answered {status}$"):
        await site.fetch()
    assert len(site.requests) == 1


async def test_a_server_that_hangs(site: Site) -> None:
    site.hangs = True
    site.services.web.limits.timeout = 0.02
    with pytest.raises(SoundError, match=r"a.wav did not answer within 0.02 s"):
        await site.fetch()


@pytest.mark.parametrize("turns", range(6))
async def test_a_request_that_is_cancelled_twice_gives_its_connection_back(site: Site, turns: int) -> None:
    """A time-out within a time-out: the second comes while httpx closes what the first has ended."""
    asked, ended = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        ended.set()
        writer.close()

    site.services.web.limits.allow_private = True
    site.addresses = ["127.0.0.1"]
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server, httpx.AsyncClient() as client:
        site.services.web.http = client
        port = server.sockets[0].getsockname()[1]
        fetching = asyncio.ensure_future(sound_fetcher(site.services.web, 1000)(f"http://site.example.com:{port}/"))
        await asked.wait()
        fetching.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        fetching.cancel()
        await asyncio.wait_for(ended.wait(), 30)
        await asyncio.wait([fetching])
        assert fetching.cancelled()


async def test_a_library_plays_what_comes(site: Site, tmp_path: Path) -> None:
    from tests.audio.signals import sine, write

    site.answer = httpx.Response(200, content=write(None, sine(1000, 0.5, 8000), 8000))
    async with httpx.AsyncClient(transport=httpx.MockTransport(site.handle)) as client:
        site.services.web.http = client
        library = SoundLibrary(tmp_path, fetch=sound_fetcher(site.services.web, 100_000))
        assert (await library.load(URL)).seconds == pytest.approx(0.5)
        await library.close()
