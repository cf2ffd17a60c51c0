"""The authorisation matrix: every operation of the document, by every permission, on ids of its own and of another.

Taken from the OpenAPI document: a new operation is in it without a word. Where a table here has to know something of
it (whom a resource is for beside its customer, what a destination looks like in a body), the test says which.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from flows.calls.destinations import Destinations
from routing.models.provider import Provider
from tests.api.conftest import Api, Client
from tests.api.contract import (
    BODIES,
    LADDER,
    Answer,
    Belongings,
    Operation,
    ask,
    belongings,
    body_of,
    everything_of,
    operations,
)

pytestmark = pytest.mark.long  # every operation by everybody

# Operations that are open to everybody of a customer for what is their own alone: what is another's of the same
# customer is answered so below customer_admin.
ONES_OWN: Mapping[str, int] = {
    "get_accesskey": 404,
    "update_accesskey": 404,
    "delete_accesskey": 404,
    "update_agent": 403,
}
# What a super admin may not do to anybody's, and why.
NOT_EVEN_ONCE: Mapping[str, str] = {
    "withdraw_number": "the number is provisioned, and no more in the inventory",
    "delete_ban": "nobody is banned",
    "get_recording_audio": "the file of another's recording is in the same folder, and is there",
}


class Who(NamedTuple):
    """Credentials: those of an agent, or a key that may do less than its owner."""

    owner: str
    limit: str = ""

    @property
    def permission(self) -> str:
        return self.limit or self.owner

    def __str__(self) -> str:
        return f"{self.owner} by a key of {self.limit}" if self.limit else self.owner


EVERYBODY = [Who(owner) for owner in LADDER] + [
    Who(owner, limit) for place, owner in enumerate(LADDER) for limit in LADDER[:place]
]


async def credentials(api: Api, who: Who, customer_id: UUID) -> Client:
    client = await api.client(who.owner, customer_id)
    if not who.limit:
        return client
    made = await client.post("/v1.0/accesskeys", {"permission": who.limit})
    return Client(api.http, made["accesskey"], client.customer_id, client.agent_id)


def every(api: Api) -> list[Operation]:
    """The operations that take credentials; those that end something last, what is in something before that, and
    customers after what they have."""
    found = [operation for operation in operations(api.app.openapi()) if operation.permission]
    ends = [operation for operation in found if operation.method == "DELETE"]
    last = [operation for operation in ends if operation.name in ("delete_customer", "delete_billing_account")]
    inner_first = sorted((o for o in ends if o not in last), key=lambda o: -o.path.count("/"))
    return [o for o in found if o not in ends] + inner_first + last


def may(who: Who, operation: Operation) -> bool:
    return LADDER.index(who.permission) >= LADDER.index(operation.permission)


@pytest.mark.parametrize("who", EVERYBODY, ids=str)
async def test_on_ones_own(api: Api, who: Who) -> None:
    mine = await belongings(api)
    client = await credentials(api, who, mine.admin.customer_id)
    seen = set()
    for operation in every(api):
        body = body_of(operation, mine.source)
        answer = await ask(api.app, operation, at(operation, mine), client.key, body=body)
        where = f"{operation} by {who}: {answer.status} {answer.text[:300]}"
        below_admin = LADDER.index(who.permission) < LADDER.index("customer_admin")
        if not may(who, operation):
            assert (answer.status, answer.reason) == (403, "PERMISSION_DENIED"), where
        elif operation.name in ONES_OWN and below_admin:
            assert answer.status == ONES_OWN[operation.name], where
        elif operation.parameters and not (who.permission == LADDER[-1] and operation.name in NOT_EVEN_ONCE):
            assert answer.status not in (401, 403, 404), where
        else:
            assert answer.status != 401 and answer.reason != "PERMISSION_DENIED", where
        assert answer.status < 500 or answer.reason == "SERVICE_UNAVAILABLE", where
        seen.add(operation.name)
    assert ONES_OWN.keys() | NOT_EVEN_ONCE.keys() <= seen, "a table of this file names an operation that there is not"


@pytest.mark.parametrize("who", EVERYBODY, ids=str)
async def test_on_anothers(api: Api, who: Who) -> None:
    mine, others = await belongings(api), await belongings(api)
    client = await credentials(api, who, mine.admin.customer_id)
    before = await everything_of(api, others.admin.customer_id)
    for operation in every(api):
        if not operation.parameters or who.permission == LADDER[-1]:
            continue
        body = body_of(operation, mine.source)
        answer = await ask(api.app, operation, at(operation, others), client.key, body=body)
        where = f"{operation} by {who}: {answer.status} {answer.text[:300]}"
        if may(who, operation):
            assert answer.status == 404 and answer.reason.endswith("_NOT_FOUND"), where
        else:
            assert (answer.status, answer.reason) == (403, "PERMISSION_DENIED"), where
    assert await everything_of(api, others.admin.customer_id) == before


async def test_a_super_admin_reaches_what_is_anybodys(api: Api) -> None:
    others = await belongings(api)
    for operation in every(api):
        if operation.parameters and operation.name not in NOT_EVEN_ONCE:
            body = body_of(operation, others.source)
            answer = await ask(api.app, operation, at(operation, others), api.root.key, body=body)
            assert answer.status not in (401, 403, 404), f"{operation}: {answer.status} {answer.text[:300]}"


def at(operation: Operation, whose: Belongings) -> str:
    return operation.at({"address": "192.0.2.1", **whose.ids})


# ---- destinations

PROVIDER, PRIVATE = "sip:99+442079460123@192.0.2.9", "sip:x@169.254.169.254"
REFUSED = [PROVIDER, "sip:x@192.0.2.9:5070", "sip:x@sip.carrier.example", PRIVATE, "sip:10.0.0.1:22", "sip:x@[::1]"]


def _party(uri: str) -> dict[str, str]:
    return {"type": "sip", "target": uri}


def _connect(uri: str) -> dict[str, Any]:
    return {"type": "connect", "option": {"destinations": [_party(uri)]}}


# Fields of bodies that hold destinations, and such a field with this URI in it.
DESTINED: Mapping[str, Any] = {
    "destinations": lambda uri: [_party(uri)],
    "addresses": lambda uri: [_party(uri)],
    "actions": lambda uri: [_connect(uri)],
}
# Fields that are of the same kinds, and why they name nobody who is called.
NAME_NOBODY: Mapping[str, str] = {"source": "who calls, which has to be a number of the customer's"}
_CALLABLE = frozenset({"Party", "Address", "Destination", "NumberDestination", "MessageDestination"})


def _reached(schema: Any, components: Mapping[str, Any], seen: set[str]) -> set[str]:
    """The components that a schema is made of."""
    if isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            _reached(components[name], components, seen)
        for inner in schema.values():
            _reached(inner, components, seen)
    elif isinstance(schema, list):
        for inner in schema:
            _reached(inner, components, seen)
    return seen


def naming(api: Api) -> Iterator[tuple[Operation, str]]:
    """The operations whose bodies name destinations, and the fields that do."""
    document = api.app.openapi()
    components = document["components"]["schemas"]
    for operation in every(api):
        found = document["paths"][operation.path][operation.method.lower()]
        schema = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        while "$ref" in schema:
            schema = components[schema["$ref"].rpartition("/")[2]]
        for shape in schema.get("anyOf", [schema])[:1]:
            for field, inner in shape.get("properties", {}).items():
                if inner.get("readOnly") or field in NAME_NOBODY:
                    continue
                if _reached(inner, components, set()) & _CALLABLE or field == "actions":
                    yield operation, field


def test_every_field_that_names_destinations_is_known(api: Api) -> None:
    found = list(naming(api))
    for operation, field in found:
        assert field in DESTINED, f"{operation}: add to DESTINED how {field} names a sip: destination"
    assert len({operation.name for operation, _ in found}) >= 8
    assert {field for _, field in found} == DESTINED.keys()


class Nowhere:
    """In place of an agent: no address is ours, and no name is looked up."""

    def listens_at(self, _host: str, _port: int) -> bool:
        return False

    async def locate(self, _uri: str) -> Any:
        raise AssertionError("a body is judged by what is written in it")


@pytest.mark.parametrize("who", [Who(owner) for owner in LADDER[:3]], ids=str)
async def test_no_body_of_a_customers_names_a_provider_or_a_private_network(api: Api, who: Who) -> None:
    flows = api.services.flows
    for host in ("192.0.2.9", "sip.carrier.example"):
        flows.calls.directory.put_provider(Provider(id=UUID(int=len(host)), hostname=host))
    flows.calls.destinations = Destinations(flows.calls.directory, flows.calls.routing, Nowhere())
    mine = await belongings(api)
    client = await credentials(api, who, mine.admin.customer_id)
    named = [found for found in naming(api) if found[0].permission != LADDER[-1] and may(who, found[0])]
    before = await everything_of(api, mine.admin.customer_id)
    for operation, field in named:
        for uri in REFUSED:
            answer = await _named(api, operation, field, uri, client, mine)
            where = f"{operation} {field} {uri} by {who}: {answer.status} {answer.text[:300]}"
            if operation.name == "validate_flow":
                assert answer.status == 200 and "DESTINATION_NOT_ALLOWED" in answer.text, where
            else:
                assert (answer.status, answer.reason) == (403, "DESTINATION_NOT_ALLOWED"), where
    assert await everything_of(api, mine.admin.customer_id) == before
    for operation, field in named:
        answer = await _named(api, operation, field, "sip:ann@example.com", client, mine)
        assert "DESTINATION_NOT_ALLOWED" not in answer.text, f"{operation} {field}: {answer.text[:300]}"
    assert named


async def _named(api: Api, operation: Operation, field: str, uri: str, client: Client, mine: Belongings) -> Answer:
    """What an operation answers to a body with this destination; an agent without more rights asks about itself."""
    path = at(operation, mine)
    if operation.name == "update_agent":
        path = f"/v1.0/agents/{client.agent_id}"
    body = (body_of(operation, mine.source) or {}) | {field: DESTINED[field](uri)}
    return await ask(api.app, operation, path, client.key, body=body)


def test_bodies_that_the_matrix_needs_are_there(api: Api) -> None:
    names = {operation.name for operation in operations(api.app.openapi())}
    assert BODIES.keys() <= names, "tests/api/contract.py has a body for an operation that there is not"
