"""What one stranger may have: calls and texts a second, calls at once; by address, IPv6 by /64, and behind an edge."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from engine import messages, user_agent
from engine.call import Call
from engine.messages import IncomingMessage
from engine.settings import AgentSettings
from engine.sip.message.message import Response
from engine.sip.message.parsing import parse
from engine.sip.stateless import Refusal
from engine.user_agent import AgentHooks, UserAgent
from tests.simulation.agent import ENGINE, LoopNetwork, start_agent
from tests.simulation.known import Known

KNOWN, EDGE = "192.0.2.1", "192.0.2.9"


class Door:
    """An agent whose calls ring and wait, and what strangers hear of it."""

    def __init__(self, patch: pytest.MonkeyPatch, peers: Known | None = None, **settings: Any) -> None:
        self.network = LoopNetwork()
        self.heard: list[Response] = []
        self.calls: list[Call] = []
        self.agent: UserAgent = start_agent(
            self.network,
            self.came,
            patch,
            AgentSettings(**settings),
            peers=peers or Known(KNOWN, edges=(EDGE,)),
            hooks=self.hooks(),
        )
        self.number = 0

    def hooks(self) -> AgentHooks:
        return AgentHooks(on_message=self.texted)

    def came(self, call: Call) -> Coroutine[Any, Any, None]:
        self.calls.append(call)
        return self.ring(call)

    async def ring(self, call: Call) -> None:
        call.ringing()
        await call.sleep(10_000)

    def texted(self, message: IncomingMessage) -> Coroutine[Any, Any, None] | None:
        message.answer(202)
        return None

    def receive(self, data: bytes, flow: Any, now: float) -> None:
        message = parse(data)
        if isinstance(message, Response):
            self.heard.append(message)

    def ask(
        self, host: str, method: str = "INVITE", via: str = "", source: str = "", to_tag: str = "", **more: str
    ) -> int:
        """The status that a request gets: of a call that is let in 180; 0 where there was no answer."""
        self.number += 1
        self.heard.clear()
        source = source or host
        self.endpoint = self
        self.network.nodes[source, 5060] = self
        shown = f"[{host}]" if ":" in host else host
        tops = f"SIP/2.0/UDP {source}:5060;branch=z9hG4bKe{self.number}\r\nVia: " if source != host else ""
        via = tops + (via or f"SIP/2.0/UDP {shown}:5060;branch=z9hG4bK{self.number}")
        lines = [
            f"{method} sip:b@{ENGINE} SIP/2.0",
            f"Via: {via}",
            "Max-Forwards: 70",
            f"From: <sip:a@{shown}>;tag=t{self.number}",
            f"To: <sip:b@{ENGINE}>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {self.number}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:a@{shown}>",
            *(["Content-Type: text/plain"] if method == "MESSAGE" else []),
        ]
        body = "hello" if method == "MESSAGE" else ""
        data = ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()
        self.network.send(data, (source, 5060), (ENGINE, 5060))
        self.network.run(0.01)
        return self.heard[-1].status if self.heard else 0


RATE = {"invite_rate": 2.0, "invite_burst": 2}  # four at once: a second's worth, and two more


@pytest.mark.parametrize("host", ["198.51.100.7", "2001:db8:1:2::7"])
def test_beyond_the_burst_some_are_answered_and_the_rest_is_dropped(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    door = Door(monkeypatch, **RATE)
    assert [door.ask(host) for _ in range(9)] == [180] * 4 + [503] * 2 + [0] * 3
    assert door.agent.endpoint.counters.overload == 2
    assert door.agent.refusals.counts == {"invite_rate": 2, "invite_rate_unread": 3}
    assert door.agent.endpoint.counters.received == 6  # the rest has not even been read
    assert door.ask("198.51.100.8") == 180  # another
    door.network.run(1)
    assert [door.ask(host) for _ in range(5)] == [180, 180, 503, 503, 0]


def test_what_says_503_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, **RATE)
    for _ in range(5):
        door.ask("198.51.100.7")
    assert (door.heard[-1].status, door.heard[-1].get("Retry-After")) == (503, "5")
    assert len(door.agent.endpoint.transactions.servers) == 4  # the calls


def test_calls_and_texts_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, **RATE)
    asked = [
        door.ask("198.51.100.7", method) for method in ("MESSAGE", "INVITE", "MESSAGE", "INVITE", "MESSAGE", "INVITE")
    ]
    assert asked == [202, 180, 202, 180, 503, 503]
    assert [door.ask("198.51.100.7", method) for method in ("MESSAGE", "INVITE", "OPTIONS")] == [0, 0, 200]


def test_an_ipv6_customer_is_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, **RATE)
    hosts = ["2001:db8:1:2::7", "2001:db8:1:2:ffff::1", "2001:db8:1:2:1:2:3:4", "2001:db8:1:2::", "2001:db8:1:2::8"]
    assert [door.ask(host) for host in hosts] == [180] * 4 + [503]
    assert door.ask("2001:db8:1:3::7") == 180


def test_known_peers_are_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, stranger_calls=0.001, **RATE)
    assert [door.ask(KNOWN) for _ in range(50)] == [180] * 50
    assert [door.ask(KNOWN, "MESSAGE") for _ in range(50)] == [202] * 50


def test_rates_of_0_are_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, invite_rate=0.0)
    assert {door.ask("198.51.100.7") for _ in range(100)} == {180}


# ---- calls at once


@pytest.mark.parametrize(("share", "most"), [(0.25, 5), (0.1, 2), (0.0001, 1), (1.0, 20)])
def test_a_stranger_has_a_share_of_the_calls(monkeypatch: pytest.MonkeyPatch, share: float, most: int) -> None:
    door = Door(monkeypatch, max_calls=20, stranger_calls=share)
    assert [door.ask("198.51.100.7") for _ in range(most + 1)] == [180] * most + [503]
    if most < 20:
        assert door.ask("198.51.100.8") == 180
        assert door.ask(KNOWN) == 180
        assert door.ask("198.51.100.7", "MESSAGE") == 202
        door.calls[0].reject(486)
        assert [door.ask("198.51.100.7") for _ in range(2)] == [180, 503]


def test_strangers_together_leave_the_last_quarter_to_known_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many addresses, which may be forged ones, with a share each: a phone calls all the same."""
    door = Door(monkeypatch, Known(KNOWN), max_calls=8, stranger_calls=0.125)
    strangers = [f"198.51.100.{number}" for number in range(5)] + [f"2001:db8:{number}::7" for number in range(5)]
    assert [door.ask(host) for host in strangers] == [180] * 6 + [503] * 4
    assert [door.ask(KNOWN) for _ in range(3)] == [180, 180, 503]
    assert door.agent.incoming == 8


def test_who_may_have_all_calls_has_the_last_quarter_too(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, Known(KNOWN), max_calls=4, stranger_calls=1.0)
    assert [door.ask("198.51.100.1") for _ in range(5)] == [180] * 4 + [503]


def test_a_share_of_0_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, max_calls=20, stranger_calls=0.0)
    assert [door.ask("198.51.100.7") for _ in range(21)] == [180] * 20 + [503]


def test_what_has_been_held_is_forgotten_with_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, max_calls=2000, stranger_calls=0.5)
    for number in range(100):
        assert door.ask(f"198.51.100.{number}") == 180
    for call in door.calls:
        call.reject(486)
    assert door.agent.strangers.calls == {}


def test_a_caller_that_has_become_known_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a phone logs in: what it began as a stranger ends as it began."""
    peers = Known()
    door = Door(monkeypatch, peers, max_calls=4, stranger_calls=0.25)
    assert [door.ask("198.51.100.7") for _ in range(2)] == [180, 503]
    peers.hosts.add("198.51.100.7")
    assert [door.ask("198.51.100.7") for _ in range(2)] == [180, 180]
    for call in door.calls:
        call.reject(486)
    assert door.agent.strangers.calls == {}


# ---- behind an edge of ours


FIRST = "SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK{};received="
NAMED = "SIP/2.0/UDP a.example;branch=z9hG4bK{};received="
DIRECT = "SIP/2.0/TCP {};branch=z9hG4bK"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FIRST + "198.51.100.7", FIRST + "198.51.100.8"),
        (DIRECT.format("198.51.100.7:5060") + "{}", DIRECT.format("198.51.100.8:5060") + "{}"),
        (NAMED + "[2001:db8::1];rport=9", NAMED + "2001:db8:0:1::1"),
    ],
)
def test_behind_an_edge_the_address_counts_that_it_noted(monkeypatch: pytest.MonkeyPatch, one: str, other: str) -> None:
    door = Door(monkeypatch, max_calls=20, stranger_calls=0.25, **RATE)
    asked = [door.ask("10.0.0.5", via=one.format(number), source=EDGE) for number in range(5)]
    assert asked == [180] * 4 + [503]
    assert door.ask("10.0.0.5", via=other.format(9), source=EDGE) == 180


def test_what_an_edge_asks_by_itself_is_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, **RATE)
    assert {door.ask(EDGE) for _ in range(20)} == {180}


def test_a_known_peer_behind_an_edge_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, **RATE)
    assert {door.ask(KNOWN, source=EDGE) for _ in range(20)} == {180}


def test_the_via_of_a_peer_that_is_no_edge_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(monkeypatch, **RATE)
    asked = [door.ask(f"203.0.113.{number}", source="198.51.100.7") for number in range(5)]
    assert asked == [180] * 4 + [503]


@pytest.mark.parametrize("behind", ["", EDGE])
def test_texts_of_strangers_that_take_long_leave_room_for_known_peers(
    monkeypatch: pytest.MonkeyPatch, behind: str
) -> None:
    monkeypatch.setattr(messages, "MAX_WAITING", 4)
    monkeypatch.setattr(messages, "STRANGERS_WAITING", 3)
    waits = asyncio.Event()

    class Slow(Door):
        def texted(self, message: IncomingMessage) -> Coroutine[Any, Any, None]:
            return takes_long()

    async def takes_long() -> None:
        await waits.wait()

    door = Slow(monkeypatch)
    asked = [door.ask(f"198.51.100.{number}", "MESSAGE", source=behind) for number in range(4)]
    assert asked == [0, 0, 0, 503]
    assert [door.ask(KNOWN, "MESSAGE", source=behind) for _ in range(2)] == [0, 503]
    waits.set()
    door.network.run(1)
    assert door.ask("198.51.100.9", "MESSAGE") == 480 and not door.agent.messages.tasks


# ---- what has to be looked up first


class Screened(Door):
    """Calls that are judged after a while."""

    def __init__(self, patch: pytest.MonkeyPatch, result: Refusal | Exception | None, seconds: float) -> None:
        super().__init__(patch)
        self.asked: list[bool] = []
        self.result, self.seconds = result, seconds

    def hooks(self) -> AgentHooks:
        return AgentHooks(screen=self.screen)

    def screen(self, invite: Any, source: Any, again: bool) -> Coroutine[Any, Any, Refusal | None] | Refusal | None:
        self.asked.append(again)
        return None if again else self.look()

    async def look(self) -> Refusal | None:
        await asyncio.sleep(self.seconds)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_a_call_that_was_looked_up_first_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Screened(monkeypatch, None, 1.0)
    assert door.ask("198.51.100.7") == 0
    door.network.run(1)
    assert (door.heard[-1].status, door.asked, len(door.calls)) == (180, [False, True], 1)


@pytest.mark.parametrize(("result", "status"), [(Refusal(status=404), 404), (ValueError("x"), 500)])
def test_one_that_is_refused_then_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, result: Refusal | Exception, status: int
) -> None:
    door = Screened(monkeypatch, result, 1.0)
    door.ask("198.51.100.7")
    door.network.run(40)
    assert [response.status for response in door.heard] == [status]
    assert not door.agent.endpoint.transactions.servers


def test_known_peers_are_not_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Screened(monkeypatch, Refusal(status=404), 1.0)
    assert (door.ask(KNOWN), door.asked) == (180, [])


def test_look_ups_are_bounded_and_end_with_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_agent, "MOST_SCREENED", 3)
    door = Screened(monkeypatch, None, 1e6)
    assert [door.ask(f"198.51.100.{number}") for number in range(4)] == [0, 0, 0, 503]
    door.network.until(door.agent.stop())
    assert not door.agent._screening
