"""Listener URLs, what is said about those that cannot be opened, and which listener a peer is reached from."""

import asyncio
import socket
from typing import Any

import pytest
import structlog

from engine.sip.flow import Flow, Transport
from engine.transport.addresses import ROUTES
from engine.transport.dns.locator import Locator
from engine.transport.dns.lookups import Lookups, NameServers
from engine.transport.dns.resolver import Resolver
from engine.transport.listen_spec import ListenerLimits, ListenSpec
from engine.transport.listeners import TRANSPORTS, ListenError, Listeners, parse_listen_url
from engine.transport.tcp import TcpTransport

MESSAGE = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("udp://127.0.0.1:5060", ("udp", "127.0.0.1", 5060)),
        ("UDP://127.0.0.1", ("udp", "127.0.0.1", 5060)),
        ("tcp://[::1]:0", ("tcp", "::1", 0)),
        ("tcp://[::]/", ("tcp", "::", 5060)),
        (" udp://sip.example.com:5070 ", ("udp", "sip.example.com", 5070)),
        ("udp://[fe80::1%2]:5060", ("udp", "fe80::1%2", 5060)),
    ],
)
def test_listener_urls(url: str, parsed: tuple[str, str, int]) -> None:
    assert parse_listen_url(url) == ListenSpec(*parsed)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:5060", "not a listener URL: write it as udp://host:port"),
        ("sctp://0.0.0.0:5060", "sctp is not built into this version: use udp://, tcp://, tls://, ws:// or wss://"),
        ("http://0.0.0.0", "'http' is not a transport"),
        ("udp://", "the host is missing"),
        ("udp://::1:x", "written in brackets"),
        ("udp://[::1:5060", r"'\]' is missing"),
        ("tcp://127.0.0.1:99999", "'99999' is not a port from 0 to 65535"),
        ("udp://203.0.113.77:0", "not an address of this machine"),
        ("udp://no..host:5060", "no..host does not resolve"),
    ],
)
def test_a_url_that_cannot_be_used_is_named_with_what_to_do(run: Any, recorder: Any, url: str, said: str) -> None:
    async def test() -> None:
        with pytest.raises(ListenError, match=said) as caught:
            await Listeners.open(["udp://127.0.0.1:0", "tcp://127.0.0.1:0", url], recorder())
        assert str(caught.value).startswith(f"{url}: ")
        assert "sip.listen" in str(caught.value)

    run(test)


@pytest.mark.parametrize(("name", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_a_taken_port_is_named_with_what_to_do(run: Any, recorder: Any, name: str, kind: int) -> None:
    async def test() -> None:
        with socket.socket(socket.AF_INET, kind) as other:
            other.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                other.listen()
            url = f"{name}://127.0.0.1:{other.getsockname()[1]}"
            with pytest.raises(ListenError) as caught:
                await Listeners.open([url], recorder())
        advice = "stop the other program or choose another port under sip.listen"
        assert str(caught.value) == f"{url}: address already in use: {advice}"

    run(test)


def test_an_advertised_address_that_is_none_is_said_so(run: Any, recorder: Any) -> None:
    async def test() -> None:
        with pytest.raises(ListenError, match=r"sip\.advertise: host:x: .* host or host:port"):
            await Listeners.open(["udp://127.0.0.1:0"], recorder(), "host:x")

    run(test)


def test_udp_and_tcp_in_both_families_at_once(run: Any, recorder: Any) -> None:
    async def test() -> None:
        urls = ["udp://127.0.0.1:0", "tcp://127.0.0.1:0", "udp://[::1]:0", "tcp://[::1]:0", "udp://localhost:0"]
        here, there = recorder(), recorder()
        ours = await Listeners.open(urls, here)
        theirs = await Listeners.open(urls, there, advertise="sip.example.com")
        assert (len(ours), [t.name for t in ours]) == (5, ["udp", "tcp", "udp", "tcp", "udp"])
        for number, (one, two) in enumerate(zip(ours, theirs, strict=True), 1):
            Flow(one, *two.local).send(MESSAGE)
            await there.message(number)
            assert there.flow == Flow(two, one.local[0], there.flow.port)
            assert two.sent_by(one.local[0]) == f"sip.example.com:{two.local[1]}"
        await ours.close()
        await theirs.close()

    run(test)


class Listener:
    connects = True

    def __init__(self, name: str, host: str) -> None:
        self.name = name
        self.local = (host, 5060)


def listeners(*parts: str) -> Listeners:
    made: list[Any] = [Listener(*part.split(" ")) for part in parts]
    return Listeners(made)


@pytest.mark.parametrize(
    ("parts", "transport", "host", "chosen"),
    [
        (["udp 127.0.0.1", "tcp 127.0.0.1", "udp ::1"], "udp", "192.0.2.9", 0),
        (["udp 127.0.0.1", "tcp 127.0.0.1", "udp ::1"], "tcp", "192.0.2.9", 1),
        (["udp 127.0.0.1", "tcp 127.0.0.1", "udp ::1"], "udp", "::1", 2),
        (["udp 127.0.0.1", "tcp 127.0.0.1", "udp ::1"], "tcp", "::1", None),
        (["udp 127.0.0.1"], "tls", "127.0.0.1", None),
        (["udp 127.0.0.1"], "udp", "name", None),
        (["udp 192.0.2.1", "udp 192.0.2.2", "udp 0.0.0.0"], "udp", "198.51.100.2", 1),
        (["udp 192.0.2.1", "udp 0.0.0.0", "udp 192.0.2.2"], "udp", "198.51.100.2", 2),
        (["udp 192.0.2.1", "udp 0.0.0.0"], "udp", "198.51.100.7", 1),
        (["udp 192.0.2.1", "udp 192.0.2.3"], "udp", "198.51.100.7", 0),
    ],
)
def test_the_listener_on_the_kernels_source_address_is_chosen(
    parts: list[str], transport: str, host: str, chosen: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(ROUTES), "source", lambda _, remote: "192.0.2." + remote[-1])
    opened = listeners(*parts)
    expected = None if chosen is None else list(opened)[chosen]
    assert opened.select(transport, host) is expected


def test_a_listener_of_several_is_chosen_by_the_real_route(run: Any, recorder: Any) -> None:
    async def test() -> None:
        opened = await Listeners.open(["udp://127.0.0.2:0", "udp://127.0.0.1:0", "udp://0.0.0.0:0"], recorder())
        chosen = opened.select("udp", "127.0.0.1")
        assert chosen is not None
        assert chosen.local[0] == "127.0.0.1"
        await opened.close()

    run(test)


def test_a_further_transport_is_one_entry_and_one_class(
    run: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(TcpTransport):
        name = "tls"
        via_name = "TLS"

    monkeypatch.setitem(TRANSPORTS, "tls", Other)

    async def test() -> None:
        sink = recorder()
        opened = await Listeners.open(["tls://127.0.0.1:0", "udp://127.0.0.1:0"], sink, "", ListenerLimits())
        transport = opened.select("tls", "127.0.0.1")
        assert isinstance(transport, Other)
        as_interface: Transport = transport
        Flow(as_interface, *transport.local).send(MESSAGE)
        await sink.message()
        assert sink.flow.transport.via_name == "TLS"
        await opened.close()
        await asyncio.sleep(0)

    run(test)


@pytest.mark.parametrize(
    ("host", "port", "ours"),
    [
        ("127.0.0.61", 5060, True),
        ("::ffff:127.0.0.61", 5060, True),
        ("[::FFFF:7f00:3d]", 5060, True),
        ("127.0.0.61", 5061, False),
        ("127.0.0.62", 5060, False),
        ("SIP.example.net.", 5060, True),
        ("sip.example.net", 5061, False),
        ("example.net", 5060, False),
        ("2001:DB8:0::7", 5060, True),
    ],
)
def test_host_and_port_together_are_ours_however_they_are_written(host: str, port: int, ours: bool) -> None:
    made: list[Any] = [Listener("udp", "127.0.0.61"), Listener("udp", "2001:db8::7")]
    assert Listeners(made, "sip.example.net").listens_at(host, port) == ours


def test_of_what_is_advertised_the_port_counts_where_it_has_one() -> None:
    made: list[Any] = [Listener("udp", "10.0.0.1")]
    behind_nat = Listeners(made, "203.0.113.9:5070")
    assert behind_nat.listens_at("203.0.113.9", 5070)
    assert not behind_nat.listens_at("203.0.113.9", 5060)
    assert behind_nat.listens_at("10.0.0.1", 5060)


def test_a_listener_on_a_wildcard_has_every_address_of_the_machine() -> None:
    anywhere = listeners("udp 0.0.0.0")
    assert anywhere.listens_at("127.0.0.61", 5060)
    assert not anywhere.listens_at("192.0.2.61", 5060)


def test_what_we_send_ourselves_is_known_by_its_socket(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        for scheme in ("udp", "tcp"):
            for host in ("127.0.0.1", "[::1]"):
                mine = await Listeners.open([f"{scheme}://{host}:0"], here)
                other = await Listeners.open([f"{scheme}://{host}:0"], there)
                [listener], [elsewhere] = mine, other
                sources: list[Flow] = []
                here.on_message = lambda _, flow, known=sources: known.append(flow)
                Flow(listener, *listener.local).send(MESSAGE)
                await here.until(lambda known=sources: known)
                assert mine.sent_from(sources[0]), (scheme, host)
                Flow(elsewhere, *listener.local).send(MESSAGE)
                await here.until(lambda known=sources: len(known) == 2)
                assert not mine.sent_from(sources[1]), "another program on this machine is somebody else"
                await mine.close()
                await other.close()

    run(test)


def test_a_connection_that_is_over_leaves_nothing_of_where_it_came_from(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        mine = await Listeners.open(["tcp://127.0.0.1:0"], here)
        other = await Listeners.open(["tcp://127.0.0.1:0"], there)
        [listener], [elsewhere] = mine, other
        Flow(listener, *elsewhere.local).send(MESSAGE)
        await there.message()
        own = there.flow
        assert listener.made_from(own.host, own.port)
        await mine.close()
        assert not listener.made_from(own.host, own.port)
        await other.close()

    run(test)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "[::]", "[0::0]", "[::ffff:0.0.0.0]", "224.0.1.75", "[ff02::1]", "x;maddr=0.0.0.0"]
)
def test_nothing_is_sent_to_what_is_no_hosts_address(run: Any, recorder: Any, host: str) -> None:
    """The kernel would take 0.0.0.0 for this machine, where somebody may listen who trusts it."""

    async def test() -> None:
        listeners = await Listeners.open(["udp://127.0.0.1:0", "udp://[::1]:0"], recorder())
        lookups = Lookups(NameServers([("127.0.0.1", 9)]), hosts={"zero.example": ["0.0.0.0", "127.0.0.9"]})
        locator = Locator(listeners, Resolver(lookups), structlog.get_logger())
        told: list[tuple[list[str], str]] = []
        for uri in (f"sip:a@{host}", "sip:a@zero.example"):
            locator.locate(uri, lambda flows, cause="": told.append(([flow.host for flow in flows], cause)))
        assert told[0][0] == [] and "no host's address" in told[0][1]
        assert told[1][0] == ["127.0.0.9"]
        await locator.close()
        await listeners.close()

    run(test)
