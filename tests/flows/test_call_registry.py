"""What is kept of calls and who is told of them."""

import asyncio
from typing import Any

import pytest

from flows.calls.hangup import hangup_by_id
from flows.calls.record import CallRecord
from flows.calls.registry import CallRegistry
from flows.calls.services import CallServices

TEL = {"type": "tel", "target": "+15559990000"}


class Observer:
    """Keeps what it is told, as (what, status, hangup_reason)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def begun(self, record: CallRecord) -> None:
        self.told.append(("begun", record.status, record.hangup_reason))

    def changed(self, record: CallRecord) -> None:
        self.told.append(("changed", record.status, record.hangup_reason))

    def ended(self, record: CallRecord) -> None:
        self.told.append(("ended", record.status, record.hangup_reason))


class Handle:
    def __init__(self) -> None:
        self.causes: list[str] = []

    def hang_up(self, cause: str) -> None:
        self.causes.append(cause)


def record(number: int) -> CallRecord:
    return CallRecord(str(number), "incoming")


def test_calls_that_run_are_never_pushed_out(world: Any) -> None:
    log = CallRegistry(2)
    kept = record(0)
    log.begin(kept, Handle())
    for number in range(1, 6):
        made = record(number)
        log.begin(made, Handle())
        log.over(made)
        log.over(made)  # once is enough
    assert [found.id for found in log.newest()] == ["5", "4", "0"]
    assert log.running_records() == [kept]
    assert log.get("0") is kept
    assert log.get("3") is None
    log.over(kept)
    assert [found.id for found in log.newest()] == ["5", "0"]  # the last two that ended
    assert log.running_records() == []


def test_a_call_is_hung_up_by_its_id_while_it_runs(world: Any) -> None:
    handle, kept = Handle(), record(0)
    world.services.calls.registry.begin(kept, handle)
    assert hangup_by_id(world.services.calls.registry, "0")
    assert hangup_by_id(world.services.calls.registry, "0", "busy")
    assert handle.causes == ["normal", "busy"]
    assert not hangup_by_id(world.services.calls.registry, "unknown")
    with pytest.raises(KeyError, match="no such cause: 'x'; known are normal, busy"):
        hangup_by_id(world.services.calls.registry, "0", "x")
    world.services.calls.registry.over(kept)
    assert not hangup_by_id(world.services.calls.registry, "0")


def test_an_observer_that_fails_hurts_neither_the_call_nor_the_others(world: Any) -> None:
    class Broken(Observer):
        def changed(self, record: CallRecord) -> None:
            raise ValueError("full")

    fine = Observer()
    world.services.calls.registry.observers += [Broken(), fine]
    kept = record(0)
    world.services.calls.registry.begin(kept, Handle())
    world.services.calls.registry.changed(kept)
    world.services.calls.registry.over(kept)
    world.services.calls.registry.ended(kept)
    assert [what for what, _, _ in fine.told] == ["begun", "changed", "ended"]
    assert world.log.errors() == ["ValueError: full"]
    unlogged = CallRegistry()
    unlogged.observers.append(Broken())
    unlogged.changed(kept)


def test_the_registry_of_call_control_logs_where_that_does(world: Any) -> None:
    calls = CallRegistry(log=world.log)
    services = CallServices(
        dialler=world.agent,
        router=world.calls.router,
        directory=world.directory,
        routing=world.settings,
        library=world.library,
        log=world.log,
        registry=calls,
    )
    assert services.registry.log is world.log


# ---- calls of our own


def own_call(world: Any, during: Any, actions: Any = ()) -> tuple[Observer, CallRecord]:
    """What is told of a call of our own that `during` deals with."""
    observer = Observer()
    world.services.calls.registry.observers.append(observer)

    async def scenario() -> None:
        await world.run([{"type": "call", "option": {"destinations": [TEL], "actions": list(actions)}}])
        await during(world.services.calls.registry.newest(1)[0])
        for _ in range(20):
            await asyncio.sleep(0)
        assert not len(world.services.calls.tasks)

    asyncio.run(scenario())
    made = world.services.calls.registry.newest(1)[0]
    assert not hangup_by_id(world.services.calls.registry, made.id)
    assert world.channels() == 0
    return observer, made


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_record_follows_its_leg_from_dialling_to_the_end(world: Any) -> None:
    world.agent.script["192.0.2.1"] = world.refused(503)
    world.agent.script["192.0.2.2"] = world.never

    async def during(made: CallRecord) -> None:
        leg = world.agent.legs[1]
        assert (made.status, made.ringing_ms) == ("dialing", None)
        world.clock.now += 1.5
        leg.status = "ringing"
        assert (made.status, made.ringing_ms, made.answered_ms) == ("ringing", 1500, None)
        world.clock.now += 2
        leg.settle(world.answered)
        await turns()
        assert (made.status, made.ringing_ms, made.answered_ms) == ("progressing", 1500, 3500)
        leg.end("remote", 200)

    observer, made = own_call(world, during, [{"type": "block"}])
    assert observer.told == [
        ("begun", "dialing", ""),
        ("changed", "ringing", ""),
        ("changed", "progressing", ""),
        ("ended", "hangup", "normal"),
    ]
    assert made.hangup_by == "remote"
    assert made.tm_ringing is not None and made.tm_answer is not None and made.tm_ringing < made.tm_answer
    assert made.sip_call_ids == [leg.sip_call_id for leg in world.agent.legs]
    assert len(made.sip_call_ids) == 2


def test_the_second_attempt_does_not_take_back_that_it_rang(world: Any) -> None:
    world.agent.script["192.0.2"] = world.never

    async def during(made: CallRecord) -> None:
        first = world.agent.legs[0]
        first.status = "ringing"
        first.settle(world.refused(503))
        await turns()
        second = world.agent.legs[1]
        first.status = "dialing"  # nobody listens to it any more
        assert made.status == "ringing"
        second.status = "ringing"
        second.settle(world.refused(486))

    observer, _ = own_call(world, during)
    assert observer.told == [("begun", "dialing", ""), ("changed", "ringing", ""), ("ended", "hangup", "busy")]


def test_a_call_of_our_own_is_cancelled_while_it_is_dialled(world: Any) -> None:
    world.agent.script["192.0.2"] = world.never

    async def during(made: CallRecord) -> None:
        assert hangup_by_id(world.services.calls.registry, made.id)
        assert made.status == "canceling"
        assert hangup_by_id(world.services.calls.registry, made.id)  # it still runs, and a second time changes nothing
        await turns()

    observer, made = own_call(world, during)
    assert world.agent.legs[0].cancelled == 1
    assert len(world.agent.legs) == 1
    assert (made.hangup_reason, made.hangup_by, made.end_status) == ("cancel", "local", 487)
    assert observer.told == [("begun", "dialing", ""), ("changed", "canceling", ""), ("ended", "hangup", "cancel")]
    assert [entry.kind for entry in made.attempts] == ["cancelled"]


def test_a_call_of_our_own_is_hung_up_when_it_was_answered(world: Any) -> None:
    async def during(made: CallRecord) -> None:
        assert made.status == "progressing"
        assert hangup_by_id(world.services.calls.registry, made.id)
        assert hangup_by_id(world.services.calls.registry, made.id)

    _, made = own_call(world, during, [{"type": "block"}])
    assert world.agent.legs[0].orders == [("hangup", 480, "Q.850;cause=16")]
    assert (made.hangup_reason, made.hangup_by) == ("normal", "local")


def test_the_cause_of_a_hangup_is_the_records_reason(world: Any) -> None:
    world.agent.script["192.0.2"] = world.never

    async def during(made: CallRecord) -> None:
        assert hangup_by_id(world.services.calls.registry, made.id, "timeout")

    _, made = own_call(world, during)
    assert (made.hangup_reason, made.hangup_by) == ("timeout", "local")


def test_a_hangup_in_the_moment_of_the_answer_runs_no_flow(world: Any) -> None:
    world.agent.script["192.0.2"] = world.never

    async def during(made: CallRecord) -> None:
        world.agent.legs[0].settle(world.answered)  # the task has not heard of it yet
        assert hangup_by_id(world.services.calls.registry, made.id)

    _, made = own_call(world, during, [{"type": "echo"}])
    assert world.agent.legs[0].orders == [("hangup", 480, "Q.850;cause=16")]
    assert (made.hangup_reason, made.hangup_by) == ("normal", "local")


def test_a_hangup_in_the_moment_of_a_refusal_tries_nobody_else(world: Any) -> None:
    world.agent.script["192.0.2"] = world.never

    async def during(made: CallRecord) -> None:
        leg = world.agent.legs[0]
        leg.settle(world.refused(503))
        leg.end("remote", 503)
        assert hangup_by_id(world.services.calls.registry, made.id)
        assert made.status == "canceling"
        await turns()

    _, made = own_call(world, during)
    assert len(world.agent.legs) == 1
    assert made.hangup_reason == "cancel"


def test_a_call_that_never_began_is_reported_all_the_same(world: Any) -> None:
    observer = Observer()
    world.services.calls.registry.observers.append(observer)
    world.go([{"type": "call", "option": {"destinations": [TEL], "chained": True}}])
    assert observer.told == [("begun", "dialing", ""), ("ended", "hangup", "cancel")]
