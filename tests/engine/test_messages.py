"""Texts in and out, on real user agents in simulated time (RFC 3428)."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from engine.dial import DialSpec, Outcome, Peer
from engine.messages import MAX_WAITING, IncomingMessage, OnMessage
from engine.sip.auth.digest_server import DigestServer, secrets_of_passwords
from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.user_agent import AgentHooks, UserAgent
from tests.simulation.agent import CALLER, ENGINE, LoopNetwork, start_agent
from tests.simulation.network import Node


def nobody_calls(_call: Any) -> None:
    return None


def spec(user: str = "b", **more: Any) -> DialSpec:
    return DialSpec(
        request_uri=f"sip:{user}@{ENGINE}",
        destination=f"sip:{ENGINE}:5060",
        from_=f"<sip:a@{CALLER}>",
        to=f"<sip:{user}@{ENGINE}>",
        **({"no_reply_timeout": 4.0} | more),
    )


class Inbox:
    """Takes texts, and answers them as told."""

    def __init__(self, status: int = 200, wait: float = 0.0) -> None:
        self.texts: list[str] = []
        self.status = status
        self.wait = wait
        self.running = 0

    def __call__(self, message: IncomingMessage) -> Coroutine[Any, Any, None] | None:
        return self._take(message)

    async def _take(self, message: IncomingMessage) -> None:
        self.running += 1
        await asyncio.sleep(self.wait)
        self.texts.append(message.text)
        if self.status:
            message.answer(self.status)


def pair(network: LoopNetwork, monkeypatch: pytest.MonkeyPatch, inbox: OnMessage | None) -> tuple[UserAgent, UserAgent]:
    sender = start_agent(network, nobody_calls, monkeypatch, host=CALLER)
    taker = start_agent(network, nobody_calls, monkeypatch, host=ENGINE, hooks=AgentHooks(on_message=inbox))
    return sender, taker


def requests(network: LoopNetwork) -> list[Request]:
    found = [parse(data) for _, _, _, data in network.log]
    return [message for message in found if isinstance(message, Request)]


def stopped(network: LoopNetwork, *agents: UserAgent) -> None:
    network.run(40)
    for agent in agents:
        assert not agent.messages.tasks
        assert not agent.endpoint.transactions.clients
        assert not agent.endpoint.transactions.servers
        network.until(agent.stop())


def test_a_text_arrives_once_and_its_status_comes_back_though_datagrams_are_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = LoopNetwork(seed=3, loss=0.3, duplicates=0.2)
    inbox = Inbox()
    sender, taker = pair(network, monkeypatch, inbox)

    async def twenty() -> list[Outcome]:
        order = spec(no_reply_timeout=32.0, headers=[("X-Account", "4 2")])
        return list(await asyncio.gather(*(sender.messages.send(order, f"grüß {n}") for n in range(20))))

    outcomes = network.until(twenty())
    assert {(outcome.kind, outcome.status) for outcome in outcomes} == {("answered", 200)}
    assert sorted(inbox.texts) == sorted(f"grüß {n}" for n in range(20))
    first = requests(network)[0]
    assert first.get("X-Account") == "4 2"
    assert first.get("Contact") == ""  # RFC 3428 §4
    assert first.get("Content-Type") == "text/plain;charset=UTF-8"
    stopped(network, sender, taker)


@pytest.mark.parametrize(("status", "kind"), [(202, "answered"), (404, "refused"), (503, "refused"), (603, "refused")])
def test_the_far_ends_status_is_the_outcome(monkeypatch: pytest.MonkeyPatch, status: int, kind: str) -> None:
    network = LoopNetwork()
    sender, taker = pair(network, monkeypatch, Inbox(status))
    outcome = network.until(sender.messages.send(spec(), "x"))
    assert (outcome.kind, outcome.status) == (kind, status)
    stopped(network, sender, taker)


def test_silence_is_waited_for_as_long_as_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LoopNetwork()
    sender = start_agent(network, nobody_calls, monkeypatch, host=CALLER)
    outcome = network.until(sender.messages.send(spec(no_reply_timeout=4.0), "x"))
    assert (outcome.kind, outcome.status) == ("no_reply", 0)
    assert network.now == pytest.approx(4.0)
    stopped(network, sender)


def test_a_challenge_is_answered_with_the_credentials_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LoopNetwork()
    digest = DigestServer("here", b"s" * 32)
    accepted: list[bool] = []

    class Asks(Inbox):
        async def _take(self, message: IncomingMessage) -> None:
            request = message.request
            verdict = digest.verify(
                request.lines("Authorization"),
                method="MESSAGE",
                uri=request.uri_text,
                body=request.body,
                secret_of=secrets_of_passwords("here", {"ann": "secret"}.get),
                now=network.now,
            )
            accepted.append(verdict.accepted)
            if verdict.accepted:
                await super()._take(message)
            else:
                message.answer(401, headers=[("WWW-Authenticate", digest.challenges(network.now)[0])])

    inbox = Asks()
    sender, taker = pair(network, monkeypatch, inbox)
    outcome = network.until(sender.messages.send(spec(peer=Peer(username="ann", password="secret")), "x"))
    assert (outcome.status, accepted, inbox.texts) == (200, [False, True], ["x"])
    refused = network.until(sender.messages.send(spec(peer=Peer(username="ann", password="wrong")), "y"))
    assert (refused.status, accepted[2:], inbox.texts) == (401, [False, False], ["x"])
    assert network.until(sender.messages.send(spec(), "z")).status == 401
    numbers = [request.cseq for request in requests(network)]
    assert numbers == [1, 2, 1, 2, 1]
    stopped(network, sender, taker)


def test_what_is_no_text_is_refused_before_anybody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LoopNetwork()
    inbox = Inbox()
    taker = start_agent(network, nobody_calls, monkeypatch, host=ENGINE, hooks=AgentHooks(on_message=inbox))
    node = Node(network, CALLER)
    for number, (kind, body) in enumerate([("application/im-iscomposing+xml", b"<x/>"), ("text/plain", b"\xff")]):
        head = (
            f"MESSAGE sip:b@{ENGINE} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bKn{number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@y>\r\nCall-ID: n{number}\r\nCSeq: 1 MESSAGE\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        node.send(head.encode() + body, Flow(node, ENGINE, 5060))
    network.run(1)
    answers = [parse(data) for _, origin, _, data in network.log if origin == ENGINE]
    assert [(answer.status, answer.get("Accept")) for answer in answers if isinstance(answer, Response)] == [
        (415, "text/plain, message/cpim"),
        (400, ""),
    ]
    assert not inbox.running
    stopped(network, taker)


@pytest.mark.parametrize(
    ("inbox", "status"), [(Inbox(0), 480), (None, 405)], ids=["not answered by its task", "nobody takes texts"]
)
def test_every_text_gets_some_answer(monkeypatch: pytest.MonkeyPatch, inbox: Inbox | None, status: int) -> None:
    network = LoopNetwork()
    sender, taker = pair(network, monkeypatch, inbox)
    assert network.until(sender.messages.send(spec(), "x")).status == status
    stopped(network, sender, taker)


def test_an_internal_error_is_a_500_and_a_stop_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LoopNetwork()

    async def fail() -> None:
        raise ZeroDivisionError

    works = [fail(), asyncio.sleep(100.0)]
    sender, taker = pair(network, monkeypatch, lambda message: works.pop(0))
    assert network.until(sender.messages.send(spec(), "x")).status == 500
    waiting = network.loop.create_task(sender.messages.send(spec(), "y"))
    network.run(1)
    network.until(taker.stop())
    assert network.until(waiting).status == 503
    stopped(network, sender)


def test_more_texts_than_can_be_dealt_with_get_503(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LoopNetwork()
    inbox = Inbox(wait=2.0)
    sender, taker = pair(network, monkeypatch, inbox)

    async def flood() -> list[Outcome]:
        return list(await asyncio.gather(*(sender.messages.send(spec(), "x") for _ in range(MAX_WAITING + 5))))

    statuses = [outcome.status for outcome in network.until(flood())]
    assert statuses.count(200) == MAX_WAITING
    assert statuses.count(503) == 5
    stopped(network, sender, taker)
