"""Destinations that none of our listeners can reach say so, and do not blame the name (RFC 3263 §4.1)."""

import pytest

from engine.dial import DialSpec
from tests.simulation.agent import ENGINE, LoopNetwork, start_agent


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("sip:127.0.0.3;transport=tls", "no listener for tls"),
        ("sips:127.0.0.3", "no listener for tls"),
        ("sips:far.example", "no listener for tls"),
        ("sip:far.example;transport=tcp", "no listener for tcp"),  # no name server is asked
        ("sip:127.0.0.3:5060;transport=TCP", "no listener for tcp"),
        ("sip:[::1]:5060", "no IPv6 listener"),
        ("tel:+15551234567", "not a SIP URI"),
    ],
)
def test_what_nobody_listens_for_is_the_cause(monkeypatch: pytest.MonkeyPatch, destination: str, reason: str) -> None:
    network = LoopNetwork()
    agent = start_agent(network, lambda call: None, monkeypatch)
    leg = agent.dial(
        DialSpec(
            request_uri="sip:b@far.example",
            destination=destination,
            from_=f"<sip:a@{ENGINE}>",
            to="<sip:b@far.example>",
        )
    )
    outcome = network.until(leg.outcome())
    assert (outcome.kind, outcome.status, outcome.reason) == ("unreachable", 0, reason)
    again = agent.dial(
        DialSpec(
            request_uri="sip:b@far.example",
            destination=destination,
            from_=f"<sip:a@{ENGINE}>",
            to="<sip:b@far.example>",
        )
    )
    assert network.until(again.outcome()).reason == reason  # what is remembered of the place says the same
