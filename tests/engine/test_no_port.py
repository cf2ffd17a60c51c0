"""Calls that find no RTP port for media of their own: a clean 503, never a traceback."""

import asyncio
from typing import Any

import pytest

from engine.call import Call, NotAcceptable
from engine.media.port_pool import NoPortError
from tests.simulation.agent import CALLER, ENGINE, LoopNetwork, start_agent, to_callee
from tests.simulation.peer import OFFER, Peer


def no_ports(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: str) -> None:
        raise NoPortError(f"no RTP port on {host}: all 5 are in use; widen the range")

    monkeypatch.setattr(
        agent, "ports", type("Full", (), {"acquire": staticmethod(refuse), "close": lambda self: None})()
    )


def test_an_outgoing_call_without_a_port_is_refused_with_503(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LoopNetwork()
    agent = start_agent(network, lambda call: None, monkeypatch)
    no_ports(agent, monkeypatch)
    leg = agent.dial(to_callee())
    outcome = network.until(leg.outcome())
    assert (outcome.kind, outcome.status) == ("refused", 503)
    assert "no RTP port" in outcome.reason
    assert leg.ended
    assert leg.ended_by == "local"  # nobody was asked
    assert not agent.calls


@pytest.mark.parametrize("order", ["answer", "progress", "echo"])
def test_an_incoming_call_without_a_port_gets_503_when_nobody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    network = LoopNetwork()
    calls: list[Call] = []

    async def work(call: Call) -> None:
        calls.append(call)
        done = getattr(call, order)()
        if asyncio.iscoroutine(done):
            await done

    agent = start_agent(network, work, monkeypatch)
    no_ports(agent, monkeypatch)
    peer = Peer(network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
    peer.invite(body=OFFER, uri=f"sip:b@{ENGINE}")
    network.run(0.02)
    assert peer.final("INVITE").status == 503
    assert calls[0].ended
    assert not agent.calls


def test_media_that_nobody_can_agree_on_is_488_when_nobody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LoopNetwork()

    async def work(call: Call) -> None:
        raise NotAcceptable("no codec in common")

    start_agent(network, work, monkeypatch)
    peer = Peer(network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
    peer.invite(body=OFFER, uri=f"sip:b@{ENGINE}")
    network.run(0.02)
    assert peer.final("INVITE").status == 488
    assert peer.final("INVITE").get("Warning") == '399 trunkline "no codec in common"'
    assert peer.final("INVITE").get("Reason").startswith("Q.850;cause=65;")


@pytest.mark.parametrize(
    ("lines", "status", "warning"),
    [
        (b"m=audio 4000 RTP/AVP 18\r\n", 488, '305 trunkline "no codec in common"'),
        (b"m=video 4000 RTP/AVP 31\r\n", 488, '304 trunkline "no audio in the offer"'),
        (b'm=audio 4000 RTP/X"\\ 0\r\n', 488, '302 trunkline "audio is offered as \'RTP/X\\"\\\\\\\\\' only"'),
        (b"m=audio 4000 RTP/SAVP 0\r\n", 488, None),
        (b"m=audio 99999 RTP/AVP 0\r\n", 400, None),
    ],
)
def test_the_warning_says_what_is_wrong_with_the_description_rfc3261_20_43(
    monkeypatch: pytest.MonkeyPatch, lines: bytes, status: int, warning: str | None
) -> None:
    network = LoopNetwork()

    async def work(call: Call) -> None:
        call.answer()

    start_agent(network, work, monkeypatch)
    peer = Peer(network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
    head = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    peer.invite(body=head + lines, uri=f"sip:b@{ENGINE}")
    network.run(0.02)
    final = peer.final("INVITE")
    assert final.status == status
    assert final.get("Warning") == warning or (warning is None and final.get("Warning", "").startswith("399 "))


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_later_offer_is_refused_with_its_reason_too(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    network = LoopNetwork()

    async def work(call: Call) -> None:
        call.answer()
        await call.sleep(1000)

    start_agent(network, work, monkeypatch)
    peer = Peer(network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
    peer.invite(body=OFFER, uri=f"sip:b@{ENGINE}")
    network.run(0.02)
    assert peer.final("INVITE").status == 200
    peer.ack()
    peer.forget()
    head = b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
    peer.request(method, body=head + b"m=audio 4000 RTP/AVP 0\r\n")
    network.run(0.02)
    final = peer.final(method)
    assert (final.status, final.get("Warning")) == (488, '399 trunkline "a stream without a usable c= line"')
    peer.request("BYE")
    network.run(0.1)
