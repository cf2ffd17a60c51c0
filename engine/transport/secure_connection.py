"""Connections over TLS: a handshake first, and from then on encryption between the socket and the framer.

OpenSSL works on memory here, not on the socket, which stays the event loop's: its own TLS costs 250 KiB a connection.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from engine.sip.flow import Flow, TlsTerms
from engine.transport.certificates import Certificates
from engine.transport.connection import Connection, Framer, Owner
from engine.transport.handshake.client_hello import HANDSHAKE, Incomplete, server_name
from engine.transport.handshake.faults import HandshakeFault, not_tls, of_client, of_server
from engine.transport.requested_certificate import RequestingContext, RequestingTls

_READ = 64 * 1024
_MOST_HANDSHAKE = 64 * 1024
"""Bytes that a peer may send without bringing its handshake to an end: a chain of certificates is a few thousand."""


class SecureOwner(Owner, Protocol):
    """The listener of connections over TLS."""

    certificates: Certificates

    def shakes_hands(self, connection: "SecureConnection") -> None:
        """Something of a handshake has come: `step` is to be called, now or soon."""

    def secured(self, connection: "SecureConnection") -> None:
        """Its handshake is done."""

    def alias(self, connection: "SecureConnection", port: int) -> None:
        """See `engine.sip.flow.Connection.alias`."""

    def insecure(self, connection: "SecureConnection", fault: HandshakeFault) -> None:
        """The handshake of an accepted connection has failed, which is closed."""


class ClientSide:
    """What a connection that we make needs beside its flow.

    Attributes:
        context: What is trusted, and shown.
        name: What is asked for (SNI, RFC 6066 §3); None where an address is connected to.
        judge: Given the peer's certificate (DER), says what is wrong with it; "" for nothing.
        done: Its result is "" when the handshake is done, else why it failed.
    """

    __slots__ = ("context", "done", "judge", "name")

    def __init__(self, context: ssl.SSLContext, name: str | None, judge: Callable[[bytes], str]) -> None:
        self.context = context
        self.name = name
        self.judge = judge
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()


class SecureConnection(Connection):
    """A connection over TLS, that was accepted or made by us."""

    __slots__ = (
        "_client",
        "_held",
        "_hello",
        "_incoming",
        "_outgoing",
        "_server",
        "_size",
        "_tls",
        "aliases",
        "reused",
        "secure",
    )

    def __init__(
        self, owner: SecureOwner, framer: Framer, attempt: Flow | None = None, client: ClientSide | None = None
    ) -> None:
        """`client`: of a connection that we make (`attempt`)."""
        super().__init__(owner, framer, attempt)
        self._server = owner
        self._client = client
        self._hello: bytearray | None = bytearray()  # what has come before there is an SSL object
        self._size = 0  # bytes that have come of the handshake
        self._held = False  # nothing more of it is read
        self._incoming: ssl.MemoryBIO | None = None
        self._outgoing: ssl.MemoryBIO | None = None
        self._tls: ssl.SSLObject | RequestingTls | None = None
        self.secure = False
        """The handshake is done."""
        self.aliases: set[int] = set()
        """Ports of the peer that it is another way to (RFC 5923), and for whom it was used so."""
        self.reused: set[tuple[int, str, TlsTerms | None]] = set()

    @property
    def usable(self) -> bool:
        """True while messages can be sent over it."""
        return self.secure and super().usable

    @property
    def certificate(self) -> bytes | None:
        """The peer's certificate in DER, once the handshake is done; None where it has shown none that was asked for
        and verified."""
        return self._tls.getpeercert(True) if self.secure and self._tls is not None else None

    @property
    def distrust(self) -> str:
        """Why the certificate that the peer has shown is worth nothing, which makes it a stranger; "" for none such."""
        return self._tls.problem if isinstance(self._tls, RequestingTls) else ""

    def alias(self, port: int) -> None:
        """See `engine.sip.flow.Connection.alias`."""
        self._server.alias(self, port)

    # ---- the handshake

    def _connected(self) -> None:
        client = self._client
        if client is None:
            return  # the client begins
        self._hello = None
        try:
            self._begin(client.context, client.name)
        except ValueError:
            self._fail(f"{client.name} is no name that TLS can ask for")
            return
        self.step()

    def _begin(self, context: ssl.SSLContext | RequestingContext, name: str | None, *, server: bool = False) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server, server_hostname=name)

    def step(self) -> None:
        """Go on with the handshake."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._held:
            self._held = False
            self._transport.resume_reading()
        if not (self._tls or self._accept()):
            return
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            if self._size > _MOST_HANDSHAKE:
                self._blame(HandshakeFault("a handshake that is too long", misdeed=True))
            return
        except ssl.SSLError as error:
            self._flush()  # the alert that says why
            self._refuse(error)
            return
        if self._client is not None:
            # Before a byte is sent: what is still in the buffer is the end of our handshake, with our certificate.
            problem = self._client.judge(self._tls.getpeercert(True) or b"")
            if problem:
                self._fail(problem)
                return
        self.secure = True
        self._flush()
        self._server.secured(self)
        if self._client is not None and not self._client.done.done():
            self._client.done.set_result("")
        self._decrypt()

    def hold(self) -> None:
        """Read nothing more until `step`."""
        if self._transport is not None and not self._held and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def _accept(self) -> bool:
        """The first bytes of a client: whether there is enough of them to choose a certificate."""
        hello = self._hello
        assert hello is not None
        if not hello:
            return False
        if hello[0] != HANDSHAKE:
            self._blame(not_tls(bytes(hello)))
            return False
        certificates = self._server.certificates
        name = ""
        if len(certificates.shown) > 1:
            try:
                name = server_name(bytes(hello))
            except Incomplete:
                return False
        chosen = certificates.choose(name)
        self._begin(chosen.requesting or chosen.context, None, server=True)
        assert self._incoming is not None
        self._incoming.write(hello)
        self._hello = None
        return True

    def _refuse(self, error: ssl.SSLError) -> None:
        if self._client is None:
            self._blame(of_client(error))
            return
        flow = self.flow
        self._fail(of_server(error, "" if flow is None else flow.domain or flow.host))

    def _blame(self, fault: HandshakeFault) -> None:
        self._server.insecure(self, fault)
        self.close()

    def _fail(self, problem: str) -> None:
        """A connection that we make comes to nothing."""
        self.error = self.error or problem
        self.close()

    # ---- bytes

    def data_received(self, data: bytes) -> None:
        """asyncio: some encrypted bytes."""
        if self._hello is not None:
            self._hello += data
        else:
            assert self._incoming is not None
            self._incoming.write(data)
        if self.secure:
            self._decrypt()
            return
        self._size += len(data)
        if self._client is None:
            self._server.shakes_hands(self)
        else:
            self.step()

    def _decrypt(self) -> None:
        assert self._tls is not None
        plain, problem = [], ""
        try:
            while data := self._tls.read(_READ):
                plain.append(data)
            problem = "connection closed by peer"
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            problem = self._broken(error)
        self._flush()  # an answer to a new key (RFC 8446 §4.6.3), an alert
        if plain and self._tls is not None:
            self.take(b"".join(plain))
        if problem:
            self.error = self.error or problem
            self.close()

    def _broken(self, error: ssl.SSLError) -> str:
        # With TLS 1.3 this is how a server says that it does not want our certificate (RFC 8446 §4.4.2.4).
        if self._client is not None and "ALERT" in (error.reason or ""):
            return of_server(error, (self.flow and (self.flow.domain or self.flow.host)) or "the peer")
        return f"TLS error: {(error.reason or 'unknown').replace('_', ' ').lower()}"

    def _send(self, data: bytes) -> None:
        assert self._tls is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            self.abort(self._broken(error))
            return
        self._flush()

    def _flush(self) -> None:
        """Hand what is encrypted to the socket. A peer that makes us write and reads nothing is cut off."""
        transport = self._transport
        assert transport is not None and self._outgoing is not None
        data = self._outgoing.read()
        if not data or transport.is_closing():
            return
        if transport.get_write_buffer_size() > 2 * self.write_buffer:
            self.abort("the peer takes no more data")
        else:
            transport.write(data)

    # ---- the end

    def _close_notify(self) -> None:
        if self.secure and self._tls is not None:
            with suppress(ssl.SSLError):  # it waits for the peer's own word, which we do not
                self._tls.unwrap()
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is closed."""
        super().connection_lost(exc)
        client, self._client = self._client, None
        if client is not None and not client.done.done():
            client.done.set_result(self.error or "connection closed by peer")
        self.secure = False
        self._tls = self._incoming = self._outgoing = None
