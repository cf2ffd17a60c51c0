"""A media port with real sockets on loopback: descriptions over a call's life, and the echo."""

import asyncio
import importlib.util
import itertools
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from engine.media.codec.registry import G722, PCMA
from engine.media.plane import Plane
from engine.media.port import MediaPort, NotAcceptable
from engine.media.port_pool import NoPortError, PortPool
from engine.media.rtp.counters import Counts
from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.rtcp import Bye, ReceiverReport, SenderReport, compound, parse
from engine.media.rtp.session import RtpSession
from tests.media.fake_plane import Dialog

HOST = "127.0.1.21"
PEER = "127.0.1.22"


@pytest.fixture
def pool() -> Iterator[PortPool]:
    ports = PortPool([HOST, "::1"], 16100, 16120)
    yield ports
    assert ports.in_use == 0
    ports.close()


def counts(port: MediaPort) -> Counts:
    assert port.stream is not None
    return port.stream.counts


def offer(port: int = 4000, *lines: str, address: str = PEER, version: int = 1) -> bytes:
    family = "IP6" if ":" in address else "IP4"
    head = ["v=0", f"o=- 1 {version} IN {family} {address}", "s=-", f"c=IN {family} {address}", "t=0 0"]
    media = [f"m=audio {port} RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", *lines]
    return "".join(f"{line}\r\n" for line in head + media).encode()


def origin(body: bytes) -> str:
    return body.decode().splitlines()[1]


def test_the_answer_names_the_socket_that_is_bound(pool: PortPool) -> None:
    port = MediaPort.open(pool, HOST)
    answer = port.answer(offer(), 7)
    assert b"m=audio %d RTP/AVP 0 101\r\n" % port.port in answer
    assert origin(answer) == f"o=- 7 7 IN IP4 {HOST}"
    assert port.local == answer
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, port.port))
    port.close()


def test_another_address_may_be_announced(pool: PortPool) -> None:
    port = MediaPort.open(pool, HOST, "203.0.113.1")
    assert b"c=IN IP4 203.0.113.1\r\n" in port.answer(offer(), 7)
    port.close()


def test_the_version_goes_up_on_change_and_only_then(pool: PortPool) -> None:
    """RFC 3264 §8."""
    port = MediaPort.open(pool, HOST)
    first = port.answer(offer(), 7)
    assert port.answer(offer(version=2), 9) == first
    assert port.answer(offer(address="127.0.1.23", port=4444)) == first  # its address is not in our description
    assert port.agreed is not None
    assert port.agreed.remote == ("127.0.1.23", 4444)
    held = port.answer(offer(4000, "a=sendonly"))
    assert origin(held) == f"o=- 7 8 IN IP4 {HOST}"
    assert b"a=recvonly\r\n" in held
    assert port.answer(offer(4000, "a=sendonly", version=3)) == held
    resumed = port.answer(offer())
    assert origin(resumed) == f"o=- 7 9 IN IP4 {HOST}"
    assert resumed.replace(b" 7 9 ", b" 7 7 ") == first
    port.close()


def test_a_refused_reoffer_changes_nothing(pool: PortPool) -> None:
    port = MediaPort.open(pool, HOST)
    first = port.answer(offer(), 7)
    before = port.agreed
    with pytest.raises(NotAcceptable) as caught:
        port.answer(offer().replace(b"RTP/AVP 0 101", b"RTP/AVP 18"))
    assert caught.value.status == 488
    assert (port.local, port.agreed) == (first, before)
    assert port.answer(offer()) == first
    port.close()


def test_a_late_offer_and_its_answer(pool: PortPool) -> None:
    port = MediaPort.open(pool, HOST)
    ours = port.offer(7, ["PCMA"])
    assert origin(ours) == f"o=- 7 7 IN IP4 {HOST}"
    assert port.agreed is None
    port.accept(offer(4000).replace(b"RTP/AVP 0", b"RTP/AVP 8"))
    assert port.agreed is not None
    assert port.agreed.remote == (PEER, 4000)
    assert origin(port.offer()) == f"o=- 7 8 IN IP4 {HOST}"  # PCMU is offered too, now
    port.close()


def test_a_port_speaks_the_codecs_that_it_is_given(pool: PortPool) -> None:
    wide = offer().replace(b"RTP/AVP 0 101", b"RTP/AVP 9 0 101")
    port = MediaPort.open(pool, HOST, codecs=(G722, PCMA))
    port.answer(wide, 7)
    assert port.agreed is not None and port.agreed.codec is G722
    assert b" 9 8 101\r\n" in port.offer()
    port.close()
    port = MediaPort.open(pool, HOST, codecs=(PCMA,))
    with pytest.raises(NotAcceptable):
        port.answer(wide, 7)
    assert b" 8 101\r\n" in port.offer(7, ["PCMU", "G729"])  # nothing that is wanted is spoken here
    port.close()
    port = MediaPort.open(pool, HOST, codecs=(G722, PCMA))
    assert b" 8 101\r\n" in port.offer(7, ["pcma", "PCMU"])
    port.close()


def test_an_answer_needs_our_offer(pool: PortPool) -> None:
    port = MediaPort.open(pool, HOST)
    with pytest.raises(RuntimeError, match="without an offer"):
        port.accept(offer())
    port.close()


def test_session_ids_are_random_where_none_is_given(pool: PortPool) -> None:
    one, two = MediaPort.open(pool, HOST), MediaPort.open(pool, HOST)
    assert origin(one.answer(offer())) != origin(two.answer(offer()))
    one.close()
    two.close()


def test_a_closed_port_is_closed_once_and_for_all(pool: PortPool) -> None:
    port = MediaPort.open(pool, HOST)
    port.close()
    port.close()
    assert (port.port, pool.in_use, pool.idle) == (0, 0, 1)
    with pytest.raises(RuntimeError, match="closed"):
        port.answer(offer())


def test_no_port_left(pool: PortPool) -> None:
    ports = [MediaPort.open(pool, HOST) for _ in range(10)]
    with pytest.raises(NoPortError):
        MediaPort.open(pool, HOST)
    for port in ports:
        port.close()


def echo(port: MediaPort) -> RtpSession:
    """The stream of `port`, which sends back what comes."""
    loop = asyncio.get_running_loop()
    stream = port.open_stream(Plane(loop, loop.time))
    stream.echo(True)
    return stream


class Phone:
    """A peer's RTP socket, read by the loop."""

    def __init__(self, host: str = PEER) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((host, 0))
        self.port: int = self.sock.getsockname()[1]

    def send(self, to: MediaPort, *packets: RtpPacket | bytes, host: str = HOST) -> None:
        for packet in packets:
            self.sock.sendto(bytes(packet), (host, to.port))

    async def receive(self) -> RtpPacket:
        loop = asyncio.get_running_loop()
        return RtpPacket.parse(await asyncio.wait_for(loop.sock_recv(self.sock, 2048), 30))

    def heard_nothing(self) -> bool:
        try:
            self.sock.recv(2048)
        except BlockingIOError:
            return True
        return False


def packet(sequence: int, payload: bytes = b"\xff" * 160, ssrc: int = 1, payload_type: int = 0) -> RtpPacket:
    return RtpPacket(payload_type, sequence, sequence * 160, ssrc, payload)


Scene = Callable[[MediaPort, Phone], Awaitable[None]]
Play = Callable[..., None]


def loops() -> list[object]:
    """asyncio's own loop, and uvloop where it is installed: the engine runs on either."""
    found: list[object] = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    if importlib.util.find_spec("uvloop"):
        found.append(pytest.param(importlib.import_module("uvloop").new_event_loop, id="uvloop"))
    return found


@pytest.fixture(params=loops())
def play(pool: PortPool, request: pytest.FixtureRequest) -> Play:
    """Runs a scene with an answered port that echoes, and a phone whose address the offer named."""

    def run(scene: Scene, host: str = HOST, peer: str = PEER, dialog: Dialog | None = None) -> None:
        async def whole() -> None:
            phone = Phone(peer)
            consent = None if dialog is None else dialog.consent(time.monotonic)
            port = MediaPort.open(pool, host, consent=consent)
            try:
                port.answer(offer(phone.port, address=peer), 1)
                echo(port)
                await scene(port, phone)
            finally:
                port.close()
                phone.sock.close()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(whole())

    return run


def test_what_is_said_comes_back(play: Play) -> None:
    async def scene(port: MediaPort, phone: Phone) -> None:
        phone.send(port, packet(1, b"one"), packet(2, b"two"), packet(3, b"\x05\x8a\x03\x20", payload_type=101))
        back = [await phone.receive() for _ in range(3)]
        assert [each.payload for each in back] == [b"one", b"two", b"\x05\x8a\x03\x20"]
        assert [each.payload_type for each in back] == [0, 0, 101]
        assert {each.ssrc for each in back} != {1}
        assert (back[2].sequence - back[0].sequence) & 0xFFFF == 2
        assert counts(port).returned == 3

    play(scene)


def test_ipv6(play: Play) -> None:
    async def scene(port: MediaPort, phone: Phone) -> None:
        phone.send(port, packet(1, b"one"), host="::1")
        assert (await phone.receive()).payload == b"one"

    play(scene, "::1", "::1")


def test_garbage_and_strangers_are_counted_and_nothing_is_sent(play: Play) -> None:
    async def scene(port: MediaPort, phone: Phone) -> None:
        stranger = Phone("127.0.1.23")
        phone.send(port, packet(1))
        await phone.receive()
        garbage = (b"", b"x", b"\0" * 40, b"INVITE sip:x SIP/2.0\r\n\r\n", b"\x80" * 1600)
        stranger.send(port, *garbage, packet(9), packet(10))
        phone.send(port, packet(2))
        await phone.receive()
        assert (counts(port).garbage, counts(port).strays, counts(port).returned) == (5, 2, 2)
        assert stranger.heard_nothing()
        stranger.sock.close()

    play(scene)


def test_a_peer_behind_a_nat_is_answered_where_it_is(play: Play) -> None:
    async def scene(port: MediaPort, _: Phone) -> None:
        outside, elsewhere = Phone("127.0.1.24"), Phone("127.0.1.25")  # where its signalling comes from, and where not
        elsewhere.send(port, packet(1, b"not"))
        outside.send(port, packet(1, b"nat"))
        assert (await outside.receive()).payload == b"nat"
        assert elsewhere.heard_nothing()
        for phone in (outside, elsewhere):
            phone.sock.close()

    play(scene, dialog=Dialog("127.0.1.24", receives=True))


def test_a_flood_is_taken_in_bounded_turns(play: Play) -> None:
    """Between two batches the loop gets its turn."""

    async def scene(port: MediaPort, phone: Phone) -> None:
        turns = []
        phone.send(port, *(packet(at, b"x") for at in range(40)))
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def look() -> None:
            turns.append(counts(port).returned)
            if counts(port).returned < 40:
                loop.call_soon(look)
            else:
                done.set_result(None)

        look()
        await asyncio.wait_for(done, 30)
        steps = [after - before for before, after in itertools.pairwise(turns)]
        assert sum(steps) == 40
        assert max(steps) == 16

    play(scene)


def test_hold_silences_the_echo_and_resume_brings_it_back(play: Play) -> None:
    async def scene(port: MediaPort, phone: Phone) -> None:
        port.answer(offer(phone.port, "a=sendonly"))
        phone.send(port, packet(1), packet(2))
        for _ in range(10):  # turns of the loop: the datagrams are in the socket already
            await asyncio.sleep(0)
        assert counts(port).held == 2
        assert phone.heard_nothing()
        port.answer(offer(phone.port))
        phone.send(port, packet(3, b"back"))
        assert (await phone.receive()).payload == b"back"

    play(scene)


def test_a_changed_address_moves_the_echo(play: Play) -> None:
    async def scene(port: MediaPort, phone: Phone) -> None:
        phone.send(port, packet(1))
        await phone.receive()
        moved = Phone("127.0.1.25")
        port.answer(offer(moved.port, address="127.0.1.25"))
        moved.send(port, packet(2, b"moved"))
        assert (await moved.receive()).payload == b"moved"
        phone.send(port, packet(3))
        moved.send(port, packet(4))
        await moved.receive()
        assert counts(port).strays == 1
        assert phone.heard_nothing()
        moved.sock.close()

    play(scene)


def test_what_came_before_the_media_was_opened_is_thrown_away(pool: PortPool) -> None:
    async def whole() -> None:
        phone, port = Phone(), MediaPort.open(pool, HOST)
        port.answer(offer(phone.port), 1)
        phone.send(port, packet(1, b"early"))
        echo(port)
        phone.send(port, packet(2, b"now"))
        assert (await phone.receive()).payload == b"now"
        port.close()
        phone.sock.close()

    asyncio.run(whole())


def test_an_open_stream_is_the_same_for_all_and_gone_with_the_port(pool: PortPool) -> None:
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        plane = Plane(loop, loop.time)
        port = MediaPort.open(pool, HOST)
        port.answer(offer(), 1)
        assert port.stream is None and port.report() is None
        stream = port.open_stream(plane)
        assert port.open_stream(plane) is stream is port.stream
        assert plane.streams == 1
        report = port.report()
        assert report is not None and report["codec"] == "PCMU"
        port.close()
        assert port.stream is None and plane.streams == 0
        with pytest.raises(RuntimeError, match="closed"):
            port.open_stream(plane)

    asyncio.run(whole())


def test_rtcp_has_the_port_above_while_media_is_in_use_and_no_longer(pool: PortPool) -> None:
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        port = MediaPort.open(pool, HOST)
        port.answer(offer(), 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((HOST, port.port + 1))  # only answered: nothing is there
        port.open_stream(Plane(loop, loop.time))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, port.port + 1))
        number = port.port + 1
        port.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((HOST, number))

    asyncio.run(whole())


def test_a_port_above_that_somebody_else_has_costs_the_reports_only(pool: PortPool) -> None:
    async def whole() -> None:
        phone, port = Phone(), MediaPort.open(pool, HOST)
        port.answer(offer(phone.port), 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, port.port + 1))
            echo(port)
            phone.send(port, packet(1, b"one"))
            assert (await phone.receive()).payload == b"one"
            port.close()
        phone.sock.close()

    asyncio.run(whole())


def test_reports_come_and_go_on_the_port_above(pool: PortPool) -> None:
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        phone = Phone()
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        control.setblocking(False)
        control.bind((PEER, phone.port + 1))
        port = MediaPort.open(pool, HOST)
        port.answer(offer(phone.port), 1)
        stream = echo(port)
        phone.send(port, packet(1))
        await phone.receive()
        control.sendto(compound(ReceiverReport(1)), (HOST, port.port + 1))
        async with asyncio.timeout(30):
            while not stream.control.received:  # noqa: ASYNC110 - nobody is told of a report
                await asyncio.sleep(0.001)
        port.close()
        found = parse(await asyncio.wait_for(loop.sock_recv(control, 2048), 30))
        assert isinstance(found[0], SenderReport) and found[0].packets == 1
        assert isinstance(found[-1], Bye)
        phone.sock.close()
        control.close()

    asyncio.run(whole())


def test_a_stream_needs_an_agreement(pool: PortPool) -> None:
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        port = MediaPort.open(pool, HOST)
        with pytest.raises(RuntimeError, match="agreed"):
            port.open_stream(Plane(loop, loop.time))
        port.close()

    asyncio.run(whole())


def test_a_recycled_port_knows_nothing_of_its_last_call(pool: PortPool) -> None:
    async def whole() -> None:
        old, new = Phone(), Phone("127.0.1.26")
        port = MediaPort.open(pool, HOST)
        port.answer(offer(old.port), 1)
        echo(port)
        old.send(port, packet(1))
        await old.receive()
        number = port.port
        port.close()
        again = MediaPort.open(pool, HOST)
        assert again.port == number
        again.answer(offer(new.port, address="127.0.1.26"), 2)
        echo(again)
        old.send(again, packet(2))  # still talking: first, but not whom the offer names
        new.send(again, packet(1, b"new"))
        assert (await new.receive()).payload == b"new"
        old.send(again, packet(3))
        new.send(again, packet(2))
        await new.receive()
        assert counts(again).strays == 2
        again.close()
        for phone in (old, new):
            phone.sock.close()

    asyncio.run(whole())
