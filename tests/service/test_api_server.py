"""The API's listener."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from structlog.testing import capture_logs

from api.http.refusals import Refusals
from api.http.requests import HEADERS
from engine.transport.listeners import ListenError
from service.rest import connections as api_connections
from service.rest import server as api_server
from service.rest.server import ApiServer


async def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY on connections of a listener whose protocol is named, and on no others."""
    server = ApiServer(FastAPI(), "127.0.0.1:0")
    await server.start()
    assert server._socket is not None and server._socket.proto == socket.IPPROTO_TCP
    await server.close()


@pytest.mark.long
async def test_the_server_ends_when_it_is_closed_and_keeps_its_clock_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dates of answers are of the second (RFC 9110 §6.6.1), though nobody looks at the clock ten times in each."""
    ticks: list[int] = []
    ticked = asyncio.Event()
    on_tick = uvicorn.Server.on_tick

    async def counted(server: uvicorn.Server, counter: int) -> bool:
        ticks.append(counter)
        ticked.set()
        return await on_tick(server, counter)

    monkeypatch.setattr(uvicorn.Server, "on_tick", counted)
    server = ApiServer(FastAPI(), "127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(5):
        await ticked.wait()
        ticked.clear()
        await ticked.wait()  # a second later
        assert ticks == [0, 0]  # the count at which uvicorn renews the date
        await server.close()
    assert ticks == [0, 0, 0]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01",  # a client of TLS
    ],
)
async def test_what_anybody_sends_fills_no_log(caplog: pytest.LogCaptureFixture, request_: bytes) -> None:
    """uvicorn has a warning or two for each of these; what is refused is told at a bounded rate (`Refusals`)."""
    server = ApiServer(FastAPI(), "127.0.0.1:0")
    await server.start()
    host, port = server.url.removeprefix("http://").split(":")
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request_)
        assert (await reader.read()).startswith(b"HTTP/1.1 4")
        writer.close()
        await server.close()
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_an_internal_error_is_in_the_log_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.get("/")
    async def fail() -> None:
        raise ZeroDivisionError

    server = ApiServer(app, "127.0.0.1:0")
    await server.start()
    async with httpx.AsyncClient() as http:
        assert (await http.get(server.url)).status_code == 500
    await server.close()
    assert [record.levelname for record in caplog.records if record.name.startswith("uvicorn")] == ["ERROR"]


async def test_a_port_that_is_taken_is_reported_as_that_of_a_sip_listener_is() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ListenError) as caught:
            await ApiServer(FastAPI(), address).start()
    advice = "stop the other program or choose another port under api.listen"
    assert str(caught.value) == f"http://{address}: address already in use: {advice}"
    with pytest.raises(ListenError, match=r"^http://192\.0\.2\.1:8080: not an address of this machine: choose one "):
        await ApiServer(FastAPI(), "192.0.2.1:8080").start()


def answering() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def hello() -> str:
        return "hello"

    @app.post("/")
    async def take(request: Request) -> int:
        return len(await request.body())

    return app


async def ask(url: str) -> int:
    async with httpx.AsyncClient() as http:
        return (await http.get(url)).status_code


async def ended(stream: asyncio.StreamReader) -> bool:
    """Waits for its end."""
    async with asyncio.timeout(8):
        try:
            return await stream.read() == b""
        except ConnectionResetError:
            return True


HALVES = (b"", b"GET / HTTP/1.1\r\nHost: a", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")


async def test_silent_clients_give_way_to_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_connections, "MOST_CONNECTIONS", 12)
    monkeypatch.setattr(api_server, "MOST_CONNECTIONS", 12)
    server = ApiServer(answering(), "127.0.0.1:0")
    await server.start()
    where = server.address
    silent = []
    for half in HALVES * 5:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(half)
        await writer.drain()
        silent.append((reader, writer))
    for _ in range(3):
        assert await ask(server.url) == 200
    assert await ended(silent[0][0])  # the longest of all
    last, writer = silent[-1]  # which has a request half sent: it may be sent to its end
    writer.write(b"56789")
    async with asyncio.timeout(8):
        assert await last.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
    for _, writer in silent:
        writer.close()
    await server.close()


@pytest.mark.long
async def test_who_does_not_say_what_it_wants_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_connections, "HEAD_WITHIN", 0.0)
    server = ApiServer(answering(), "127.0.0.1:0")
    await server.start()
    ends = []
    for half in (b"", HALVES[1], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(half)
        ends.append((reader, writer))
    kept, writer = ends.pop()
    async with asyncio.timeout(8):
        await kept.readuntil(b'"hello"')
    for reader, _ in ends:
        assert await ended(reader)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # answered before, it owes nothing
    async with asyncio.timeout(8):
        await kept.readuntil(b'"hello"')
    writer.write(b"GET / HT")
    assert await ended(kept)
    for _, other in (*ends, (kept, writer)):
        other.close()
    await server.close()


async def refusal(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The status line's beginning and the error of an answer after which the connection ends."""
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    for line in (*(f"{name.decode()}: {value.decode()}" for name, value in HEADERS.items()), "x-request-id: req_"):
        assert f"\r\n{line}" in head
    assert f"content-length: {len(body)}\r\n" in f"{head}\r\n"
    return head[:12], json.loads(body)["error"]


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[ApiServer, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A server, and a connection to it."""
    server = ApiServer(answering(), "127.0.0.1:0", Refusals(lambda: 0.0).tell)
    await server.start()
    reader, writer = await asyncio.open_connection(*server.address)
    async with asyncio.timeout(8):
        yield server, reader, writer
    writer.close()
    await server.close()


async def test_what_is_no_http_gets_the_envelope_of_errors_too() -> None:
    async with connected() as (_, reader, writer):
        with capture_logs() as lines:
            writer.write(b"INVITE sip:a@b SIP/2.0\r\n\r\n")
            status, error = await refusal(reader)
    (line,) = lines
    assert (line["event"], line["request_id"]) == ("request refused", error["request_id"])
    assert (line["status"], line["reason"], line["address"]) == (400, "INVALID_REQUEST_PARAMETER", "127.0.0.1")
    assert (status, error["status"]) == ("HTTP/1.1 400", "INVALID_ARGUMENT")
    assert error["request_id"].startswith("req_")


async def test_a_head_without_end_is_refused() -> None:
    body = "y" * 200_000
    async with connected() as (server, reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(9):  # the last one is too much, and nothing is under way when it is refused
            writer.write(b"X-Long: " + b"x" * 8000 + b"\r\n")
            await writer.drain()
        status, error = await refusal(reader)
        async with httpx.AsyncClient() as http:
            assert (await http.post(server.url, content=body, headers={"X-Fair": "x" * 20_000})).json() == len(body)
    assert (status, error["reason"]) == ("HTTP/1.1 413", "REQUEST_TOO_LARGE")
    assert "larger than 64 KiB" in error["message"]
