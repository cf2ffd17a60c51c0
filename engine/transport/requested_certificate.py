"""TLS of a listener that asks clients for a certificate, and takes those too whose certificate is worth nothing.

Python's `ssl` ends the handshake where a certificate does not verify: it cannot be told otherwise. pyOpenSSL asks us.
What is here has the methods of `ssl.SSLContext` and `ssl.SSLObject` that a connection calls, and raises their errors.
"""

import ssl
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

_RELEASE_BUFFERS: Final = 0x10  # SSL_MODE_RELEASE_BUFFERS, as `ssl` has it: 34 KiB less for each idle connection
_READ: Final = 64 * 1024

# X509_V_ERR_…, those that are met.
_PROBLEMS: Final = {
    9: "certificate is not yet valid",
    10: "certificate has expired",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    21: "unable to verify the first certificate",
    26: "unsuitable certificate purpose",
}


class RequestingContext:
    """A server's context, which asks for certificates of the CAs in a file.

    Versions and ciphers are those of `like`. A session is not resumed: it would outlive a CA that is trusted no more.
    """

    def __init__(self, like: ssl.SSLContext, certificate: Path, key: Path, client_ca: Path) -> None:
        """The files are in PEM. Raises ssl.SSLError, OSError where they cannot be used."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        ciphers = [str(cipher["name"]) for cipher in like.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
        context.set_min_proto_version(like.minimum_version)
        context.set_cipher_list(":".join(ciphers).encode())
        context.set_options(
            SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET
        )
        context.set_mode(_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER, _judge)
        try:
            context.use_certificate_chain_file(certificate)
            context.use_privatekey_file(key)
            context.check_privatekey()
            context.load_verify_locations(client_ca)
        except SSL.Error as error:
            raise _as_ssl(error) from None
        self._context = context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = True,
        server_hostname: str | None = None,
    ) -> "RequestingTls":
        """See `ssl.SSLContext.wrap_bio`; always the server's side."""
        return RequestingTls(SSL.Connection(self._context), incoming, outgoing)


class RequestingTls:
    """The server's side of one connection, see `ssl.SSLObject`."""

    __slots__ = ("_connection", "_incoming", "_outgoing", "problem")

    def __init__(self, connection: SSL.Connection, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._connection = connection
        self._incoming = incoming
        self._outgoing = outgoing
        self.problem = ""
        """Why the client's certificate is worth nothing, once the handshake is done; "" where it is not, or has shown
        none."""
        connection.set_accept_state()

    def do_handshake(self) -> None:
        """See `ssl.SSLObject.do_handshake`."""
        self._feed()
        try:
            self._connection.do_handshake()
        except SSL.Error as error:
            raise _as_ssl(error) from None
        finally:
            self._drain()
        self.problem = self._connection.get_app_data() or ""

    def read(self, size: int) -> bytes:
        """See `ssl.SSLObject.read`."""
        self._feed()
        try:
            return self._connection.recv(size)
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            raise _as_ssl(error) from None
        finally:
            self._drain()

    def write(self, data: bytes | memoryview) -> int:
        """See `ssl.SSLObject.write`."""
        try:
            return self._connection.send(data)
        except SSL.Error as error:
            raise _as_ssl(error) from None
        finally:
            self._drain()

    def unwrap(self) -> None:
        """See `ssl.SSLObject.unwrap`."""
        try:
            self._connection.shutdown()
        except SSL.Error as error:
            raise _as_ssl(error) from None
        finally:
            self._drain()

    def getpeercert(self, binary_form: bool) -> bytes | None:
        """The client's certificate in DER; None where it has shown none, or one that is worth nothing."""
        shown = None if self.problem else self._connection.get_peer_certificate(as_cryptography=True)
        return None if shown is None else shown.public_bytes(Encoding.DER)

    def _feed(self) -> None:
        if data := self._incoming.read():
            self._connection.bio_write(data)

    def _drain(self) -> None:
        try:
            while True:
                self._outgoing.write(self._connection.bio_read(_READ))
        except SSL.WantReadError:
            pass


def _judge(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, fine: int) -> bool:
    """OpenSSL asks of each certificate in a client's chain; whatever is wrong with it, the handshake goes on."""
    if not fine and not connection.get_app_data():
        connection.set_app_data(_PROBLEMS.get(code, f"OpenSSL's error {code}"))
    return True


def _as_ssl(error: SSL.Error) -> ssl.SSLError:
    """The error that Python's `ssl` would have raised."""
    if isinstance(error, SSL.WantReadError):
        return ssl.SSLWantReadError()
    found = ssl.SSLError(1, str(error))
    queue = error.args[0] if error.args else ()
    words = queue[0][2] if isinstance(queue, list) and queue else "connection closed"
    found.reason = words.upper().replace("SSL/TLS", "SSLV3").replace(" ", "_").replace("-", "_")
    return found
