"""Whether our own offer to a provider is one of SRTP."""

from typing import Any

CONNECT: dict[str, Any] = {"type": "connect", "option": {"destinations": [{"type": "tel", "target": "+15559990000"}]}}
DIRECT: dict[str, Any] = {
    "type": "connect",
    "option": {"destinations": [{"type": "sip", "target": "sip:a@example.com"}]},
}


def test_a_provider_may_want_offers_of_srtp_and_the_next_one_not(world: Any) -> None:
    world.one = world.one.model_copy(update={"srtp": "sdes"})
    world.fill()
    world.agent.script = {"192.0.2.1": world.refused(503)}
    world.go([CONNECT, DIRECT])
    assert [leg.spec.peer.srtp for leg in world.agent.legs] == ["sdes", "", ""]
