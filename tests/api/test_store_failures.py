"""What a client and the log are told where the store fails a request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from store.database.errors import StoreError
from tests.api.conftest import Api

SECRET = "a-password-hash"


def failing(error: Exception) -> Any:
    @asynccontextmanager
    async def fail(**_: Any) -> AsyncIterator[None]:
        raise error
        yield

    return fail


FAILURES = [
    StoreError("postgresql://db.example/x cannot be reached: Connection refused"),
    OperationalError("SELECT 1 WHERE hash = ?", (SECRET,), Exception("disk I/O error")),
]


@pytest.mark.parametrize("error", FAILURES)
async def test_the_log_says_why_without_the_statement_and_not_for_each_of_many(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    manager = await api.client("customer_manager")
    monkeypatch.setattr(api.services.store, "read", failing(error))
    monkeypatch.setattr(api.services.store, "write", failing(error))
    with capture_logs() as lines:
        for _ in range(60):
            assert (await manager.get("/v1.0/flows", 503))["reason"] == "SERVICE_UNAVAILABLE"
    told = [line["error"] for line in lines if line["event"] == "the store failed a request"]
    assert len(told) <= 15
    assert all("SELECT" not in text and SECRET not in text for text in told)


async def test_after_a_write_without_an_outcome_the_client_is_asked_to_look_before_it_writes_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection may be lost between a commit and the answer to it."""
    manager = await api.client("customer_manager")
    monkeypatch.setattr(api.services.store, "write", failing(FAILURES[0]))
    said = (await manager.post("/v1.0/flows", {"actions": [{"type": "answer"}]}, 503))["message"]
    assert "nothing was changed" not in said and said.endswith("look first: what was asked for may have been done")


async def test_what_makes_no_sense_to_the_database_is_an_internal_error(
    api_on: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told 503, a client would ask again for ever, and nobody would hear of it."""
    store = api_on.services.store
    read = store.read

    @asynccontextmanager
    async def wrong() -> AsyncIterator[Any]:
        async with read() as connection:
            await connection.execute(sa.text("SELECT CAST(:value AS INTEGER) / nothing_of_this_name"), {"value": 1})
            yield connection

    manager = await api_on.client("customer_manager")
    monkeypatch.setattr(store, "read", wrong)
    if store.dialect == "postgresql":
        assert (await manager.get("/v1.0/flows", 500))["reason"] == "INTERNAL_ERROR"
    else:  # SQLite calls everything an operational error
        assert (await manager.get("/v1.0/flows", 503))["reason"] == "SERVICE_UNAVAILABLE"
