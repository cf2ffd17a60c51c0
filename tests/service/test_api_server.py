"""The API's listener."""

import asyncio
import socket

import pytest
import uvicorn
from fastapi import FastAPI

from service.api_server import ApiListenError, ApiServer


async def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY on connections of a listener whose protocol is named, and on no others."""
    server = ApiServer(FastAPI(), "127.0.0.1:0")
    await server.start()
    assert server._socket is not None and server._socket.proto == socket.IPPROTO_TCP
    await server.close()


async def test_it_ends_when_it_is_told_to_and_keeps_its_clock_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_port_that_is_taken_is_told_as_that_of_a_sip_listener_is() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ApiListenError) as caught:
            await ApiServer(FastAPI(), address).start()
    advice = "stop the other program or choose another port under api.listen"
    assert str(caught.value) == f"http://{address}: address already in use: {advice}"
    with pytest.raises(ApiListenError, match=r"^http://192\.0\.2\.1:8080: not an address of this machine: choose one "):
        await ApiServer(FastAPI(), "192.0.2.1:8080").start()
