"""The API on a store whose secrets are encrypted: what it answers is what it would answer without."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from store.database import tables
from store.database.vault import MARK
from store.maintenance.encryption import unlock
from tests.api.conftest import Api

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
PROVIDER = {
    "name": "trunk",
    "hostname": "192.0.2.1",
    "username": "u",
    "password": "hunter2",
    "tech_headers": {"X": "token-77"},
}
SECRETS = ("hunter2", "token-77", "sixteen or more 1", "sixteen or more 2")


@pytest.fixture
async def sealed(api_on: Api) -> AsyncIterator[Api]:
    await unlock(api_on.store, [KEY])
    yield api_on


async def kept(api: Api, table: sa.Table) -> str:
    async with api.store.read() as connection:
        found = (await connection.execute(sa.select(table))).mappings()
        return json.dumps([dict(row) for row in found], default=str)


async def test_providers_and_webhooks_are_made_changed_and_shown_as_ever(sealed: Api) -> None:
    made = await sealed.root.post("/v1.0/providers", PROVIDER)
    assert made["tech_headers"] == {"X": "token-77"} and "password" not in made
    path = f"/v1.0/providers/{made['id']}"
    assert await sealed.root.get(path) == made
    changed = await sealed.root.put(path, {"detail": "changed"})
    assert changed["tech_headers"] == {"X": "token-77"}
    assert (await sealed.root.get("/v1.0/providers"))["result"] == [changed]
    admin = await sealed.client()
    hook: dict[str, Any] = {"uri": "https://example.com/x", "secret": "sixteen or more 1"}
    shown = await admin.post("/v1.0/webhooks", hook)
    assert shown["secret"] == "sixteen or more 1"
    made_up = await admin.post("/v1.0/webhooks", {"uri": "https://example.com/y"})
    assert len(made_up["secret"]) >= 32 and MARK not in made_up["secret"]
    after = await admin.put(f"/v1.0/webhooks/{shown['id']}", {"secret": "sixteen or more 2"})
    assert "secret" not in after
    held = await kept(sealed, tables.providers) + await kept(sealed, tables.webhooks)
    assert not [secret for secret in (*SECRETS, made_up["secret"]) if secret in held]
    async with sealed.store.read() as connection:
        secrets = (await connection.execute(sa.select(tables.webhooks.c.secret))).scalars().all()
    assert {sealed.store.vault.open(secret) for secret in secrets} == {"sixteen or more 2", made_up["secret"]}


async def test_a_secret_that_cannot_be_read_is_said_without_being_shown(sealed: Api) -> None:
    await sealed.root.post("/v1.0/providers", PROVIDER)
    sealed.store.vault = type(sealed.store.vault)()
    error = await sealed.root.get("/v1.0/providers", 503)
    assert error["reason"] == "SERVICE_UNAVAILABLE" and MARK not in str(error)
