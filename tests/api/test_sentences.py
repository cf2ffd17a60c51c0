"""What is wrong with a request is said in words: no regular expression, no word of pydantic's, and what to do."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from api import patterns
from api.errors import ApiError, invalid
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
    assert {patterns.PAGE_TOKEN, patterns.COUNTRY, patterns.EMAIL} <= used <= patterns.WANTED.keys()


def looked_at(field: FieldInfo) -> Iterator[str]:
    for rule in field.metadata:
        if found := getattr(rule, "pattern", None):
            yield found
