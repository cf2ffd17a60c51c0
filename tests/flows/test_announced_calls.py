"""Calls that are announced: known and kept before anything is dialled."""

import asyncio
from typing import Any

from flows.calls.hangup import hangup_by_id
from flows.origination.groupcall import place_group_call, prepare_group_call, read_group_request
from flows.origination.orders import CallOrder, prepare_calls, read_order

TEL = {"type": "tel", "target": "+15559990000"}


class Told:
    def __init__(self, services: Any) -> None:
        self.lines: list[tuple[str, str, str]] = []
        services.calls.registry.observers.append(self)

    def begun(self, record: Any) -> None:
        self.lines.append(("begun", record.id, record.status))

    def changed(self, record: Any) -> None:
        pass

    def ended(self, record: Any) -> None:
        self.lines.append(("ended", record.id, record.hangup_reason))


def order(*destinations: Any) -> CallOrder:
    return read_order(CallOrder, {"destinations": list(destinations)}, "a call")


def test_an_announced_call_is_known_once_and_dialled_at_its_start(world: Any) -> None:
    told = Told(world.services)

    async def scenario() -> None:
        (call,) = prepare_calls(world.services, order(TEL)).calls
        call.announce()
        call.announce()
        await asyncio.sleep(0)
        assert told.lines == [("begun", call.record.id, "dialing")]
        assert world.services.calls.registry.running(call.record.id) is call
        assert not world.agent.legs
        await call.start()
        assert told.lines[1:] == [("ended", call.record.id, "normal")]
        assert world.services.calls.registry.running(call.record.id) is None

    asyncio.run(scenario())
    assert len(world.agent.legs) == 1


def test_an_announced_call_that_is_hung_up_is_never_dialled(world: Any) -> None:
    told = Told(world.services)

    async def scenario() -> None:
        calls = prepare_calls(world.services, order(TEL))
        (call,) = calls.calls
        call.announce()
        assert hangup_by_id(world.services.calls.registry, call.record.id)
        calls.start()
        await asyncio.sleep(0)
        assert told.lines[1:] == [("ended", call.record.id, "cancel")]
        assert call.record.status == "hangup" and call.record.hangup_by == "local"
        assert not hangup_by_id(world.services.calls.registry, call.record.id)

    asyncio.run(scenario())
    assert not world.agent.legs


def test_all_calls_of_an_announced_groupcall_are_known_from_the_beginning(world: Any) -> None:
    told = Told(world.services)
    request = read_group_request({"destinations": [TEL, TEL], "ring_method": "linear"})

    async def scenario() -> None:
        group = prepare_group_call(world.services, request)
        group.announce()
        assert [word for word, _, _ in told.lines] == ["begun", "begun"]
        group.start()
        await group.wait()
        await asyncio.sleep(0)
        assert group.status == "hangup"
        assert sorted(word for word, _, _ in told.lines) == ["begun", "begun", "ended", "ended"]
        await place_group_call(world.services, request).wait()  # nobody has to announce it

    asyncio.run(scenario())
