"""SIP over UDP on real sockets (RFC 3261 §18, RFC 3581, RFC 5626 §3.5)."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from engine.sip.flow import Flow
from engine.transport import stun, udp
from engine.transport.listen_spec import ListenerLimits, ListenSpec
from engine.transport.udp import UdpTransport
from tests.network import refusing_port

OPTIONS = b"OPTIONS sip:peer SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n"
HOSTS = ["127.0.0.1", "::1"]


def bounded(**limits: Any) -> ListenSpec:
    return ListenSpec("udp", "127.0.0.1", 0, limits=ListenerLimits(**limits))


@pytest.mark.parametrize("host", HOSTS)
def test_a_datagram_arrives_and_its_hop_leads_back(run: Any, recorder: Any, host: str) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await UdpTransport.open(ListenSpec("udp", host, 0), here)
        two = await UdpTransport.open(ListenSpec("udp", host, 0), there)
        Flow(one, *two.local).send(OPTIONS)
        assert await there.message() == OPTIONS
        assert there.flow == Flow(two, *one.local)
        there.flow.send(b"SIP/2.0 200 OK\r\n\r\n")
        assert await here.message() == b"SIP/2.0 200 OK\r\n\r\n"
        assert here.flow == Flow(one, *two.local)
        assert (one.sent, one.received, two.sent, two.received) == (1, 1, 1, 1)
        assert Flow(one, host, 1).connected
        one.close()
        two.close()

    run(test)


@pytest.mark.parametrize("host", HOSTS)
def test_port_unreachable_is_reported_with_the_datagram_rfc_3261_18_4(run: Any, recorder: Any, host: str) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", host, 0), sink)
        with refusing_port(host) as nobody:
            for count in (1, 2, 3):  # and goes on being told: uvloop stops polling after the first error
                Flow(transport, host, nobody).send(OPTIONS)
                assert sink.failures[count - 1 :] == []  # never from within send
                flow, data, error = await sink.failure(count)
                assert (flow.transport, flow.host, flow.port) == (transport, host, nobody)
                assert data == OPTIONS
                assert error == "connection refused"
        transport.close()

    run(test)


@pytest.mark.parametrize("host", HOSTS)
def test_what_icmp_reports_of_a_long_datagram_holds_its_beginning(run: Any, recorder: Any, host: str) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", host, 0), sink)
        message = OPTIONS + bytes(3000)
        with refusing_port(host) as nobody:
            Flow(transport, host, nobody).send(message)
            _, data, _ = await sink.failure()
        assert len(data) >= 500
        assert message.startswith(data)
        transport.close()

    run(test)


def test_an_error_pending_from_one_peer_costs_no_other_peer_a_datagram(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink, peer_sink = recorder(), recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        peer = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), peer_sink)
        with refusing_port("127.0.0.1") as nobody:
            for number in range(40):
                Flow(transport, "127.0.0.1", nobody).send(b"X%d" % number)
                Flow(transport, *peer.local).send(b"M%d" % number)
            await peer_sink.message(40)
            assert peer_sink.messages == [b"M%d" % number for number in range(40)]
            await sink.failure(40)
            assert [data for _, data, _ in sink.failures] == [b"X%d" % number for number in range(40)]
            # And the other way: what the peer sends while errors are pending is read.
            Flow(transport, "127.0.0.1", nobody).send(b"X")
            Flow(peer, *transport.local).send(OPTIONS)
            assert await sink.message() == OPTIONS
        transport.close()
        peer.close()

    run(test)


def test_a_burst_of_500_datagrams_arrives_in_order_and_other_work_gets_its_turn(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(bounded(datagrams_per_turn=64, turn=1e9), sink)
        turns: list[int] = []
        loop = asyncio.get_running_loop()

        def turn() -> None:
            turns.append(len(sink.messages))
            if len(sink.messages) < 500:
                loop.call_soon(turn)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(500):
                sender.sendto(b"REGISTER %d " % number + bytes(400), transport.local)
        turn()
        await sink.message(500)
        assert [int(m.split()[1]) for m in sink.messages] == list(range(500))
        assert max(after - before for before, after in pairwise(turns)) <= 64
        transport.close()

    run(test)


def test_a_turn_is_over_when_its_time_is_however_few_have_come(
    run: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        sink = recorder()
        clock = [0.0]
        monkeypatch.setattr(udp, "monotonic", lambda: clock[0])
        transport = await UdpTransport.open(bounded(turn=0.02), sink)
        turns: list[int] = []
        loop = asyncio.get_running_loop()
        take = sink.received

        def slowly(data: bytes, flow: Flow) -> None:
            clock[0] += 0.001  # s that each message takes
            take(data, flow)

        sink.received = slowly

        def turn() -> None:
            turns.append(len(sink.messages))
            if len(sink.messages) < 200:
                loop.call_soon(turn)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(200):
                sender.sendto(b"REGISTER %d " % number + bytes(400), transport.local)
        turn()
        await sink.message(200)
        assert 16 <= max(after - before for before, after in pairwise(turns)) <= 32
        transport.close()

    run(test)


@pytest.mark.parametrize(
    "keepalive",
    [
        b"",
        b"\r\n\r\n",
        b"\r\n",
        b"\0\0\0\0",
        b"\r\n\0",
        b"jaK\0",
        b"jaK",
        b"\x00\x11\x00\x00\x21\x12\xa4\x42" + bytes(12),  # a Binding indication (RFC 8489 §6.3.2)
        b"\x01\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),  # an answer: were it answered, two ends could go on for ever
        b"\x00\x01\x00\x00" + bytes(16),  # of RFC 3489, which has no cookie
    ],
)
def test_keepalives_are_ignored_and_not_answered_rfc_5626_3_5(run: Any, recorder: Any, keepalive: bytes) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            sender.setblocking(False)
            sender.sendto(keepalive, transport.local)
            sender.sendto(OPTIONS, transport.local)
            await sink.message()
            assert sink.messages == [OPTIONS]
            assert (transport.received, transport.keepalives) == (2, 1)
            with pytest.raises(BlockingIOError):
                sender.recv(100)
        transport.close()

    run(test)


def test_crlf_before_the_start_line_is_taken_off_rfc_3261_7_5(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"\r\n\r\n" + OPTIONS, transport.local)
        assert await sink.message() == OPTIONS
        transport.close()

    run(test)


@pytest.mark.parametrize(
    ("host", "port"),
    [("example.com", 5060), ("::1", 5060), ("127.0.0.1", 0), ("127.0.0.1", 70000), ("", 5060), ("a\0b", 5060)],
)
def test_what_cannot_be_sent_to_is_reported_and_never_looked_up(run: Any, recorder: Any, host: str, port: int) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        Flow(transport, host, port).send(OPTIONS)
        flow, data, error = await sink.failure()
        assert flow == Flow(transport, host, port)
        assert data == OPTIONS
        assert error == "not an address that this listener can send to"
        transport.close()

    run(test)


def test_a_datagram_too_long_for_udp_is_reported(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        Flow(transport, "127.0.0.1", 5060).send(bytes(70000))
        _, data, error = await sink.failure()
        assert data is not None
        assert len(data) == 70000
        assert error == "message too long"
        transport.close()

    run(test)


def test_what_the_kernel_does_not_take_waits_bounded_and_in_order(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink, peer_sink = recorder(), recorder()
        transport = await UdpTransport.open(bounded(send_queue=3), sink)
        peer = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), peer_sink)
        really = transport._sendto
        full = True

        def sendto(data: bytes, address: Any) -> int:
            if full:
                raise BlockingIOError(errno.EAGAIN, "full")
            return really(data, address)

        transport._sendto = sendto
        for number in range(5):
            Flow(transport, *peer.local).send(b"M%d" % number)
        assert transport.send_dropped == 2
        full = False
        Flow(transport, *peer.local).send(b"M5")  # full still: what waits goes first, and this finds no room
        await peer_sink.message(3)
        Flow(transport, *peer.local).send(b"M6")
        await peer_sink.message(4)
        assert peer_sink.messages == [b"M0", b"M1", b"M2", b"M6"]
        assert (transport.sent, transport.send_dropped) == (4, 3)
        transport.close()
        peer.close()

    run(test)


def test_an_error_while_the_queue_is_flushed_keeps_order_and_loses_nothing(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink, peer_sink = recorder(), recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        peer = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), peer_sink)
        really = transport._sendto
        script: list[OSError | None] = [
            BlockingIOError(errno.EAGAIN, ""),
            ConnectionRefusedError(errno.ECONNREFUSED, ""),
            BlockingIOError(errno.EAGAIN, ""),
        ]

        def sendto(data: bytes, address: Any) -> int:
            error = script.pop(0) if script else None
            if error:
                raise error
            return really(data, address)

        transport._sendto = sendto
        for number in range(3):
            Flow(transport, *peer.local).send(b"M%d" % number)
        await peer_sink.message(3)
        assert peer_sink.messages == [b"M0", b"M1", b"M2"]
        assert sink.failures == []
        transport.close()
        peer.close()

    run(test)


def test_caches_stay_bounded_when_sources_are_spoofed(run: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.transport.udp._CACHED_PEERS", 8)

    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as drain:
            drain.bind(("127.0.0.1", 0))
            for number in range(30):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.bind((f"127.0.0.{number + 1}", 0))
                    sender.sendto(OPTIONS, transport.local)
                Flow(transport, f"127.1.0.{number + 1}", drain.getsockname()[1]).send(OPTIONS)
            await sink.message(30)
        assert len(transport._flows) <= 8
        assert len(transport._addresses) <= 8
        transport.close()

    run(test)


def test_the_receive_buffer_that_was_granted_is_known(run: Any, recorder: Any) -> None:
    async def test() -> None:
        transport = await UdpTransport.open(bounded(receive_buffer=256 * 1024), recorder())
        assert transport.receive_buffer >= 128 * 1024
        transport.close()

    run(test)


def test_datagrams_that_the_kernel_dropped_are_counted(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(bounded(receive_buffer=4096), sink)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(100):
                sender.sendto(OPTIONS + bytes(400), transport.local)
        dropped = transport.receive_dropped
        assert 0 < dropped < 100
        await sink.message(100 - dropped)
        assert transport.received == 100 - dropped
        transport.close()

    run(test)


def test_the_sink_may_close_the_listener_while_it_is_being_read(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        sink.on_message = lambda data, flow: transport.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(3):
                sender.sendto(OPTIONS, transport.local)
        await sink.message()
        Flow(transport, "127.0.0.1", 5060).send(OPTIONS)
        transport.close()
        assert sink.messages == [OPTIONS]

    run(test)


def test_failures_added_while_failures_are_reported_wait_for_the_next_turn(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", "127.0.0.1", 0), sink)
        told: Callable[..., None] = sink.failed

        def again(flow: Any, data: bytes | None, error: str) -> None:
            told(flow, data, error)
            if len(sink.failures) < 5:
                Flow(transport, "not numeric", 5060).send(OPTIONS)

        sink.failed = again
        Flow(transport, "not numeric", 5060).send(OPTIONS)
        await asyncio.sleep(0)
        assert len(sink.failures) <= 2
        await sink.failure(5)
        transport.close()

    run(test)


def test_an_ipv6_listener_takes_no_ipv4_and_both_can_have_the_port(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        six = await UdpTransport.open(ListenSpec("udp", "::", 0), sink)
        four = await UdpTransport.open(ListenSpec("udp", "0.0.0.0", six.local[1]), sink)
        assert four.local[1] == six.local[1]
        six.close()
        four.close()

    run(test)


BINDING = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"transaction."


@pytest.mark.parametrize("host", HOSTS)
def test_stun_is_answered_with_where_it_came_from_rfc_5626_3_5_2(run: Any, recorder: Any, host: str) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(ListenSpec("udp", host, 0), sink)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind((host, 0))
            phone.setblocking(False)
            phone.sendto(BINDING, transport.local)
            answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(phone, 2048), 30)
            assert answer == stun.answer(BINDING, host, phone.getsockname()[1]) != b""
        assert transport.keepalives == 1 and sink.messages == [] and sink.strange == []
        transport.close()

    run(test)


def test_stun_of_banned_sources_and_beyond_the_rate_is_not_answered(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await UdpTransport.open(bounded(stun_rate=0.000001, stun_burst=3), sink)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            phone.setblocking(False)
            sink.refused = {"127.0.0.1"}
            for number in range(9):
                if number == 2:
                    phone.sendto(OPTIONS, transport.local)  # so many have come
                    await sink.message()
                    sink.refused = set()
                phone.sendto(BINDING[:8] + b"%12d" % number, transport.local)
            phone.sendto(OPTIONS, transport.local)
            await sink.message(2)
            answers = []
            with suppress(BlockingIOError):
                while True:
                    answers.append(phone.recv(2048)[8:20])
            assert answers == [b"%12d" % number for number in (2, 3, 4)]
        assert transport.keepalives == 9
        transport.close()

    run(test)
