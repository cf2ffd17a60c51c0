"""SIP over TLS (RFC 3261 §26.2, RFC 5922)."""

import asyncio
import socket
from collections.abc import Hashable
from dataclasses import replace
from functools import partial

from engine.sip.flow import Flow, TlsTerms, identity_of
from engine.transport.addresses import canonical
from engine.transport.certificate_names import CertificateNames, fits, identities, names_in
from engine.transport.client_contexts import ClientContexts
from engine.transport.connection import Connection
from engine.transport.connection_slots import ConnectionSlots
from engine.transport.handshake.faults import HandshakeFault, of_certificate
from engine.transport.handshake.handshakes import Handshakes, Handshaking
from engine.transport.listen_spec import ListenSpec, NoCertificateError
from engine.transport.secure_connection import ClientSide, SecureConnection
from engine.transport.sink import Sink
from engine.transport.tcp import TcpTransport

ANYBODY = TlsTerms()
"""What is asked of a peer that nothing else is said of."""

_MOST_ALIASES = 4
"""Ports that one connection may be another way to."""


class TlsTransport(TcpTransport):
    """One TLS listener with its connections, accepted and made.

    A connection that we made is used for the name that it was verified for alone (RFC 5922 §7.3), and under the same
    terms; one that was accepted by those alone who came by it, whom its address says little of.

    Public counters beside those of `TcpTransport`: `handshakes_failed`, `handshakes_slow` (not complete in time).
    """

    name = "tls"
    via_name = "TLS"

    def __init__(self, sock: socket.socket, sink: Sink, spec: ListenSpec) -> None:
        """Raises NoCertificateError."""
        super().__init__(sock, sink, spec)
        if spec.certificates is None:
            raise NoCertificateError
        self.certificates = spec.certificates
        self.slots = ConnectionSlots(
            replace(spec.limits, silent_per_source=spec.limits.handshakes_per_source), self._has_room
        )
        self.handshakes = Handshakes(self._loop, spec.limits, self._late)
        self.handshakes_failed = self.handshakes_slow = 0
        self._aliases: dict[tuple[str, int], SecureConnection] = {}
        self._contexts = ClientContexts(lambda: self.certificates.settings.minimum)

    def close(self) -> None:
        """See `TcpTransport.close`."""
        super().close()
        self.handshakes.close()

    # ---- accepted connections

    def _connection(self, flow: Flow | None = None) -> Connection:
        return SecureConnection(self, self._framer(), flow)

    def made(self, connection: Connection) -> bool:
        """See `TcpTransport.made`."""
        if not super().made(connection):
            return False
        if isinstance(connection, SecureConnection) and not connection.outgoing:
            assert connection.flow is not None
            leaves = self.handshakes.enter(connection, self.sink.known(connection.flow.host))
            if leaves is not None:
                self.displaced += 1
                leaves.abort("closed to make room")
        return True

    def shakes_hands(self, connection: SecureConnection) -> None:
        """See `SecureOwner`."""
        self.handshakes.came(connection)

    def secured(self, connection: SecureConnection) -> None:
        """See `SecureOwner`."""
        self.handshakes.leave(connection)
        flow = connection.flow
        if flow is not None and connection.distrust:
            self.sink.insecure(flow, of_certificate(connection.distrust))
        if flow is not None and (identity := identity_of(_shown_by(connection), flow.host)):
            connection.flow = replace(flow, identity=identity)
            if not connection.outgoing and self.sink.known(identity):
                connection.write_buffer = self.limits.write_buffer
                connection.keep()
        self.ready(connection)

    def insecure(self, connection: SecureConnection, fault: HandshakeFault) -> None:
        """See `SecureOwner`."""
        self.handshakes_failed += 1
        if connection.flow is not None:
            self.sink.insecure(connection.flow, fault)

    def _late(self, connection: Handshaking) -> None:
        self.handshakes_slow += 1
        connection.abort("no complete handshake in time")

    def lost(self, connection: Connection) -> None:
        """See `TcpTransport.lost`."""
        super().lost(connection)
        if isinstance(connection, SecureConnection):
            self.handshakes.leave(connection)
            self._forget_aliases(connection)

    # ---- reuse (RFC 5923)

    def alias(self, connection: SecureConnection, port: int) -> None:
        """Requests to this port of the peer's address may go over the connection that it has made, where they are for
        a name in its certificate. The latest of several connections counts (§8.2)."""
        flow, ports = connection.flow, connection.aliases
        if flow is not None and flow.identity and not connection.outgoing and len(ports | {port}) <= _MOST_ALIASES:
            ports.add(port)
            self._aliases[canonical(flow.host), port] = connection

    def _found(self, key: Hashable, flow: Flow) -> Connection | None:
        found = super()._found(key, flow)
        if self._aliases and (found is None or not found.usable):
            alias = self._aliases.get((canonical(flow.host), flow.port))
            if alias is not None and alias.usable and _is_named(alias, flow):
                alias.reused.add((flow.port, flow.domain, flow.tls))
                return alias
        return found

    def _forget_aliases(self, connection: SecureConnection) -> None:
        flow = connection.flow
        if flow is None or not connection.aliases:
            return
        for port in connection.aliases:
            if self._aliases.get((canonical(flow.host), port)) is connection:
                del self._aliases[canonical(flow.host), port]
        if connection.error and not self._closed:
            for port, domain, terms in connection.reused:  # whose requests went by it
                gone = Flow(self, flow.host, port, domain=domain, tls=terms, connection=connection)
                self.sink.failed(gone, None, connection.error)

    def _shared(self, connection: Connection) -> bool:
        return connection.outgoing

    # ---- connections that we make

    def _key(self, flow: Flow) -> Hashable:
        return (super()._key(flow), flow.domain, flow.tls or ANYBODY)

    async def _establish(self, flow: Flow, own: tuple[str, int] | None) -> None:
        terms = flow.tls or ANYBODY
        context = await self._contexts.find(terms)
        client = ClientSide(context, flow.domain or None, partial(_fault_of, flow, terms))
        connection = SecureConnection(self, self._framer(), flow, client)
        try:
            await self._loop.create_connection(lambda: connection, flow.host, flow.port, local_addr=own)
            problem = await client.done
        except asyncio.CancelledError:
            connection.abort("connection timed out")
            raise
        if problem:
            raise ConnectionError(problem)


def _shown_by(connection: SecureConnection) -> tuple[str, ...]:
    """What the peer's certificate, which was verified, says of it. Of a server that is the name that it was for."""
    attempt = connection.attempt
    if attempt is not None:
        return (f"server:{attempt.domain}",) if attempt.domain and (attempt.tls or ANYBODY).verify else ()
    certificate = connection.certificate
    try:
        return identities(names_in(certificate)) if certificate else ()
    except ValueError:
        return ()


def _is_named(connection: SecureConnection, flow: Flow) -> bool:
    """Whether the certificate of a client has the name that a flow is for (RFC 5923 §8.2)."""
    shown = connection.flow.identity.rpartition("@")[0].split("|") if connection.flow is not None else ()
    terms = flow.tls or ANYBODY
    return any(
        fits(CertificateNames(hosts=tuple(shown)), name, terms.allow_wildcards)
        for name in terms.names or (flow.domain,)
    )


def _fault_of(flow: Flow, terms: TlsTerms, certificate: bytes) -> str:
    """What is wrong with the certificate of a peer, whose chain is in order; "" for nothing."""
    if not terms.verify:
        return ""
    wanted = terms.names or (flow.domain or flow.host,)
    try:
        names = names_in(certificate)
    except ValueError as error:
        return f"the certificate of {flow.domain or flow.host} cannot be read: {error}"
    if any(fits(names, name, terms.allow_wildcards) for name in wanted):
        return ""
    return f"certificate names {names.shown}, not {' or '.join(wanted)}"
