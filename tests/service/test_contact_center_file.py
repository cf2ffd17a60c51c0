"""An IVR with a queue from one file: no database, no API, real calls."""

import asyncio
from collections.abc import Callable
from typing import Any

Run = Callable[..., None]
CALLER, AGENT, OTHER = "127.0.0.12", "127.0.0.31", "127.0.0.32"
NUMBER = "+15557654321"


def office(*agents: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "numbers": [{"number": NUMBER, "call_flow": "office"}],
        "flows": [
            {"name": "office", "actions": [{"type": "queue_join", "option": {"queue_id": "sales"}}]},
            {"name": "night", "actions": [{"type": "hangup", "option": {"reason": "busy"}}]},
        ],
        "agents": [
            {"name": name, "addresses": [{"type": "sip", "target": f"sip:{name}@{phone.address}"}]}
            for name, phone in agents
        ],
        "queues": [{"name": "sales", "agents": [name for name, _ in agents], "overflow_flow": "night"}],
        "conferences": [{"name": "room"}],
        **more,
    }


def test_a_file_alone_has_a_queue_that_rings_its_agent(run: Run) -> None:
    async def test(bench: Any) -> None:
        caller, desk = await bench.phone(CALLER), await bench.phone(AGENT)
        engine = await bench.engine(**office(("ann", desk)))
        assert engine.node.configuration.settings.store == ":memory:"
        assert not engine.node.configuration.settings.api.listen
        leg, outcome = await caller.call(engine.address, NUMBER)
        assert outcome.kind == "answered"
        await desk.incoming()
        await bench.until(lambda: desk.heard["ACK"], "the talk")  # what has answered has not been heard yet
        leg.hangup()
        await engine.quiet()
        (note,) = engine.record.notes
        assert note.startswith("queue sales: waited") and note.endswith("with ann")

    run(test)


def test_a_reload_brings_other_agents(run: Run) -> None:
    async def test(bench: Any) -> None:
        from config.loading import load

        caller, desk, other = await bench.phone(CALLER), await bench.phone(AGENT), await bench.phone(OTHER)
        engine = await bench.engine(**office(("ann", desk)))
        numbers = engine.node.configuration.path
        changed = load(numbers, environ={})
        changed.resources = _resources(office(("bob", other)))
        assert await engine.node.reload(changed) == []
        leg, _ = await caller.call(engine.address, NUMBER)
        await other.incoming()
        assert not desk.calls
        leg.hangup()
        await engine.quiet()
        changed.resources = _resources(office(agents=[]))
        await engine.node.reload(changed)
        _, outcome = await caller.call(engine.address, NUMBER)
        assert (outcome.kind, outcome.status) == ("refused", 486)  # nobody is there: the overflow flow has run
        await engine.quiet()

    run(test)


def _resources(lists: dict[str, Any]) -> Any:
    from config.resources import read_resources

    def fault(path: Any, problem: str) -> None:
        raise AssertionError(f"{path}: {problem}")

    return read_resources(lists, fault)


def test_the_first_queue_takes_a_restart_where_there_was_no_store(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine()
        from config.loading import load

        changed = load(engine.node.configuration.path, environ={})
        changed.resources = _resources(office())
        assert await engine.node.reload(changed) == [
            "there are agents, queues or conferences now, the first ones: they take a restart"
        ]
        await asyncio.sleep(0)

    run(test)
