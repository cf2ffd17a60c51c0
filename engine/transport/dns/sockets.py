"""The sockets over which dnspython asks name servers."""

import asyncio
import socket
from typing import Any

import dns.asyncbackend
import dns.exception

# What dns.asyncbackend documents and passes on under the same names, which type checkers do not see there.
from dns._asyncbackend import Backend, DatagramSocket

from engine.transport.addresses import family_of, socket_address


class DnsBackend(Backend):
    """dnspython's way to the network, with plain connected sockets for UDP instead of the loop's datagram endpoints.

    A connected socket hears at once that nothing listens at the name server, which is then not waited for. And an
    endpoint whose making is cancelled, as happens when the engine stops, stays open under uvloop 0.23.
    """

    def name(self) -> str:
        """dnspython: the event loop's kind."""
        return "asyncio"

    def datagram_connection_required(self) -> bool:
        """dnspython: `make_socket` is to be told the destination."""
        return True

    async def make_socket(
        self, af: int, socktype: int, proto: int = 0, source: Any = None, destination: Any = None, *args: Any, **kw: Any
    ) -> Any:
        """dnspython: a socket to a name server. OSError when there cannot be one."""
        if socktype == socket.SOCK_DGRAM:
            return _DatagramSocket(af, destination)
        streams: Any = dns.asyncbackend.get_backend("asyncio")
        return await streams.make_socket(af, socktype, proto, source, destination, *args, **kw)

    async def sleep(self, interval: float) -> None:
        """dnspython: a pause between attempts, in seconds."""
        await asyncio.sleep(interval)


class _DatagramSocket(DatagramSocket):
    def __init__(self, family: int, destination: tuple[str, int]) -> None:
        super().__init__(family, socket.SOCK_DGRAM)
        address = socket_address(*destination)
        if address is None or family_of(destination[0]) != family:
            raise OSError(f"{destination} is not the address of a name server")
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise

    async def sendto(self, what: bytes, destination: Any, timeout: float | None) -> int:  # noqa: ASYNC109
        return self._socket.send(what)

    async def recvfrom(self, size: int, timeout: float | None) -> Any:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        return self._socket.recvfrom(size)
                    except (BlockingIOError, InterruptedError):
                        await self._readable()
        except TimeoutError:
            raise dns.exception.Timeout from None

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._socket.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._socket.fileno())

    async def close(self) -> None:
        self._socket.close()

    async def getpeername(self) -> Any:
        return self._socket.getpeername()

    async def getsockname(self) -> Any:
        return self._socket.getsockname()
