"""The OpenAPI document: whole, readable, and saying what the code does."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.http import errors
from api.http.errors import HTTP_STATUS, status_of
from api.http.methods import Methods
from api.openapi.schema import COMPONENTS
from tests.api.conftest import Api
from tests.api.contract import LADDER, PUBLIC

ROOT = Path(__file__).parents[2]
ENVELOPE = {"$ref": "#/components/schemas/ErrorEnvelope"}
# Lists that come whole, and why.
WHOLE = {"list_attempts": "a call has ten attempts at most"}
# What operations without a guard may answer, and nothing that they never do.
FAILURES = {
    "log_in": "400 401 403 408 413 429 500 503",
    "healthz": "500",
    "readyz": "500 503",
    "metrics": "401 403 500 503",
}
# Statuses of health checks are no errors: what reads them looks at nothing else.
NO_ENVELOPE = {("readyz", "503")}


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    """As it is served."""
    return api.app.openapi()


def every(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method, operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def test_the_document_is_served_as_it_is_made(api: Api, document: dict[str, Any]) -> None:
    assert await api.nobody.get("/openapi.json") == document
    assert document["openapi"].startswith("3.1")


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_default_is_one_that_may_be_given(document: dict[str, Any]) -> None:
    def look(value: Any, place: str) -> None:
        if isinstance(value, dict):
            if "default" in value and value.keys() & {"type", "anyOf", "$ref"}:
                shape = {name: inner for name, inner in value.items() if name != "default"}
                whole = shape | {"components": document["components"]}
                assert jsonschema_rs.is_valid(whole, value["default"]), f"{place}: {value}"
            for name, inner in value.items():
                look(inner, f"{place}.{name}")
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                look(inner, f"{place}[{number}]")

    look(document, "")


def test_the_document_begins_with_an_introduction_and_describes_its_groups(document: dict[str, Any]) -> None:
    for said in ("/v1.0/auth/login", "next_page_token", "Idempotency-Key", "request_id", "micro-units", "readOnly"):
        assert said in document["info"]["description"]
    used = {tag for _, _, operation in every(document) for tag in operation["tags"]}
    assert {tag["name"] for tag in document["tags"]} == used, "tell of it in api/openapi/introduction.py"
    assert all(tag["description"].endswith(".") for tag in document["tags"])


def test_operations_are_named_in_words(document: dict[str, Any]) -> None:
    summaries = [operation["summary"] for _, _, operation in every(document)]
    assert len(set(summaries)) == len(summaries)
    for summary in summaries:
        first, *others = summary.split()
        assert first[0].isupper() and others, summary
        assert not [word for word in others if word != word.lower() and word not in ("Prometheus", "SIP")], summary


def test_every_success_has_an_example_that_fits(document: dict[str, Any]) -> None:
    for path, method, operation in every(document):
        for code, answer in operation["responses"].items():
            for kind, content in answer["content"].items() if code.startswith("2") else ():
                where = f"{method.upper()} {path} {code} {kind}"
                assert "example" in content, where
                schema = content["schema"] | {"components": document["components"]}
                if kind == "application/json":
                    assert jsonschema_rs.is_valid(schema, content["example"]), where


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for path, method, operation in every(document):
        where = f"{method.upper()} {path}"
        assert operation.get("summary"), f"{where}: has no summary"
        assert operation.get("description", "").strip().endswith((".", "`.")), f"{where}: give it a docstring"
        assert operation.get("tags"), f"{where}: give its router a tag"
        for parameter in operation.get("parameters", []):
            assert parameter["schema"], f"{where}: {parameter['name']} is of no type"


def test_every_success_is_described(document: dict[str, Any]) -> None:
    for path, method, operation in every(document):
        good = {code: found for code, found in operation["responses"].items() if code.startswith("2")}
        assert good, f"{method.upper()} {path}: no success is documented"
        for code, found in good.items():
            for kind, content in found["content"].items():
                assert content.get("schema"), f"{method.upper()} {path}: {code} {kind} has no schema; response_model?"


def test_every_failure_is_the_envelope(document: dict[str, Any]) -> None:
    for path, method, operation in every(document):
        where = f"{method.upper()} {path}"
        codes = set(operation["responses"])
        assert "422" not in codes, where
        if operation["operationId"] in PUBLIC:
            assert {code for code in codes if code >= "4"} == set(FAILURES[operation["operationId"]].split()), where
        else:
            assert {"400", "401", "403", "404", "429", "500", "503"} <= codes, f"{where}: pass **guarded(…)"
        if "requestBody" in operation:
            assert {"408", "413"} <= codes, where
        for code, found in operation["responses"].items():
            if code >= "4" and (operation["operationId"], code) not in NO_ENVELOPE:
                assert found["content"]["application/json"]["schema"] == ENVELOPE, f"{where}: {code}"


def test_permissions_and_credentials_are_documented(document: dict[str, Any]) -> None:
    for path, method, operation in every(document):
        if operation["operationId"] in PUBLIC:
            continue
        assert operation.get("x-permission") in LADDER, f"{method.upper()} {path}"
        schemes = {name for way in operation["security"] for name in way}
        assert schemes == {"bearer", "token", "accesskey"}, f"{method.upper()} {path}"


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = Counter(operation["operationId"] for _, _, operation in every(document))
    assert not [name for name, count in names.items() if count > 1]
    for name in names:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name), f"{name}: name the function after what it does"
        assert "v1" not in name


def test_every_post_takes_an_idempotency_key_and_nothing_else_does(document: dict[str, Any]) -> None:
    for path, method, operation in every(document):
        headers = [p["name"] for p in operation.get("parameters", []) if p["in"] == "header"]
        takes = method == "post" and operation["operationId"] not in PUBLIC
        assert headers.count("Idempotency-Key") == int(takes), f"{method.upper()} {path}"
        if takes:
            assert "409" in operation["responses"]


def test_lists_have_pages(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    lists = 0
    for path, method, operation in every(document):
        schema = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
        properties = schemas.get(schema.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
        if "next_page_token" in properties and operation["operationId"] not in WHOLE:
            names = {parameter["name"] for parameter in operation["parameters"]}
            assert {"page_size", "page_token"} <= names, f"{method.upper()} {path}"
            lists += 1
    assert lists > 10


def test_answers_have_the_id_first_and_the_moments_last(document: dict[str, Any]) -> None:
    answers = 0
    for name, schema in document["components"]["schemas"].items():
        fields = list(schema.get("properties", ()))
        if "tm_create" in fields and not schema["properties"]["tm_create"].get("readOnly"):
            moments = [field for field in fields if field.startswith("tm_")]
            assert fields[0] == "id" and fields[-len(moments) :] == moments, name
            answers += 1
    assert answers > 15


async def test_a_resource_is_written_as_it_is_described(api: Api, document: dict[str, Any]) -> None:
    made = await api.root.post("/v1.0/accesskeys", {"name": "for a test"})
    assert list(made) == list(document["components"]["schemas"]["NewAccessKey"]["properties"])
    assert list(made)[-4:] == ["tm_create", "tm_expire", "tm_update", "tm_delete"]


def test_nothing_that_the_document_refers_to_is_missing_or_left_over(document: dict[str, Any]) -> None:
    schemas = set(document["components"]["schemas"])
    named = set(re.findall(r"#/components/schemas/([\w.-]+)", str(document)))
    assert named == schemas


def test_every_operation_is_found_at_its_path(api: Api, document: dict[str, Any]) -> None:
    methods = Methods(api.app.routes)
    for path, operations in document["paths"].items():
        taken = {method.upper() for method in operations}
        assert taken == set(methods.at(re.sub(r"\{\w+\}", "7", path))) - {"HEAD"}, path


# ---- reasons

_CALLS = "ApiError|fault_in|_refuse|PydanticCustomError|RoutingError|_?Refusal"
_REASON = re.compile(rf"(?:(?:{_CALLS})\(|reason=|reason = )\s*\"([A-Z][A-Z_]+)\"")
_WORD = re.compile(r"(?:not_found\(|Resource\([\w.]+, )\"(\w+)\"")


def reasons_of_the_code() -> set[str]:
    """Those that the sources name."""
    found: set[str] = set()
    for folder in ("api", "routing"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            found |= set(_REASON.findall(text))
            if folder == "api":
                found |= {f"{word.upper()}_NOT_FOUND" for word in _WORD.findall(text)}
    return found


REASONS = errors.REASONS | {reason for reason in reasons_of_the_code() if reason.endswith("_NOT_FOUND")}


def test_every_reason_is_listed(document: dict[str, Any]) -> None:
    used = reasons_of_the_code()
    assert len(used) > 30
    assert used <= REASONS, f"add to api/http/errors.py: {sorted(used - REASONS)}"


def test_reasons_have_statuses_and_statuses_have_codes() -> None:
    for reason in REASONS:
        assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", reason)
        assert status_of(reason) in HTTP_STATUS


def test_the_documentation_lists_every_reason() -> None:
    """`docs/api.md` has a table row for each; and none for what there is not."""
    page = ROOT / "docs" / "api.md"
    if page.exists():
        rows = set(re.findall(r"^\| *`([A-Z]+(?:_[A-Z]+)*)`", page.read_text(), re.MULTILINE))
        assert rows >= REASONS, f"docs/api.md lacks {sorted(REASONS - rows)}"


# ---- what bodies may hold


def test_rules_are_about_what_there_is(document: dict[str, Any]) -> None:
    """A model or a field that was renamed would leave its rule behind."""
    schemas = document["components"]["schemas"]
    for name, component in COMPONENTS.items():
        for shape in schemas[name].get("anyOf", [schemas[name]]):
            assert component.fields.keys() | component.example.keys() <= shape["properties"].keys(), name


def test_null_is_allowed_where_it_clears_something(document: dict[str, Any]) -> None:
    schemas, checked = document["components"]["schemas"], 0
    for file in (ROOT / "api").rglob("*.py"):
        module = import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
        cleared = getattr(module, "_CLEARED", None)
        if cleared is None:
            continue
        (update,) = (name for name in vars(module) if name.endswith("Update"))
        fields = [pair for pair in schemas[update]["properties"].items() if not pair[1].get("readOnly")]
        assert {name for name, field in fields if {"type": "null"} in field.get("anyOf", ())} == cleared.keys(), update
        checked += 1
    assert checked > 7


@pytest.mark.parametrize(
    ("path", "body", "allowed"),
    [
        ("/v1.0/numbers", {"number": "+15551234567", "origin": "ported"}, True),
        ("/v1.0/numbers", {"number": "+899100000001"}, True),
        ("/v1.0/numbers", {"number": "+899100000001", "origin": "ported"}, False),
        ("/v1.0/numbers", {"number": "+899000000001"}, False),
        ("/v1.0/numbers", {"number": "+8991"}, False),
        ("/v1.0/routes", {"provider_id": str(UUID(int=1)), "target": "+899"}, False),
        ("/v1.0/routes", {"provider_id": str(UUID(int=1)), "target": "+89", "ring_timeout": 30}, True),
        ("/v1.0/routes", {"provider_id": str(UUID(int=1)), "ring_timeout": 0}, False),
        ("/v1.0/providers", {"hostname": "sip.example.com:5060", "tech_headers": {"X-Account": "7"}}, True),
        ("/v1.0/providers", {"hostname": "sip:example.com"}, False),
        ("/v1.0/providers", {"hostname": "a", "tech_headers": {"cALL-id": "7"}}, False),
        ("/v1.0/customers", {"destination_countries": ["XX"]}, False),
        ("/v1.0/flows", {"actions": [{"type": "answer"}, {"type": "sleep", "option": {"duration": 5}}]}, True),
        ("/v1.0/flows", {"actions": [{"type": "sleep"}]}, False),
        ("/v1.0/flows", {"actions": [{"type": "reject", "option": {"code": 200}}]}, False),
        ("/v1.0/flows", {"actions": [{"type": "teleport"}]}, False),
        ("/v1.0/flows/validate", {"actions": [{"type": "teleport"}]}, True),
    ],
)
async def test_the_schema_and_the_code_are_of_one_mind(
    api: Api, document: dict[str, Any], path: str, body: dict[str, Any], allowed: bool
) -> None:
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    whole = schema | {"components": document["components"]}
    assert jsonschema_rs.is_valid(whole, body) == allowed
    answer = await api.http.post(path, json=body, headers={"Authorization": f"Bearer {api.root.key}"})
    # What there is not yet is no fault of the form.
    refused = answer.status_code == 400 and not answer.json()["error"]["reason"].endswith("_NOT_FOUND")
    assert refused != allowed, answer.text
