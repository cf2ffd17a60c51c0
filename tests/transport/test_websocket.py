"""SIP over WebSocket on real sockets, with frames made by hand (RFC 6455, RFC 7118)."""

import asyncio
import base64
import hashlib
import socket
import ssl
import struct
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest
from structlog import get_logger

from engine.sip.flow import Flow, address_of, is_web_page, web_page_at
from engine.transport.certificates import CertificateFiles, Certificates, ServerTls
from engine.transport.dns.locator import Locator
from engine.transport.dns.lookups import Lookups, NameServers
from engine.transport.dns.resolver import Resolver
from engine.transport.listen_spec import ListenerLimits, ListenSpec, WebSocketOptions
from engine.transport.listeners import Listeners
from engine.transport.websocket import GONE, WssTransport, WsTransport
from engine.transport.websocket_framing import LARGEST_HEAD, LARGEST_MESSAGE, MOST_FRAMES
from tests.certificates import Authority

WAIT = 30.0
KEY = base64.b64encode(b"sixteen octets!!").decode()
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
REQUEST = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bK1\r\n\r\n"


def upgrade(path: str = "/", subprotocol: str | None = "sip", **headers: str) -> bytes:
    lines = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    if subprotocol is not None:
        lines["Sec-WebSocket-Protocol"] = subprotocol
    lines.update({name.replace("_", "-"): value for name, value in headers.items()})
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode()


def frame(opcode: int, data: bytes, *, fin: bool = True, masked: bool = True, bits: int = 0) -> bytes:
    """A frame as a browser sends it (RFC 6455 §5.2)."""
    size, mask = len(data), b"\x0a\x0b\x0c\x0d"
    head = bytes([fin << 7 | bits | opcode])
    if size < 126:
        head += bytes([masked << 7 | size])
    elif size < 65536:
        head += bytes([masked << 7 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([masked << 7 | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + data
    return head + mask + bytes(octet ^ mask[index % 4] for index, octet in enumerate(data))


class Browser:
    """The client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.address: tuple[str, int] = writer.get_extra_info("sockname")[:2]

    @classmethod
    async def connect(cls, transport: WsTransport) -> "Browser":
        tls = None
        if isinstance(transport, WssTransport):
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        return cls(*await asyncio.open_connection(*transport.local, ssl=tls))

    @classmethod
    async def upgraded(cls, transport: WsTransport, **headers: str) -> "Browser":
        browser = await cls.connect(transport)
        status, head, _ = await browser.ask(upgrade(**headers))
        assert status == 101
        digest = hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        assert head["sec-websocket-accept"] == base64.b64encode(digest).decode()
        assert head["sec-websocket-protocol"] == "sip" and "sec-websocket-extensions" not in head
        return browser

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of the answer to an HTTP request."""
        self.writer.write(request)
        async with asyncio.timeout(WAIT):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines[1:] if line)
            head = {name.lower(): value for name, value in pairs}
            body = await self.reader.readexactly(int(head.get("content-length", "0")))
        return int(lines[0].split(" ")[1]), head, body.decode()

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def receive(self) -> tuple[int, bytes]:
        """The next frame: its opcode and what it holds. A server's are whole, and not masked (§5.1)."""
        async with asyncio.timeout(WAIT):
            first, size = await self.reader.readexactly(2)
            assert first & 0x70 == 0 and first & 0x80 and size < 128
            if size == 126:
                [size] = struct.unpack(">H", await self.reader.readexactly(2))
            elif size == 127:
                [size] = struct.unpack(">Q", await self.reader.readexactly(8))
            return first & 15, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """The code of the close frame that comes next; behind it nothing comes."""
        opcode, data = await self.receive()
        assert opcode == CLOSE
        assert await self.rest() == b""
        return int.from_bytes(data[:2]) if data else 0

    async def rest(self) -> bytes:
        """What comes until the other side closes; then this one is closed."""
        got = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(WAIT):
                got = await self.reader.read()
        await self.close()
        return got

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def listener(sink: Any, options: WebSocketOptions | None = None, **limits: Any) -> WsTransport:
    spec = ListenSpec(
        "ws", "127.0.0.1", 0, limits=ListenerLimits(**limits), websocket=options or WebSocketOptions(ping=0)
    )
    return await WsTransport.open(spec, sink)


async def ended(transport: WsTransport) -> None:
    transport.close()
    await transport.wait_closed()
    assert not transport.connections and transport.slots.remembered == 0


# ---- the upgrade


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (upgrade(subprotocol=None), 400, "Sec-WebSocket-Protocol: sip"),
        (upgrade(subprotocol="xmpp, sipping"), 400, "Sec-WebSocket-Protocol: sip"),
        (upgrade("/other"), 404, "at /"),
        (upgrade(Origin="https://evil.example"), 403, "origin"),
        (upgrade(Origin="null"), 403, "origin"),
        (upgrade(Sec_WebSocket_Version="8"), 400, "Version"),
        (upgrade(Sec_WebSocket_Key="short"), 400, "Key"),
        (upgrade(Connection="close"), 426, "WebSocket"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426, "SIP over WebSocket (RFC 7118)"),
        (b"GET / HTTP/1.0\r\n\r\n", 426, "SIP over WebSocket"),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 405, "SIP over WebSocket"),
        (b"OPTIONS * HTTP/1.0\r\n\r\n", 405, "SIP over WebSocket"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nCookie: " + b"x" * LARGEST_HEAD + b"\r\n\r\n", 431, "not read"),
        (b"GET / HTTP/1.1\r\nCookie: " + b"x" * LARGEST_HEAD, 431, "not read"),
    ],
)
def test_what_is_no_upgrade_to_sip_gets_a_sentence(
    run: Any, recorder: Any, request_: bytes, status: int, words: str
) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink, WebSocketOptions(origins=["https://phone.example"]))
        browser = await Browser.connect(transport)
        found, head, body = await browser.ask(request_)
        assert found == status and words in body and head["connection"] == "close"
        assert ("upgrade" in head) == (status == 426)
        assert await browser.rest() == b""
        assert (sink.messages, sink.strange, sink.failures) == ([], [], [])
        await ended(transport)

    run(test)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://phone.example"},
        {"Origin": "HTTPS://Phone.Example"},
        {},
        {"subprotocol": "sip, other"},
        {"path": "/?token=1"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"},
    ],
)
def test_what_is_one_is_granted(run: Any, recorder: Any, headers: dict[str, str]) -> None:
    async def test() -> None:
        transport = await listener(recorder(), WebSocketOptions(origins=["https://phone.example"], ping=0))
        browser = await Browser.upgraded(transport, **headers)
        await browser.close()
        await ended(transport)

    run(test)


@pytest.mark.parametrize(
    "data",
    [
        REQUEST,
        b"REGISTER sip:a SIP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\r\n\r\n",
        b"GET / RTSP/1.0\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"A" * 17,
    ],
)
def test_what_is_no_http_at_all_counts_for_a_ban(run: Any, recorder: Any, data: bytes) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.connect(transport)
        browser.send(data)
        assert await browser.rest() == b""
        assert len(sink.strange) == 1 and sink.messages == [] and transport.framing_errors == 1
        await ended(transport)

    run(test)


@pytest.mark.parametrize("begun", [b"", b"GET ", upgrade()[:-2]])
def test_an_upgrade_that_does_not_get_finished_ends_the_connection(run: Any, recorder: Any, begun: bytes) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink, handshake_timeout=0.1)
        browser = await Browser.connect(transport)

        async def drip() -> None:
            for octet in begun:
                browser.send(bytes([octet]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await browser.rest() == b""
        dripping.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await dripping
        assert (transport.upgrades_slow, transport.timed_out, sink.messages, sink.strange) == (1, 0, [], [])
        await ended(transport)

    run(test)


def test_half_open_upgrades_of_one_source_are_few(run: Any, recorder: Any) -> None:
    async def test() -> None:
        transport = await listener(recorder(), silent_per_source=4)
        browsers = [await Browser.connect(transport) for _ in range(40)]
        for browser in browsers[:36]:
            assert await browser.rest() == b""
        assert (len(transport.slots), transport.displaced) == (4, 36)
        for browser in browsers[36:]:
            await browser.close()
        await ended(transport)

    run(test)


# ---- messages


def test_requests_come_in_and_answers_go_back_by_the_connection(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        browser.send(frame(TEXT, REQUEST))
        assert await sink.message() == REQUEST
        flow = sink.flow
        assert (flow.host, flow.port) == browser.address and flow.transport is transport and flow.connected
        answer = b"SIP/2.0 200 OK\r\n\r\n" + b"x" * 70_000
        flow.send(answer)
        assert await browser.receive() == (TEXT, answer)
        flow.send(b"SIP/2.0 200 \xff\r\n\r\n")
        assert await browser.receive() == (BINARY, b"SIP/2.0 200 \xff\r\n\r\n")
        assert sink.failures == []
        await browser.close()
        await ended(transport)

    run(test)


@pytest.mark.parametrize(
    "frames",
    [
        [frame(TEXT, REQUEST)],
        [frame(BINARY, REQUEST)],
        [frame(BINARY, REQUEST + b"\xff\xfe")],
        [frame(TEXT, b"\r\n" + REQUEST)],
        [frame(TEXT, REQUEST[:9], fin=False), frame(CONT, REQUEST[9:])],
        [frame(BINARY, REQUEST[:1], fin=False), frame(CONT, b"", fin=False), frame(CONT, REQUEST[1:])],
        [frame(TEXT, REQUEST + "é".encode()[:1], fin=False), frame(CONT, "é".encode()[1:])],
        [frame(TEXT, REQUEST[:9], fin=False), frame(PING, b"?"), frame(PONG, b"!"), frame(CONT, REQUEST[9:])],
        [frame(TEXT, REQUEST + b"x" * (LARGEST_MESSAGE - len(REQUEST)))],
        [frame(TEXT, b""), frame(TEXT, b"\r\n"), frame(TEXT, REQUEST)],
    ],
)
def test_one_message_comes_out_however_it_is_put_into_frames(run: Any, recorder: Any, frames: list[bytes]) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        browser.send(*frames)
        assert (await sink.message()).startswith(REQUEST) and len(sink.messages) == 1
        if any(data[0] & 15 == PING for data in frames):
            assert await browser.receive() == (PONG, b"?")
        assert sink.flow.connected and not sink.failures and not sink.strange
        await browser.close()
        await ended(transport)

    run(test)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(TEXT, REQUEST, masked=False)], 1002),
        ([frame(3, b"")], 1002),
        ([frame(11, b"")], 1002),
        ([frame(TEXT, REQUEST, bits=0x40)], 1002),
        ([frame(PING, b"x" * 126)], 1002),
        ([frame(PING, b"x", fin=False)], 1002),
        ([frame(CONT, b"x")], 1002),
        ([frame(TEXT, b"x", fin=False), frame(TEXT, b"y")], 1002),
        ([frame(CLOSE, b"x")], 1002),
        ([frame(CLOSE, struct.pack(">H", 1005))], 1002),
        ([frame(TEXT, REQUEST + b"\xff")], 1007),
        ([frame(TEXT, REQUEST + b"\xc3", fin=False), frame(CONT, b"")], 1007),
        ([frame(TEXT, b"x" * (LARGEST_MESSAGE + 1))], 1009),
        ([frame(TEXT, b"x" * LARGEST_MESSAGE, fin=False), frame(CONT, b"x")], 1009),
        ([frame(TEXT, b"x", fin=False)] + [frame(CONT, b"x" * 1000, fin=False)] * 70, 1009),
        ([frame(TEXT, b"x", fin=False)] + [frame(CONT, b"", fin=False)] * 8 * MOST_FRAMES, 1008),
    ],
)
def test_what_breaks_the_protocol_is_told_the_code(run: Any, recorder: Any, frames: list[bytes], code: int) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        browser.send(*frames)
        assert await browser.close_code() == code
        await sink.until(lambda: sink.ended)
        assert (sink.messages, sink.strange, transport.framing_errors) == ([], [], 1)
        await ended(transport)

    run(test)


def test_frames_behind_a_fault_are_not_read_and_those_before_it_are(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        browser.send(frame(TEXT, REQUEST), frame(PING, b"1"), frame(3, b""), frame(TEXT, REQUEST), frame(PING, b"2"))
        assert await browser.receive() == (PONG, b"1")
        assert await browser.close_code() == 1002
        assert sink.messages == [REQUEST]
        await ended(transport)

    run(test)


@pytest.mark.parametrize("text", [b"hello\r\n\r\n", b"\x00", b"GET / HTTP/1.1\r\n\r\n", b'{"jsonrpc": "2.0"}'])
def test_messages_that_are_no_sip_count_for_a_ban(run: Any, recorder: Any, text: bytes) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        browser.send(frame(TEXT, text))
        assert await browser.close_code() == 1008
        assert len(sink.strange) == 1 and sink.messages == []
        await ended(transport)

    run(test)


def test_keepalives_are_answered_as_on_any_stream(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        browser.send(frame(TEXT, b"\r\n"), frame(TEXT, b"\r\n\r\n"), frame(BINARY, b"\r\n\r\n"), frame(PING, b"p"))
        assert sorted([await browser.receive() for _ in range(3)]) == [(TEXT, b"\r\n"), (TEXT, b"\r\n"), (PONG, b"p")]
        # A ping and the end together: nothing is written behind the close frame.
        browser.send(frame(TEXT, b"\r\n\r\n"), frame(CLOSE, struct.pack(">H", 1000)))
        assert await browser.close_code() == 1000
        assert sink.messages == [] and sink.strange == []
        await ended(transport)

    run(test)


@pytest.mark.parametrize(("payload", "code"), [(struct.pack(">H", 1001) + b"bye", 1001), (b"", 0)])
def test_a_close_is_answered(run: Any, recorder: Any, payload: bytes, code: int) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        browser.send(frame(TEXT, REQUEST), frame(CLOSE, payload), frame(TEXT, REQUEST))
        assert await browser.close_code() == code
        await sink.until(lambda: sink.ended)
        assert sink.messages == [REQUEST] and transport.framing_errors == 0
        [(flow, error)] = sink.ended
        assert flow == sink.flow and error.startswith("closed by the peer")
        await ended(transport)

    run(test)


def test_what_does_not_close_after_our_close_is_cut_off(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink, handshake_timeout=0.1)
        browser = await Browser.upgraded(transport)
        browser.send(frame(3, b""))
        assert (await browser.receive())[0] == CLOSE
        await sink.until(lambda: sink.ended)
        assert transport.timed_out == 1
        await browser.close()
        await ended(transport)

    run(test)


# ---- the flow is the connection


def test_nothing_is_sent_to_a_peer_whose_connection_is_gone(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        browser.send(frame(TEXT, REQUEST))
        await sink.message()
        flow = sink.flow
        # Reset, so that its port is free at once.
        sock = browser.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await browser.close()
        await sink.until(lambda: sink.ended)
        # Another browser by the same address and port, as behind a NAT.
        port = browser.address[1]
        host, listening = transport.local
        again = Browser(*await asyncio.open_connection(host, listening, local_addr=("127.0.0.1", port)))
        assert (await again.ask(upgrade()))[0] == 101
        assert not flow.connected and not Flow(transport, flow.host, flow.port).connected
        flow.send(REQUEST)
        assert await sink.failure() == (flow, REQUEST, GONE)
        nobody = Flow(transport, "127.0.0.9", 9)
        nobody.send(REQUEST)
        assert (await sink.failure(2))[2] == GONE and not nobody.connected
        assert not transport.connecting
        await again.close()
        await ended(transport)

    run(test)


def test_nothing_is_sent_before_the_upgrade_nor_behind_the_close(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.connect(transport)
        browser.send(b"GET ")
        for _ in range(1_000_000):
            if transport.connections:
                break
            await asyncio.sleep(0)
        Flow(transport, *browser.address).send(REQUEST)
        assert (await sink.failure())[2] == GONE
        assert (await browser.ask(upgrade()[4:]))[0] == 101
        browser.send(frame(TEXT, REQUEST))
        await sink.message()
        connection = sink.flow.connection
        sink.on_message = lambda data, flow: flow.send(b"SIP/2.0 200 OK\r\n\r\n")
        browser.send(frame(TEXT, REQUEST), frame(CLOSE, b""))
        assert await browser.close_code() == 0
        assert not connection.usable and not connection.write(REQUEST)
        sink.flow.send(REQUEST)
        await sink.until(lambda: [data for _, data, _ in sink.failures].count(REQUEST) == 2)
        await ended(transport)

    run(test)


def test_browsers_are_told_that_the_listener_goes_away(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        browser = await Browser.upgraded(transport)
        half = await Browser.connect(transport)
        half.send(b"GET /")
        transport.close()
        assert await browser.close_code() == 1001
        assert await half.rest() == b""
        await transport.wait_closed()
        assert not sink.ended

    run(test)


def test_no_request_leads_to_a_websocket_listener(run: Any, recorder: Any) -> None:
    async def test() -> None:
        listeners = await Listeners.open(["ws://127.0.0.1:0", "tcp://127.0.0.1:0"], recorder())
        assert [transport.name for transport in listeners] == ["ws", "tcp"]
        assert listeners.select("ws", "127.0.0.1") is None
        tcp = listeners.select("tcp", "127.0.0.1")
        assert tcp is not None and tcp.name == "tcp"
        [ws, _] = listeners
        locator = Locator(listeners, Resolver(Lookups(NameServers([("127.0.0.1", 9)]), hosts={})), get_logger())
        why: list[str] = []
        for uri in ("sip:a@127.0.0.1;transport=ws", "sip:a@x.example;transport=WSS", "sip:a@x.invalid"):
            locator.locate(uri, lambda flows, cause="": why.append(cause if not flows else "found"))
        assert why == [*["a WebSocket peer is reached by its own connection alone"] * 2, why[2]]
        assert why[2].startswith("name does not resolve")
        await locator.close()
        assert listeners.listens_at(*ws.local), "it is ours all the same"
        await listeners.close()

    run(test)


# ---- pings


def test_a_quiet_browser_is_pinged_and_one_that_does_not_answer_is_gone(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink, WebSocketOptions(ping=0.05, pong_timeout=0.2), idle_timeout=60.0)
        browser = await Browser.upgraded(transport)
        for _ in range(3):
            opcode, data = await browser.receive()
            assert opcode == PING
            browser.send(frame(PONG, data))
        assert (await browser.receive())[0] == PING  # and no pong any more
        await sink.until(lambda: sink.ended)
        [(flow, error)] = sink.ended
        assert (flow.host, flow.port) == browser.address and error == "no answer to a ping"
        assert transport.timed_out == 1 and sink.failures == []
        await browser.close()
        await ended(transport)

    run(test)


# ---- behind a web proxy


def test_a_proxy_says_who_connects(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        sink.friends = {"127.0.0.1"}
        sink.refused = {web_page_at("198.51.100.66")}
        options = WebSocketOptions(proxies=[ip_network("127.0.0.0/30"), ip_network("2001:db8::/64")], ping=0)
        transport = await listener(sink, options, connections_per_source=2, silent_per_source=2)
        browsers = []
        for value, host in (
            ("198.51.100.1", "198.51.100.1"),
            ("192.0.2.1, 198.51.100.2", "198.51.100.2"),
            ("192.0.2.1, 198.51.100.4, 127.0.0.2", "198.51.100.4"),
            ("::ffff:198.51.100.3", "198.51.100.3"),
            ("2001:DB8::0009", "2001:db8::9"),
        ):
            browser = await Browser.upgraded(transport, X_Forwarded_For=value)
            browser.send(frame(TEXT, REQUEST))
            await sink.message(len(browsers) + 1)
            assert sink.flow.host == host and sink.flow.port == browser.address[1]
            assert is_web_page(sink.flow.party) and address_of(sink.flow.party) == host
            sink.flow.send(b"SIP/2.0 200 OK\r\n\r\n")
            assert (await browser.receive())[0] == TEXT
            browsers.append(browser)
        for headers, status in (
            ({"X_Forwarded_For": "198.51.100.66"}, 403),
            ({"X_Forwarded_For": "unknown"}, 403),
            ({"X_Forwarded_For": "198.51.100.1, "}, 403),
            ({}, 403),
        ):
            refused = await Browser.connect(transport)
            assert (await refused.ask(upgrade(**headers)))[0] == status
            await refused.rest()
        second = await Browser.upgraded(transport, X_Forwarded_For="198.51.100.1")
        second.send(frame(TEXT, REQUEST))
        await sink.message(6)
        third = await Browser.connect(transport)
        assert (await third.ask(upgrade(X_Forwarded_For="198.51.100.1")))[0] == 503
        await third.rest()
        for browser in (*browsers, second):
            await browser.close()
        await ended(transport)

    run(test)


def test_connections_of_a_proxy_are_no_strangers_before_it_says_whose_they_are(run: Any, recorder: Any) -> None:
    async def test() -> None:
        options = WebSocketOptions(proxies=[ip_network("127.0.0.1/32")], ping=0)
        transport = await listener(recorder(), options, silent_per_source=2, connections_per_source=3)
        browsers = [await Browser.connect(transport) for _ in range(20)]
        for number, browser in enumerate(browsers):  # as all come back at once
            assert (await browser.ask(upgrade(X_Forwarded_For=f"198.51.100.{number}")))[0] == 101
        assert (transport.displaced, transport.refused, len(transport.slots)) == (0, 0, 20)
        for browser in browsers:
            await browser.close()
        await ended(transport)

    run(test)


def test_a_frame_that_comes_with_the_upgrade_is_not_taken_for_the_proxys(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        sink.friends = {"127.0.0.1"}
        transport = await listener(sink, WebSocketOptions(proxies=[ip_network("127.0.0.1/32")], ping=0))
        browser = await Browser.connect(transport)
        assert (await browser.ask(upgrade(X_Forwarded_For="198.51.100.1") + frame(TEXT, REQUEST)))[0] == 101
        await sink.message()
        assert sink.flow.host == "198.51.100.1"
        await browser.close()
        await ended(transport)

    run(test)


def test_what_is_no_proxy_of_ours_says_nothing_of_where_it_comes_from(run: Any, recorder: Any) -> None:
    async def test() -> None:
        sink = recorder()
        transport = await listener(sink)
        stranger = await Browser.upgraded(transport, X_Forwarded_For="198.51.100.1")
        stranger.send(frame(TEXT, REQUEST))
        await sink.message()
        assert sink.flow.host == "127.0.0.1" and is_web_page(sink.flow.party)
        await stranger.close()
        await ended(transport)

    run(test)


# ---- over TLS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    issued = Authority(tmp_path_factory.mktemp("certificates")).issue("sip.example.com")
    return Certificates(ServerTls(certificates=(CertificateFiles(issued.certificate, issued.key),)))


def test_over_tls_it_is_the_same(run: Any, recorder: Any, certificates: Certificates) -> None:
    async def test() -> None:
        sink = recorder()
        options = WebSocketOptions(ping=0.05, pong_timeout=20.0)
        spec = ListenSpec("wss", "127.0.0.1", 0, certificates=certificates, websocket=options)
        transport = await WssTransport.open(spec, sink)
        browser = await Browser.upgraded(transport)
        browser.send(frame(TEXT, REQUEST[:5], fin=False), frame(CONT, REQUEST[5:]))
        assert await sink.message() == REQUEST
        assert (sink.flow.transport.via_name, sink.flow.own_address()) == (
            "WSS",
            f"127.0.0.1:{transport.local[1]};transport=ws",
        )
        sink.flow.send(b"SIP/2.0 200 OK\r\n\r\n")
        while (received := await browser.receive())[0] == PING:
            browser.send(frame(PONG, received[1]))
        assert received == (TEXT, b"SIP/2.0 200 OK\r\n\r\n")
        refused = await Browser.connect(transport)
        assert (await refused.ask(upgrade(subprotocol=None)))[0] == 400
        assert await refused.rest() == b""
        await sink.until(lambda: transport.upgrades_refused == 1)
        wrong = await Browser.upgraded(transport)
        wrong.send(frame(3, b""), frame(TEXT, REQUEST))
        while (received := await wrong.receive())[0] == PING:
            pass
        assert received[0] == CLOSE and received[1][:2] == struct.pack(">H", 1002)
        assert await wrong.rest() == b""
        plain = Browser(*await asyncio.open_connection(*transport.local))
        plain.send(upgrade())
        await plain.rest()
        await sink.until(lambda: len(sink.ended) == 3)
        assert sink.messages == [REQUEST] and sink.flow.connected
        transport.close()
        while (received := await browser.receive())[0] == PING:
            pass
        assert received[0] == CLOSE and received[1] == struct.pack(">H", 1001)
        await browser.rest()
        await ended(transport)

    run(test)
