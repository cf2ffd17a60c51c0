"""Flows on calls for which no media of our own can be had: the caller hears it, unless something else answers."""

from typing import Any

import pytest

from engine.call import NoPortError, NotAcceptable


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


@pytest.mark.parametrize(
    ("error", "status", "cause", "warning"),
    [
        (NoPortError("no RTP port: all 5 are in use"), 503, 47, None),
        (NotAcceptable("no codec in common", warning=305), 488, 65, '305 trunkline "no codec in common"'),
        (NotAcceptable('no "c="', 400), 400, 100, '399 trunkline "no \\"c=\\""'),
    ],
)
def test_the_caller_hears_why_and_the_log_says_it(
    world: Any, error: Exception, status: int, cause: int, warning: str | None
) -> None:
    """RFC 3261 §20.43, RFC 6432. How many ports we have is nobody's business."""
    call = world.fake_call(world.clock)
    call.refuse_answer = error
    ran = world.go([{"id": "a1", "type": "answer"}], call)
    assert ran.orders == [("reject", status, "")]
    assert call.refused_with["Reason"].startswith(f"Q.850;cause={cause};")
    assert call.refused_with.get("Warning") == warning
    assert (ran.record.end_status, ran.record.hangup_reason, ran.record.hangup_by) == (status, "failed", "local")
    ((level, event, values),) = world.log.lines
    assert (level, event, values["action"], values["error"]) == ("warning", "action failed", "a1", str(error))


def test_an_action_that_ends_the_call_has_its_own_say(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.refuse_answer = NoPortError("no RTP port")
    ran = world.go([action("answer"), action("hangup", reason="busy")], call)
    assert ran.orders == [("hangup", 486, "Q.850;cause=17")]


def test_a_plain_hangup_hides_the_reason_no_more_than_the_end_of_the_list_does(world: Any) -> None:
    call = world.fake_call(world.clock)
    call.refuse_answer = NotAcceptable("no codec in common")
    ran = world.go([action("answer"), action("hangup")], call)
    assert ran.orders == [("reject", 488, "")]
    assert call.refused_with["Reason"].startswith("Q.850;cause=65;")
    assert (ran.record.end_status, ran.record.hangup_reason) == (488, "failed")
