"""Locating SIP servers (RFC 3263 §4, RFC 2782) against a real little name server on the loopback."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.uri import SipUri
from engine.transport.dns.hosts import parse_hosts, read_hosts
from engine.transport.dns.lookups import Lookups, NameServers, Naptr, Question, Records, Srv
from engine.transport.dns.resolver import Resolver, Target, by_weight
from tests.network import reserved_port

ZONE = """
example.com.            300 IN NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.pool.example.com.
example.com.            300 IN NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.pool.example.com.
example.com.            300 IN NAPTR 5 10 "s" "SIPS+D2T" "" _sips._tcp.pool.example.com.
example.com.            300 IN NAPTR 1 10 "s" "SIP+D2S" "" _sip._sctp.pool.example.com.
example.com.            300 IN NAPTR 1 10 "u" "E2U+sip" "!^.*$!sip:info@example.com!" .
example.com.            300 IN A 192.0.2.99
_sip._udp.pool.example.com. 300 IN SRV 10 0 5070 one.example.com.
_sip._tcp.pool.example.com. 300 IN SRV 20 0 5071 two.example.com.
_sip._tcp.pool.example.com. 300 IN SRV 10 0 5072 one.example.com.
_sips._tcp.pool.example.com. 300 IN SRV 10 0 5073 one.example.com.
one.example.com.        300 IN A 192.0.2.1
one.example.com.        300 IN AAAA 2001:db8::1
two.example.com.        300 IN A 192.0.2.3
_sip._udp.srv.example.com. 300 IN SRV 10 0 5080 one.example.com.
srv.example.com.        300 IN A 192.0.2.98
plain.example.com.      300 IN A 192.0.2.4
alias.example.com.      300 IN CNAME plain.example.com.
none.example.com.       300 IN SRV 0 0 0 .
_sip._udp.none.example.com. 300 IN SRV 0 0 0 .
none.example.com.       300 IN A 192.0.2.97
"""


class NameServer(asyncio.DatagramProtocol):
    """Answers from a zone; what it is asked can be counted, and how it answers replaced."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.answer: Callable[[bytes], bytes | None] = self.from_zone
        self.records: dict[tuple[str, str], dns.rrset.RRset] = {}
        self.mute: set[str] = set()
        for line in ZONE.strip().splitlines():
            name, ttl, _, kind, data = line.split(None, 4)
            found = self.records.setdefault((name, kind), dns.rrset.from_text(name, int(ttl), "IN", kind, data))
            found.update(dns.rrset.from_text(name, int(ttl), "IN", kind, data))

    @classmethod
    async def start(cls, port: int = 0) -> "NameServer":
        address = ("127.0.0.1", port)
        transport, server = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=address)
        server.transport = transport
        server.address = transport.get_extra_info("sockname")[:2]
        return server

    def from_zone(self, wire: bytes) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        if kind in self.mute:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        alias = self.records.get((name, "CNAME"))
        if alias is not None:
            response.answer.append(alias)
            name = str(alias[0].target)
        if (name, kind) in self.records:
            response.answer.append(self.records[name, kind])
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()

    def datagram_received(self, data: bytes, address: Any) -> None:
        answer = self.answer(data)
        if answer is not None:
            self.transport.sendto(answer, address)


def uri(text: str) -> SipUri:
    return SipUri.parse(text)


def texts(targets: list[Target] | None) -> list[str] | None:
    return None if targets is None else [f"{t.transport} {t.host} {t.port}" for t in targets]


def against(server: NameServer, **options: Any) -> Resolver:
    lookups = Lookups(NameServers([server.address]), hosts={}, timeout=options.get("timeout", 3.0))
    return Resolver(lookups, rng=random.Random(1), **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:a@192.0.2.7", "udp 192.0.2.7 5060"),
        ("sip:a@192.0.2.7:5099", "udp 192.0.2.7 5099"),
        ("sip:a@192.0.2.7;transport=TCP", "tcp 192.0.2.7 5060"),
        ("sip:a@192.0.2.7;transport=tls", "tls 192.0.2.7 5061"),
        ("sips:a@192.0.2.7", "tls 192.0.2.7 5061"),
        ("sips:a@192.0.2.7;transport=tcp", "tls 192.0.2.7 5061"),
        ("sips:a@192.0.2.7;transport=ws", "wss 192.0.2.7 443"),
        ("sip:a@[2001:db8::7]:5070", "udp 2001:db8::7 5070"),
        ("sip:a@example.com;maddr=192.0.2.8", "udp 192.0.2.8 5060"),
        ("sip:a@192.0.2.7;transport=sctp", "sctp 192.0.2.7 5060"),
    ],
)
def test_numeric_hosts_are_answered_at_once(text: str, expected: str) -> None:
    resolver = Resolver(Lookups(NameServers([("127.0.0.1", 9)]), hosts={}))
    assert texts(resolver.cached(uri(text))) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # NAPTR: by order, only transports that we have, each one's SRV by priority (§4.1).
        (
            "sip:example.com",
            [
                "tcp 192.0.2.1 5072", "tcp 2001:db8::1 5072", "tcp 192.0.2.3 5071",
                "udp 192.0.2.1 5070", "udp 2001:db8::1 5070",
            ],
        ),
        # A port: neither NAPTR nor SRV (§4.2).
        ("sip:example.com:5060", ["udp 192.0.2.99 5060"]),
        ("sip:one.example.com:6000;transport=tcp", ["tcp 192.0.2.1 6000", "tcp 2001:db8::1 6000"]),
        # A transport: its SRV without NAPTR (§4.2).
        ("sip:srv.example.com;transport=udp", ["udp 192.0.2.1 5080", "udp 2001:db8::1 5080"]),
        ("sip:srv.example.com;transport=tcp", ["tcp 192.0.2.98 5060"]),
        # No NAPTR: SRV by transport (§4.1).
        ("sip:srv.example.com", ["udp 192.0.2.1 5080", "udp 2001:db8::1 5080"]),
        # Neither: address records and the default port (§4.2).
        ("sip:plain.example.com", ["udp 192.0.2.4 5060"]),
        ("sip:PLAIN.example.com.", ["udp 192.0.2.4 5060"]),
        ("sip:alias.example.com", ["udp 192.0.2.4 5060"]),
        ("sips:plain.example.com", ["tls 192.0.2.4 5061"]),
        # "." as the only target: the service is decidedly not available (RFC 2782).
        ("sip:none.example.com;transport=udp", []),
        ("sip:nowhere.example.com", []),
        (f"sip:{'x' * 64}.example.com", []),
    ],
)  # fmt: skip
def test_rfc_3263_4(run: Any, text: str, expected: list[str]) -> None:
    async def test() -> None:
        server = await NameServer.start()
        resolver = against(server)
        assert resolver.cached(uri(text)) is None
        assert texts(await resolver.resolve(uri(text))) == expected
        asked = server.asked.total()
        assert texts(resolver.cached(uri(text))) == expected
        assert texts(await resolver.resolve(uri(text))) == expected
        assert server.asked.total() == asked
        await resolver.close()
        server.transport.close()

    run(test)


def test_sips_uses_only_secure_services_rfc_3263_4_1(run: Any) -> None:
    async def test() -> None:
        server = await NameServer.start()
        resolver = against(server, transports=("udp", "tcp", "tls"), families=(socket.AF_INET,))
        assert texts(await resolver.resolve(uri("sips:example.com"))) == ["tls 192.0.2.1 5073"]
        await resolver.close()
        server.transport.close()

    run(test)


@pytest.mark.parametrize(
    "text", ["sip:a@invalid", "sip:a@x.Invalid.", "sip:a@x.invalid:5060", "sips:a@x.invalid", "sip:a@b;maddr=x.invalid"]
)
def test_names_that_are_nobodys_are_never_asked_for_rfc_2606_2(run: Any, text: str) -> None:
    async def test() -> None:
        server = await NameServer.start()
        resolver = against(server)
        assert await resolver.resolve(uri(text)) == []
        assert not server.asked
        await resolver.close()
        server.transport.close()

    run(test)


def test_only_families_that_we_listen_with_are_asked_for(run: Any) -> None:
    async def test() -> None:
        server = await NameServer.start()
        resolver = against(server, families=(socket.AF_INET6,))
        assert texts(await resolver.resolve(uri("sip:one.example.com:5060"))) == ["udp 2001:db8::1 5060"]
        assert set(server.asked) == {("one.example.com.", "AAAA")}
        await resolver.close()
        server.transport.close()

    run(test)


def test_a_large_request_prefers_tcp_and_keeps_udp_to_fall_back_rfc_3261_18_1_1(run: Any) -> None:
    async def test() -> None:
        server = await NameServer.start()
        resolver = against(server, families=(socket.AF_INET,))
        both = ["tcp 192.0.2.4 5060", "udp 192.0.2.4 5060"]
        assert texts(await resolver.resolve(uri("sip:plain.example.com"), prefer="tcp")) == both
        assert texts(resolver.cached(uri("sip:plain.example.com"), prefer="tcp")) == both
        assert texts(resolver.cached(uri("sip:a@192.0.2.4"), prefer="tcp")) == both
        asked_for_udp = uri("sip:a@192.0.2.4;transport=udp")
        assert texts(resolver.cached(asked_for_udp, prefer="tcp")) == ["udp 192.0.2.4 5060"]
        targets = texts(await resolver.resolve(uri("sip:srv.example.com"), prefer="tcp"))
        assert targets == ["tcp 192.0.2.1 5080", "udp 192.0.2.1 5080"]
        await resolver.close()
        server.transport.close()

    run(test)


def test_many_waiters_share_one_query_and_one_giving_up_takes_it_from_nobody(run: Any) -> None:
    async def test() -> None:
        server = await NameServer.start()
        resolver = against(server, families=(socket.AF_INET,))
        waiting = [asyncio.create_task(resolver.resolve(uri("sip:plain.example.com:5060"))) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert all(result == [("udp", "192.0.2.4", 5060)] for result in results[1:])
        assert server.asked == {("plain.example.com.", "A"): 1}
        await resolver.close()
        server.transport.close()

    run(test)


def silent(server: NameServer) -> None:
    server.answer = lambda wire: None


def garbage(server: NameServer) -> None:
    server.answer = lambda wire: wire[:2] + random.Random(5).randbytes(60)


def truncated_garbage(server: NameServer) -> None:
    server.answer = lambda wire: wire[:2] + b"\x83\x80"


def wrong_id(server: NameServer) -> None:
    server.answer = lambda wire: struct.pack("!H", struct.unpack("!H", wire[:2])[0] ^ 1) + wire[2:]


def failing(server: NameServer) -> None:
    def answer(wire: bytes) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(wire))
        response.set_rcode(dns.rcode.SERVFAIL)
        return response.to_wire()

    server.answer = answer


@pytest.mark.parametrize("way", [silent, garbage, truncated_garbage, wrong_id, failing])
def test_a_name_server_that_is_no_good_costs_bounded_time(run: Any, way: Callable[[NameServer], None]) -> None:
    async def test() -> None:
        server = await NameServer.start()
        way(server)
        resolver = against(server, timeout=0.2)
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await resolver.resolve(uri("sip:plain.example.com")) == []
        assert loop.time() - before < 15.0
        await resolver.close()
        server.transport.close()

    run(test)


def test_a_name_server_that_ignores_naptr_and_aaaa_still_gives_the_rest(run: Any) -> None:
    async def test() -> None:
        server = await NameServer.start()
        server.mute = {"NAPTR", "AAAA"}
        resolver = against(server, timeout=0.5)
        targets = texts(await resolver.resolve(uri("sip:srv.example.com")))
        assert targets == ["udp 192.0.2.1 5080"]
        await resolver.close()
        server.transport.close()

    run(test)


def test_the_second_name_server_is_asked_when_the_first_is_silent(run: Any) -> None:
    async def test() -> None:
        deaf, server = await NameServer.start(), await NameServer.start()
        silent(deaf)
        lookups = Lookups(NameServers([deaf.address, server.address]), hosts={}, timeout=1.0)
        resolver = Resolver(lookups, timeout=1.0)
        assert texts(await resolver.resolve(uri("sip:plain.example.com"))) == ["udp 192.0.2.4 5060"]
        await resolver.close()
        deaf.transport.close()
        server.transport.close()

    run(test)


def test_a_name_server_that_is_not_there_is_noticed_at_once(run: Any) -> None:
    async def test() -> None:
        gone, server = await NameServer.start(), await NameServer.start()
        gone.transport.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        lookups = Lookups(NameServers([gone.address, server.address]), hosts={}, timeout=600.0)
        assert await lookups.ask(Question("plain.example.com", "A")) == ("192.0.2.4",)
        await lookups.close()
        server.transport.close()

    run(test)


def test_an_answer_too_long_for_a_datagram_is_fetched_over_tcp(run: Any) -> None:
    port = reserved_port()  # for TCP as well

    async def test() -> None:
        server = await NameServer.start(port)

        def truncated(wire: bytes) -> bytes:
            response = dns.message.make_response(dns.message.from_wire(wire))
            response.flags |= dns.flags.TC
            return response.to_wire()

        async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            answer = server.from_zone(await reader.readexactly(size))
            assert answer is not None
            writer.write(struct.pack("!H", len(answer)) + answer)
            await reader.read()
            writer.close()
            done.set()

        done = asyncio.Event()
        server.answer = truncated
        streams = await asyncio.start_server(over_tcp, *server.address)
        lookups = Lookups(NameServers([server.address]), hosts={})
        assert await lookups.ask(Question("plain.example.com", "A")) == ("192.0.2.4",)
        await done.wait()
        streams.close()
        await streams.wait_closed()
        await lookups.close()
        server.transport.close()

    run(test)


def test_close_gives_up_what_is_being_asked(run: Any) -> None:
    async def test() -> None:
        server = await NameServer.start()
        silent(server)
        resolver = against(server)
        waiting = asyncio.create_task(resolver.resolve(uri("sip:plain.example.com:5060")))
        await asyncio.sleep(0)  # it asks
        await asyncio.sleep(0)  # and its questions are under way
        assert resolver.lookups.in_flight
        await resolver.close()
        assert await waiting == []
        server.transport.close()

    run(test)


# -- the cache, with a clock and a name server that are values


class Names:
    def __init__(self) -> None:
        self.now = 0.0
        self.answers: dict[Question, tuple[Records, float] | None] = {}
        self.asked: list[Question] = []

    async def query(self, question: Question, _: float) -> tuple[Records, float]:
        self.asked.append(question)
        answer = self.answers.get(question, ((), 1000.0))
        if answer is None:
            raise LookupError("no answer")
        return answer

    def lookups(self, hosts: dict[str, tuple[str, ...]] | None = None) -> Lookups:
        return Lookups(self.query, hosts=hosts or {}, clock=lambda: self.now)


A = Question("a.example", "A")


@pytest.mark.parametrize(
    ("ttl", "kept"),
    [(0.0, 5.0), (5.0, 5.0), (60.0, 60.0), (1e9, 3600.0)],
)
def test_records_are_kept_for_their_time_within_bounds(ttl: float, kept: float) -> None:
    async def test() -> None:
        names = Names()
        names.answers[A] = (("192.0.2.1",), ttl)
        lookups = names.lookups()
        assert lookups.known(A) is None
        await lookups.ask(A)
        names.now = kept - 0.01
        assert lookups.known(A) == ("192.0.2.1",)
        names.now = kept
        assert lookups.known(A) is None
        await lookups.ask(A)
        assert names.asked == [A, A]

    asyncio.run(test())


def test_no_such_name_is_remembered_for_a_minute_at_most_rfc_2308() -> None:
    async def test() -> None:
        names = Names()
        lookups = names.lookups()
        assert await lookups.ask(A) == ()
        names.now = 59.9
        assert await lookups.ask(A) == ()
        assert names.asked == [A]
        names.now = 60.1
        await lookups.ask(A)
        assert names.asked == [A, A]

    asyncio.run(test())


def test_old_records_serve_while_name_servers_are_silent_rfc_8767() -> None:
    async def test() -> None:
        names = Names()
        names.answers[A] = (("192.0.2.1",), 60.0)
        lookups = names.lookups()
        await lookups.ask(A)
        names.answers[A] = None
        names.now = 100.0
        assert await lookups.ask(A) == ("192.0.2.1",)
        assert lookups.known(A) == ("192.0.2.1",)  # for five seconds: not each call waits for the name server
        names.now = 106.0
        assert lookups.known(A) is None
        assert await lookups.ask(A) == ("192.0.2.1",)
        names.now = 60.0 + 3601.0
        assert await lookups.ask(A) == ()
        names.answers[A] = ((), 60.0)
        names.now += 6.0
        assert await lookups.ask(A) == ()

    asyncio.run(test())


def test_the_cache_and_the_queries_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.transport.dns.lookups._CACHED", 5)
    monkeypatch.setattr("engine.transport.dns.lookups._IN_FLIGHT", 3)

    async def test() -> None:
        names = Names()
        lookups = names.lookups()
        for number in range(20):
            await lookups.ask(Question(f"{number}.example", "A"))
            assert lookups.remembered <= 5
        assert lookups.known(Question("19.example", "A")) == ()
        names.asked.clear()
        many = [lookups.ask(Question(f"new{number}.example", "A")) for number in range(10)]
        assert await asyncio.gather(*many) == [()] * 10
        assert len(names.asked) == 3

    asyncio.run(test())


def test_the_hosts_file_comes_first_and_no_name_server_is_asked() -> None:
    async def test() -> None:
        names = Names()
        resolver = Resolver(names.lookups({"pbx": ("192.0.2.5", "2001:db8::5")}))
        assert texts(resolver.cached(uri("sip:PBX"))) == ["udp 192.0.2.5 5060", "udp 2001:db8::5 5060"]
        assert texts(await resolver.resolve(uri("sip:pbx;transport=tcp"))) == [
            "tcp 192.0.2.5 5060",
            "tcp 2001:db8::5 5060",
        ]
        assert names.asked == []

    asyncio.run(test())


def test_hosts_files_are_read_as_they_are_written(tmp_path: Any) -> None:
    text = """
    127.0.0.1   localhost  # the usual
    ::1         localhost ip6-localhost
    192.0.2.1   Gateway.Example.  gw
    192.0.2.1   gw
    2001:DB8::0001 gw
    not-an-address  broken
    192.0.2.9
    """
    assert parse_hosts(text) == {
        "localhost": ("127.0.0.1", "::1"),
        "ip6-localhost": ("::1",),
        "gateway.example": ("192.0.2.1",),
        "gw": ("192.0.2.1", "2001:db8::1"),
    }
    file = tmp_path / "hosts"
    file.write_bytes(b"\xff\xfe 192.0.2.1 x\n192.0.2.2 y\n")
    assert read_hosts(str(file))["y"] == ("192.0.2.2",)
    assert read_hosts(str(tmp_path / "missing")) == {"localhost": ("127.0.0.1", "::1")}
    assert read_hosts(str(tmp_path)) == {"localhost": ("127.0.0.1", "::1")}


def test_families_take_turns_so_that_a_broken_one_costs_one_attempt() -> None:
    async def test() -> None:
        names = Names()
        names.answers[Question("x.example", "A")] = (("192.0.2.1", "192.0.2.2", "192.0.2.3"), 60.0)
        names.answers[Question("x.example", "AAAA")] = (("2001:db8::1",), 60.0)
        targets = await Resolver(names.lookups()).resolve(uri("sip:x.example:5060"))
        assert [target.host for target in targets] == ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"]

    asyncio.run(test())


def test_a_zone_with_thousands_of_records_does_not_become_thousands_of_attempts() -> None:
    async def test() -> None:
        names = Names()
        service = Question("_sip._udp.big.example", "SRV")
        names.answers[service] = (tuple(Srv(1, 1, 5060, f"h{n}.example") for n in range(5000)), 60.0)
        for number in range(5000):
            names.answers[Question(f"h{number}.example", "A")] = (
                tuple(f"192.0.2.{n}" for n in range(200)),
                60.0,
            )
        targets = await Resolver(names.lookups()).resolve(uri("sip:big.example"))
        assert len(targets) == 32
        assert len(names.asked) < 50

    asyncio.run(test())


def test_naptr_records_that_point_nowhere_useful_fall_back_to_srv() -> None:
    async def test() -> None:
        names = Names()
        names.answers[Question("x.example", "NAPTR")] = ((Naptr(1, 1, "SIP+D2S", "_sip._sctp.x.example"),), 60.0)
        names.answers[Question("_sip._tcp.x.example", "SRV")] = ((Srv(1, 1, 5070, "192.0.2.6"),), 60.0)
        assert texts(await Resolver(names.lookups()).resolve(uri("sip:x.example"))) == ["tcp 192.0.2.6 5070"]

    asyncio.run(test())


# -- RFC 2782, "Weight"


def test_priorities_come_in_order_and_weights_by_chance_rfc_2782() -> None:
    heavy, light, later = Srv(1, 75, 1, "heavy"), Srv(1, 25, 1, "light"), Srv(2, 100, 1, "later")
    rng = random.Random(7)
    firsts = Counter(by_weight([later, light, heavy], rng)[0].target for _ in range(4000))
    assert set(firsts) == {"heavy", "light"}
    assert 0.70 < firsts["heavy"] / 4000 < 0.80
    assert all(by_weight([later, light, heavy], rng)[2] is later for _ in range(50))


def test_a_server_without_weight_has_a_small_chance_rfc_2782() -> None:
    rng = random.Random(7)
    firsts = Counter(by_weight([Srv(1, 99, 1, "all"), Srv(1, 0, 1, "none")], rng)[0].target for _ in range(4000))
    assert 0 < firsts["none"] < 120


@given(
    st.lists(st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.just(5060), st.text("ab", max_size=3))),
    st.integers(),
)
def test_every_record_comes_exactly_once_and_by_priority(records: list[Srv], seed: int) -> None:
    ordered = by_weight(records, random.Random(seed))
    assert Counter(ordered) == Counter(records)
    assert [record.priority for record in ordered] == sorted(record.priority for record in records)
