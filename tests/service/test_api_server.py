"""The API's listener."""

import socket

from fastapi import FastAPI

from service.api_server import ApiServer


async def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY on connections of a listener whose protocol is named, and on no others."""
    server = ApiServer(FastAPI(), "127.0.0.1:0")
    await server.start()
    assert server._socket is not None and server._socket.proto == socket.IPPROTO_TCP
    await server.close()
