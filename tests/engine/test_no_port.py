"""Calls that find no RTP port for media of their own: a clean 503, never a traceback."""

import asyncio
from typing import Any

import pytest

from engine.call import Call, NotAcceptable
from engine.media.ports import NoPortError
from tests.engine.simulated import CALLER, ENGINE, Air, start_agent, to_callee
from tests.sip.raw_peer import OFFER, Peer


def no_ports(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: str) -> None:
        raise NoPortError(f"no RTP port on {host}: all 5 are in use; widen the range")

    monkeypatch.setattr(
        agent, "ports", type("Full", (), {"acquire": staticmethod(refuse), "close": lambda self: None})()
    )


def test_an_outgoing_call_without_a_port_is_refused_with_503(monkeypatch: pytest.MonkeyPatch) -> None:
    air = Air()
    agent = start_agent(air, lambda call: None, monkeypatch)
    no_ports(agent, monkeypatch)
    leg = agent.dial(to_callee())
    outcome = air.until(leg.outcome())
    assert (outcome.kind, outcome.status) == ("refused", 503)
    assert "no RTP port" in outcome.reason
    assert leg.ended
    assert leg.ended_by == "local"  # nobody was asked
    assert not agent.calls


@pytest.mark.parametrize("order", ["answer", "progress", "echo"])
def test_an_incoming_call_without_a_port_gets_503_when_nobody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    air = Air()
    calls: list[Call] = []

    async def work(call: Call) -> None:
        calls.append(call)
        done = getattr(call, order)()
        if asyncio.iscoroutine(done):
            await done

    agent = start_agent(air, work, monkeypatch)
    no_ports(agent, monkeypatch)
    peer = Peer(air, CALLER, engine=ENGINE)  # type: ignore[arg-type]
    peer.invite(body=OFFER, uri=f"sip:b@{ENGINE}")
    air.run(0.02)
    assert peer.final("INVITE").status == 503
    assert calls[0].ended
    assert not agent.calls


def test_media_that_nobody_can_agree_on_is_488_when_nobody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    air = Air()

    async def work(call: Call) -> None:
        raise NotAcceptable("no codec in common")

    start_agent(air, work, monkeypatch)
    peer = Peer(air, CALLER, engine=ENGINE)  # type: ignore[arg-type]
    peer.invite(body=OFFER, uri=f"sip:b@{ENGINE}")
    air.run(0.02)
    assert peer.final("INVITE").status == 488
