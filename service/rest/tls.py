"""TLS of the API: handshakes, bounded in number and in time, below uvicorn's connections.

asyncio's own TLS listener tells nobody of a connection before its handshake is done, and waits a minute for it: silent
clients would hold memory and descriptors that nothing counts.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from engine.transport.certificates import Certificates

HANDSHAKE_WITHIN: Final = 5.0
"""Seconds from the beginning of a connection to the end of its handshake."""
MOST_HANDSHAKES: Final = 100
"""At once; a further connection takes the place of the one that has waited longest."""
_ACCEPT_AGAIN: Final = 1.0  # s


class Handshakes:
    """Accepts connections, and hands each over to what `protocol` makes once its handshake is done. The first of
    `certificates` is shown."""

    def __init__(self, certificates: Certificates, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._certificates = certificates
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._accepting: list[asyncio.Task[None]] = []
        self._under_way: dict[asyncio.Task[None], socket.socket] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def accept(self, sock: socket.socket) -> None:
        """Take the connections of a listening socket, until `close`."""
        sock.setblocking(False)
        self._accepting.append(self._loop.create_task(self._accept(sock), name="HTTPS listener"))

    async def close(self) -> None:
        """Accept none any more, and give up those that are under way."""
        tasks = [*self._accepting, *self._under_way]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _accept(self, sock: socket.socket) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(sock)
            except OSError:  # no descriptor is left, or its peer was gone again
                await asyncio.sleep(_ACCEPT_AGAIN)
                continue
            if len(self._under_way) >= MOST_HANDSHAKES:
                longest = next(iter(self._under_way))
                del self._under_way[longest]
                longest.cancel()
            task = self._loop.create_task(self._shake_hands(connection), name="HTTPS handshake")
            self._under_way[task] = connection
            task.add_done_callback(lambda done: self._under_way.pop(done, None))

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._certificates.shown[0].context,
                ssl_handshake_timeout=HANDSHAKE_WITHIN,
            )
        except (OSError, asyncio.CancelledError):
            connection.close()  # whoever it was speaks no TLS that we do, or nothing at all
