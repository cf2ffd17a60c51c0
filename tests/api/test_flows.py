"""Flows through the API: validated whole, with a fault for each field."""

import json
from typing import Any
from uuid import uuid4

import pytest

from flows.actions import ACTIONS
from flows.language.library import FlowLibrary
from flows.python.flows import FlowCall, compile_python
from routing.identifiers import named_id
from store import rows
from store.database import tables
from tests.api.conftest import Api

ECHO = [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]


async def test_a_flow_is_created_read_changed_and_deleted(api: Api) -> None:
    manager = await api.client("customer_manager")
    made = await manager.post("/v1.0/flows", {"name": "echo", "actions": ECHO})
    assert [action["type"] for action in made["actions"]] == ["answer", "echo"]
    assert all(action["id"] for action in made["actions"])
    assert made["on_complete_flow_id"] == "00000000-0000-0000-0000-000000000000"
    path = f"/v1.0/flows/{made['id']}"
    assert await manager.get(path) == made
    changed = await manager.put(path, {"detail": "for tests"})
    assert changed["actions"] == made["actions"]
    await manager.delete(path)
    assert (await manager.get(path, 404))["reason"] == "FLOW_NOT_FOUND"


async def test_two_flows_may_have_one_name(api: Api) -> None:
    manager = await api.client("customer_manager")
    made = [await manager.post("/v1.0/flows", {"name": "echo", "actions": ECHO}) for _ in range(2)]
    assert made[0]["id"] != made[1]["id"]


async def test_every_fault_of_a_flow_is_reported(api: Api) -> None:
    manager = await api.client("customer_manager")
    actions: list[dict[str, Any]] = [
        {"type": "answr"},
        {"type": "sleep", "option": {"duration": "x"}},
        {"type": "goto", "option": {"target_id": "nowhere", "loop_count": 1}},
    ]
    error = await manager.post("/v1.0/flows", {"actions": actions}, 400)
    assert error["reason"] == "INVALID_ACTION"
    assert [detail["field"] for detail in error["details"]] == [
        "actions[0].type",
        "actions[1].option.duration",
        "actions[2].option.target_id",
    ]
    verdict = await manager.post("/v1.0/flows/validate", {"actions": actions}, 200)
    assert not verdict["valid"] and verdict["faults"] == error["details"]
    assert await manager.post("/v1.0/flows/validate", {"actions": ECHO}, 200) == {"valid": True, "faults": []}


async def test_a_flow_refers_to_its_owners_flows_only(api: Api) -> None:
    mine, other = await api.client("customer_manager"), await api.client("customer_manager")
    theirs = await other.post("/v1.0/flows", {"actions": ECHO})
    fetch = [{"type": "fetch_flow", "option": {"flow_id": theirs["id"]}}]
    assert (await mine.post("/v1.0/flows", {"actions": fetch}, 400))["reason"] == "INVALID_ACTION"
    await other.post("/v1.0/flows", {"actions": fetch})
    error = await mine.post("/v1.0/flows", {"actions": ECHO, "on_complete_flow_id": str(uuid4())}, 400)
    assert error["details"][0]["field"] == "on_complete_flow_id"


async def test_a_flow_names_flows_of_the_platform_and_its_own_customers_by_id_alone(api: Api) -> None:
    """As calls find them: a name is the platform's, as two customers may both have a flow called "welcome"."""
    async with api.store.write() as transaction:
        values = {"name": "hotline", "actions": ECHO, "declared_in": "/etc/trunkline.yaml"}
        await rows.insert(transaction, tables.flows, values)

    async def nothing(call: FlowCall) -> None:
        """A flow in Python, which is in no store."""

    api.services.flows.library.replace(FlowLibrary(ACTIONS, python={"greeting": compile_python("greeting", nothing)}))
    manager = await api.client("customer_manager")
    await manager.post("/v1.0/flows", {"name": "welcome", "actions": ECHO})
    for client in (api.root, manager):
        for name in ("hotline", "greeting", str(named_id("flow", "greeting"))):
            await client.post("/v1.0/flows", {"actions": [{"type": "fetch_flow", "option": {"flow_id": name}}]})
    for name in ("welcome", "nothing", "Hotline"):
        actions = [{"type": "fetch_flow", "option": {"flow_id": name}}]
        error = await manager.post("/v1.0/flows", {"actions": actions}, 400)
        assert error["details"][0]["field"] == "actions[0].option.flow_id"


async def test_a_flow_that_is_completed_by_one_of_another_name_is_shown(api: Api) -> None:
    """A file writes names. What an earlier version has kept of them is in no file any more, perhaps."""
    async with api.store.write() as transaction:
        values = {"name": "hotline", "actions": ECHO, "on_complete_flow_id": "survey"}
        row = await rows.insert(transaction, tables.flows, values)
    shown = await api.root.get(f"/v1.0/flows/{row['id']}")
    assert shown["on_complete_flow_id"] == str(named_id("flow", "survey"))
    assert (await api.root.get("/v1.0/flows"))["result"] == [shown]


async def test_the_id_of_an_action_is_told_what_it_may_hold(api: Api) -> None:
    verdict = await api.root.post("/v1.0/flows/validate", {"actions": [{"type": "answer", "id": "a b"}]}, 200)
    (fault,) = verdict["faults"]
    assert fault["field"] == "actions[0].id"
    assert fault["message"].startswith("may hold letters, digits, dots, dashes and underscores alone")


async def test_a_flow_in_use_is_not_deleted(api: Api) -> None:
    manager = await api.client("customer_manager")
    flow = await manager.post("/v1.0/flows", {"actions": ECHO})
    later = await manager.post("/v1.0/flows", {"actions": ECHO, "on_complete_flow_id": flow["id"]})
    assert (await manager.delete(f"/v1.0/flows/{flow['id']}", 409))["reason"] == "FLOW_IN_USE"
    await manager.delete(f"/v1.0/flows/{later['id']}")
    await manager.delete(f"/v1.0/flows/{flow['id']}")


async def test_what_a_file_declares_is_changed_in_the_file(api: Api) -> None:
    async with api.store.write() as transaction:
        values = {"name": "hotline", "actions": ECHO, "declared_in": "/etc/trunkline.yaml"}
        row = await rows.insert(transaction, tables.flows, values)
    path = f"/v1.0/flows/{row['id']}"
    for error in (await api.root.put(path, {"name": "x"}, 409), await api.root.delete(path, 409)):
        assert error["reason"] == "DECLARED_IN_FILE"
        assert "/etc/trunkline.yaml" in error["message"]
    assert (await api.root.get(path))["declared_in"] == "/etc/trunkline.yaml"


async def test_a_flow_may_want_its_calls_media_anchored(api: Api) -> None:
    manager = await api.client("customer_manager")
    made = await manager.post("/v1.0/flows", {"actions": ECHO})
    assert made["media"] == ""
    path = f"/v1.0/flows/{made['id']}"
    assert (await manager.put(path, {"media": "anchor"}))["media"] == "anchor"
    assert (await manager.put(path, {"detail": "x"}))["media"] == "anchor"
    assert (await manager.put(path, {"media": None}))["media"] == ""
    await manager.post("/v1.0/flows", {"actions": ECHO, "media": "relay"}, 400)


@pytest.mark.parametrize("name", ["\0", "a\0b", "\ud800", "x\udfff"])
async def test_a_name_that_no_database_can_have_is_refused(api_on: Api, name: str) -> None:
    for kind, field in (("queue_join", "queue_id"), ("conference_join", "conference_id"), ("goto_flow", "flow_id")):
        actions = [{"type": "answer"}, {"type": kind, "option": {field: name}}]
        body = json.dumps({"actions": actions}).encode()
        headers = {"Authorization": f"Bearer {api_on.root.key}", "Content-Type": "application/json"}
        answer = await api_on.http.post("/v1.0/flows", content=body, headers=headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["reason"]) == (400, "INVALID_REQUEST_PARAMETER"), answer.text
        assert [fault["field"] for fault in error["details"]] == [f"actions[1].option.{field}"]
