"""What a certificate makes of a peer over TLS: who it is, and whether we call it back by its connection (RFC 5922 §7.1,
RFC 5923)."""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.sip.flow import Flow, TlsTerms
from engine.transport.certificates import CertificateFiles, Certificates, ServerTls
from engine.transport.listen_spec import ListenerLimits, ListenSpec
from engine.transport.tls import TlsTransport
from tests.certificates import Authority, Files
from tests.transport.test_tls import Client, closed, message, trusting

PORT = 5061  # that the client's Via says
CARRIER = "carrier.example"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def listening(authority: Authority) -> ListenSpec:
    own = authority.issue("sbc.example")
    settings = ServerTls(
        certificates=(CertificateFiles(own.certificate, own.key),),
        client_ca=authority.ca,
        client_certificates="request",
    )
    return ListenSpec("tls", "127.0.0.1", 0, limits=ListenerLimits(), certificates=Certificates(settings))


def showing(authority: Authority, files: Files | None) -> ssl.SSLContext:
    context = trusting(authority.ca)
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


async def said(sink: Any, client: Client) -> Flow:
    """The flow of what a client sends."""
    before = len(sink.messages)
    client.writer.write(message())
    await sink.message(before + 1)
    flow: Flow = sink.flow
    return flow


@pytest.mark.parametrize(
    ("names", "common", "identity"),
    [
        (None, "", ""),
        (["carrier.example", "Edge.Carrier.Example"], "", "carrier.example|edge.carrier.example"),
        (["sip:carrier.example"], "", "sip:carrier.example|carrier.example"),
        (["sip:carrier.example", "other.example"], "", "sip:carrier.example|carrier.example"),  # RFC 5922 §7.1
        (["sip:user@carrier.example", "sips:carrier.example"], "", ""),
        (["*.carrier.example"], "", "*.carrier.example"),
        (["127.0.0.1"], "", ""),
        ([], "carrier.example", "carrier.example"),
        (["other.example"], "carrier.example", "other.example"),
    ],
)
def test_who_a_client_is(
    run: Any, recorder: Any, authority: Authority, names: Sequence[str] | None, common: str, identity: str
) -> None:
    files = None if names is None else authority.issue(*names, common=common, file="client")

    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(authority), sink)
        client = await Client.connect(transport, showing(authority, files))
        flow = await said(sink, client)
        assert flow.identity == (f"{identity}@127.0.0.1" if identity else "")
        assert flow.party == (flow.identity or "127.0.0.1")
        await client.close()
        await closed(transport)

    run(test)


def test_a_known_peers_connection_is_kept(run: Any, recorder: Any, authority: Authority) -> None:
    files = authority.issue(CARRIER)

    async def test() -> None:
        sink = recorder()
        sink.friends.add(f"{CARRIER}@127.0.0.1")
        transport = await TlsTransport.open(listening(authority), sink)
        clients = [await Client.connect(transport, showing(authority, shown)) for shown in (files, None)]
        flows = [await said(sink, client) for client in clients]
        assert [flow.connection.kept for flow in flows] == [True, False]  # type: ignore[union-attr]
        for client in clients:
            await client.close()
        await closed(transport)

    run(test)


@pytest.mark.parametrize(
    ("domain", "verify", "identity"),
    [("sbc.example", True, "server:sbc.example@127.0.0.1"), ("sbc.example", False, ""), ("", False, "")],
)
def test_who_a_server_is(
    run: Any, recorder: Any, authority: Authority, domain: str, verify: bool, identity: str
) -> None:
    """What comes back over a connection of ours is from whom it was made to, as far as that was verified."""

    async def test() -> None:
        here, there = recorder(), recorder()
        one = await TlsTransport.open(listening(authority), here)
        two = await TlsTransport.open(listening(authority), there)
        Flow(one, *two.local, domain=domain, tls=TlsTerms(verify=verify, ca=str(authority.ca))).send(message())
        await there.message()
        there.flow.send(message(b"back"))
        await here.message()
        assert here.flow.identity == identity
        await closed(one, two)

    run(test)


class Called:
    """A carrier that has connected to us, and says that it is called back at PORT by the same connection."""

    def __init__(self, transport: TlsTransport, sink: Any, client: Client, flow: Flow) -> None:
        self.transport, self.sink, self.client, self.flow = transport, sink, client, flow

    @classmethod
    async def by(cls, authority: Authority, sink: Any, names: Sequence[str] | None) -> "Called":
        files = None if names is None else authority.issue(*names, file="client")
        transport = await TlsTransport.open(listening(authority), sink)
        client = await Client.connect(transport, showing(authority, files))
        flow = await said(sink, client)
        assert flow.connection is not None
        flow.connection.alias(PORT)
        return cls(transport, sink, client, flow)

    def to(self, domain: str, port: int = PORT, terms: TlsTerms | None = None) -> Flow:
        return Flow(self.transport, "127.0.0.1", port, domain=domain, tls=terms)

    async def close(self) -> None:
        await self.client.close()
        await closed(self.transport)


@pytest.mark.parametrize(
    ("names", "domain", "port", "terms", "reused"),
    [
        ([CARRIER], CARRIER, PORT, None, True),
        (["sip:carrier.example"], CARRIER, PORT, None, True),
        (["sip:carrier.example", "other.example"], "other.example", PORT, None, False),
        ([CARRIER], "other.example", PORT, None, False),
        ([CARRIER], CARRIER, PORT + 1, None, False),
        ([CARRIER], "", PORT, None, False),
        (None, CARRIER, PORT, None, False),
        (["*.carrier.example"], "a.carrier.example", PORT, None, False),
        (["*.carrier.example"], "a.carrier.example", PORT, TlsTerms(allow_wildcards=True), True),
        (["pool.example"], CARRIER, PORT, TlsTerms(names=("pool.example",)), True),
    ],
)
def test_requests_go_by_the_connection_of_who_has_shown_the_name(
    run: Any,
    recorder: Any,
    authority: Authority,
    names: Sequence[str] | None,
    domain: str,
    port: int,
    terms: TlsTerms | None,
    reused: bool,
) -> None:
    async def test() -> None:
        called = await Called.by(authority, recorder(), names)
        flow = called.to(domain, port, terms)
        assert flow.connected == reused
        if reused:
            flow.send(message(b"call"))
            assert await called.client.read(len(message(b"call"))) == message(b"call")
        await called.close()

    run(test)


def test_a_lost_connection_takes_what_went_by_its_other_way(run: Any, recorder: Any, authority: Authority) -> None:
    async def test() -> None:
        called = await Called.by(authority, recorder(), [CARRIER])
        flow = called.to(CARRIER)
        flow.send(message())
        await called.client.read(len(message()))
        await called.client.close()
        await called.sink.failure(2)
        lost = [failed for failed, data, _ in called.sink.failures if data is None]
        assert [other.carries(flow) for other in lost].count(True) == 1 and not flow.connected
        await closed(called.transport)

    run(test)


def test_one_connection_is_a_way_to_few_ports(run: Any, recorder: Any, authority: Authority) -> None:
    async def test() -> None:
        called = await Called.by(authority, recorder(), [CARRIER])
        assert called.flow.connection is not None
        for port in range(6000, 6100):
            called.flow.connection.alias(port)
        assert [called.to(CARRIER, port).connected for port in (PORT, 6000, 6099)] == [True, True, False]
        await called.close()

    run(test)


def test_the_latest_of_two_connections_counts(run: Any, recorder: Any, authority: Authority) -> None:
    async def test() -> None:
        called = await Called.by(authority, recorder(), [CARRIER])
        later = await Client.connect(called.transport, showing(authority, authority.issue(CARRIER, file="client")))
        flow = await said(called.sink, later)
        assert flow.connection is not None
        flow.connection.alias(PORT)
        called.to(CARRIER).send(message(b"later"))
        assert await later.read(len(message(b"later"))) == message(b"later")
        await called.client.close()  # its end is not that of the later one
        await called.sink.until(lambda: len(called.transport.connections) == 1)
        assert called.to(CARRIER).connected
        await later.close()
        await closed(called.transport)

    run(test)


def worthless(folder: Path, authority: Authority) -> dict[str, Files]:
    """Certificates of the carrier's name that prove nothing, by what is wrong with them."""
    other = Authority(folder, "Another CA")
    return {
        "unable to get local issuer certificate": other.issue(CARRIER, file="other"),
        "certificate has expired": authority.issue(CARRIER, file="expired", days=-1),
        "certificate is not yet valid": authority.issue(CARRIER, file="future", since=-1),
        "self-signed certificate": authority.issue(CARRIER, file="self", self_signed=True, common=CARRIER),
    }


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_that_proves_nothing_makes_a_stranger(
    run: Any, recorder: Any, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The handshake goes on, with `request`, and messages do both ways."""

    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(authority), sink)
        for problem, files in worthless(tmp_path, authority).items():
            context = showing(authority, files)
            context.maximum_version = version
            client = await Client.connect(transport, context)
            flow = await said(sink, client)
            assert flow.identity == ""
            flow.send(message(b"answer"))
            assert await client.read(len(message(b"answer"))) == message(b"answer")
            fault = sink.faults[-1]
            assert not fault.fatal and not fault.misdeed
            assert problem in fault.cause
            await client.close()
        assert transport.handshakes_failed == 0
        await closed(transport)

    run(test)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_is_asked_for_a_certificate_is_verified_each_time(
    run: Any, recorder: Any, authority: Authority, version: ssl.TLSVersion
) -> None:
    """No session is resumed, and asking for that does no harm."""

    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(authority), sink)
        context = showing(authority, authority.issue(CARRIER))
        context.maximum_version = version
        session = None
        for _ in range(2):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="sbc.example", session=session)
            reader, writer = await asyncio.open_connection(*transport.local)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65_536))
            before = len(sink.messages)
            tls.write(message())
            writer.write(outgoing.read())
            await sink.message(before + 1)
            assert sink.flow.identity == f"{CARRIER}@127.0.0.1"
            assert not tls.session_reused
            session = tls.session
            writer.close()
        await closed(transport)

    run(test)


def test_large_messages_pass_where_certificates_are_asked_for(run: Any, recorder: Any, authority: Authority) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(authority), sink)
        client = await Client.connect(transport, showing(authority, authority.issue(CARRIER)))
        large = message(b"x" * 60_000)
        for number in range(1, 4):
            client.writer.write(large)
            await sink.message(number)
            assert sink.messages[-1] == large
            sink.flow.send(large)
            assert await client.read(len(large)) == large
        await client.close()
        await sink.until(lambda: not transport.connections)
        await closed(transport)

    run(test)
