"""Providers are asked with OPTIONS by a real user agent; the other side is a socket that answers or does not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from engine.user_agent import UserAgent
from routing.directory import Directory
from routing.health import HealthBoard
from routing.models import Provider
from service import prober as module
from service.prober import FAILURES, Prober
from store.store import utc_now


class Peer(asyncio.DatagramProtocol):
    """Answers every OPTIONS with `status`; 0 says nothing."""

    def __init__(self) -> None:
        self.status = 200
        self.seen: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        text = data.decode()
        self.seen.append(text)
        if self.status:
            kept = [
                line for line in text.split("\r\n") if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")
            ]
            head = "\r\n".join([f"SIP/2.0 {self.status} X", *kept, "Content-Length: 0", "", ""])
            self.transport.sendto(head.encode(), address)


@dataclass
class World:
    peer: Peer
    provider: Provider
    directory: Directory
    board: HealthBoard
    prober: Prober
    news: list[tuple[str, bool]] = field(default_factory=list)

    async def rounds(self, count: int = 1) -> str:
        for _ in range(count):
            await self.prober.round()
        return self.prober.health(self.provider.id)[0]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    agent = UserAgent(lambda call: None)
    await agent.start(["udp://127.0.0.1:0"])
    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(Peer, ("127.0.0.1", 0))
    provider = Provider(name="primary", hostname=f"127.0.0.1:{transport.get_extra_info('sockname')[1]}")
    directory, board = Directory(), HealthBoard()
    directory.replace([], [provider], [])
    news: list[tuple[str, bool]] = []
    made = Prober(
        agent,
        directory,
        board,
        structlog.get_logger(),
        interval=3600,
        domain=lambda: "127.0.0.1",
        utc_now=utc_now,
        changed=lambda provider, healthy, why: news.append((provider.name, healthy)),
    )
    yield World(peer, provider, directory, board, made, news)
    transport.close()
    await agent.stop()


async def test_a_provider_that_answers_is_healthy(world: World) -> None:
    assert world.prober.health(world.provider.id) == ("unknown", None)
    assert await world.rounds() == "healthy"
    assert world.prober.health(world.provider.id)[1] is not None
    request = world.peer.seen[0]
    assert request.startswith(f"OPTIONS sip:{world.provider.hostname} SIP/2.0\r\n")
    assert "\r\nMax-Forwards: 70\r\n" in request and "\r\nContact: <sip:127.0.0.1" in request
    assert not world.news


@pytest.mark.parametrize("status", [0, 503])
async def test_one_that_answered_before_is_unhealthy_after_several_failures_and_healthy_at_once(
    world: World, status: int
) -> None:
    await world.rounds()
    world.peer.status = status
    assert await world.rounds(FAILURES - 1) == "healthy"
    assert world.board.healthy(world.provider.id)
    assert await world.rounds() == "unhealthy"
    assert not world.board.healthy(world.provider.id)
    world.peer.status = 404  # whatever it says, it is there
    assert await world.rounds() == "healthy"
    assert world.board.healthy(world.provider.id)
    assert world.news == [("primary", False), ("primary", True)]


async def test_the_silence_of_one_that_never_answered_says_nothing(world: World) -> None:
    world.peer.status = 0
    assert await world.rounds(FAILURES + 1) == "unknown"
    assert world.board.healthy(world.provider.id)


async def test_what_is_switched_off_or_gone_is_not_asked(world: World) -> None:
    world.directory.replace([], [world.provider.model_copy(update={"enabled": False})], [])
    assert await world.rounds() == "unknown"
    assert not world.peer.seen
