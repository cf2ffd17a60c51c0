"""Who is served first: known peers, then strangers in turn, for a bounded part of each turn of the loop."""

import asyncio
from itertools import count, pairwise
from typing import Any

import pytest

from engine import intake
from engine.intake import FairQueue
from engine.settings import AgentSettings
from engine.sip.flow import Flow
from engine.user_agent import UserAgent
from tests.simulation.agent import LoopNetwork, start_agent
from tests.simulation.known import Known
from tests.simulation.network import Network, Node

KNOWN, TOO = "192.0.2.1", "2001:db8:1::1"
NODE = Node(Network(), "10.0.0.1")


def flow(host: str) -> Flow:
    return Flow(NODE, host, 5060)


def served(queue: FairQueue, now: float = 0.0) -> list[str]:
    order = []
    while (held := queue.take(now)) is not None:
        order.append(held.data.decode())
    return order


def put(queue: FairQueue, source: str, *texts: str, now: float = 0.0) -> None:
    for text in texts:
        queue.put(source, text.encode(), flow(source), now)


# ---- the queue


def test_sources_take_turns_and_each_keeps_its_order() -> None:
    queue = FairQueue()
    put(queue, "loud", *[f"loud {n}" for n in range(5)])
    put(queue, "a", "a 0", "a 1")
    put(queue, "b", "b 0")
    assert len(queue) == 8
    assert served(queue) == ["loud 0", "a 0", "b 0", "loud 1", "a 1", "loud 2", "loud 3", "loud 4"]
    assert (len(queue), queue.take(0.0), queue.bytes_held) == (0, None, 0)


def test_one_that_sends_much_loses_its_own_oldest() -> None:
    queue = FairQueue()
    put(queue, "quiet", "hello")
    put(queue, "loud", *map(str, range(10_000)))
    assert len(queue) == intake.MAX_QUEUED_OF_ONE + 1
    order = served(queue)
    assert order[:2] == ["hello", str(10_000 - intake.MAX_QUEUED_OF_ONE)]
    assert queue.dropped == 10_000 - intake.MAX_QUEUED_OF_ONE


def test_sources_without_end_are_bounded_and_the_newest_are_served() -> None:
    queue = FairQueue()
    for number in range(3 * intake.MAX_QUEUED):
        put(queue, f"source {number}", str(number))
        assert len(queue) <= intake.MAX_QUEUED
        assert len(queue.queues) <= intake.MAX_QUEUED
    assert served(queue)[-1] == str(3 * intake.MAX_QUEUED - 1)


def test_where_there_are_many_sources_each_has_less() -> None:
    queue = FairQueue()
    for text in map(str, range(16)):
        for number in range(intake.MAX_QUEUED // 4):
            put(queue, f"source {number}", text)
    assert max(map(len, queue.queues.values())) <= 4
    assert len(queue.queues) == intake.MAX_QUEUED // 4


def test_large_messages_are_bounded_by_their_bytes() -> None:
    queue = FairQueue()
    for number in range(500):
        queue.put(f"source {number}", bytes(60_000), flow("x"), 0.0)
        assert queue.bytes_held <= intake.MAX_QUEUED_BYTES
    assert len(queue) == intake.MAX_QUEUED_BYTES // 60_000


def test_what_has_waited_too_long_is_not_served() -> None:
    queue = FairQueue()
    put(queue, "a", "old", now=0.0)
    put(queue, "a", "new", now=2.5)
    put(queue, "b", "old too", now=0.1)
    assert served(queue, now=2.6) == ["new"]
    assert queue.dropped == 2


def test_nothing_waits_after_the_end() -> None:
    queue = FairQueue()
    put(queue, "a", "x")
    queue.clear()
    assert (len(queue), served(queue)) == (0, [])


# ---- the agent


class Desk:
    """An agent, and the order in which it takes messages."""

    def __init__(self, patch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.network = LoopNetwork()
        self.peers = Known(KNOWN, TOO)
        self.agent: UserAgent = start_agent(
            self.network, lambda call: None, patch, AgentSettings(**settings), peers=self.peers
        )
        self.order: list[str] = []
        take = self.agent.intake.take

        def taken(data: bytes, source: Flow, now: float) -> None:
            self.order.append(source.host)
            take(data, source, now)

        patch.setattr(self.agent.intake, "take", taken)
        self.wire = next(iter(self.agent.listeners))

    def came(self, *hosts: str, data: bytes = b"OPTIONS ") -> None:
        for host in hosts:
            self.agent.intake.received(data, Flow(self.wire, host, 5060))


def test_known_peers_are_served_at_once_and_before_strangers_that_came_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.came("198.51.100.1", "198.51.100.1", "198.51.100.2", KNOWN, TOO)
    assert desk.order == [KNOWN, TOO]
    desk.network.run(0)
    assert desk.order == [KNOWN, TOO, "198.51.100.1", "198.51.100.2", "198.51.100.1"]


def test_an_ipv6_customer_has_one_place_in_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    many = [f"2001:db8:7:7::{number:x}" for number in range(1, 30)]
    desk.came(*many, "198.51.100.2")
    desk.network.run(0)
    assert desk.order.index("198.51.100.2") == 1


def test_strangers_leave_the_loop_to_others_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    ticks = count()
    monkeypatch.setattr(desk.agent.intake, "now", lambda: next(ticks) * intake.STRANGERS_TURN / 2)
    desk.came(*[f"198.51.100.{number}" for number in range(20)])
    between: list[int] = []

    async def look() -> None:
        while len(desk.order) < 20:
            between.append(len(desk.order))
            await asyncio.sleep(0)

    desk.network.until(look())
    steps = [after - before for before, after in pairwise(between)]
    assert max(steps) <= 4
    assert len(between) >= 5


def test_a_source_that_becomes_known_is_served_as_such_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.came("198.51.100.1")
    desk.network.run(0)
    desk.peers.hosts.add("198.51.100.1")
    desk.network.run(1.1)
    desk.order.clear()
    desk.came("198.51.100.1")
    assert desk.order == ["198.51.100.1"]


def test_addresses_without_end_do_not_grow_what_is_known_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    for number in range(3 * intake.MAX_REMEMBERED):
        desk.came(f"2001:db8:{number:x}::1")
        assert len(desk.agent.intake._known) <= intake.MAX_REMEMBERED
    desk.agent.intake.waiting.clear()


def test_what_is_beyond_the_rate_is_not_read_and_other_methods_are(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, invite_rate=0.9, invite_burst=1)
    for method in (b"INVITE", b"MESSAGE"):
        desk.agent.strangers.rate_limit.allows("198.51.100.1", desk.agent.now())
        desk.agent.strangers._answers.allows("198.51.100.1", desk.agent.now())
        desk.came("198.51.100.1", data=method + b" sip:a@b SIP/2.0\r\n")
    assert not desk.agent.intake.waiting
    for method in (b"ACK", b"BYE", b"CANCEL", b"SIP/2.0 200 OK"):
        desk.came("198.51.100.1", data=method)
    desk.came("198.51.100.2", data=b"INVITE ")
    desk.came(KNOWN, data=b"INVITE ")
    desk.network.run(0)
    assert sorted(desk.order) == sorted([KNOWN, "198.51.100.2", *["198.51.100.1"] * 4])
    assert desk.agent.refusals.counts["invite_rate_unread"] == 2


def test_what_ends_a_call_does_not_wait_behind_what_begins_one(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.came(*[f"198.51.100.{number}" for number in range(100)], data=b"INVITE ")
    desk.came("203.0.113.1", data=b"ACK ")
    desk.came("203.0.113.1", data=b"BYE ")
    desk.came("203.0.113.2", data=b"SIP/2.0 200 OK")
    desk.network.run(0)
    assert [desk.order.index(host) for host in ("203.0.113.1", "203.0.113.2")] == [0, 2]
    assert desk.order[:5].count("203.0.113.1") == 2


def test_nor_does_a_flood_of_these_keep_out_what_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.came(*[f"198.51.100.{number}" for number in range(100)], data=b"BYE ")
    desk.came("203.0.113.1", data=b"INVITE ")
    desk.network.run(0)
    assert desk.order.index("203.0.113.1") == 1


def test_a_cancel_does_not_overtake_its_invite(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    served: list[bytes] = []
    monkeypatch.setattr(desk.agent.intake, "take", lambda data, flow, now: served.append(data))
    desk.came("203.0.113.1", data=b"INVITE ")
    desk.came("203.0.113.1", data=b"CANCEL ")
    desk.network.run(0)
    assert served == [b"INVITE ", b"CANCEL "]


def test_nothing_is_served_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.network.until(desk.agent.stop())
    desk.came("198.51.100.1")
    desk.agent.intake.waiting.clear()
    desk.network.run(0)
    assert desk.order == []
