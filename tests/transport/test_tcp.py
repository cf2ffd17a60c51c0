"""SIP over TCP on real sockets (RFC 3261 §18, RFC 5626 §3.5.1)."""

import asyncio
import errno
import random
import socket
import struct
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import pytest

from engine.sip.flow import Flow
from engine.transport.listen_spec import ListenerLimits, ListenSpec
from engine.transport.tcp import TcpTransport

HOSTS = ["127.0.0.1", "::1"]
WAIT = 30.0


def bounded(**limits: Any) -> ListenSpec:
    return ListenSpec("tcp", "127.0.0.1", 0, limits=ListenerLimits(**limits))


def message(text: bytes = b"") -> bytes:
    return b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


class Peer:
    """A plain TCP client, so that nothing of ours hides what is on the wire."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.address: tuple[str, int] = writer.get_extra_info("sockname")[:2]

    @classmethod
    async def connect(cls, transport: TcpTransport, source: str | None = None) -> "Peer":
        host, port = transport.local
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection(host, port, local_addr=local))

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(WAIT):
            return await self.reader.readexactly(size)

    async def closed(self) -> bytes:
        """What arrives until the other side closes, in whatever way."""
        got = b""
        try:
            async with asyncio.timeout(WAIT):
                while data := await self.reader.read(4096):
                    got += data
        except ConnectionError:
            pass
        await self.close()
        return got

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def gone(things: Collection[object]) -> None:
    """Waits until nothing is left in there."""
    for _ in range(1_000_000):
        if not things:
            return
        await asyncio.sleep(0)


def listening(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    sock.listen(16)
    sock.setblocking(False)
    return sock


@pytest.mark.parametrize("host", HOSTS)
def test_requests_and_responses_share_one_connection_both_ways(run: Any, recorder: Any, host: str) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await TcpTransport.open(ListenSpec("tcp", host, 0), here)
        two = await TcpTransport.open(ListenSpec("tcp", host, 0), there)
        assert not Flow(one, *two.local).connected
        for number in range(3):
            Flow(one, *two.local).send(message(b"%d" % number))
        await there.message(3)
        assert there.messages == [message(b"0"), message(b"1"), message(b"2")]
        back = there.flow
        assert back.transport is two
        assert back.host == host
        assert Flow(two, back.host, back.port).connected
        Flow(two, back.host, back.port).send(message(b"back"))
        assert await here.message() == message(b"back")
        assert here.flow == Flow(one, *two.local)
        assert Flow(one, *two.local).connected
        assert (len(one.connections), len(two.connections)) == (1, 1)
        for transport in (one, two):
            transport.close()
        for transport in (one, two):
            await transport.wait_closed()
        assert (here.failures, there.failures) == ([], [])

    run(test)


def test_messages_arrive_whole_however_the_stream_is_cut(run: Any, recorder: Any) -> None:
    async def test() -> None:
        rng = random.Random(4)
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        peer = await Peer.connect(transport)
        sent = [message(b"x" * rng.randrange(2000)) for _ in range(60)]
        stream = b"\r\n".join(sent)
        while stream:
            size = rng.choice((1, 3, 50, 400, 5000))
            peer.writer.write(stream[:size])
            stream = stream[size:]
            await peer.writer.drain()
            await asyncio.sleep(0)
        await sink.message(60)
        assert sink.messages == sent
        await peer.close()
        await gone(transport.connections)
        assert not sink.failures, "no request of ours has gone over it: there is nobody to be told"
        transport.close()
        await transport.wait_closed()

    run(test)


def test_a_ping_is_answered_on_the_connection_rfc_5626_3_5_1(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        peer = await Peer.connect(transport)
        peer.writer.write(b"\r\n\r\n")
        assert await peer.read(2) == b"\r\n"
        peer.writer.write(message() + b"\r\n\r\n\r\n\r\n")
        assert await peer.read(4) == b"\r\n\r\n"
        assert sink.messages == [message()]
        transport.close()
        assert await peer.closed() == b""
        await transport.wait_closed()

    run(test)


def test_a_stream_that_cannot_be_framed_is_closed_without_an_answer(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        peer = await Peer.connect(transport)
        peer.writer.write(message(b"fine"))
        await sink.message()
        Flow(transport, *peer.address).send(message(b"ours"))
        peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await peer.closed() == message(b"ours")
        await sink.failure()
        assert sink.messages == [message(b"fine")]
        assert "framing error" in sink.failures[0][2]
        assert transport.framing_errors == 1
        transport.close()
        await transport.wait_closed()

    run(test)


@pytest.mark.parametrize("host", HOSTS)
def test_connection_refused_is_reported_for_each_message_that_waited(run: Any, recorder: Any, host: str) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", host, 0), sink)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            # Taken, and not listened on: a port that is free may be anybody's a moment later, and is the connecting
            # socket's own at times, which is then connected with itself.
            sock.bind((host, 0))
            nobody = sock.getsockname()[1]
            for _ in range(2):  # the second time as well: nothing of the failed attempt is kept
                sink.failures.clear()
                Flow(transport, host, nobody).send(message(b"1"))
                Flow(transport, host, nobody).send(message(b"2"))
                assert sink.failures == []
                await sink.failure(2)
                flow = Flow(transport, host, nobody)
                refused = "connection refused"
                assert sink.failures == [(flow, message(b"1"), refused), (flow, message(b"2"), refused)]
        transport.close()
        await transport.wait_closed()

    run(test)


def test_no_descriptor_left_for_a_connection_is_reported(run: Any, recorder: Any) -> None:
    async def test() -> None:
        async def none_left(*_: Any) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        transport._establish = none_left
        Flow(transport, "127.0.0.1", 5060).send(message())
        _, data, error = await sink.failure()
        assert (data, error) == (message(), "no file descriptors left")
        transport.close()
        await transport.wait_closed()

    run(test)


def test_made_connections_come_from_the_listeners_address(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await TcpTransport.open(ListenSpec("tcp", "127.0.0.5", 0), here)
        two = await TcpTransport.open(ListenSpec("tcp", "0.0.0.0", 0), there)
        Flow(one, "127.0.0.1", two.local[1]).send(message())
        await there.message()
        assert there.flow.host == "127.0.0.5"
        for transport in (one, two):
            transport.close()
            await transport.wait_closed()

    run(test)


def test_a_peer_that_does_not_answer_the_connection_is_given_up_in_time(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(connect_timeout=0.05), sink)
        # A full backlog drops SYNs, as a packet filter does.
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            fill = [socket.socket() for _ in range(3)]
            for sock in fill:
                sock.setblocking(False)
                sock.connect_ex(deaf.getsockname())
            Flow(transport, *deaf.getsockname()).send(message())
            _, data, error = await sink.failure()
            assert (data, error) == (message(), "connection timed out")
            for sock in fill:
                sock.close()
        transport.close()
        await transport.wait_closed()

    run(test)


def test_messages_waiting_for_a_connection_are_bounded(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await TcpTransport.open(bounded(connect_queue=2), here)
        two = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), there)
        for number in range(4):
            Flow(one, *two.local).send(message(b"%d" % number))
        await there.message(2)
        await here.failure(2)
        assert there.messages == [message(b"0"), message(b"1")]
        assert [data for _, data, _ in here.failures] == [message(b"2"), message(b"3")]
        for transport in (one, two):
            transport.close()
            await transport.wait_closed()

    run(test)


@pytest.mark.parametrize("host", ["example.com", "::1", ""])
def test_what_cannot_be_connected_to_is_reported_and_never_looked_up(run: Any, recorder: Any, host: str) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        Flow(transport, host, 5060).send(message())
        flow, data, error = await sink.failure()
        assert (flow, data) == (Flow(transport, host, 5060), message())
        assert error == "not an address that this listener can connect to"
        transport.close()
        await transport.wait_closed()

    run(test)


def test_a_closed_connection_is_made_anew_for_the_next_message(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        with listening("127.0.0.1") as server:
            loop = asyncio.get_running_loop()
            for number in (1, 2):
                Flow(transport, *server.getsockname()).send(message())
                accepted, _ = await loop.sock_accept(server)
                assert await loop.sock_recv(accepted, 4096) == message()
                accepted.close()
                flow, data, error = await sink.failure(number)
                assert (flow.host, flow.port, data) == (*server.getsockname(), None)
                assert error == "connection closed by peer"
                assert not Flow(transport, *server.getsockname()).connected
        transport.close()
        await transport.wait_closed()

    run(test)


def test_a_reset_is_reported_and_leaves_nothing(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        with listening("127.0.0.1") as server:
            Flow(transport, *server.getsockname()).send(message())
            loop = asyncio.get_running_loop()
            accepted, _ = await loop.sock_accept(server)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            _, data, error = await sink.failure()
            assert (data, error) == (None, "connection reset by peer")
        assert not transport.connections
        transport.close()
        await transport.wait_closed()

    run(test)


def test_a_peer_that_takes_nothing_is_cut_off_and_reported_with_the_message(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(write_buffer=100_000), sink)
        peer = await Peer.connect(transport)
        peer.writer.transport.pause_reading()
        peer.writer.write(message())
        await sink.message()
        big = message(b"x" * 50_000)
        host, port = peer.address
        for _ in range(10_000):
            Flow(transport, host, port).send(big)
            if not Flow(transport, host, port).connected:
                break
            await asyncio.sleep(0)
        await sink.failure(2)
        assert {(data, error) for _, data, error in sink.failures} == {
            (big, "the peer takes no more data"),
            (None, "the peer takes no more data"),
        }
        peer.writer.transport.abort()
        transport.close()
        await transport.wait_closed()

    run(test)


def test_a_peer_that_stalls_is_cut_off_in_time(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        limits = ListenerLimits(write_buffer=100_000_000, stall_timeout=0.05)
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0, limits=limits), sink)
        peer = await Peer.connect(transport)
        peer.writer.transport.pause_reading()
        peer.writer.write(message())
        await sink.message()
        for _ in range(200):
            Flow(transport, *peer.address).send(message(b"x" * 100_000))
        _, data, error = await sink.failure()
        assert data is None
        assert error in ("the peer takes no more data", "connection timed out")
        peer.writer.transport.abort()
        transport.close()
        await transport.wait_closed()

    run(test)


def test_an_idle_connection_is_closed_without_a_failure(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(idle_timeout=0.05), sink)
        peer = await Peer.connect(transport)
        peer.writer.write(message())
        assert await peer.closed() == b""
        assert sink.messages == [message()]
        assert (sink.failures, transport.timed_out) == ([], 1)
        transport.close()
        await transport.wait_closed()

    run(test)


@pytest.mark.parametrize("begun", [b"", b"INVITE sip:a SIP/2.0\r\nVia:", message() + b"INVITE", message(b"body")[:-1]])
def test_a_message_that_does_not_get_finished_ends_the_connection(run: Any, recorder: Any, begun: bytes) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(message_timeout=0.05), sink)
        peer = await Peer.connect(transport)
        peer.writer.write(begun)
        assert await peer.closed() == b""
        assert transport.timed_out == 1
        transport.close()
        await transport.wait_closed()

    run(test)


def test_slow_bytes_do_not_prolong_a_message(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(message_timeout=0.1), sink)
        peer = await Peer.connect(transport)

        async def trickle() -> None:
            for byte in message(b"x" * 250_000):
                peer.writer.write(bytes([byte]))
                await asyncio.sleep(0)

        trickling = asyncio.create_task(trickle())
        await peer.closed()
        trickling.cancel()
        await asyncio.wait([trickling])
        assert sink.messages == []
        assert transport.timed_out == 1
        transport.close()
        await transport.wait_closed()

    run(test)


def test_connections_are_bounded_in_all_and_for_each_source(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        limits = ListenerLimits(connections=3, connections_per_source=2)
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0, limits=limits), sink)

        async def admitted(source: str) -> Peer | None:
            peer = await Peer.connect(transport, source)
            try:
                peer.writer.write(message() + b"\r\n\r\n")
                await peer.read(2)
            except (ConnectionError, asyncio.IncompleteReadError):
                await peer.close()
                return None
            return peer

        one, two = await admitted("127.0.0.2"), await admitted("127.0.0.2")
        assert one
        assert two
        assert await admitted("127.0.0.2") is None
        three = await admitted("127.0.0.3")
        assert three
        assert await admitted("127.0.0.3") is None  # all have just spoken, and it has one already
        assert (transport.refused, transport.displaced) == (2, 0)
        four = await admitted("127.0.0.4")  # it has none: one of who has most goes
        assert four
        await one.closed()
        assert transport.displaced == 1
        await two.close()
        await sink.until(lambda: len(sink.ended) >= 2)
        again = await admitted("127.0.0.2")
        assert again
        transport.close()
        for peer in (three, four, again):
            await peer.closed()
        await transport.wait_closed()
        assert len(transport.slots) == 0

    run(test)


def test_connections_of_our_own_are_bounded(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await TcpTransport.open(bounded(connections=1), here)
        two = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), there)
        three = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), there)
        Flow(one, *two.local).send(message(b"2"))
        Flow(one, *three.local).send(message(b"3"))
        await there.message()
        _, data, error = await here.failure()
        assert (data, error) == (message(b"3"), "too many connections")
        for transport in (one, two, three):
            transport.close()
            await transport.wait_closed()

    run(test)


def test_a_stranger_that_names_many_ports_gets_few_of_our_connections(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await TcpTransport.open(bounded(made_per_source=2), here)
        others = [await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), there) for _ in range(4)]
        for other in others[:3]:
            Flow(one, *other.local).send(message(b"x"))
        await there.message(2)
        assert (await here.failure())[2] == "too many connections"
        here.friends.add("127.0.0.1")
        Flow(one, *others[3].local).send(message(b"known"))
        await there.until(lambda: message(b"known") in there.messages)
        here.friends.clear()
        for other in others:
            other.close()
            await other.wait_closed()
        await gone(one.connections)
        dead = socket.socket()
        dead.bind(("127.0.0.1", 0))  # and does not listen
        refusing = dead.getsockname()
        for _ in range(4):  # what does not come about is no connection
            Flow(one, *refusing).send(message(b"x"))
            await here.failure(len(here.failures) + 1)
            assert here.failures[-1][2] == "connection refused"
        await gone(one.connecting)
        dead.close()
        assert not one.made_by_us and not one.making
        one.close()
        await one.wait_closed()

    run(test)


def test_strangers_leave_room_for_connections_to_known_peers(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await TcpTransport.open(bounded(connections=4), here)
        others = [await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), there) for _ in range(5)]
        for other in others[:4]:
            Flow(one, *other.local).send(message(b"x"))
        await here.failure()
        here.friends.add("127.0.0.1")
        Flow(one, *others[4].local).send(message(b"known"))
        await there.until(lambda: message(b"known") in there.messages)
        for transport in (one, *others):
            transport.close()
            await transport.wait_closed()

    run(test)


@pytest.mark.parametrize("known", [True, False])
def test_less_waits_for_a_stranger_that_takes_nothing(run: Any, recorder: Any, known: bool) -> None:
    async def test() -> None:
        sink = recorder()
        sink.friends |= {"127.0.0.1"} if known else set()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        peer = await Peer.connect(transport)
        peer.writer.transport.pause_reading()
        peer.writer.write(message())
        await sink.message()
        [connection] = transport.connections
        assert connection.transport is not None
        most = 0
        for _ in range(100_000):
            Flow(transport, *peer.address).send(message(b"x" * 20_000))
            if not connection.usable:
                break
            most = max(most, connection.transport.get_write_buffer_size())
            await asyncio.sleep(0)
        assert (most > 500_000) is known
        peer.writer.transport.abort()
        transport.close()
        await transport.wait_closed()

    run(test)


def test_what_was_written_is_out_before_close(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        peer = await Peer.connect(transport)
        peer.writer.write(message())
        await sink.message()
        last = message(b"x" * 200_000)
        Flow(transport, *peer.address).send(last)
        transport.close()
        assert await peer.closed() == last
        await transport.wait_closed()

    run(test)


def test_close_does_not_wait_for_ever_for_a_peer_that_takes_nothing(
    run: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.transport.tcp._CLOSE_GRACE", 0.05)

    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(write_buffer=100_000_000), sink)
        peer = await Peer.connect(transport)
        peer.writer.transport.pause_reading()
        peer.writer.write(message())
        await sink.message()
        Flow(transport, *peer.address).send(message(b"x" * 20_000_000))
        transport.close()
        await transport.wait_closed()
        peer.writer.transport.abort()

    run(test)


def test_close_gives_up_connections_that_are_being_made(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        with listening("127.0.0.1") as server:
            Flow(transport, *server.getsockname()).send(message())
            transport.close()
            Flow(transport, *server.getsockname()).send(message())
            await transport.wait_closed()
            transport.close()
        assert sink.failures == []

    run(test)


def test_the_sink_may_close_the_listener_between_two_messages(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), sink)
        sink.on_message = lambda data, flow: transport.close()
        peer = await Peer.connect(transport)
        peer.writer.write(message(b"1") + message(b"2"))
        await peer.closed()
        await transport.wait_closed()
        assert sink.messages == [message(b"1")]

    run(test)


def test_dead_peers_are_looked_for_on_accepted_and_made_connections(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await TcpTransport.open(bounded(stall_timeout=7.0), here)
        two = await TcpTransport.open(bounded(stall_timeout=8.0), there)
        Flow(one, *two.local).send(message())
        await there.message()
        for transport, milliseconds in ((one, 7000), (two, 8000)):
            (connection,) = transport.connections
            sock = connection.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == milliseconds
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        for transport in (one, two):
            transport.close()
            await transport.wait_closed()

    run(test)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_silent_connections_make_room_for_who_speaks_and_for_known_peers(run: Any, recorder: Any, host: str) -> None:
    async def test() -> None:
        sink = recorder()
        limits = ListenerLimits(connections=4, silent_per_source=2)
        transport = await TcpTransport.open(ListenSpec("tcp", host, 0, limits=limits), sink)
        silent = [await Peer.connect(transport, host) for _ in range(3)]
        await silent[0].closed()  # one address holds few silent ones
        silent[1].writer.write(b"OPTIONS sip:half")  # a message that is never whole
        speaks = await Peer.connect(transport, host)
        await silent[1].closed()
        speaks.writer.write(message())
        await sink.message()
        sink.friends.add(host)
        friends = [await Peer.connect(transport, host) for _ in range(2)]
        for friend in friends:
            friend.writer.write(message())
        await sink.message(3)
        assert (transport.refused, transport.displaced) == (0, 2)
        transport.close()
        await transport.wait_closed()
        assert len(transport.slots) == 0

    run(test)


def test_the_end_of_every_connection_is_told_once(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(), sink)
        ends: list[tuple[tuple[str, int], str]] = []

        async def ended() -> None:
            await sink.until(lambda: len(sink.ended) > len(ends))
            flow, error = sink.ended[-1]
            ends.append(((flow.host, flow.port), error))
            assert flow.connection is not None and not flow.connection.usable

        by_peer = await Peer.connect(transport)
        by_peer.writer.write(message())  # no request of ours goes over it: `failed` has nobody to tell
        await sink.message()
        await by_peer.close()
        await ended()
        silent = await Peer.connect(transport)
        await silent.close()
        await ended()
        by_us = await Peer.connect(transport)
        by_us.writer.write(message())
        await sink.message(2)
        sink.flow.connection.close()
        await by_us.closed()
        await ended()
        no_sip = await Peer.connect(transport)
        no_sip.writer.write(b"\x16\x03\x01\r\n\r\n")
        await no_sip.closed()
        await ended()
        assert ends == [
            (by_peer.address, "connection closed by peer"),
            (silent.address, "connection closed by peer"),
            (by_us.address, ""),
            (no_sip.address, "framing error: neither a request nor a response"),
        ]
        last = await Peer.connect(transport)
        last.writer.write(message())
        await sink.message(3)
        transport.close()
        await transport.wait_closed()
        await last.closed()
        assert len(sink.ended) == len(ends), "those that end with their listener are not told of"
        assert [error for _, _, error in sink.failures] == []

    run(test)


def test_a_kept_connection_does_not_idle_out(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(idle_timeout=0.05, connections_per_source=2), sink)
        kept = await Peer.connect(transport)
        kept.writer.write(message())
        await sink.message()
        connection = sink.flow.connection
        connection.keep()
        for _ in range(3):  # each opened after the one before was closed for being idle
            other = await Peer.connect(transport)
            other.writer.write(message())
            await other.closed()
        assert connection.usable and transport.timed_out == 3
        connection.keep(False)
        await kept.closed()
        await gone(transport.connections)
        connection.keep()  # it is over: there is nothing to keep
        assert not connection.kept and transport.slots.remembered == 0
        transport.close()
        await transport.wait_closed()

    run(test)


def test_a_peer_that_sends_nothing_but_keepalives_is_not_cut_off(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await TcpTransport.open(bounded(message_timeout=0.1), sink)
        peer, mute = await Peer.connect(transport), await Peer.connect(transport)
        peer.writer.write(b"\r\n\r\n")
        assert await peer.read(2) == b"\r\n"
        await mute.closed()
        assert transport.timed_out == 1
        for _ in range(3):
            peer.writer.write(b"\r\n\r\n")
            assert await peer.read(2) == b"\r\n"
        await peer.close()
        transport.close()
        await transport.wait_closed()

    run(test)
