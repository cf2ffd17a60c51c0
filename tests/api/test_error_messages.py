"""What is wrong with a request is said in words: no regular expression, no word of pydantic's, and what to do."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from api.http.errors import ApiError, invalid
from api.http.listing import PAGE_TOKEN
from api.http.messages import EXPLAINED
from api.models.countries import COUNTRY_PATTERN
from api.resources.customers import EMAIL
from tests.api.conftest import Api
from tests.api.contract import operations

# What people should not have to read: patterns, pydantic's own sentences, and its prefixes.
NOT_FOR_PEOPLE = re.compile(
    r"\^|\\\\x|\[A-Z|pattern|[Ii]nput should|should (?:be|have|match)|Value error|validation error"
)
WRONG: list[Any] = ["☃ \x01", "x" * 70_000, -1, 10**30, 1.5, True, [], [7], {}, {"☃": 7}, "", None]


def assert_for_people(error: ApiError, where: str) -> None:
    for message in (str(error), *(found.message for found in error.details)):
        assert not NOT_FOR_PEOPLE.search(message), f"{where}: {message}"
    for found in error.details:
        assert re.search(r"[;,(]", found.message), f"{where}: {found.message!r} does not say what to do"


def bodies(api: Api) -> Iterator[type[BaseModel]]:
    """Every model that a request's body is read as."""
    for context in iter_route_contexts(api.app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.body_field is not None:
            annotation = route.body_field.field_info.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield annotation


def test_bodies(api: Api) -> None:
    fields = 0
    for model in bodies(api):
        for name in model.model_fields:
            for value in WRONG:
                try:
                    model.model_validate({name: value})
                except ValidationError as error:
                    found = [one | {"loc": ("body", *one["loc"])} for one in error.errors()]
                    assert_for_people(invalid(found), f"{model.__name__}.{name} = {str(value)[:20]!r}")
            fields += 1
    assert fields > 100


@pytest.mark.parametrize("value", ["☃", "-1", "9" * 30, "x" * 300, "^[a-z]+$"])
async def test_queries(api: Api, value: str) -> None:
    asked = 0
    for operation in operations(api.app.openapi()):
        if not operation.filters or operation.parameters or operation.name == "stream_events":
            continue
        query = dict.fromkeys(operation.filters - {"token", "accesskey"}, value)
        answer = await api.root.ask(operation.method, operation.path, params=query)
        if "reason" in answer:
            for message in (answer["message"], *(one["message"] for one in answer.get("details", ()))):
                told = message.replace(repr(value), "")
                assert not NOT_FOR_PEOPLE.search(told), f"{operation}: {message}"
            asked += 1
    assert asked > 15


async def test_a_page_token_that_is_none_says_where_one_comes_from(api: Api) -> None:
    for path in ("/v1.0/flows", "/v1.0/available_numbers"):
        error = await api.root.get(path, 400, page_token="2026-04-21 23:15:00")
        assert "send next_page_token of the page before" in error["message"]
        assert error["details"][0]["field"] == "page_token"


def test_every_pattern_that_pydantic_looks_at_has_its_words(api: Api) -> None:
    """One without words would fall back on the documentation."""
    used = {found for model in bodies(api) for field in model.model_fields.values() for found in looked_at(field)}
    for context in iter_route_contexts(api.app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            dependants = [route.dependant, *route.dependant.dependencies]
            fields = [field.field_info for one in dependants for field in one.query_params]
            used |= {found for field in fields for found in looked_at(field)}
    assert {PAGE_TOKEN, COUNTRY_PATTERN, EMAIL} <= used <= EXPLAINED.keys()


def looked_at(field: FieldInfo) -> Iterator[str]:
    for rule in field.metadata:
        if found := getattr(rule, "pattern", None):
            yield found


async def test_a_resource_is_called_what_people_call_it(api: Api) -> None:
    nobodys = UUID(int=7)
    for path, words in (("billing_accounts", "billing account"), ("accesskeys", "access key"), ("opt_outs", "opt-out")):
        method = "DELETE" if path == "opt_outs" else "GET"
        error = await api.root.ask(method, f"/v1.0/{path}/{nobodys}", 404)
        assert error["message"] == f"there is no {words} {nobodys}; list them to find its id"


async def test_what_is_not_allowed_in_a_field_names_the_field(api: Api) -> None:
    admin = await api.client()
    nobodys = str(UUID(int=7))
    provider = await api.root.post("/v1.0/providers", {"name": "primary", "hostname": "192.0.2.1"})
    await api.root.post("/v1.0/agents", {"username": "ann", "password": "correct horse"})
    account = (await admin.get("/v1.0/billing_accounts"))["result"][0]["id"]
    source = {
        "source": {"type": "tel", "target": "+15550000000"},
        "destinations": [{"type": "tel", "target": "+15550000001"}],
    }
    for client, method, path, body, field in (
        (admin, "POST", "queues", {"customer_id": nobodys}, "customer_id"),
        (admin, "POST", "accesskeys", {"permission": "project_super_admin"}, "permission"),
        (admin, "POST", "numbers", {"number": "+15551234567", "origin": "ported"}, "origin"),
        (admin, "PUT", f"billing_accounts/{account}", {"tier": "unlimited"}, "tier"),
        (admin, "PUT", f"customers/{admin.customer_id}", {"suspended": True}, "suspended"),
        (admin, "POST", "calls", source, "source"),
        (api.root, "POST", "providers", {"name": "primary", "hostname": "192.0.2.2"}, "name"),
        (api.root, "POST", "agents", {"username": "ann", "password": "correct horse"}, "username"),
        (api.root, "POST", "routes", {"provider_id": nobodys}, "provider_id"),
        (api.root, "POST", "billing_accounts", {"customer_id": nobodys}, "customer_id"),
        (api.root, "POST", "accesskeys", {"tm_expire": "2020-01-01T00:00:00Z"}, "tm_expire"),
        (
            api.root,
            "GET",
            f"providers/{provider['id']}/statistics?since=2020-01-02T00:00:00Z&until=2020-01-01T00:00:00Z",
            None,
            "since",
        ),
        (api.root, "GET", "flows?nam=x", None, "nam"),
        (api.root, "GET", "flows?name=%00", None, "name"),
    ):
        error = await client.ask(method, f"/v1.0/{path}", json=body)
        (fault,) = error["details"]
        assert (fault["field"], fault["reason"]) == (field, error["reason"]), path
        assert error["message"] == f"{field}: {fault['message']}"
