"""Rows made straight from a store's columns are the rows of the models that were stored."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from routing.directory.directory import Directory
from routing.directory.row_factory import NUMBER_COLUMNS, ROUTE_COLUMNS, RowFactory, id_integer
from routing.directory.snapshot import SnapshotBuilder
from routing.models.number import Number
from routing.models.route import Route
from routing.models.route_lookup import RouteLookup

FLOW, TRUNK, OWNER = uuid4(), uuid4(), uuid4()


class DriversUuid(UUID):
    """A driver's own class of ids."""


FORMS: dict[str, Callable[[UUID], Any]] = {
    "UUID": lambda identifier: identifier,
    "a driver's UUID": lambda identifier: DriversUuid(int=identifier.int),
    "36 characters": str,
    "32 characters": lambda identifier: identifier.hex,
    "capitals": lambda identifier: str(identifier).upper(),
    "16 bytes": lambda identifier: identifier.bytes,
    "integer": lambda identifier: identifier.int,
}


def columns_of(model: Number | Route, names: tuple[str, ...], form: Callable[[UUID], Any]) -> tuple[Any, ...]:
    """What a database gives for a model: ids in its form, and strings that are nobody else's."""
    values = []
    for name in names:
        value = "trunkline.yaml" if name == "declared_in" else getattr(model, name)
        if isinstance(value, RouteLookup):
            value = value.model_dump()
        if isinstance(value, UUID):
            value = form(value)
        elif isinstance(value, str):
            value = value.encode().decode()
        values.append(value)
    return tuple(values)


def number(**values: Any) -> Number:
    return Number.model_validate(
        {
            "id": uuid4(),
            "number": "+15551234567",
            "customer_id": OWNER,
            "call_flow_id": FLOW,
            "provider_id": TRUNK,
            "name": "Hotline",
            "origin": "ported",
            "country": "US",
            "region": "California",
            "city": "San Francisco",
            "kind": "local",
            **values,
        }
    )


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_stored_number_gives_the_row_of_its_model(form: Callable[[UUID], Any]) -> None:
    for model in (
        number(),
        number(status="suspended", detail="north", metadata={"a": [1, None]}),
        number(status="available", customer_id=UUID(int=0), metadata={"b": {}}),
        number(status="released", detail="only"),
        number(number="+899100000001", provider_id=UUID(int=0), kind="virtual", country="", region="", city=""),
    ):
        row = RowFactory().number_from(columns_of(model, NUMBER_COLUMNS, form))
        assert row == RowFactory().number(model)
        assert row.id == model.id and type(row.call_flow_id) is UUID


@pytest.mark.parametrize("metadata", [None, "", "{}", "null", {}])
def test_no_metadata_however_it_is_stored(metadata: object) -> None:
    columns = list(columns_of(number(), NUMBER_COLUMNS, str))
    columns[NUMBER_COLUMNS.index("metadata")] = metadata
    assert RowFactory().number_from(columns) == RowFactory().number(number(id=UUID(columns[6])))
    columns[NUMBER_COLUMNS.index("detail")] = "north"
    row = RowFactory().number_from(columns)
    assert row.detail == "north" and dict(row.metadata) == {}


def test_metadata_as_text_is_read() -> None:
    columns = list(columns_of(number(), NUMBER_COLUMNS, str))
    columns[NUMBER_COLUMNS.index("metadata")] = '{"line": 4}'
    assert RowFactory().number_from(columns).metadata == {"line": 4}


def test_ids_that_are_not_set() -> None:
    columns = list(columns_of(number(), NUMBER_COLUMNS, str))
    columns[2:7] = [None, "", UUID(int=0).hex, 0, None]
    row = RowFactory().number_from(columns)
    assert not row.call_flow_id.int and not row.message_flow_id.int
    assert not row.provider_id.int and not row.customer_id.int
    assert row.id == Number(number=row.number).id
    assert id_integer(None) == id_integer("") == id_integer(b"") == 0


def test_what_is_equal_is_shared_however_it_is_written() -> None:
    maker = RowFactory()
    rows = [maker.number_from(columns_of(number(), NUMBER_COLUMNS, form)) for form in FORMS.values()]
    assert len({id(row.call_flow_id) for row in rows}) == 1
    assert len({id(row.customer_id) for row in rows}) == 1
    assert len({id(row.place) for row in rows}) == 1
    assert len({id(row.status) for row in rows}) == 1
    assert rows[0].place is maker.number(number()).place


def test_columns_in_another_order_are_found_out() -> None:
    columns = columns_of(number(), NUMBER_COLUMNS, str)
    for wrong in (columns[:-1], (*columns, ""), (columns[1], columns[0], *columns[2:])):
        with pytest.raises(ValueError, match="select number, status, call_flow_id"):
            RowFactory().number_from(wrong)
    stored = columns_of(Route(provider_id=TRUNK), ROUTE_COLUMNS, str)
    for wrong in (stored[:-1], (*stored, None), (stored[1], stored[0], *stored[2:])):
        with pytest.raises(ValueError, match="select target, provider_id"):
            RowFactory().route_from(wrong)


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_stored_route_gives_the_row_of_its_model(form: Callable[[UUID], Any], as_text: bool) -> None:
    for values in (
        {},
        {"target": "+4420", "priority": -3, "weight": 7, "rate": 12_000, "customer_id": OWNER, "enabled": False},
        {"failover_codes": [404, "5xx"], "stop_codes": [], "ring_timeout": 5.5, "name": "night"},
        {"no_reply_timeout": 2, "no_progress_timeout": 9},
        {"target": "911", "short_prefix": True},
        {"target": "emergency"},
        {"lookup": {"url": "https://lcr.example.com/", "timeout": "250ms", "cache": 0}},
    ):
        model = Route.model_validate({"provider_id": TRUNK, **values})
        columns = list(columns_of(model, ROUTE_COLUMNS, form))
        if as_text:
            for name in ("failover_codes", "stop_codes", "lookup"):
                place = ROUTE_COLUMNS.index(name)
                columns[place] = json.dumps(columns[place])
            columns[ROUTE_COLUMNS.index("enabled")] = int(model.enabled)
            columns[ROUTE_COLUMNS.index("short_prefix")] = int(model.short_prefix)
        row = RowFactory().route_from(columns)
        assert row == RowFactory().route(model)
        assert row.id == model.id and row.enabled is model.enabled


def test_a_route_of_the_api_is_of_no_file() -> None:
    columns = list(columns_of(Route(provider_id=TRUNK), ROUTE_COLUMNS, str))
    columns[ROUTE_COLUMNS.index("declared_in")] = ""
    assert RowFactory().route_from(columns).declared is False


def test_a_directory_is_filled_from_a_store() -> None:
    builder = SnapshotBuilder()
    numbers = [number(number=f"+1555123{item}") for item in range(1000, 1050)]
    builder.numbers_from(columns_of(model, NUMBER_COLUMNS, str) for model in numbers)
    routes = [Route(provider_id=TRUNK, target=target) for target in ("+44", "all")]
    builder.routes_from(columns_of(model, ROUTE_COLUMNS, str) for model in routes)
    directory = Directory()
    directory.swap(builder.finish(complete=False))
    assert not directory.complete
    assert {row.id for row in directory.numbers.values()} == {model.id for model in numbers}
    assert [row.target for (row,) in directory.routes.matches("+442079460123")] == ["+44", "all"]


def test_a_maker_that_serves_for_ever_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.directory.row_factory.MAX_SHARED", 20)
    maker = RowFactory()
    for item in range(100):
        model = number(call_flow_id=uuid4(), city=f"City {item}")
        columns = columns_of(model, NUMBER_COLUMNS, str)
        assert maker.number_from(columns) == maker.number(model) == RowFactory().number(model)
        route = Route(provider_id=uuid4(), rate=item, ring_timeout=item + 1)
        stored = columns_of(route, ROUTE_COLUMNS, str)
        assert maker.route_from(stored) == maker.route(route) == RowFactory().route(route)
    assert all(0 < size <= 20 for size in maker.shared)
