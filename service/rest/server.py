"""The API's listener: uvicorn in this process and loop, owned like every other task."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import uvicorn
from fastapi import FastAPI

from engine.transport.addresses import bracketed, split_host_port
from engine.transport.certificates import Certificates
from engine.transport.listeners import ListenError, advice
from service.certificates import CertificateReader
from service.rest.connections import MOST_CONNECTIONS, Connection, Told, end_overdue, nobody_told
from service.rest.tls import Handshakes

_BACKLOG = 512
_GRACE = 5.0  # s that stopping waits for answers in progress


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, certificates: Certificates | None) -> None:
        super().__init__(config)
        self._certificates = certificates
        self.handshakes: Handshakes | None = None
        self.ready = asyncio.Event()
        self._stopped = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tells when it is done. With certificates the connections are HTTPS."""
        if self._certificates is None:
            await super().startup(sockets)
        else:
            self.handshakes = Handshakes(self._certificates, self._make_connection)
            self.servers = []
            for sock in sockets or ():
                self.handshakes.accept(sock)
            self.started = True
        self.ready.set()

    def _make_connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def stop(self) -> None:
        """Answer what is being answered, and end."""
        self.should_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        """uvicorn's looks ten times a second whether it is to end, and does once a second what there is to do."""
        while not await self.on_tick(0):
            end_overdue(self.server_state.connections, asyncio.get_running_loop().time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stopped.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the service's."""
        yield


class ApiServer:
    """Serves an application at `listen` ("127.0.0.1:8080"), with `certificates` by HTTPS. `told`: of what is refused
    before it is a request."""

    def __init__(
        self, app: FastAPI, listen: str, told: Told = nobody_told, certificates: CertificateReader | None = None
    ) -> None:
        self._listen = listen
        self._certificates = certificates
        self._scheme = "http" if certificates is None else "https"
        self._server = _Server(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",  # whatever happens to be installed
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                http=partial(Connection, told=told),  # type: ignore[arg-type]  # it is called, and nothing else
                limit_concurrency=MOST_CONNECTIONS + 1,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=round(_GRACE),
            ),
            None if certificates is None else certificates.certificates,
        )
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: IP address, and the port that was chosen."""
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """`address` as a URL."""
        host, port = self.address
        return f"{self._scheme}://{bracketed(host)}:{port}"

    async def start(self) -> None:
        """Raises ListenError when the address cannot be had."""
        host, port = split_host_port(self._listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # With its protocol by name: asyncio switches Nagle's algorithm off for such sockets alone. Where it is on, the
        # body of every answer waits 40 ms for the acknowledgement of its head.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port or 0))
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise ListenError(f"{self._scheme}://{self._listen}: {advice(error)} under api.listen") from None
        if self._certificates is not None:
            self._certificates.start()
        self._task = asyncio.get_running_loop().create_task(self._server.serve([self._socket]), name="api")
        await self._server.ready.wait()

    async def look(self) -> None:
        """Read the certificate again, if it has changed."""
        if self._certificates is not None:
            await self._certificates.look()

    async def close(self) -> None:
        """Answer what is being answered, for some seconds, and close."""
        if self._certificates is not None:
            await self._certificates.close()
        if self._server.handshakes is not None:
            await self._server.handshakes.close()
        if self._task is not None:
            self._server.stop()
            await asyncio.wait((self._task,), timeout=_GRACE - 1)
            for connection in list(self._server.server_state.connections):
                # Its client has stopped reading: what waits to be sent would wait for ever.
                connection.transport.abort()
            await asyncio.wait((self._task,), timeout=2)
            if not self._task.done():
                self._server.force_exit = True
                self._task.cancel()
                await asyncio.wait((self._task,))
        if self._socket is not None:
            self._socket.close()
