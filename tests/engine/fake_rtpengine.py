"""An rtpengine that says what a test lets it say, on a socket of the same loop."""

import asyncio
from typing import Any

from engine.media.rtpengine.bencode import decode, encode


class FakeRtpengine(asyncio.DatagramProtocol):
    """Answers pings and, with `sdp`, whatever brings a description.

    Attributes:
        silent: How many of the next datagrams it drops; -1: all of them.
        commands: Those that it heard, retransmissions left out.
        datagrams: All that came.
    """

    def __init__(self, media: str) -> None:
        self.media = media
        self.silent = 0
        self.error = ""
        self.commands: list[dict[bytes, Any]] = []
        self.datagrams: list[bytes] = []
        self.extra: dict[str, Any] = {}
        self._answers: dict[bytes, bytes] = {}

    async def open(self) -> "FakeRtpengine":
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port: int = self.transport.get_extra_info("sockname")[1]
        return self

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.port}"

    def heard(self, *left_out: bytes) -> list[bytes]:
        """The commands, pings left out."""
        return [command[b"command"] for command in self.commands if command[b"command"] not in (b"ping", *left_out)]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.datagrams.append(data)
        if self.silent:
            self.silent -= self.silent > 0
            return
        cookie, _, body = data.partition(b" ")
        if cookie not in self._answers:
            command = decode(body)
            assert isinstance(command, dict)
            self.commands.append(command)
            self._answers[cookie] = cookie + b" " + encode(self._answer(command))
        self.transport.sendto(self._answers[cookie], addr)

    def _answer(self, command: dict[bytes, Any]) -> dict[str, Any]:
        if command[b"command"] == b"ping":
            return {"result": "pong"}
        if self.error:
            return {"result": "error", "error-reason": self.error}
        if b"sdp" in command:
            return {"result": "ok", "sdp": command[b"sdp"] + f"a=from-{self.media}\r\n".encode()}
        return {"result": "ok", "totals": {"RTP": {"packets": 7, "bytes": 1204, "errors": 0}}, **self.extra}

    def close(self) -> None:
        self.transport.close()
