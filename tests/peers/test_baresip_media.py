"""The media port alone beside a real phone: a bare answering machine of one page around it, without the engine."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.media.plane import Plane
from engine.media.port import MediaPort
from engine.media.port_pool import PortPool
from tests.peers.baresip import Baresip

pytestmark = pytest.mark.peer

HOST, PORT = "127.0.1.12", 6080


class AnsweringMachine(asyncio.DatagramProtocol):
    """Answers every INVITE on UDP with its one media port, which echoes, and every other request with 200."""

    def __init__(self) -> None:
        self.pool = PortPool([HOST], 26300, 26320)
        self.media = MediaPort.open(self.pool, HOST)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        method = head.partition(b" ")[0]
        if method == b"ACK":
            return
        kept = [line for line in head.split(b"\r\n") if line.split(b":")[0] in (b"Via", b"From", b"Call-ID", b"CSeq")]
        to = next(line for line in head.split(b"\r\n") if line.startswith(b"To:"))
        lines = [b"SIP/2.0 200 OK", *kept, to if b";tag=" in to else to + b";tag=machine"]
        answer = b""
        if method == b"INVITE":
            answer = self.media.answer(body, 1)
            loop = asyncio.get_running_loop()
            self.media.open_stream(Plane(loop, loop.time)).echo(True)
            lines += [b"Contact: <sip:%s:%d>" % (HOST.encode(), PORT), b"Content-Type: application/sdp"]
        lines += [b"Content-Length: %d" % len(answer), b"", answer]
        self.transport.sendto(b"\r\n".join(lines), source)


@pytest.fixture
def machine() -> Iterator[AnsweringMachine]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="answering machine")
    thread.start()

    async def start() -> AnsweringMachine:
        return (await loop.create_datagram_endpoint(AnsweringMachine, (HOST, PORT)))[1]

    async def stop() -> None:
        answering.transport.close()
        answering.media.close()
        answering.pool.close()

    answering = asyncio.run_coroutine_threadsafe(start(), loop).result(5)
    yield answering
    asyncio.run_coroutine_threadsafe(stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.mark.parametrize("codecs", ["PCMU/8000/1", "PCMA/8000/1"])
def test_a_phone_hears_itself(tmp_path: Path, machine: AnsweringMachine, codecs: str) -> None:
    with Baresip(tmp_path / "phone", "127.0.1.2", 6100, pitch=440, codecs=codecs) as phone:
        phone.dial(f"sip:echo@{HOST}:{PORT}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(440, 0.6)
        phone.hangup()
        phone.wait_event("CALL_CLOSED")
    assert machine.media.stream is not None
    counts = machine.media.stream.counts
    assert counts.returned >= 30
    assert (counts.garbage, counts.strays, counts.unknown, counts.looped) == (0, 0, 0, 0)


def test_hold_and_resume(tmp_path: Path, machine: AnsweringMachine) -> None:
    with Baresip(tmp_path / "phone", "127.0.1.2", 6100, pitch=440, trace=True) as phone:
        phone.dial(f"sip:echo@{HOST}:{PORT}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(440, 0.2)
        phone.hold()
        phone.process.wait_line(r"^a=recvonly", 30)
        assert b" 1 2 IN IP4" in machine.media.local
        phone.resume()
        assert b" 1 3 IN IP4" in machine.media.local
        assert machine.media.stream is not None
        before = machine.media.stream.counts.returned
        phone.wait_receiving()
        assert machine.media.stream.counts.returned > before
        phone.hangup()


def test_digits_come_back(tmp_path: Path, machine: AnsweringMachine) -> None:
    """RFC 4733 events are echoed: the phone that pressed a key is told of one."""
    with Baresip(tmp_path / "phone", "127.0.1.2", 6100, pitch=440) as phone:
        phone.dial(f"sip:echo@{HOST}:{PORT}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(440, 0.2)
        phone.command("sndcode", "5")
        event = phone.wait_event("CALL_DTMF_START")
        assert event["param"] == "5"
        phone.hangup()
