"""A run keeps nothing alive once it is over: the collector of circles stands still while there are calls."""

import gc
from typing import Any

import pytest

from flows.language.run import Run


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


FLOWS: list[Any] = [
    [action("answer"), action("variable_set", key="a", value="${call.id}")],
    [action("connect", destinations=[{"type": "tel", "target": "+821012345678"}])],
    [action("connect", destinations=[{"type": "tel", "target": "+15550000009"}])],
    [action("fetch_flow", flow_id="inner"), action("hangup")],
]


@pytest.mark.parametrize("actions", FLOWS)
def test_a_run_leaves_no_circle(world: Any, actions: list[Any]) -> None:
    world.flows(inner=[action("answer")])
    world.number("+15550000009", flow="inner")
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            world.go(actions)
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Run)]
    finally:
        gc.enable()
