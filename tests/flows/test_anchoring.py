"""Whose media is anchored: what the flow, the provider and a recording ask of the engine, and what is kept of it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from engine.sip.flow import WEB_PAGE, Flow
from flows.actions import ACTIONS
from flows.calls.destinations import Contact
from flows.faults import FlowError
from flows.language.model import read_flow

CONNECT: dict[str, Any] = {"type": "connect", "option": {"destinations": [{"type": "tel", "target": "+15559990000"}]}}
DIRECT: dict[str, Any] = {
    "type": "connect",
    "option": {"destinations": [{"type": "sip", "target": "sip:a@example.com"}]},
}


def asked(world: Any) -> list[str]:
    return [leg.spec.anchor for leg in world.agent.legs]


def test_media_goes_end_to_end_unless_somebody_wants_it_otherwise(world: Any) -> None:
    ran = world.go([CONNECT, DIRECT])
    assert asked(world) == ["", ""] and ran.record.media is None


def test_a_provider_may_want_its_calls_anchored_and_the_next_one_not(world: Any) -> None:
    world.one = world.one.model_copy(update={"media": "anchor"})
    world.fill()
    world.agent.script = {"192.0.2.1": world.refused(503)}
    world.go([CONNECT, DIRECT])
    assert asked(world) == ["anchor", "", ""]


def test_a_flow_may_want_all_that_it_connects_anchored(world: Any) -> None:
    ran = world.go({"name": "f", "media": "anchor", "actions": [CONNECT, DIRECT]})
    assert asked(world) == ["anchor", "anchor"]
    assert ran.record.media == {"anchored": {"anchor": "fake"}}


def test_what_an_anchored_flow_fetches_or_calls_is_anchored_too(world: Any) -> None:
    world.flows(inner=[CONNECT], local=[CONNECT])
    world.number("+15553334444", flow="local")
    local = {"type": "connect", "option": {"destinations": [{"type": "tel", "target": "+15553334444"}]}}
    fetch = {"type": "fetch_flow", "option": {"flow_id": "inner"}}
    world.go({"name": "f", "media": "anchor", "actions": [fetch, local]})
    assert asked(world) == ["anchor", "anchor"]


def test_a_recording_forces_the_embedded_anchor_and_hears_both_sides(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = SimpleNamespace(recorder=SimpleNamespace(channel=lambda number: f"channel {number}"))
    world.services.calls.media.recordings = SimpleNamespace(running=lambda call_id: running)
    world.go({"name": "f", "media": "anchor", "actions": [CONNECT]})
    assert asked(world) == ["embedded"]
    assert world.agent.legs[0].overheard == ["channel 0", "channel 1"]


def test_a_provider_whose_media_cannot_be_anchored_is_skipped_and_the_caller_hears_503(world: Any) -> None:
    nothing = world.outcome("no_media", 503, "no rtpengine answers", 0, None)
    world.agent.script = {"192.0.2": nothing}
    relay = {"type": "connect", "option": {**CONNECT["option"], "relay_reason": True}}
    ran = world.go({"name": "f", "media": "anchor", "actions": [relay]})
    assert ran.orders == [("reject", 503, "Service Unavailable")]
    assert [(entry.kind, entry.skipped, entry.reason) for entry in ran.record.attempts] == [
        ("skipped", "no_media", "no rtpengine answers")
    ] * 2
    assert world.channels() == 0


def test_another_provider_that_needs_no_anchor_is_tried(world: Any) -> None:
    world.agent.script = {"192.0.2.1": world.outcome("no_media", 503, "no rtpengine answers", 0, None)}
    ran = world.go([CONNECT])
    assert [entry.kind for entry in ran.record.attempts] == ["skipped", "answered"]


def test_a_uri_whose_media_cannot_be_anchored_gets_503(world: Any) -> None:
    world.agent.script = {"example.com": world.outcome("no_media", 503, "no RTP port is left", 0, None)}
    relay = {"type": "connect", "option": {**DIRECT["option"], "relay_reason": True}}
    ran = world.go([relay])
    assert ran.orders == [("reject", 503, "Service Unavailable")]
    assert ran.record.attempts[0].skipped == "no_media"


def test_another_word_than_anchor_is_a_fault() -> None:
    with pytest.raises(FlowError) as caught:
        read_flow({"name": "f", "media": "relay", "actions": [{"type": "answer"}]}, ACTIONS)
    assert "media" in str(caught.value) and "anchor" in str(caught.value)


def test_calls_to_registered_phones_may_be_anchored_but_for_browsers(world: Any) -> None:
    """Their descriptions have ICE, which an anchor takes out."""
    transport: Any = SimpleNamespace(name="udp", reliable=False)
    udp = Flow(transport, "198.51.100.7", 50_000)
    page = replace(udp, identity=f"{WEB_PAGE}@198.51.100.7")
    world.calls.contacts = world.fake_contacts(
        ann=[Contact(uri="sip:ann@10.0.0.7", flow=udp)], ben=[Contact(uri="sip:ben@a.invalid;transport=ws", flow=page)]
    )
    rung = [
        {"type": "connect", "option": {"destinations": [{"type": "extension", "target": name}]}}
        for name in ("ann", "ben")
    ]
    world.go([*rung, DIRECT])
    world.calls.media.phones = "anchor"
    world.go([*rung, DIRECT, CONNECT])
    assert asked(world) == ["", "", "", "anchor", "", "", ""]
