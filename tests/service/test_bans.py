"""Whoever guesses passwords, or speaks no SIP, is not listened to for an hour; whoever is somewhere else is."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.log import BURST
from engine.sip.auth.digest_client import answer, parse_challenges
from engine.sip.flow import web_page_at
from engine.sip.message.framing import StreamFramer
from engine.sip.message.parsing import parse
from tests.service.conftest import until

Run = Callable[..., None]
GUEST, OTHER, ONE, CLIENT = "127.0.0.12", "127.0.0.13", "127.0.0.21", "127.0.0.11"
FOREIGN, OURS = "+821012345678", "+15551234567"
USERS = {"users": [{"username": "desk", "password": "s3cret"}, {"username": "hall", "password": "other"}]}
URI = f"sip:{FOREIGN}@127.0.0.1"


def asking(wire: Any, method: str) -> bytes:
    """A call, or a text, to a number that guests may not reach."""
    if method == "INVITE":
        return wire.request(uri=URI)  # type: ignore[no-any-return]
    text = b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    return wire.request(method, uri=URI, body=False).replace(b"Content-Length: 0\r\n\r\n", text)  # type: ignore[no-any-return]


def headed(request: bytes, *lines: str, cseq: int = 1) -> bytes:
    """The request with further lines behind its first Via."""
    head, found, rest = request.partition(b"\r\nFrom: ")
    assert found
    extra = "".join(f"\r\n{line}" for line in lines).encode()
    return (head + extra + b"\r\nFrom: " + rest).replace(b"\r\nCSeq: 1 ", f"\r\nCSeq: {cseq} ".encode())


async def challenge(wire: Any, engine: Any, *lines: str, method: str = "INVITE") -> Any:
    """A request without credentials, and what it is asked."""
    response = await wire.answer(headed(asking(wire, method), *lines), engine.address)
    assert response.status == 401
    (asked,) = parse_challenges(response.lines("WWW-Authenticate"))
    return asked


def authorization(asked: Any, username: str, password: str, method: str = "INVITE", **more: Any) -> str:
    made = answer(asked, username=username, password=password, method=method, uri=URI, cnonce="c0ffee", **more)
    return f"Authorization: {made}"


async def guess(wire: Any, engine: Any, username: str, password: str, *lines: str, method: str = "INVITE") -> int:
    """Challenge and answer: the status, 0 for silence."""
    asked = await challenge(wire, engine, *lines, method=method)
    made = headed(asking(wire, method), *lines, authorization(asked, username, password, method))
    return (await wire.answer(made, engine.address)).status


async def silent(wire: Any, engine: Any, request: bytes) -> bool:
    """Whether the engine drops the request: it is counted, and nothing comes back."""
    found = re.search(rb"\r\nCall-ID: (\S+)", request)
    assert found is not None
    counters = engine.node.agent.endpoint.counters
    before = counters.banned
    wire.send(request, engine.address)

    def answered() -> bool:
        return any(b"Call-ID: " + found[1] in data for data in wire.heard)

    await until(lambda: counters.banned > before or answered(), "a request that is dropped, or answered")
    return not answered()


GUESSES: list[Callable[[int], tuple[str, str, str]]] = [
    lambda number: ("desk", f"wrong{number}", "INVITE"),
    lambda number: (f"nobody{number}", "s3cret", "INVITE"),
    lambda number: (("desk", "hall", "nobody", "\u00e9")[number % 4], f"x{number}", ("INVITE", "MESSAGE")[number % 2]),
]


@pytest.mark.parametrize("made", GUESSES, ids=["one user", "users that do not exist", "several users and methods"])
def test_ten_wrong_logins_ban_an_address_and_no_other(run: Run, made: Callable[[int], tuple[str, str, str]]) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        engine = await bench.engine(sip=USERS, **bench.providers(one))
        thief, phone = await bench.wire(GUEST), await bench.phone(OTHER)
        for number in range(10):
            username, password, method = made(number)
            assert await guess(thief, engine, username, password, method=method) == 403
        line = await engine.log.wait("source banned")
        assert (line["address"], line["score"], line["seconds"]) == (GUEST, 10, 3600)
        assert (line["reason"], line["level"]) == ("credentials", "warning")
        for other in (thief, await bench.wire(GUEST)):  # another port is the same address
            for method in ("OPTIONS", "INVITE", "REGISTER"):
                assert await silent(other, engine, other.request(method, body=False))
        leg, outcome = await phone.call(engine.address, FOREIGN, username="desk", password="s3cret")
        assert outcome.kind == "answered"
        leg.hangup()
        await leg.wait_ended()

    run(test)


def test_what_a_refusal_says_is_the_same_whether_there_is_such_a_user(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS)
        wire = await bench.wire(GUEST)
        said = set()
        for username in ("desk", "nobody"):
            asked = await challenge(wire, engine)
            request = headed(wire.request(uri=URI), authorization(asked, username, "x"))
            response = await wire.answer(request, engine.address)
            fields = [(name, value) for name, value in response.fields if name not in ("Via", "From", "To", "Call-ID")]
            said.add((response.status, response.reason, tuple(fields), response.body))
        assert len(said) == 1

    run(test)


def test_a_right_password_in_between_starts_the_counting_anew(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, phone = await bench.phone(ONE, 486), await bench.wire(GUEST)
        engine = await bench.engine(sip=USERS, **bench.providers(one))
        for _ in range(2):
            for number in range(9):
                assert await guess(phone, engine, "desk", f"x{number}") == 403
            assert await guess(phone, engine, "desk", "s3cret") == 486
        assert engine.node.peers.kind(GUEST) == "phone"
        assert not engine.log.named("source banned")

    run(test)


def test_who_shows_no_credentials_is_never_banned(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS)
        wire = await bench.wire(GUEST)
        for _ in range(25):
            await challenge(wire, engine)
        assert len(engine.node.peers.bans) == 0

    run(test)


def test_only_an_answer_to_a_nonce_that_was_issued_there_counts(run: Run) -> None:
    """Else whoever forges a phone's address could have it banned (RFC 3261 §26.1)."""

    async def test(bench: Any) -> None:
        one = await bench.phone(ONE, 486)
        engine = await bench.engine(sip=USERS, **bench.providers(one))
        forger, phone = await bench.wire(OTHER), await bench.wire(GUEST)  # its packets seem to come from the phone
        asked = await challenge(forger, engine)
        used = await challenge(phone, engine)
        right = authorization(used, "desk", "s3cret")
        assert (await phone.answer(headed(phone.request(uri=URI), right), engine.address)).status == 486
        for number in range(15):
            lines = [
                authorization(asked, "desk", f"x{number}"),  # issued to another address
                authorization(replace(asked, nonce=f"1.{number}." + "0" * 32), "desk", "x"),  # made up
                authorization(used, "desk", f"x{number}"),  # used before, with the same count
                right,  # overheard
                "Authorization: Digest username=x",
                "Authorization: Basic eDp5",
            ]
            for line in lines:
                response = await phone.answer(headed(phone.request(uri=URI), line), engine.address)
                assert response.status in (401, 403)
        assert len(engine.node.peers.bans) == 0
        assert engine.node.peers.kind(GUEST) == "phone"

    run(test)


def test_one_wrong_answer_sent_again_and_again_is_one(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS)
        wire = await bench.wire(GUEST)
        line = authorization(await challenge(wire, engine), "desk", "x")
        for _ in range(15):  # each with a branch and a Call-ID of its own: no transaction knows it
            assert (await wire.answer(headed(wire.request(uri=URI), line), engine.address)).status == 403
        assert not engine.node.peers.banned(GUEST)
        assert len(engine.node.peers.bans) == 1

    run(test)


def test_many_answers_to_one_nonce_are_many(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS)
        wire = await bench.wire(GUEST)
        asked = await challenge(wire, engine)
        for number in range(10):
            line = authorization(asked, "desk", f"x{number}")
            assert (await wire.answer(headed(wire.request(uri=URI), line), engine.address)).status == 403
        assert engine.node.peers.banned(GUEST)

    run(test)


@pytest.mark.parametrize("network", [CLIENT, "127.0.0.0/24"])
def test_a_trusted_address_is_not_asked_and_not_banned(run: Run, network: str) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, 486), await bench.wire(CLIENT)
        engine = await bench.engine(sip=USERS | {"trusted_networks": [network]}, **bench.providers(one))
        line = 'Authorization: Digest username="a", realm="trunkline", nonce="1", uri="sip:a@b", response="2"'
        for _ in range(15):
            assert (await client.answer(headed(client.request(uri=URI), line), engine.address)).status == 486
        assert len(engine.node.peers.bans) == 0

    run(test)


# ---- behind an edge of our own


def edge_via(wire: Any, client: str, number: int = 1) -> str:
    return f"Via: SIP/2.0/UDP 10.0.0.9:5070;branch=z9hG4bKc{number};received={client}"


def test_behind_an_edge_the_address_in_the_via_is_banned_and_the_edge_is_not(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, edge = await bench.phone(ONE, 486), await bench.wire(GUEST)
        engine = await bench.engine(sip=USERS | {"proxies": [GUEST]}, **bench.providers(one))
        for number in range(10):
            assert await guess(edge, engine, "desk", f"x{number}", edge_via(edge, "198.51.100.7")) == 403
        assert (await engine.log.wait("source banned"))["address"] == "198.51.100.7"
        assert await silent(edge, engine, headed(edge.request(uri=URI), edge_via(edge, "198.51.100.7")))
        assert await guess(edge, engine, "desk", "s3cret", edge_via(edge, "198.51.100.8")) == 486
        assert engine.node.peers.kind("198.51.100.8") == "phone"
        assert await engine.alive(edge) == 200

    run(test)


def test_a_via_of_anybody_else_bans_nobody(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS)
        wire = await bench.wire(GUEST)
        for number in range(10):
            await guess(wire, engine, "desk", f"x{number}", edge_via(wire, "198.51.100.7"))
        assert engine.node.peers.banned(GUEST)
        assert not engine.node.peers.banned("198.51.100.7")

    run(test)


# ---- IPv6 and streams


class Stream:
    """A peer over TCP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.framer = StreamFramer()
        self.waiting: list[bytes] = []
        self.number = 0

    def request(self, method: str = "OPTIONS", *lines: str, uri: str = "sip:127.0.0.1", body: str = "") -> bytes:
        self.number += 1
        host, port = self.writer.get_extra_info("sockname")[:2]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        text = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/TCP {shown};branch=z9hG4bK{self.number}x{port}",
            *lines,
            f"From: <sip:a@b>;tag=t{self.number}",
            "To: <sip:c@d>",
            f"Call-ID: {self.number}x{port}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:a@{shown};transport=tcp>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(text) + "\r\n\r\n" + body).encode()

    async def final(self, request: bytes) -> Any:
        """The final response to a request; None where the connection is closed instead."""
        self.writer.write(request)
        while True:
            while self.waiting:
                message = parse(self.waiting.pop(0))
                if getattr(message, "status", 0) >= 200:
                    return message
            data = await self.reader.read(65536)
            if not data:
                return None
            self.waiting += self.framer.feed(data)

    async def closed(self) -> bool:
        """Waits for the other side to close."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        return True


async def stream(bench: Any, engine: Any, host: str = GUEST, transport: str = "tcp") -> Stream:
    target, _, port = engine.at(transport).rpartition(":")
    reader, writer = await asyncio.open_connection(target.strip("[]"), int(port), local_addr=(host, 0))

    async def close() -> None:
        writer.close()

    bench.at_end(close)
    return Stream(reader, writer)


async def refused(bench: Any, engine: Any, host: str = GUEST, transport: str = "tcp") -> bool:
    """Whether a new connection is closed at once."""
    try:
        return await (await stream(bench, engine, host, transport)).closed()
    except ConnectionError:
        return True


TCP = {"listen": ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]}
NO_SIP = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"SSH-2.0-x\r\n",
    b"\r\n\r\n\x00\x00\x00\x00",
]


def test_what_a_web_page_does_bans_web_pages_there_and_no_phones_rfc_6455_10_2(run: Run) -> None:
    """Any page can have the browser of who reads it connect to us: for all phones of an office to be shut out, one of
    its people would have to look at the wrong page."""

    async def test(bench: Any) -> None:
        engine = await bench.engine(sip={"listen": ["ws://127.0.0.1:0", "udp://127.0.0.1:0"]})
        peers = engine.node.peers
        for said in (b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 8, b"SSH-2.0-x\r\n", b"OPTIONS sip:x SIP/2.0\r\n"):
            assert not peers.banned(web_page_at(GUEST))
            peer = await stream(bench, engine, transport="ws")
            peer.writer.write(said)
            assert await peer.closed()
        line = await engine.log.wait("web pages banned")
        assert (line["address"], line["score"], line["reason"]) == (GUEST, 12, "not_sip")
        assert peers.banned(web_page_at(GUEST)) and not peers.banned(GUEST)
        assert await refused(bench, engine, transport="ws")
        wire = await bench.wire(GUEST)
        assert (await wire.answer(wire.request("OPTIONS", body=False), engine.address)).status == 200
        assert not engine.log.named("source banned")  # which a firewall would act on
        [ban] = peers.bans.bans()
        assert (ban.shown, ban.web_pages) == (GUEST, True)
        assert peers.bans.lift(GUEST) == ban
        assert not peers.banned(web_page_at(GUEST))

    run(test)


def test_four_connections_that_speak_no_sip_are_enough(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=TCP)
        waiting, elsewhere = await stream(bench, engine), await stream(bench, engine, OTHER)
        assert (await waiting.final(waiting.request())).status == 200
        for said in NO_SIP:
            assert not engine.node.peers.banned(GUEST)
            peer = await stream(bench, engine)
            peer.writer.write(said)
            assert await peer.closed()
        line = await engine.log.wait("source banned")
        assert (line["address"], line["score"], line["reason"]) == (GUEST, 12, "not_sip")
        assert await waiting.closed()  # which has done nothing itself
        assert await refused(bench, engine)
        wire = await bench.wire(GUEST)
        assert await silent(wire, engine, wire.request("OPTIONS", body=False))
        assert (await elsewhere.final(elsewhere.request())).status == 200

    run(test)


def test_what_is_no_sip_counts_nothing_in_datagrams(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine()
        wire = await bench.wire(GUEST)
        for _ in range(20):
            for said in NO_SIP:
                wire.send(said, engine.address)
        assert await engine.alive(wire) == 200
        assert len(engine.node.peers.bans) == 0

    run(test)


def test_malformed_sip_over_a_stream_counts_nothing(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=TCP)
        for _ in range(6):
            peer = await stream(bench, engine)
            peer.writer.write(b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n")  # no Content-Length
            assert await peer.closed()
        assert len(engine.node.peers.bans) == 0

    run(test)


@pytest.mark.parametrize("agent", ["friendly-scanner", "sipvicious", "sipcli/v1.8", "VaxSIPUserAgent/3.5", "PPLSIP"])
def test_a_scanner_hears_nothing_and_over_udp_counts_nothing(run: Run, agent: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=TCP)
        wire = await bench.wire(GUEST)
        methods = ("OPTIONS", "REGISTER", "INVITE", "ACK", "BYE", "CANCEL", "SUBSCRIBE", "NONSENSE")
        for method in methods:
            request = headed(wire.request(method, body=False), f"User-Agent: {agent}")
            wire.send(request, engine.at("udp"))
            wire.send(request.replace(b"User-Agent", b"user-agent").replace(b"To: <", b"To: <<"), engine.at("udp"))
        await bench.until(lambda: engine.node.agent.endpoint.counters.scanners == 2 * len(methods))
        assert not wire.heard
        assert len(engine.node.peers.bans) == 0
        for _ in range(4):
            peer = await stream(bench, engine)
            assert await peer.final(peer.request("OPTIONS", f"User-Agent: {agent}")) is None
        assert engine.node.peers.banned(GUEST)
        assert (await engine.log.wait("source banned"))["reason"] == "scanner"

    run(test)


@pytest.mark.parametrize(
    "agent", ["sipsak 0.9.8.1", "Yealink SIP-T46S 66.85", "baresip v1.0.0 (x86_64/Linux)", "a sipcli"]
)
def test_others_are_answered(run: Run, agent: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine()
        wire = await bench.wire(GUEST)
        request = headed(wire.request("OPTIONS", body=False), f"User-Agent: {agent}")
        assert (await wire.answer(request, engine.address)).status == 200

    run(test)


def test_an_edge_s_connection_stays_when_a_scanner_is_behind_it(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=TCP | {"proxies": [GUEST]})
        edge = await stream(bench, engine)
        for _ in range(4):
            edge.writer.write(edge.request("OPTIONS", edge_via(edge, "198.51.100.7"), "User-Agent: friendly-scanner"))
        assert (await edge.final(edge.request())).status == 200
        assert engine.node.peers.banned("198.51.100.7")
        assert not engine.node.peers.banned(GUEST)

    run(test)


SDP = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_2xx_that_is_not_acknowledged_counts_over_streams_only(run: Run, transport: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=TCP | {"t1": 0.005})
        calls = 10
        if transport == "tcp":
            peer = await stream(bench, engine)
            for _ in range(calls):
                invite = peer.request("INVITE", uri=f"sip:{OURS}@127.0.0.1", body=SDP.format(GUEST))
                assert (await peer.final(invite)).status == 200
        else:
            wire = await bench.wire(GUEST)
            for _ in range(calls):
                wire.send(wire.request(), engine.at("udp"))
        await bench.until(lambda: len(engine.node.flows.calls.registry.newest(calls)) == calls)
        await engine.quiet()
        assert engine.node.peers.banned(GUEST) == (transport == "tcp")
        if transport == "tcp":
            assert (await engine.log.wait("source banned"))["reason"] == "unacknowledged"

    run(test)


def test_over_ipv6_the_64_is_counted(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=TCP | {"listen": ["tcp://[::1]:0", "udp://[::1]:0"]})
        for _ in range(4):
            peer = await stream(bench, engine, "::1")
            peer.writer.write(NO_SIP[0])
            assert await peer.closed()
        assert (await engine.log.wait("source banned"))["address"] == "::/64"
        assert engine.node.peers.banned("::7")
        assert not engine.node.peers.banned("2001:db8::7")
        wire = await bench.wire("::1")
        assert await silent(wire, engine, wire.request("OPTIONS", body=False))

    run(test)


# ---- sip.deny_file


def denied(path: Path, *lines: str) -> dict[str, Any]:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return {"deny_file": path.name}


def test_the_deny_file_bans_and_is_read_again_when_it_changes(run: Run, tmp_path: Path) -> None:
    async def test(bench: Any) -> None:
        path = tmp_path / "deny.txt"
        engine = await bench.engine(
            sip=TCP | denied(path, "# of yesterday", "", f"{GUEST}/32  # a thief", "2001:db8::/32")
        )
        wire, elsewhere = await bench.wire(GUEST), await stream(bench, engine, OTHER)
        engine_at = engine.at("udp")
        wire.send(wire.request("OPTIONS", body=False), engine_at)
        await bench.until(lambda: engine.node.agent.endpoint.counters.banned == 1)
        assert await refused(bench, engine)
        assert engine.node.peers.banned("2001:db8:9::1")
        assert (await elsewhere.final(elsewhere.request())).status == 200
        denied(path, OTHER)
        await engine.node.bans.look()
        assert await elsewhere.closed()
        assert not engine.node.peers.banned(GUEST)
        assert not wire.heard
        path.unlink()  # what was known is good until there is another
        for _ in range(3):
            await engine.node.bans.look()
        assert engine.node.peers.banned(OTHER)
        assert len(engine.log.named("deny file not read")) == 1
        denied(path)
        await engine.node.bans.look()
        assert not engine.node.peers.banned(OTHER)

    run(test)


def test_lines_that_are_no_address_are_named_and_skipped(run: Run, tmp_path: Path) -> None:
    async def test(bench: Any) -> None:
        lines = ("192.0.2.1/24", "pirate.example", GUEST, "192.0.2.300", *["?"] * 100, "\x1b[2J")
        engine = await bench.engine(sip=denied(tmp_path / "deny.txt", *lines))
        assert engine.node.peers.banned(GUEST)
        found = engine.log.named("line of the deny file skipped")
        assert [line["line"] for line in found[:3]] == [1, 2, 4]
        assert "192.0.2.0/24" in found[0]["problem"]
        assert len(found) == 20
        (read,) = engine.log.named("deny file read")
        assert (read["entries"], read["skipped"]) == (1, 104)
        await engine.node.bans.look()  # nothing has changed: nothing is said again
        assert len(engine.log.named("deny file read")) == 1

    run(test)


def test_a_reload_takes_another_deny_file_and_none(run: Run, tmp_path: Path) -> None:
    async def test(bench: Any) -> None:
        one, other = tmp_path / "one.txt", tmp_path / "other.txt"
        engine = await bench.serve(sip=denied(one, GUEST))
        assert engine.node.peers.banned(GUEST)
        await engine.reload(bench.document(sip=denied(other, OTHER)))
        assert (engine.node.peers.banned(GUEST), engine.node.peers.banned(OTHER)) == (False, True)
        await engine.reload(bench.document())
        assert not engine.node.peers.banned(OTHER)
        assert not engine.log.named("reload")

    run(test)


def test_providers_and_clients_are_served_whatever_the_file_says(run: Run, tmp_path: Path) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE), await bench.phone(CLIENT)
        engine = await bench.engine(sip=denied(tmp_path / "deny.txt", "0.0.0.0/0"), **bench.providers(one))
        leg, outcome = await client.call(engine.address, FOREIGN)
        assert outcome.kind == "answered"
        leg.hangup()
        await leg.wait_ended()

    run(test)


def test_the_line_is_bounded_when_thousands_are_banned(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine()
        for number in range(500):
            for _ in range(4):
                engine.node.peers.accuse(f"198.18.{number >> 8}.{number & 255}", "not_sip")
        assert len(engine.node.peers.bans.bans()) == 500
        assert BURST <= len(engine.log.named("source banned")) < 250

    run(test)
