"""Providers with names, against a name server on the loopback."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from engine.transport.dns.resolver import Resolver

Run = Callable[..., None]
CLIENT, GUEST, ONE, TWO = "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22"
OURS, FOREIGN = "+15551234567", "+821012345678"


class NameServer(asyncio.DatagramProtocol):
    """Knows A records only. `records` may change; what it was asked is counted."""

    silent_below = "nowhere.invalid"  # no answer for names in this domain

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.asked: Counter[str] = Counter()
        self.mute = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.address = ":".join(map(str, transport.get_extra_info("sockname")[:2]))

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        self.asked[name] += 1
        if self.mute or name.endswith(self.silent_below):
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        known = self.records.get(name)
        if known is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif known and query.question[0].rdtype == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(query.question[0].name, 5, "IN", "A", *known))
        self.transport.sendto(response.to_wire(), address)


async def name_server(bench: Any, **records: list[str]) -> NameServer:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.53", 0))
    server.records = {f"{name}.test": addresses for name, addresses in records.items()}

    async def close() -> None:
        transport.close()

    bench.at_end(close)
    return server


def named(server: NameServer, *providers: tuple[str, str]) -> dict[str, Any]:
    """Sections for providers of these names and hostnames, in this order."""
    return {
        "sip": {"nameservers": [server.address]},
        "providers": [{"name": name, "hostname": hostname} for name, hostname in providers],
        "routes": [
            {"target": "all", "provider": name, "priority": index} for index, (name, _) in enumerate(providers, 1)
        ],
    }


async def look_again(bench: Any, engine: Any) -> None:
    """Has all names looked up once more; the cache answers, so a few turns of the loop are enough."""
    engine.node._trunk_addresses.look_again()
    await bench.until(lambda: not engine.node._trunk_addresses._worker.woken)
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_name_that_does_not_resolve_is_passed_over_at_once_and_logged_once(run: Run) -> None:
    async def test(bench: Any) -> None:
        server = await name_server(bench)
        one, client = await bench.phone(ONE), await bench.phone(CLIENT)
        engine = await bench.engine(**named(server, ("lost", "lost.test"), ("found", one.address)))
        for _ in range(5):
            leg, outcome = await client.call(engine.address, FOREIGN)
            assert outcome.kind == "answered"
            first, second = engine.record.attempts
            assert (first.kind, second.kind) == ("unreachable", "answered")
            assert "resolve" in first.reason
            assert second.started - first.started < 1.0
            leg.hangup()
            await leg.wait_ended()
        await look_again(bench, engine)
        (line,) = engine.log.named("provider's name does not resolve")
        assert (line["provider"], line["hostname"]) == ("lost", "lost.test")
        assert server.asked["lost.test"] <= 6  # the cache answers for the calls

    run(test)


def test_a_name_server_that_is_silent_delays_a_call_but_does_not_stop_it(run: Run) -> None:
    async def test(bench: Any) -> None:
        server = await name_server(bench)
        server.mute = True
        bench.patch.setattr("engine.user_agent.Resolver", partial(Resolver, timeout=0.5))
        one, client = await bench.phone(ONE), await bench.phone(CLIENT)
        engine = await bench.engine(**named(server, ("lost", "lost.test"), ("found", one.address)))
        leg, outcome = await client.call(engine.address, FOREIGN)
        assert outcome.kind == "answered"
        assert [attempt.kind for attempt in engine.record.attempts] == ["unreachable", "answered"]
        leg.hangup()
        await leg.wait_ended()

    run(test)


def test_the_second_address_of_a_name_is_tried_when_the_first_is_dead(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE), await bench.phone(CLIENT)
        server = await name_server(bench, pair=["127.0.0.98", ONE])
        port = one.address.rpartition(":")[2]
        engine = await bench.engine(**named(server, ("pair", f"pair.test:{port}")))
        for _ in range(4):  # in whatever order the addresses come
            leg, outcome = await client.call(engine.address, FOREIGN)
            assert outcome.kind == "answered"
            assert [attempt.kind for attempt in engine.record.attempts] == ["answered"]
            leg.hangup()
            await leg.wait_ended()
        assert one.invites[0].uri_text == f"sip:{FOREIGN}@pair.test:{port}"

    run(test)


def test_a_named_providers_addresses_are_its_trunks(run: Run) -> None:
    async def test(bench: Any) -> None:
        server = await name_server(bench, trunk=[ONE, TWO])
        engine = await bench.engine(
            **named(server, ("p", "trunk.test")),
            numbers=[{"number": OURS, "call_flow": "busy"}, {"number": "+899100000001", "call_flow": "busy"}],
            flows=[{"name": "busy", "actions": [{"type": "reject"}]}],
        )
        directory = engine.node.directory
        await bench.until(lambda: directory.provider_at(ONE) and directory.provider_at(TWO))
        for host, status in ((ONE, 404), (TWO, 404), (GUEST, 603)):
            wire = await bench.wire(host)
            virtual = wire.request(uri="sip:+899100000001@127.0.0.1")
            assert (await wire.answer(virtual, engine.address)).status == status
            assert (await wire.answer(wire.request(), engine.address)).status == 603

    run(test)


def test_a_name_that_changes_takes_its_trunk_with_it(run: Run) -> None:
    async def test(bench: Any) -> None:
        server = await name_server(bench, one=[ONE], two=[TWO])
        sections = named(server, ("p", "one.test"))
        served = await bench.serve(**sections)
        directory = served.node.directory
        await bench.until(lambda: directory.provider_at(ONE))
        await served.reload(bench.document(**named(server, ("p", "gone.test"))))
        assert directory.provider_at(ONE) is None  # at once, though the new name stands for nothing
        line = await served.log.wait("provider's name does not resolve")
        assert line["hostname"] == "gone.test"
        await served.reload(bench.document(**named(server, ("p", "two.test"))))
        await bench.until(lambda: directory.provider_at(TWO))
        server.records.clear()  # a name server in trouble takes no trunk away
        await look_again(bench, served)
        assert directory.provider_at(TWO)

    run(test)


def test_a_call_whose_caller_hangs_up_while_its_provider_is_looked_up_is_over(run: Run) -> None:
    async def test(bench: Any) -> None:
        server = await name_server(bench)
        server.mute = True
        client = await bench.phone(CLIENT)
        engine = await bench.engine(**named(server, ("lost", "lost.test")))
        leg = client.dial(engine.address, FOREIGN)
        await bench.until(lambda: engine.node.agent.incoming)
        await bench.until(lambda: client.heard["100"])
        leg.cancel()
        await engine.quiet()
        assert engine.record.hangup_reason == "cancel"

    run(test)


def test_names_that_strangers_name_keep_nobody_elses_waiting(run: Run) -> None:
    """Questions that nobody answers: as many as are asked at once for a stranger's Contact and Route, and no more."""

    async def test(bench: Any) -> None:
        one, client, guest = await bench.phone(ONE), await bench.phone(CLIENT), await bench.wire(GUEST)
        server = await name_server(bench, new=[ONE])
        server.silent_below = "slow.example"
        port = one.address.rpartition(":")[2]
        connect = {"type": "connect", "option": {"destinations": [{"type": "sip", "target": f"sip:b@new.test:{port}"}]}}
        engine = await bench.engine(
            sip={"nameservers": [server.address]},
            numbers=[{"number": OURS, "call_flow": "f"}],
            flows=[{"name": "f", "actions": [connect]}],
        )
        for number in range(40):
            routes = ", ".join(f"<sip:r{number}x{index}.slow.example;lr>" for index in range(300))
            guest.send(
                f"INVITE sip:{OURS}@{engine.address} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {GUEST};rport;branch=z9hG4bK{number}\r\n"
                f"From: <sip:a@{GUEST}>;tag=1\r\nTo: <sip:{OURS}@{engine.address}>\r\n"
                f"Call-ID: {number}\r\nCSeq: 1 INVITE\r\n"
                f"Contact: <sip:a@c{number}.slow.example>\r\nRoute: {routes}\r\nContent-Length: 0\r\n\r\n".encode(),
                engine.address,
            )
        await bench.until(lambda: len(server.asked) > 200)
        leg, outcome = await client.call(engine.address, OURS)
        assert outcome.kind == "answered"
        assert 0 < len([name for name in server.asked if name.startswith("r0x")]) < 30
        leg.hangup()
        await leg.wait_ended()

    run(test)
