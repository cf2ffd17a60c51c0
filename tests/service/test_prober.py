"""Providers are asked with OPTIONS by a real user agent; the other side is a socket that answers or does not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from engine.sip.flow import Flow
from engine.user_agent import UserAgent
from routing.directory.directory import Directory
from routing.hunt.health import MAX_MISSES, HealthBoard
from routing.models.provider import Provider
from service.workers.prober import Prober
from service.workers.provider_health import ProviderHealthStore
from store.store import Store, utc_now
from tests.service.conftest import until


class Peer(asyncio.DatagramProtocol):
    """Answers every OPTIONS with `status`; 0 says nothing."""

    def __init__(self) -> None:
        self.status = 200
        self.more = ""
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
            head = "\r\n".join([f"SIP/2.0 {self.status} X", *kept, f"{self.more}Content-Length: 0", "", ""])
            self.transport.sendto(head.encode(), address)


@dataclass
class World:
    agent: UserAgent
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

    def another(self, store: Store, node: str = "sip1", interval: float = 3600) -> Prober:
        """As after a restart: nothing is known but what the store has."""
        self.board = HealthBoard()
        self.prober = prober(self.agent, self.directory, self.board, self.news, store, node, interval)
        return self.prober


def prober(
    agent: UserAgent,
    directory: Directory,
    board: HealthBoard,
    news: list[tuple[str, bool]],
    store: Store | None = None,
    node: str = "sip1",
    interval: float = 3600,
) -> Prober:
    log = structlog.get_logger()
    return Prober(
        agent,
        directory,
        board,
        log,
        interval=interval,
        domain=lambda: "127.0.0.1",
        utc_now=utc_now,
        changed=lambda provider, healthy, why: news.append((provider.name, healthy)),
        health_store=None if store is None else ProviderHealthStore(store, node, log),
    )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    agent = UserAgent(lambda call: None)
    await agent.start(["udp://127.0.0.1:0"])
    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(Peer, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    provider = Provider(name="primary", hostname=f"127.0.0.1:{port}", no_reply_timeout=0.05)
    directory, board = Directory(), HealthBoard()
    directory.replace([], [provider], [])
    news: list[tuple[str, bool]] = []
    yield World(agent, peer, provider, directory, board, prober(agent, directory, board, news), news)
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


async def test_a_provider_that_is_shown_a_name_sees_it_in_its_probes_and_no_user(world: World) -> None:
    provider = world.provider.model_copy(update={"contact_host": "sbc1.example.com:5061"})
    world.directory.put_provider(provider)
    assert await world.rounds() == "healthy"
    (request,) = world.peer.seen
    assert "\r\nVia: SIP/2.0/UDP sbc1.example.com:5061;" in request
    assert "\r\nFrom: <sip:sbc1.example.com:5061>;" in request
    assert "\r\nContact: <sip:sbc1.example.com:5061>\r\n" in request


@pytest.mark.parametrize("status", [0, 503])
async def test_one_that_answered_before_is_unhealthy_after_several_failures_and_healthy_at_once(
    world: World, status: int
) -> None:
    await world.rounds()
    world.peer.status = status
    assert await world.rounds(MAX_MISSES - 1) == "healthy"
    assert await world.rounds() == "unhealthy"
    assert world.board.state(world.provider.id.int).skipped
    world.peer.status = 404  # whatever it says, it is there
    assert await world.rounds() == "healthy"
    assert not world.board.state(world.provider.id.int).skipped
    assert world.news == [("primary", False), ("primary", True)]


@pytest.mark.parametrize("status", [0, 503])
async def test_one_that_never_answered_is_unhealthy_after_three_and_comes_last(world: World, status: int) -> None:
    world.peer.status = status
    assert await world.rounds(MAX_MISSES - 1) == "unknown"
    assert await world.rounds() == "unhealthy"
    state = world.board.state(world.provider.id.int)
    assert (state.skipped, state.last) == (False, True)
    state.responded()
    assert await world.rounds() == "unhealthy" and not state.last
    assert world.news == [("primary", False)]  # what calls say of it is no news


async def test_one_that_responds_to_a_call_while_it_is_skipped_is_healthy_and_that_is_reported(world: World) -> None:
    await world.rounds()
    world.peer.status = 0
    await world.rounds(MAX_MISSES)
    assert world.board.state(world.provider.id.int).responded()
    world.board.recovered(world.provider.id)
    assert world.prober.health(world.provider.id)[0] == "healthy"
    assert world.news == [("primary", False), ("primary", True)]


@pytest.mark.parametrize("change", [{"enabled": False}, {"probe": False}])
async def test_what_is_not_to_be_asked_is_not_and_is_unknown(world: World, change: dict[str, Any]) -> None:
    await world.rounds()
    world.peer.status = 0
    assert await world.rounds(MAX_MISSES) == "unhealthy"
    seen = len(world.peer.seen)
    world.directory.replace([], [world.provider.model_copy(update=change)], [])
    assert await world.rounds() == "unknown"
    assert len(world.peer.seen) == seen
    state = world.board.state(world.provider.id.int)
    assert (state.skipped, state.last) == (False, False)


async def test_another_address_is_another_provider(world: World) -> None:
    """What was found at the old one says nothing of the new one."""
    await world.rounds()
    silent = world.provider.model_copy(update={"hostname": "127.0.0.2:9"})
    world.directory.replace([], [silent], [])
    assert await world.rounds() == "unknown"
    assert await world.rounds(MAX_MISSES - 1) == "unhealthy"
    assert world.board.state(world.provider.id.int).last  # it never answered there


async def test_the_retry_after_of_a_503_is_obeyed_by_probes_and_calls(world: World) -> None:
    """RFC 3261 §21.5.4."""
    now = world.agent.now()
    world.agent.now = lambda: now  # type: ignore[method-assign]
    world.peer.status, world.peer.more = 503, "Retry-After: 120 (maintenance)\r\n"
    await world.rounds(3)
    assert len(world.peer.seen) == 1
    assert world.board.state(world.provider.id.int).cooldown_until == now + 120
    now += 121
    world.peer.status, world.peer.more = 503, "Retry-After: 86400\r\n"
    await world.rounds()
    assert world.board.state(world.provider.id.int).cooldown_until == now + 300
    now += 301
    world.peer.status = 200
    assert await world.rounds() == "healthy"


@pytest.mark.parametrize("first", [0, 503])
async def test_probes_go_on_to_the_next_target_as_calls_do(world: World, first: int) -> None:
    """RFC 3263 §4.3: the first of two servers says nothing, or that it is out of service."""
    loop = asyncio.get_running_loop()
    transport, ill = await loop.create_datagram_endpoint(Peer, ("127.0.0.1", 0))
    ill.status = first
    listener = world.agent.nowhere.transport
    ports = transport.get_extra_info("sockname")[1], int(world.provider.hostname.rpartition(":")[2])
    flows = [Flow(listener, "127.0.0.1", port) for port in ports]
    world.agent.endpoint.locate = lambda uri, done: done(list(flows))  # type: ignore[method-assign, assignment]
    try:
        assert await world.rounds() == "healthy"
        assert ill.seen and world.peer.seen
        world.peer.status = first
        assert await world.rounds(MAX_MISSES) == "unhealthy"
    finally:
        transport.close()


@pytest.mark.parametrize("answers", [True, False])
async def test_the_verdict_outlives_a_restart(world: World, store_url: str, answers: bool) -> None:
    store = await Store.open(store_url)
    before = world.another(store)
    before.start()
    world.peer.status = 200 if answers else 0
    await before.round()
    world.peer.status = 0
    assert await world.rounds(MAX_MISSES) == "unhealthy"
    checked = before.health(world.provider.id)[1]
    await before.close()
    for node in ("sip1", "a new container"):
        after = world.another(store, node)
        await after.restore()
        assert after.health(world.provider.id) == ("unhealthy", checked)
        state = world.board.state(world.provider.id.int)
        assert (state.skipped, state.last) == (answers, not answers)
    # Where nobody probes, nobody could ever take it back; and another address is another provider.
    unprobed = world.another(store, interval=0)
    await unprobed.restore()
    assert unprobed.health(world.provider.id) == ("unknown", None)
    world.directory.replace([], [world.provider.model_copy(update={"hostname": "127.0.0.2"})], [])
    elsewhere = world.another(store)
    await elsewhere.restore()
    assert elsewhere.health(world.provider.id) == ("unknown", None)
    await store.close()


async def test_a_store_that_is_away_keeps_nobody_from_probing(world: World) -> None:
    store = await Store.open(":memory:")
    made = world.another(store)
    await store.close()
    await made.restore()
    made.start()
    await made.round()
    world.peer.status = 0
    assert await world.rounds(MAX_MISSES) == "unhealthy"
    await made.close()


async def test_one_that_takes_long_keeps_nobody_from_their_turn(world: World) -> None:
    transport, other = await asyncio.get_running_loop().create_datagram_endpoint(Peer, ("127.0.0.1", 0))
    other.status = 0
    hostname = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    silent = Provider(name="silent", hostname=hostname, no_reply_timeout=30)
    world.directory.replace([], [silent, world.provider], [])
    slow = asyncio.ensure_future(world.prober.round())
    await until(lambda: other.seen and world.prober.health(world.provider.id)[0] == "healthy")
    await until(lambda: world.provider.id not in world.prober.asking)
    world.prober._begin()
    await until(lambda: len(world.peer.seen) == 2)
    assert not slow.done() and world.prober.health(silent.id)[0] == "unknown"
    slow.cancel()
    await world.prober.close()
    transport.close()
