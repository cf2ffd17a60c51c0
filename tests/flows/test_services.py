"""Tasks and records that a service owns."""

import asyncio
from typing import Any

import pytest

from engine.call import CallEnded
from engine.sip.dialog.usage import LIMIT_REACHED
from flows.calls.record import CallRecord
from flows.calls.registry import CallRegistry
from flows.calls.services import CallServices
from flows.calls.tasks import OwnedTasks, TooManyTasksError
from flows.language.services import FlowServices
from flows.nested_call import NestedLeg


def test_tasks_are_bounded_and_awaited_at_the_end() -> None:
    async def scenario() -> list[str]:
        seen: list[str] = []

        async def work(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                seen.append(name)

        async def fails() -> None:
            raise ValueError

        tasks = OwnedTasks(2)
        tasks.start(fails(), "f")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(tasks) == 0
        tasks.start(work("a"), "a")
        tasks.start(work("b"), "b")
        with pytest.raises(TooManyTasksError, match="c was not started: 2 are running"):
            tasks.start(work("c"), "c")
        await asyncio.sleep(0)
        await tasks.close()
        with pytest.raises(TooManyTasksError, match="the service is stopping"):
            tasks.start(work("d"), "d")
        return sorted(seen)

    assert asyncio.run(scenario()) == ["a", "b"]


def test_the_call_log_keeps_the_newest() -> None:
    log = CallRegistry(2)
    for number in range(3):
        log.add(CallRecord(str(number), "incoming"))
    assert [record.id for record in log.newest()] == ["2", "1"]
    assert (log.get("0"), len(log), len(log.newest(1))) == (None, 2, 1)


def test_defaults_of_the_environment(world: Any) -> None:
    calls = CallServices(
        dialler=world.agent,
        router=world.calls.router,
        directory=world.directory,
        routing=world.settings,
        library=world.library,
        log=world.log,
        registry=CallRegistry(log=world.log),
    )
    services = FlowServices(calls=calls, library=world.library)

    async def scenario() -> list[str]:
        addresses = await services.web.resolve_host("127.0.0.1", 80)
        await services.close()
        return addresses

    assert asyncio.run(scenario()) == ["127.0.0.1"]
    assert services.utc_now().tzinfo is not None


def test_the_longest_call_time_is_a_timeout(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.answer()
    call.end("local", 200, LIMIT_REACHED)
    record = CallRecord("x", "incoming")
    record.finish(call, 0.0)
    assert (record.hangup_reason, record.hangup_by) == ("timeout", "local")


def test_a_local_leg_hands_orders_on_until_it_is_over(world: Any) -> None:
    call = world.fake_call(world.clock)
    leg = NestedLeg(call)
    leg.ringing()
    leg.progress()
    assert (leg.id, leg.direction, leg.status) == ("call-1", "incoming", "ringing")
    assert (leg.created, leg.ended_at, leg.ended_by, leg.answered) == (call.created, None, "", False)
    leg.answer()
    leg.answer()
    leg.hangup(486)
    leg.hangup()
    assert call.orders == ["ringing", "progress", "answer"]
    assert (leg.end_status, leg.status, leg.ended_by) == (200, "hangup", "local")
    asyncio.run(leg.wait_ended())
    for order in (leg.ringing, leg.progress, leg.answer, lambda: leg.reject(486), lambda: leg.redirect([])):
        with pytest.raises(CallEnded):
            order()


def test_a_local_leg_that_was_too_slow_does_not_answer_the_caller(world: Any) -> None:
    call = world.fake_call(world.clock)
    with pytest.raises(CallEnded, match="another destination was quicker"):
        NestedLeg(call, lambda: False).answer()
    assert call.orders == []


def test_a_record_keeps_few_notes() -> None:
    record = CallRecord("x", "incoming")
    for number in range(30):
        record.note(str(number))
    assert len(record.notes) == 20
