"""A configuration file's names become ids, and what does not fit together is told in sentences."""

from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from routing.directory.directory import Directory
from routing.identifiers import NIL, named_id
from routing.models.declared import DeclaredNumber, DeclaredRoute, resolve
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route

FLOWS = {"hotline": named_id("flow", "hotline"), "echo": UUID(int=3)}
PRIMARY = Provider(name="primary", hostname="127.0.0.2:5080")
SECONDARY = Provider(id=UUID(int=8), name="secondary", hostname="127.0.0.3:5080")
PROVIDERS = [PRIMARY, SECONDARY]


def numbers(*items: dict[str, Any]) -> list[DeclaredNumber]:
    return [DeclaredNumber.model_validate(item) for item in items]


def routes(*items: dict[str, Any]) -> list[DeclaredRoute]:
    return [DeclaredRoute.model_validate(item) for item in items]


def test_names_become_ids() -> None:
    resolved = resolve(
        numbers(
            {"number": "+1 555 123 4567", "provider": "primary", "call_flow": "hotline", "message_flow": "echo"},
            {"number": "+899100000001", "call_flow": "echo", "name": "Echo"},
            {"number": "+15551234568", "provider_id": str(UUID(int=8)), "call_flow_id": str(UUID(int=3))},
        ),
        PROVIDERS,
        routes({"provider": "primary", "priority": 1}, {"provider": "secondary", "target": "+44"}),
        FLOWS,
    )
    assert resolved.faults == []
    hotline, echo, by_id = resolved.numbers
    assert (hotline.provider_id, hotline.call_flow_id, hotline.message_flow_id) == (
        PRIMARY.id,
        FLOWS["hotline"],
        FLOWS["echo"],
    )
    assert (echo.name, echo.type, echo.call_flow_id, echo.provider_id) == ("Echo", "virtual", FLOWS["echo"], NIL)
    assert (by_id.provider_id, by_id.call_flow_id) == (SECONDARY.id, FLOWS["echo"])
    assert type(hotline) is Number and hotline.id == named_id("number", "+15551234567")
    assert [(route.provider_id, route.target) for route in resolved.routes] == [
        (PRIMARY.id, "all"),
        (SECONDARY.id, "+44"),
    ]
    assert type(resolved.routes[0]) is Route
    assert resolved.routes[0].id == Route(provider_id=PRIMARY.id, priority=1).id
    directory = Directory()
    directory.replace(resolved.numbers, resolved.providers, resolved.routes)
    row = directory.number("+15551234567")
    assert row is not None and row.id == hotline.id and row.call_flow_id == FLOWS["hotline"]


@pytest.mark.parametrize(
    ("given_numbers", "given_providers", "given_routes", "path", "problem"),
    [
        (
            [{"number": "+15551234567"}, {"number": "+15551234568"}, {"number": "+1-555-123-4567"}],
            PROVIDERS,
            [],
            ("numbers", 2, "number"),
            "+15551234567 is listed twice, first as entry 1; keep one",
        ),
        (
            [{"number": "+15551234567", "provider": "primry"}],
            PROVIDERS,
            [],
            ("numbers", 0, "provider"),
            "there is no provider named 'primry'; use one of primary, secondary",
        ),
        (
            [{"number": "+15551234567", "provider": "primary", "provider_id": str(PRIMARY.id)}],
            PROVIDERS,
            [],
            ("numbers", 0, "provider"),
            "provider and provider_id are both given; keep one",
        ),
        (
            [{"number": "+899100000001", "provider": "primary"}],
            PROVIDERS,
            [],
            ("numbers", 0, "provider"),
            "+899100000001 is virtual and arrives on no trunk; leave its provider out",
        ),
        (
            [{"number": "+15551234567", "call_flow": "hotlin"}],
            PROVIDERS,
            [],
            ("numbers", 0, "call_flow"),
            "there is no flow named 'hotlin'; use one of echo, hotline",
        ),
        (
            [{"number": "+15551234567", "message_flow": "echo", "message_flow_id": str(UUID(int=3))}],
            PROVIDERS,
            [],
            ("numbers", 0, "message_flow"),
            "message_flow and message_flow_id are both given; keep one",
        ),
        (
            [{"number": "+15551234567", "call_flow_id": str(UUID(int=4))}],
            PROVIDERS,
            [],
            ("numbers", 0, "call_flow"),
            f"there is no flow with the id {UUID(int=4)}; use one of echo, hotline",
        ),
        (
            [],
            [PRIMARY, Provider(name="primary", hostname="h")],
            [],
            ("providers", 1, "name"),
            "primary is listed twice, first as entry 1; keep one",
        ),
        (
            [],
            [Provider(hostname="h")],
            [],
            ("providers", 0, "name"),
            "the provider has no name; give it one, so that routes can name it",
        ),
        (
            [],
            PROVIDERS,
            [{"provider": "primary"}, {"provider": "tertiary"}],
            ("routes", 1, "provider"),
            "there is no provider named 'tertiary'; use one of primary, secondary",
        ),
        (
            [],
            [],
            [{"provider_id": str(UUID(int=5))}],
            ("routes", 0, "provider"),
            f"there is no provider with the id {UUID(int=5)}; there are none yet: add one",
        ),
        (
            [],
            PROVIDERS,
            [{"provider": "primary", "target": "+44"}, {"provider": "primary", "target": "+44", "weight": 5}],
            ("routes", 1, "target"),
            "this route to +44 is entry 1 again; remove one, or give it another priority",
        ),
    ],
)
def test_faults_say_where_and_what_to_do(
    given_numbers: list[dict[str, Any]],
    given_providers: list[Provider],
    given_routes: list[dict[str, Any]],
    path: tuple[Any, ...],
    problem: str,
) -> None:
    resolved = resolve(numbers(*given_numbers), given_providers, routes(*given_routes), FLOWS)
    assert resolved.faults == [(path, problem)]


def test_every_fault_is_reported_and_long_lists_are_cut() -> None:
    many = {f"f{place:02}": UUID(int=place) for place in range(1, 20)}
    resolved = resolve(
        numbers({"number": "+15551234567", "provider": "x", "call_flow": "y", "message_flow": "z"}), PROVIDERS, [], many
    )
    assert [fault.path[2] for fault in resolved.faults] == ["provider", "call_flow", "message_flow"]
    assert resolved.faults[1].problem.endswith("use one of f01, f02, f03, f04, f05, f06, f07, f08 ...")
    assert resolved.numbers == []


def test_a_route_without_a_provider_is_refused_by_itself() -> None:
    with pytest.raises(ValidationError, match="the route names no provider; write the name of one") as caught:
        DeclaredRoute.model_validate({"target": "all"})
    assert caught.value.errors()[0]["type"] == "PROVIDER_NOT_FOUND"
    with pytest.raises(ValidationError, match="not permitted"):
        DeclaredRoute.model_validate({"provder": "primary", "provider": "primary"})
