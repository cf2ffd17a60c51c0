"""Two customers cannot see or touch each other's anything: every operation of the document, on the other's ids."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from tests.api.conftest import Api
from tests.api.contract import (
    MAKERS,
    QUERIES,
    Belongings,
    Operation,
    ask,
    belongings,
    body_of,
    everything_of,
    operations,
)

pytestmark = pytest.mark.long  # every operation between two customers

# Fields of bodies that name something of a customer's, and what they name (a parameter of MAKERS).
NAMES: Mapping[str, str] = {
    "agent_ids": "agent_id",
    "call_flow_id": "flow_id",
    "customer_id": "customer_id",
    "flow_id": "flow_id",
    "message_flow_id": "flow_id",
    "on_complete_flow_id": "flow_id",
    "overflow_flow_id": "flow_id",
    "provider_id": "provider_id",
}
# Fields that look like it, and why they do not.
NAME_NOTHING: Mapping[str, str] = {
    "tag_ids": "tags are free values, there is no such resource",
    "caller_id": "a number itself; tests/api/test_extensions.py has whose",
    "caller_ids": "numbers themselves; tests/api/test_extensions.py has whose",
}


@pytest.fixture
def app(api_on: Api) -> FastAPI:
    """The same API, to be asked without a client."""
    return api_on.app


def every(app: FastAPI) -> list[Operation]:
    """The operations of customers."""
    return [found for found in operations(app.openapi()) if found.permission]


def test_every_resource_can_be_made(app: FastAPI) -> None:
    for operation in every(app):
        for name in operation.parameters:
            assert name in MAKERS, f"{operation}: add to MAKERS of tests/api/contract.py how a {name} is made"
        for name in operation.needs:
            assert name in QUERIES, f"{operation}: add to QUERIES of tests/api/contract.py a value for {name}"
        for name in operation.fields:
            if name.endswith(("_id", "_ids")):
                assert name in NAMES or name in NAME_NOTHING, f"{operation}: add to NAMES what {name} refers to"


async def test_what_belongs_to_another_does_not_exist(api_on: Api, app: FastAPI) -> None:
    mine, other = await belongings(api_on), await belongings(api_on)
    before = await everything_of(api_on, mine.admin.customer_id)
    assert all(before[name] for name in ("numbers", "flows", "calls", "attempts", "ledger", "deliveries", "events"))
    tried = 0
    for operation in every(app):
        if not operation.parameters:
            continue
        answer = await ask(
            app, operation, operation.at(mine.ids), other.admin.key, body=body_of(operation, other.source)
        )
        # Those for super admins alone do not even look: providers are the platform's.
        expected = 403 if operation.permission == "project_super_admin" else 404
        assert answer.status == expected, f"{operation} on another's id: {answer.status} {answer.text}"
        if expected == 404:
            assert answer.reason.endswith("_NOT_FOUND") and answer.reason != "PATH_NOT_FOUND", str(operation)
            never = await ask(
                app, operation, operation.at(_never(mine)), other.admin.key, body=body_of(operation, other.source)
            )
            assert _without_ids(answer.text) == _without_ids(never.text), f"{operation} tells that it exists"
        tried += 1
    assert tried > 30
    assert await everything_of(api_on, mine.admin.customer_id) == before


async def test_ones_own_is_there(api_on: Api, app: FastAPI) -> None:
    """So that what is 404 to another is so because it is another's."""
    mine = await belongings(api_on)
    for operation in every(app):
        if operation.method == "GET" and operation.parameters and operation.permission != "project_super_admin":
            answer = await ask(app, operation, operation.at(mine.ids), mine.admin.key)
            assert answer.status == 200, f"{operation} on one's own: {answer.status} {answer.text}"


async def test_lists_and_streams_show_nothing_of_another(api_on: Api, app: FastAPI) -> None:
    mine, other = await belongings(api_on), await belongings(api_on)
    async with api_on.store.write() as transaction:
        transaction.event("call_hangup", other.admin.customer_id, {"id": "the last"})
    secrets = {str(found) for found in mine.ids.values()}
    for operation in every(app):
        if operation.method != "GET" or operation.permission == "project_super_admin":
            continue
        for query in _ways_to_ask(operation, mine):
            stream = operation.name == "stream_events"
            if stream:
                query = query | {"since": 0}
            path = operation.at(other.ids)
            until = "the last" if stream else ""
            answer = await ask(app, operation, path, other.admin.key, query=query, until=until)
            assert answer.status in (200, 400, 403, 404), f"{operation}: {answer.status} {answer.text}"
            asked = {str(value) for value in query.values()}
            shown = [found for found in secrets if found in answer.text and found not in asked]
            assert not shown, f"{operation} with {query} shows {shown} of another customer's"
            is_json = answer.headers["content-type"].startswith("application/json")
            if answer.status == 200 and is_json and "result" in (page := json.loads(answer.text)):
                for row in page["result"]:
                    assert row.get("customer_id") in (None, str(other.admin.customer_id)), f"{operation} {query}"


async def test_bodies_name_nothing_of_another(api_on: Api, app: FastAPI) -> None:
    mine, other = await belongings(api_on), await belongings(api_on)
    before = await everything_of(api_on, mine.admin.customer_id)
    tried = 0
    for operation in every(app):
        if operation.permission == "project_super_admin":
            continue
        for field in operation.fields:
            if field not in NAMES:
                continue
            identifier: Any = str(mine.ids[NAMES[field]])
            body = (body_of(operation, other.source) or {}) | {
                field: [identifier] if field.endswith("s") else identifier
            }
            answer = await ask(app, operation, operation.at(other.ids), other.admin.key, body=body)
            if operation.name == "validate_flow" and field != "customer_id":
                assert json.loads(answer.text)["valid"] is False
            else:
                assert answer.status in (400, 403, 404), f"{operation} takes {field} of another: {answer.text}"
                assert (answer.status == 403) == (field in ("customer_id", "provider_id")), f"{operation} {field}"
            tried += 1
    assert tried > 8
    assert await everything_of(api_on, mine.admin.customer_id) == before


async def test_nobody_calls_or_writes_from_the_number_of_another(api_on: Api, app: FastAPI) -> None:
    mine, other = await belongings(api_on), await belongings(api_on)
    tried = 0
    for operation in every(app):
        if "source" in operation.fields and operation.permission != "project_super_admin":
            answer = await ask(app, operation, operation.path, other.admin.key, body=body_of(operation, mine.source))
            assert (answer.status, answer.reason) == (403, "SOURCE_NOT_ALLOWED"), f"{operation}: {answer.text}"
            # Its own number it may use, whatever comes of it.
            answer = await ask(app, operation, operation.path, other.admin.key, body=body_of(operation, other.source))
            assert answer.reason != "SOURCE_NOT_ALLOWED", f"{operation}: {answer.text}"
            tried += 1
    assert tried >= 3


async def test_actions_name_nothing_of_another(api_on: Api, app: FastAPI) -> None:
    mine, other = await belongings(api_on), await belongings(api_on)
    create = next(found for found in every(app) if found.name == "create_flow")
    own, others = str(other.ids["flow_id"]), str(mine.ids["flow_id"])
    for identifier, status in ((own, 201), (others, 400)):
        body = {"actions": [{"type": "fetch_flow", "option": {"flow_id": identifier}}]}
        answer = await ask(app, create, create.path, other.admin.key, body=body)
        assert answer.status == status, answer.text


def _never(mine: Belongings) -> dict[str, UUID]:
    return {name: UUID(int=place + 1) for place, name in enumerate(mine.ids)}


def _without_ids(text: str) -> Any:
    error = json.loads(text)["error"]
    words = [word for word in error["message"].split() if word.strip(";").count("-") != 4]
    return error["status"], error["reason"], words


def _ways_to_ask(operation: Operation, mine: Belongings) -> list[dict[str, Any]]:
    """Without filters, and with each that may name something of another's."""
    return [{}] + [{name: str(mine.ids[name])} for name in operation.filters if name in mine.ids]
