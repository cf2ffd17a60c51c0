"""SIP over TLS on real sockets (RFC 3261 §26.2, RFC 5922)."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.sip.flow import Flow, TlsTerms
from engine.transport.certificates import CertificateFiles, Certificates, ServerTls
from engine.transport.listen_spec import ListenerLimits, ListenSpec
from engine.transport.listeners import ListenError, Listeners
from engine.transport.tls import TlsTransport
from tests.certificates import Authority, Files

WAIT = 30.0


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def served(*files: Files, **options: Any) -> Certificates:
    pairs = tuple(CertificateFiles(pair.certificate, pair.key) for pair in files)
    return Certificates(ServerTls(certificates=pairs, **options))


def listening(certificates: Certificates, **limits: Any) -> ListenSpec:
    return ListenSpec("tls", "127.0.0.1", 0, limits=ListenerLimits(**limits), certificates=certificates)


def message(text: bytes = b"") -> bytes:
    return b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


def trusting(ca: Path | None, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if ca is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(ca)
    for name, value in options.items():
        setattr(context, name, value)
    return context


class Client:
    """A TLS client of the standard library."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, transport: TlsTransport, context: ssl.SSLContext, name: str | None = None) -> "Client":
        host, port = transport.local
        return cls(*await asyncio.open_connection(host, port, ssl=context, server_hostname=name or ""))

    @property
    def tls(self) -> ssl.SSLObject:
        found: ssl.SSLObject = self.writer.get_extra_info("ssl_object")
        return found

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(WAIT):
            return await self.reader.readexactly(size)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


async def closed(*transports: TlsTransport) -> None:
    for transport in transports:
        transport.close()
    for transport in transports:
        await transport.wait_closed()


def test_requests_and_responses_share_one_connection_both_ways(run: Any, recorder: Any, authority: Authority) -> None:
    shown = served(authority.issue("sip:carrier.example"))
    terms = TlsTerms(ca=str(authority.ca))

    async def test() -> None:
        here, there = recorder(), recorder()
        one, two = await TlsTransport.open(listening(shown), here), await TlsTransport.open(listening(shown), there)
        flow = Flow(one, *two.local, domain="carrier.example", tls=terms)
        for number in range(3):
            flow.send(message(b"%d" % number))
        await there.message(3)
        assert there.messages == [message(b"0"), message(b"1"), message(b"2")]
        back = there.flow
        back.send(message(b"back"))
        assert await here.message() == message(b"back")
        assert here.flow.domain == "carrier.example"
        assert flow.connected and (len(one.connections), len(two.connections)) == (1, 1)
        await closed(one, two)
        assert (here.failures, there.failures) == ([], [])

    run(test)


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (["other.example"], "certificate names other.example, not carrier.example"),
        (["*.example"], "certificate names *.example, not carrier.example"),
        (["sip:other.example", "carrier.example"], "certificate names sip:other.example, carrier.example, not"),
    ],
)
def test_a_wrong_name_is_refused_before_a_byte_is_sent(
    run: Any, recorder: Any, authority: Authority, names: list[str], cause: str
) -> None:
    shown = served(authority.issue(*names))

    async def test() -> None:
        here, there = recorder(), recorder()
        one, two = await TlsTransport.open(listening(shown), here), await TlsTransport.open(listening(shown), there)
        flow = Flow(one, *two.local, domain="carrier.example", tls=TlsTerms(ca=str(authority.ca)))
        flow.send(message())
        failed, data, error = await here.failure()
        assert (failed, data) == (flow, message())
        assert cause in error
        await closed(one, two)
        assert not there.messages and not there.faults

    run(test)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_name_that_is_asked_for_chooses_the_certificate(
    run: Any, recorder: Any, authority: Authority, version: ssl.TLSVersion
) -> None:
    shown = served(authority.issue("a.example"), authority.issue("b.example"), authority.issue("*.c.example"))

    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(shown), sink)
        for asked, expected in (
            ("b.example", "b.example"),
            ("B.Example", "b.example"),
            ("x.c.example", "*.c.example"),
            ("a.example", "a.example"),
            ("unknown.example", "a.example"),
            (None, "a.example"),
        ):
            context = trusting(authority.ca, minimum_version=version, maximum_version=version)
            client = await Client.connect(transport, context, asked)
            found = client.tls.getpeercert()
            assert found is not None and found["subjectAltName"] == (("DNS", expected),), asked
            client.writer.write(b"\r\n\r\n")
            assert await client.read(2) == b"\r\n"
            await client.close()
        await closed(transport)
        assert not sink.faults

    run(test)


def test_a_listener_without_a_certificate_says_what_to_write(run: Any, recorder: Any) -> None:
    async def test() -> None:
        with pytest.raises(ListenError, match=r"no certificate to show; write sip\.tls\.certificates: \["):
            await Listeners.open(["tls://127.0.0.1:0"], recorder())

    run(test)
