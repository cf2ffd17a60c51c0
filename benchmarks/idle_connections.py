"""Memory of idle connections: how much of it each accepted one costs the engine.

    python -m benchmarks.idle_connections [--connections 2000] [--loop asyncio|uvloop] [--transport tcp|tls|ws|wss]
                                       [--client-certificates off|request]

A listener takes so many connections from a second process, each of which has sent one message and been answered; what
the process's resident memory has grown by is divided among them.
"""

import argparse
import asyncio
import resource
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.sip.flow import Flow
from engine.transport.certificates import CertificateFiles, Certificates, ClientCertificates, ServerTls
from engine.transport.handshake.faults import HandshakeFault
from engine.transport.listen_spec import ListenerLimits, ListenSpec
from engine.transport.tcp import TcpTransport
from engine.transport.tls import TlsTransport
from engine.transport.websocket import WssTransport, WsTransport

KINDS: dict[str, type[TcpTransport]] = {
    "tcp": TcpTransport,
    "tls": TlsTransport,
    "ws": WsTransport,
    "wss": WssTransport,
}
PING = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h\r\nContent-Length: 0\r\n\r\n"
PONG = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
# What a browser sends; each of its connections would have another key, which costs nobody memory.
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: sip.example.com\r\nOrigin: https://phone.example.com\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nUser-Agent: " + b"x" * 100 + b"\r\nSec-WebSocket-Key: c2l4dGVlbiBvY3RldHMhIQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)


class Sink:
    """Answers each message."""

    def received(self, data: bytes, flow: Flow) -> None:
        flow.send(PONG)

    def known(self, host: str) -> bool:
        return True

    def banned(self, host: str) -> bool:
        return False

    def sent(self, flow: Flow, data: bytes) -> None: ...
    def not_sip(self, flow: Flow, error: str) -> None: ...
    def unframed(self, flow: Flow, head: bytes, error: str) -> None: ...
    def insecure(self, flow: Flow, fault: HandshakeFault) -> None: ...
    def closed(self, flow: Flow, error: str) -> None: ...
    def failed(self, flow: Flow, data: bytes | None, error: str) -> None: ...


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


async def measure(transport: TcpTransport, count: int) -> float:
    """KiB of each of `count` connections that a second process makes."""
    before = resident()
    host, port = transport.local
    command = [sys.executable, "-m", __spec__.name, "--connect", f"{host}:{port}", "--connections", str(count)]
    command += ["--transport", transport.name]
    client = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert client.stdout is not None and client.stdin is not None
    await client.stdout.readline()
    assert len(transport.connections) == count
    each = (resident() - before) / count / 1024
    client.stdin.close()
    await client.wait()
    return each


async def connect(host: str, port: int, transport: str, count: int) -> None:
    """The second process: connections that stay until standard input ends."""
    context: Any = None
    if transport in ("tls", "wss"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        asyncio.sslproto.SSLProtocol.max_size = 16 * 1024  # type: ignore[attr-defined]  # 256 KiB each, else
    kept = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        if transport in ("ws", "wss"):
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(bytes((0x81, 0x80 | len(PING), 0, 0, 0, 0)) + PING)  # a frame, whose mask changes nothing
        else:
            writer.write(PING)
        await reader.readuntil(PONG)
        kept.append(writer)
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def certificate(folder: Path, clients: ClientCertificates) -> Certificates:
    """One of our own making, which is the CA of its clients too."""
    files = CertificateFiles(folder / "cert.pem", folder / "key.pem")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=localhost", "-days", "1", "-keyout", str(files.key), "-out", str(files.certificate)]
    subprocess.run(make, check=True, capture_output=True)
    return Certificates(ServerTls(certificates=(files,), client_ca=files.certificate, client_certificates=clients))


async def listen(name: str, count: int, clients: ClientCertificates) -> None:
    """Measure one kind of listener."""
    limits = ListenerLimits(connections=2 * count)
    with tempfile.TemporaryDirectory() as folder:
        spec = ListenSpec(name, "127.0.0.1", 0, limits=limits, certificates=certificate(Path(folder), clients))
        transport = await KINDS[name].open(spec, Sink())
        each = await measure(transport, count)
        print(f"{name}: {each:.1f} KiB a connection ({count} idle)")
        transport.close()
        await transport.wait_closed()


def main() -> None:
    """Run what the command line says."""
    options = argparse.ArgumentParser()
    options.add_argument("--connections", type=int, default=2000)
    options.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    options.add_argument("--connect", default="", help=argparse.SUPPRESS)
    options.add_argument("--transport", choices=KINDS, default="tls")
    options.add_argument("--client-certificates", choices=["off", "request"], default="off")
    given = options.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    if given.connect:
        host, _, port = given.connect.rpartition(":")
        asyncio.run(connect(host, int(port), given.transport, given.connections))
        return
    factory: Any = asyncio.new_event_loop
    if given.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(listen(given.transport, given.connections, given.client_certificates))


if __name__ == "__main__":
    main()
