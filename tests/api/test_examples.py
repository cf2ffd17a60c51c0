"""The bodies that Swagger UI and ReDoc show are accepted as they are."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest

from api.openapi.examples import CUSTOMER, PROVIDER, SOURCE
from store import rows
from store.database import tables
from tests.api.conftest import Api
from tests.api.contract import belongings, operations
from tests.api.exchange import exchange
from tests.service.conftest import ONE

Run = Callable[..., None]


def _bodies(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        found["operationId"]: found["requestBody"]["content"]["application/json"]
        for methods in document["paths"].values()
        for found in methods.values()
        if "requestBody" in found
    }


def test_every_body_has_an_example_that_the_document_allows(api: Api) -> None:
    document = api.app.openapi()
    bodies = _bodies(document)
    for name, content in bodies.items():
        assert content.get("examples"), f"{name} is given no `examples` where it is declared"
        schema = content["schema"] | {"components": document["components"]}
        for example in content["examples"].values():
            errors = [str(error) for error in jsonschema_rs.iter_errors(schema, example["value"])]
            assert not errors, f"{name}: {errors}"


@pytest.mark.long
def test_the_examples_are_accepted_as_they_are(run: Run) -> None:
    """On a whole engine, with what the summaries ask for: a provider, a customer without an account, a number to call
    from, a user name to log in with."""

    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE))
        root = x.root
        await x.number(root.customer_id, SOURCE)
        await root.post("/v1.0/agents", {"username": "ann", "password": "correct horse"})
        async with x.store.write() as transaction:
            await rows.insert(transaction, tables.customers, {"id": UUID(CUSTOMER), "name": "without an account"})
        (provider,) = (await root.get("/v1.0/providers", name="p1"))["result"]
        mine = await belongings(x.api)
        document = x.api.app.openapi()
        bodies = _bodies(document)
        for operation in operations(document):
            for summary, example in bodies.get(operation.name, {}).get("examples", {}).items():
                body = dict(example["value"])
                if body.get("provider_id") == PROVIDER:
                    body["provider_id"] = provider["id"]
                answer = await root.ask(operation.method, operation.at(mine.ids), json=body)
                assert "reason" not in answer, f"{operation}, {summary}: {answer}"

    run(test)
