"""A telephone of one page: SIP over UDP as a test scripts it, and a real RTP stream with a tone of its own.

It does what it is told and remembers what it was sent; nothing of the engine is used for it but the G.711 tables.
"""

import asyncio
import re
from contextlib import suppress
from typing import Any, Self

import numpy

from engine.media.codec import g711

RATE, FRAME = 8000, 160


class _Rtp(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.sources: set[tuple[str, int]] = set()
        self.news = asyncio.Event()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) > 12 and data[0] >> 6 == 2 and data[1] & 0x7F == 8:
            self.payloads.append(data[12:])
            self.sources.add(addr[:2])
            self.news.set()


class Phone(asyncio.DatagramProtocol):
    """One telephone at `host`. `pitch` is the tone (Hz) that it sends while it has somewhere to send it.

    Attributes:
        answers: What it says to an INVITE, one after the other: (status, with a description).
        told: The last description that it was sent.
        heard_messages: First lines of all messages, in order.
    """

    def __init__(self, host: str, port: int, pitch: float) -> None:
        self.host, self.port, self.pitch = host, port, pitch
        self.answers: list[tuple[int, bool]] = [(180, False), (200, True)]
        self.told = b""
        self.told_all: list[bytes] = []
        self.heard_messages: list[str] = []
        self.finals: asyncio.Queue[tuple[int, str, bytes]] = asyncio.Queue()
        self.provisional: asyncio.Queue[int] = asyncio.Queue()
        self.byes: asyncio.Queue[str] = asyncio.Queue()
        self.invites: asyncio.Queue[bytes] = asyncio.Queue()
        self.direction = "sendrecv"
        self.version = 1
        self._cseq = 0
        self._dialog: dict[str, str] = {}
        self._branch = 0

    async def open(self) -> Self:
        """Take the ports."""
        loop = asyncio.get_running_loop()
        self._sip, _ = await loop.create_datagram_endpoint(lambda: self, (self.host, self.port))
        transport, self.rtp = await loop.create_datagram_endpoint(_Rtp, (self.host, 0))
        self.rtp_port: int = transport.get_extra_info("sockname")[1]
        self._sender = loop.create_task(self._send_tone())
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        self._sender.cancel()
        with suppress(asyncio.CancelledError):
            await self._sender
        self._sip.close()
        self.rtp.transport.close()

    # ---- sound

    async def _send_tone(self) -> None:
        law = g711.Encoder(g711.A_LAW)
        phase, sequence = 0, 0
        loop = asyncio.get_running_loop()
        when = loop.time()
        while True:
            times = (phase + numpy.arange(FRAME)) / RATE
            samples = (8000 * numpy.sin(2 * numpy.pi * self.pitch * times)).astype(numpy.int16)
            head = bytes([0x80, 8]) + sequence.to_bytes(2) + phase.to_bytes(4) + self.port.to_bytes(4)
            if self.told and self.direction in ("sendrecv", "sendonly"):
                self.rtp.transport.sendto(head + law.encode(samples), where(self.told))
            phase, sequence = phase + FRAME, (sequence + 1) & 0xFFFF
            when += FRAME / RATE
            await asyncio.sleep(max(0.0, when - loop.time()))

    async def hears(self, pitch: float, frames: int = 30) -> float:
        """Waits for so many new packets; how much of their power lies at `pitch`, 0 to 1."""
        self.rtp.payloads.clear()
        async with asyncio.timeout(30):
            for _ in range(frames):
                self.rtp.news.clear()
                await self.rtp.news.wait()
        sound = numpy.concatenate([g711.Decoder(g711.A_LAW).decode(part) for part in self.rtp.payloads[:frames]])
        return share_at(sound, pitch)

    async def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes for so long, soon: what is under way comes late where the machine is busy."""
        for _ in range(20):
            self.rtp.payloads.clear()
            await asyncio.sleep(seconds)
            if not self.rtp.payloads:
                return True
        return False

    def body(self) -> bytes:
        """Its description."""
        family = "IP6" if ":" in self.host else "IP4"
        return (
            f"v=0\r\no=phone {self.port} {self.version} IN {family} {self.host}\r\ns=-\r\nc=IN {family} {self.host}\r\n"
            f"t=0 0\r\nm=audio {self.rtp_port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na={self.direction}\r\n"
        ).encode()

    # ---- what it says

    def _shown(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _send(self, start: str, headers: str, body: bytes = b"") -> None:
        content = "Content-Type: application/sdp\r\n" if body else ""
        text = f"{start}\r\n{headers}{content}Content-Length: {len(body)}\r\n\r\n"
        self._sip.sendto(text.encode() + body, self._engine)

    def _request(self, method: str, body: bytes = b"", branch: str = "", cseq: int = 0) -> str:
        dialog = self._dialog
        if not branch:
            self._branch += 1
            branch = f"z9hG4bK{self.port}x{self._branch}"
        if not cseq:
            self._cseq += method != "ACK"
            cseq = self._cseq
        self._send(
            f"{method} {dialog['uri']} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._shown()};branch={branch}\r\nMax-Forwards: 70\r\nFrom: {dialog['local']}\r\n"
            f"To: {dialog['remote']}\r\nCall-ID: {dialog['call_id']}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:phone@{self._shown()}>\r\n",
            body,
        )
        return branch

    def invite(self, engine: tuple[str, int], number: str, call_id: str) -> None:
        """Begin a call."""
        self._engine = engine
        shown = f"[{engine[0]}]" if ":" in engine[0] else engine[0]
        uri = f"sip:{number}@{shown}:{engine[1]}"
        self._dialog = {
            "uri": uri,
            "call_id": call_id,
            "local": f"<sip:phone@{self._shown()}>;tag=t{self.port}{call_id}",
            "remote": f"<{uri}>",
        }
        self._invite_branch = self._request("INVITE", self.body())

    def cancel(self) -> None:
        """Give the call up."""
        self._request("CANCEL", branch=self._invite_branch, cseq=self._cseq)

    async def call(self, engine: tuple[str, int], number: str, call_id: str) -> int:
        """Call and wait for the final status."""
        self.invite(engine, number, call_id)
        return await self.final()

    async def final(self) -> int:
        """The next final response to an INVITE of its own, acknowledged."""
        async with asyncio.timeout(30):
            status, text, body = await self.finals.get()
        if status < 300:
            self._dialog["remote"] = field(text, "To")
            self._request("ACK", cseq=self._cseq)
            self._hear(body)
        else:
            self._dialog["remote"] = field(text, "To")
            self._request("ACK", branch=self._invite_branch, cseq=self._cseq)
        return status

    async def negotiate(self, direction: str) -> int:
        """A re-INVITE."""
        self.direction = direction
        self.version += 1
        self._invite_branch = self._request("INVITE", self.body())
        return await self.final()

    async def bye(self) -> int:
        """Hang up; the status of the answer."""
        self._request("BYE")
        self.told = b""
        async with asyncio.timeout(30):
            status, _, _ = await self.finals.get()
        return status

    async def hung_up(self) -> str:
        """Wait until the other side hangs up."""
        async with asyncio.timeout(30):
            return await self.byes.get()

    # ---- what it hears

    def _hear(self, body: bytes) -> None:
        if body:
            self.told = body
            self.told_all.append(body)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        text = head.decode()
        start = text.partition("\r\n")[0]
        self.heard_messages.append(start)
        if start.startswith("SIP/2.0"):
            status, method = int(start.split()[1]), field(text, "CSeq").split()[1]
            if status < 200:
                self._hear(body)
                if status > 100:
                    self.provisional.put_nowait(status)
            elif method in ("INVITE", "BYE"):
                self.finals.put_nowait((status, text, body))
            return
        self._engine = addr[:2]
        method = start.split()[0]
        if method == "INVITE":
            self._take_invite(text, body)
        elif method == "BYE":
            self.told = b""
            self._reply(text, 200)
            self.byes.put_nowait(text)
        elif method == "CANCEL":
            self.told = b""
            self._reply(text, 200)
            self._reply(self._invited, 487)
        elif method == "ACK":
            self._hear(body)

    def _take_invite(self, text: str, body: bytes) -> None:
        self.invites.put_nowait(body)
        again = "tag=" in field(text, "To")
        self._hear(body)
        self._invited = text
        if not again:
            contact = re.search(r"<(.*?)>", field(text, "Contact"))
            assert contact is not None
            self._dialog = {
                "uri": contact[1],
                "call_id": field(text, "Call-ID"),
                "local": f"{field(text, 'To')};tag=t{self.port}",
                "remote": field(text, "From"),
            }
        asked = re.search(rb"a=(sendonly|recvonly|inactive)\r\n", body)
        mirror = {b"sendonly": "recvonly", b"recvonly": "sendonly", b"inactive": "inactive"}
        self.direction = mirror[asked[1]] if asked else "sendrecv"
        if again:
            self.version += 1
            self._reply(text, 200, self.body())
            return
        for status, described in self.answers:
            self._reply(text, status, self.body() if described else b"")
            if status >= 300:
                self.told = b""

    def answer(self) -> None:
        """200 to the INVITE that it heard last."""
        self._reply(self._invited, 200, self.body())

    def _reply(self, text: str, status: int, body: bytes = b"") -> None:
        vias = "".join(f"{line}\r\n" for line in text.split("\r\n") if line.startswith("Via:"))
        to = field(text, "To")
        if "tag=" not in to:
            to += f";tag=t{self.port}"
        self._send(
            f"SIP/2.0 {status} X",
            f"{vias}From: {field(text, 'From')}\r\nTo: {to}\r\nCall-ID: {field(text, 'Call-ID')}\r\n"
            f"CSeq: {field(text, 'CSeq')}\r\nContact: <sip:phone@{self._shown()}>\r\n",
            body,
        )


def share_at(sound: Any, pitch: float) -> float:
    """How much of a sound's power lies at `pitch` (Hz), 0 to 1."""
    power = numpy.abs(numpy.fft.rfft(sound * numpy.hanning(len(sound)))) ** 2
    frequencies = numpy.fft.rfftfreq(len(sound), 1 / RATE)
    return float(power[numpy.abs(frequencies - pitch) < 15].sum() / power.sum())


def field(text: str, name: str) -> str:
    """The value of the first header of that name."""
    found = re.search(rf"^{name}: (.*?)\r?$", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def where(body: bytes) -> tuple[str, int]:
    """Where a description of one stream leads."""
    address, port = re.search(rb"c=IN IP[46] (\S+)", body), re.search(rb"m=audio (\d+)", body)
    assert address is not None
    assert port is not None
    return address[1].decode(), int(port[1])
