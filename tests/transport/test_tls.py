"""SIP over TLS on real sockets (RFC 3261 §26.2, RFC 5922)."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.sip.flow import Flow, TlsTerms
from engine.transport.certificates import CertificateError, CertificateFiles, Certificates, ServerTls
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


async def until(condition: Callable[[], object]) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(WAIT):
        for _ in itertools.count():
            if condition():
                return
            await asyncio.sleep(0.001)


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


# ---- whom we connect to


async def tried(here: Any, one: TlsTransport, two: TlsTransport, domain: str, terms: TlsTerms) -> str:
    """Why a message did not get there; "" where it did."""
    flow = Flow(one, *two.local, domain=domain, tls=terms)
    before = len(here.failures), len(two.sink.messages)  # type: ignore[attr-defined]
    flow.send(message())
    there: Any = two.sink
    await until(lambda: (len(here.failures), len(there.messages)) != before)
    return here.failures[-1][2] if len(here.failures) > before[0] else ""


def test_every_certificate_has_its_verdict(run: Any, recorder: Any, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other CA")
    ours, theirs = str(authority.ca), str(other.ca)
    own = Files(tmp_path / "own.pem", tmp_path / "own.key")
    cases: list[tuple[Files, str, TlsTerms, str]] = [
        (authority.issue("carrier.example"), "carrier.example", TlsTerms(ca=ours), ""),
        (authority.issue("sip:carrier.example"), "carrier.example", TlsTerms(ca=ours), ""),
        (authority.issue("127.0.0.1"), "", TlsTerms(ca=ours), ""),
        (authority.issue("127.0.0.2"), "", TlsTerms(ca=ours), "certificate names 127.0.0.2, not 127.0.0.1"),
        (authority.issue(common="carrier.example", file="cn"), "carrier.example", TlsTerms(ca=ours), ""),
        (
            authority.issue("*.carrier.example"),
            "sip.carrier.example",
            TlsTerms(ca=ours),
            "certificate names *.carrier.example, not sip.carrier.example",
        ),
        (
            authority.issue("*.carrier.example"),
            "sip.carrier.example",
            TlsTerms(ca=ours, allow_wildcards=True),
            "",
        ),
        (authority.issue("b.example"), "a.example", TlsTerms(ca=ours, names=("c.example", "b.example")), ""),
        (
            authority.issue("b.example"),
            "b.example",
            TlsTerms(ca=ours, names=("c.example",)),
            "certificate names b.example, not c.example",
        ),
        (
            authority.issue("carrier.example", days=-2, file="expired"),
            "carrier.example",
            TlsTerms(ca=ours),
            "the certificate of carrier.example is not trusted: certificate has expired",
        ),
        (
            other.issue("carrier.example"),
            "carrier.example",
            TlsTerms(ca=ours),
            "the certificate of carrier.example is not trusted: unable to get local issuer certificate",
        ),
        (other.issue("carrier.example"), "carrier.example", TlsTerms(ca=theirs), ""),
        (
            other.issue("carrier.example"),
            "carrier.example",
            TlsTerms(),
            "the certificate of carrier.example is not trusted: unable to get local issuer certificate",
        ),
        (other.issue("x.example"), "carrier.example", TlsTerms(verify=False), ""),
        (
            other.issue("x.example"),
            "carrier.example",
            TlsTerms(ca="/nowhere/ca.pem"),
            "no connection over TLS can be made: /nowhere/ca.pem: No such file or directory",
        ),
        (other.issue("x.example"), "a" * 64 + ".example", TlsTerms(verify=False), "is no name that TLS can ask for"),
    ]
    assert not own.certificate.exists()

    async def test() -> None:
        for files, domain, terms, cause in cases:
            here, there = recorder(), recorder()
            shown = served(files)
            one, two = await TlsTransport.open(listening(shown), here), await TlsTransport.open(listening(shown), there)
            said = await tried(here, one, two, domain, terms)
            assert (said == "") == (cause == "") and cause in said, (files.certificate.name, domain, terms, said)
            await closed(one, two)
            if said:
                assert not there.messages

    run(test)


def test_a_connection_is_for_one_name_and_one_set_of_terms(run: Any, recorder: Any, authority: Authority) -> None:
    shown = served(authority.issue("a.example", "b.example", file="both"))
    trusted = TlsTerms(ca=str(authority.ca))

    async def test() -> None:
        here, there = recorder(), recorder()
        one, two = await TlsTransport.open(listening(shown), here), await TlsTransport.open(listening(shown), there)
        ports: list[int] = []
        there.on_message = lambda data, flow: ports.append(flow.port)
        for domain, terms in (
            ("a.example", trusted),
            ("b.example", trusted),
            ("a.example", TlsTerms(verify=False)),
            ("a.example", trusted),
        ):
            Flow(one, *two.local, domain=domain, tls=terms).send(message())
            await there.message(len(ports) + 1)
        assert ports[0] == ports[3] and len({*ports}) == 3
        await closed(one, two)

    run(test)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_that_refuses_our_certificate_is_heard(
    run: Any, recorder: Any, authority: Authority, tmp_path: Path, version: Any
) -> None:
    """With TLS 1.3 that comes after the handshake, by the first bytes that are read (RFC 8446 §4.4.2.4)."""
    server, client = authority.issue("carrier.example"), Authority(tmp_path, "Other CA").issue("us.example")
    asking = served(server, client_ca=authority.ca, client_certificates="require", minimum=version)
    shown = served(server, minimum=version)
    if version == "1.2":
        asking.shown[0].context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def test() -> None:
        here, there = recorder(), recorder()
        one, two = await TlsTransport.open(listening(shown), here), await TlsTransport.open(listening(asking), there)
        for certificate, words in (("", "certificate required"), (str(client.certificate), "unknown ca")):
            terms = TlsTerms(ca=str(authority.ca), certificate=certificate, key=str(client.key) if certificate else "")
            count = len(here.failures)
            Flow(one, *two.local, domain="carrier.example", tls=terms).send(message())
            cause = (await here.failure(count + 1))[2]
            if version == "1.3" or certificate:
                assert cause == f"carrier.example refuses our certificate: {words}"
            else:  # TLS 1.2 has no word of its own for it
                assert cause == "carrier.example gave up the TLS handshake: handshake failure"
        assert not there.messages
        assert [fault.misdeed for fault in there.faults] == [False, False]
        await closed(one, two)

    run(test)


# ---- who connects to us


def refuse(address: tuple[str, int]) -> None:
    """A client that does not know our CA and says so (asyncio's own only goes away)."""
    with socket.create_connection(address) as sock, pytest.raises(ssl.SSLError, match="certificate verify failed"):
        ssl.create_default_context().wrap_socket(sock, server_hostname="sip.example")


async def greeted(transport: TlsTransport, data: bytes) -> bytes:
    """What is said to a client that begins with these bytes, until the connection is closed."""
    reader, writer = await asyncio.open_connection(*transport.local)
    writer.write(data)
    got = b""
    async with asyncio.timeout(WAIT):
        with suppress(ConnectionError):
            got = await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return got


def test_a_handshake_that_is_none_counts_and_what_is_set_up_wrongly_does_not(
    run: Any, recorder: Any, authority: Authority
) -> None:
    shown = served(authority.issue("sip.example"))
    old = trusting(None, minimum_version=ssl.TLSVersion.TLSv1_2, maximum_version=ssl.TLSVersion.TLSv1_2)

    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(served(authority.issue("s.example"), minimum="1.3")), sink)
        for data, cause, misdeed in (
            (b"\x00\x01\x02\x03" * 10, "bytes that are no TLS", True),
            (b"GET / HTTP/1.1\r\n\r\n", "HTTP without TLS at a TLS port", True),
            (b"\x16\x03\x01\x00\x05hello" + b"x" * 40, "a handshake that is none", True),
            (b"\x16" * 70_000, "", True),
            (message(), "SIP without TLS at a TLS port", False),
            (b"\r\n\r\n" + message(), "SIP without TLS at a TLS port", False),
        ):
            count = len(sink.faults)
            await greeted(transport, data)
            await sink.until(lambda count=count: len(sink.faults) > count)
            assert (cause in sink.faults[-1].cause, sink.faults[-1].misdeed) == (True, misdeed), sink.faults[-1]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Client.connect(transport, old)
        assert "no version or cipher of TLS in common" in sink.faults[-1].cause and not sink.faults[-1].misdeed
        assert transport.handshakes_failed == len(sink.faults) == 7
        assert not sink.messages and not sink.strange
        await closed(transport)

        sink = recorder()
        transport = await TlsTransport.open(listening(shown), sink)
        await asyncio.to_thread(refuse, transport.local)
        await sink.until(lambda: sink.faults)
        assert sink.faults[0].cause == "the client refuses our certificate: unknown ca"
        assert "with its chain" in sink.faults[0].hint and not sink.faults[0].misdeed
        _, writer = await asyncio.open_connection(*transport.local)
        writer.write(b"\x16\x03\x01")  # and then it is gone
        writer.close()
        await until(lambda: not transport.connections)
        assert len(sink.faults) == 1 and not len(transport.handshakes)
        await closed(transport)

    run(test)


def test_a_handshake_has_its_time_whether_nothing_comes_or_a_byte_at_a_time(
    run: Any, recorder: Any, authority: Authority
) -> None:
    shown = served(authority.issue("sip.example"))

    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(shown, handshake_timeout=3.0), sink)
        client = await Client.connect(transport, trusting(authority.ca))
        silent = asyncio.create_task(greeted(transport, b""))
        slow = asyncio.create_task(greeted(transport, b"\x16\x03\x01\x02"))
        assert (await silent, await slow) == (b"", b"")
        assert (transport.handshakes_slow, transport.timed_out) == (2, 0) and not sink.faults
        # a connection whose handshake is done has all the time of a connection
        client.writer.write(b"\r\n\r\n")
        assert await client.read(2) == b"\r\n"
        await client.close()
        await closed(transport)

    run(test)


def test_handshakes_are_bounded_and_the_oldest_stranger_makes_room(
    run: Any, recorder: Any, authority: Authority
) -> None:
    shown = served(authority.issue("sip.example"))

    async def test() -> None:
        sink = recorder()
        sink.friends = {"127.0.0.9"}
        transport = await TlsTransport.open(listening(shown, handshakes=6, handshakes_per_source=3), sink)
        kept = []

        async def open_from(host: str) -> asyncio.StreamReader:
            reader, writer = await asyncio.open_connection(*transport.local, local_addr=(host, 0))
            kept.append(writer)
            return reader

        first = [await open_from("127.0.0.2") for _ in range(3)]
        known = await open_from("127.0.0.9")
        await open_from("127.0.0.2")  # a fourth of this source: its first goes
        assert await first[0].read() == b""
        await open_from("127.0.0.3")
        await open_from("127.0.0.4")
        await until(lambda: len(transport.handshakes) == 6)
        await open_from("127.0.0.5")  # a seventh: the oldest of all goes
        assert await first[1].read() == b""
        assert transport.displaced == 2 and not known.at_eof() and not sink.faults
        # whose handshake comes to its end, comes in all the same
        client = await Client.connect(transport, trusting(authority.ca))
        client.writer.write(message())
        assert await sink.message() == message()
        await client.close()
        for writer in kept:
            writer.close()
        await until(lambda: not transport.connections)
        assert not len(transport.handshakes) and not len(transport.slots)
        await closed(transport)

    run(test)


def test_a_peer_that_takes_nothing_is_cut_off(run: Any, recorder: Any, authority: Authority) -> None:
    """What waits for it is bounded, though it is encrypted, and so is what its own new keys would have us answer."""
    shown = served(authority.issue("sip.example"))

    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(shown, stranger_write_buffer=256 * 1024), sink)
        client = await Client.connect(transport, trusting(authority.ca))
        client.writer.write(message())
        await sink.message()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        back = sink.flow
        largest = 0
        for _ in range(20_000):
            if not back.connection.usable:
                break
            back.send(b"SIP/2.0 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000)
            socket_of = back.connection.transport
            largest = max(largest, socket_of.get_write_buffer_size() if not socket_of.is_closing() else 0)
        assert not back.connection.usable and largest <= 2 * 256 * 1024 + 65_536
        client.writer.transport.abort()
        await closed(transport)

    run(test)


def test_a_stream_of_large_messages_comes_whole_through_records_of_any_size(
    run: Any, recorder: Any, authority: Authority
) -> None:
    shown = served(authority.issue("sip.example"))

    async def test() -> None:
        here, there = recorder(), recorder()
        one, two = await TlsTransport.open(listening(shown), here), await TlsTransport.open(listening(shown), there)
        flow = Flow(one, *two.local, domain="sip.example", tls=TlsTerms(ca=str(authority.ca)))
        sent = [message(b"y" * size) for size in (0, 1, 16_000, 16_384, 40_000, 200_000)]
        for data in sent:
            flow.send(data)
        await there.message(len(sent))
        assert there.messages == sent
        for data in sent:
            there.flow.send(data)
        await here.message(len(sent))
        assert here.messages == sent
        await closed(one, two)

    run(test)


# ---- certificates are read again


def test_a_new_certificate_is_shown_to_new_handshakes_and_old_connections_stay(
    run: Any, recorder: Any, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("old.example", file="shown")
    shown = served(files)

    async def test() -> None:
        sink = recorder()
        transport = await TlsTransport.open(listening(shown), sink)

        async def seen() -> tuple[Client, Any]:
            client = await Client.connect(transport, trusting(authority.ca))
            found = client.tls.getpeercert()
            return client, found and found["subjectAltName"]

        old, names = await seen()
        assert names == (("DNS", "old.example"),)
        authority.issue("new.example", file="shown")
        shown.show(shown.read()[0])
        new, names = await seen()
        assert names == (("DNS", "new.example"),)
        files.key.write_text("nothing")
        found, faults = shown.read()
        assert [str(fault).partition(": ")[0] for fault in faults] == [str(files.key)] and len(found) == 1
        shown.show(found)
        third, names = await seen()
        assert names == (("DNS", "new.example"),)
        for client in (old, new, third):
            client.writer.write(b"\r\n\r\n")
            assert await client.read(2) == b"\r\n"
            await client.close()
        await closed(transport)

    run(test)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda files, other: files.certificate.unlink(), "{certificate}: No such file or directory"),
        (lambda files, other: files.key.unlink(), "{key}: No such file or directory"),
        (lambda files, other: files.certificate.write_text("x"), "{certificate}: no certificate in PEM"),
        (lambda files, other: files.key.write_text("x"), "{key}: no private key in PEM"),
        (lambda files, other: files.key.write_bytes(other.key.read_bytes()), "{key}: is not the key of {certificate}"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path: Path, spoil: Any, problem: str) -> None:
    authority = Authority(tmp_path)
    files, other = authority.issue("a.example"), authority.issue("b.example")
    spoil(files, other)
    with pytest.raises(CertificateError) as caught:
        served(files)
    assert str(caught.value).startswith(problem.format(certificate=files.certificate, key=files.key))
