"""What a record keeps of a call's media, and the media orders of a leg to another number of ours."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from engine.call import CallEnded, NotAcceptable
from engine.call_media import NO_MEDIA
from flows.calls.record import CallRecord, call_row
from flows.nested_call import NestedLeg

HEARD = {"codec": "PCMU", "sent": 50, "received": 49, "lost": 1, "jitter_ms": 0.4, "rtt_ms": 12.0}


def test_a_record_keeps_what_went_through(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.answer()
    call.media = HEARD
    record = CallRecord(str(UUID(int=1)), "incoming")
    record.finish(call, 0.0)
    call.end("remote", 200)
    call.media = None
    record.finish(call, 0.0)
    assert record.media == HEARD
    assert call_row(record, UUID(int=2), datetime.now(UTC))["media"] == HEARD


def test_a_call_without_own_media_has_none(world: Any) -> None:
    call = world.fake_call(world.clock)
    record = CallRecord(str(UUID(int=1)), "incoming")
    record.finish(call, 0.0)
    assert call_row(record, UUID(int=2), datetime.now(UTC))["media"] == {}


def test_a_silent_peer_is_a_timeout(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.answer()
    call.end("local", 408, NO_MEDIA)
    record = CallRecord("x", "incoming")
    record.finish(call, 0.0)
    assert (record.hangup_reason, record.hangup_by) == ("timeout", "local")


class Caller:
    """Keeps its media orders; `refuses` is raised by each."""

    def __init__(self, answered: bool = False) -> None:
        self.answered = answered
        self.orders: list[Any] = []
        self.refuses: Exception | None = None
        self.media = HEARD

    def progress(self, body: bytes = b"") -> None:
        self.orders.append("progress")

    async def play(self, feed: Any, until: str = "") -> str:
        self.orders.append(("play", until))
        if self.refuses is not None:
            raise self.refuses
        return "1"

    async def key(self, timeout: float | None = None) -> str:  # noqa: ASYNC109
        self.orders.append(("key", timeout))
        return "2"

    async def listen(self) -> None:
        self.orders.append("listen")

    async def send_keys(self, digits: str, duration: float, interval: float) -> None:
        self.orders.append(("send_keys", digits, duration, interval))

    def forget_keys(self) -> None:
        self.orders.append("forget_keys")

    def attach(self, tap: Any) -> None:
        self.orders.append(("attach", tap))

    def detach(self, tap: Any) -> None:
        self.orders.append(("detach", tap))


def test_a_local_leg_answers_and_hands_on() -> None:
    caller = Caller()
    leg = NestedLeg(caller)  # type: ignore[arg-type]

    async def scenario() -> None:
        assert await leg.play(None, "1") == "1"  # type: ignore[arg-type]
        assert leg.answered
        assert await leg.key(3.0) == "2"
        await leg.listen()
        leg.forget_keys()
        await leg.send_keys("5", 0.1, 0.2)
        leg.attach("tap")  # type: ignore[arg-type]
        leg.hangup()
        leg.detach("tap")  # type: ignore[arg-type]
        for order in (leg.play(None), leg.key(), leg.listen(), leg.send_keys("1", 1, 1)):  # type: ignore[arg-type]
            with pytest.raises(CallEnded):
                await order
        with pytest.raises(CallEnded):
            leg.forget_keys()

    asyncio.run(scenario())
    assert caller.orders == [
        ("play", "1"), ("key", 3.0), "listen", "forget_keys", ("send_keys", "5", 0.1, 0.2),
        ("attach", "tap"), ("detach", "tap"),
    ]  # fmt: skip
    assert leg.media == HEARD


def test_early_media_of_a_local_leg_does_not_answer() -> None:
    caller, claimed = Caller(), []
    leg = NestedLeg(caller, lambda: claimed.append(True) or True)  # type: ignore[arg-type]

    async def scenario() -> None:
        leg.progress()
        await leg.play(None)  # type: ignore[arg-type]
        assert not leg.answered and not claimed
        await leg.send_keys("1", 0.1, 0.1)
        assert leg.answered and claimed

    asyncio.run(scenario())


def test_a_local_leg_whose_caller_has_no_media_is_not_answered() -> None:
    caller = Caller()
    caller.refuses = NotAcceptable("no codec in common")
    leg = NestedLeg(caller)  # type: ignore[arg-type]

    async def scenario() -> None:
        with pytest.raises(NotAcceptable):
            await leg.play(None)  # type: ignore[arg-type]

    asyncio.run(scenario())
    assert not leg.answered


def test_another_destination_may_have_been_quicker() -> None:
    leg = NestedLeg(Caller(), lambda: False)  # type: ignore[arg-type]

    async def scenario() -> None:
        with pytest.raises(CallEnded, match="quicker"):
            await leg.play(None)  # type: ignore[arg-type]

    asyncio.run(scenario())
