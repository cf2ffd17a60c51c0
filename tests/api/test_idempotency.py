"""Idempotency-Key: what was asked twice is done once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.http import idempotency
from store.database import tables
from tests.api.conftest import Api, Client

PATH = "/v1.0/conferences"


async def post(client: Client, key: str, body: Any = None, path: str = PATH, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {client.key}", "Idempotency-Key": key}
    return await client.http.post(path, json={"name": "sales"} if body is None else body, headers=headers, **options)


def reason(answer: httpx.Response) -> str:
    found: str = answer.json()["error"]["reason"]
    return found


async def kept(api: Api) -> list[Any]:
    async with api.store.read() as connection:
        return list((await connection.execute(sa.select(tables.idempotency))).mappings())


async def count(client: Client) -> int:
    return len((await client.get(PATH))["result"])


@pytest.fixture
async def moved(api: Api) -> AsyncIterator[Any]:
    """Moves the store's clock."""
    clock = api.store.clock

    def move(by: timedelta) -> None:
        api.store.clock = lambda: clock() + by

    yield move


async def test_the_same_request_again_is_answered_as_the_first_and_carried_out_once(api_on: Api) -> None:
    admin = await api_on.client()
    first = await post(admin, "a-key")
    again = await post(admin, "a-key")
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await count(admin) == 1


async def test_another_key_and_no_key_are_other_requests(api: Api) -> None:
    admin = await api.client()
    for key in ("one", "two"):
        assert (await post(admin, key)).status_code == 201
    await admin.post(PATH, {"name": "sales"})
    assert await count(admin) == 3


async def test_a_key_is_not_used_for_anything_else(api_on: Api) -> None:
    admin = await api_on.client()
    assert (await post(admin, "a-key")).status_code == 201
    for answer in (
        await post(admin, "a-key", {"name": "support"}),
        await post(admin, "a-key", path="/v1.0/queues"),
        await post(await api_on.client("customer_admin", admin.customer_id), "a-key"),
    ):
        assert answer.status_code == 409 and reason(answer) == "IDEMPOTENCY_KEY_REUSED"
    assert await count(admin) == 1


async def test_a_key_counts_within_one_customer(api: Api) -> None:
    mine, other = await api.client(), await api.client()
    first = await post(mine, "a-key")
    second = await post(other, "a-key")
    assert second.status_code == 201 and "idempotent-replayed" not in second.headers
    assert first.json()["id"] != second.json()["id"]
    assert second.json()["customer_id"] == str(other.customer_id)


async def test_a_refusal_is_remembered_too(api: Api) -> None:
    admin = await api.client()
    first = await post(admin, "a-key", {"nmae": "x"})
    again = await post(admin, "a-key", {"nmae": "x"})
    assert first.status_code == again.status_code == 400
    assert first.content == again.content and again.headers["idempotent-replayed"] == "true"


async def test_what_may_pass_is_not_remembered(api: Api) -> None:
    admin = await api.client()
    agent = await api.client("customer_agent", admin.customer_id)
    assert (await post(agent, "a-key")).status_code == 403
    assert (await api.http.post(PATH, json={}, headers={"Idempotency-Key": "a-key"})).status_code == 401
    assert not await kept(api)
    assert (await post(admin, "a-key")).status_code == 201


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1.0/agents", {"username": "ann", "password": "correct horse"}),
        ("/v1.0/providers", {"name": "a", "hostname": "192.0.2.1", "username": "u", "password": "correct horse"}),
        ("/v1.0/webhooks", {"uri": "https://example.com/", "secret": "correct horse battery"}),
        ("/v1.0/agents", {"username": "ann", "password": "correct horse", "nmae": "refused"}),
    ],
)
async def test_a_reader_of_the_database_cannot_try_passwords_at_the_hash_of_a_request(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, str]
) -> None:
    """A fast hash of the body would undo the slow one that is kept of its password."""
    fast: list[str] = []
    hashed = idempotency._hash

    async def overheard(*arguments: Any) -> str:
        fast.append(await hashed(*arguments))
        return fast[-1]

    monkeypatch.setattr(idempotency, "_hash", overheard)
    first = await post(api.root, "a-key", body, path)
    (row,) = await kept(api)
    assert row["request_hash"] not in fast and len(row["request_hash"]) == len(fast[0])
    again = await post(api.root, "a-key", body, path)
    assert again.status_code == (409 if path.endswith("webhooks") else first.status_code)  # it showed the secret
    other = {**body, "password" if "password" in body else "secret": "another one, as long"}
    assert reason(await post(api.root, "a-key", other, path)) == "IDEMPOTENCY_KEY_REUSED"
    assert (await post(api.root, "another-key")).status_code == 201
    (plain,) = [row for row in await kept(api) if row["key"] == "another-key"]
    assert plain["request_hash"] == fast[-1]


async def test_nobody_replays_what_they_may_not_do(api: Api) -> None:
    admin = await api.client()
    assert (await post(admin, "a-key")).status_code == 201
    async with api.store.write() as transaction:
        await transaction.execute(sa.update(tables.accesskeys).values(permission="customer_agent"))
    assert (await post(admin, "a-key")).status_code == 403


async def test_an_internal_error_is_not_remembered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await api.client()
    with monkeypatch.context() as patch:

        def fail(*_arguments: Any, **_options: Any) -> Any:
            raise ZeroDivisionError

        patch.setattr("api.resources.resource.rows.insert", fail)
        assert (await post(admin, "a-key")).status_code == 500
    assert not await kept(api)
    assert (await post(admin, "a-key")).status_code == 201


class Held:
    """Holds every creation between its beginning and its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        from api.resources.resource import Resource

        create = Resource.create

        async def held(*arguments: Any) -> Any:
            self.began.set()
            await self.may_end.wait()
            return await create(*arguments)

        monkeypatch.setattr(Resource, "create", held)


async def test_while_the_first_is_worked_on_the_second_is_told_so(api_on: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await api_on.client()
    held = Held(monkeypatch)
    first = asyncio.ensure_future(post(admin, "a-key"))
    await held.began.wait()
    second = await post(admin, "a-key")
    assert second.status_code == 409 and reason(second) == "IDEMPOTENCY_KEY_IN_USE"
    assert second.headers["retry-after"] == "1"
    assert reason(await post(admin, "a-key", {"name": "support"})) == "IDEMPOTENCY_KEY_REUSED"
    held.may_end.set()
    assert (await first).status_code == 201
    assert (await post(admin, "a-key")).content == (await first).content


async def test_of_many_at_once_one_is_carried_out(api_on: Api) -> None:
    admin = await api_on.client()
    answers = await asyncio.gather(*(post(admin, "a-key") for _ in range(20)))
    fresh = [a for a in answers if a.status_code == 201 and "idempotent-replayed" not in a.headers]
    assert len(fresh) == 1
    assert all(a.content == fresh[0].content for a in answers if a.status_code == 201)
    assert {reason(a) for a in answers if a.status_code != 201} <= {"IDEMPOTENCY_KEY_IN_USE"}
    assert await count(admin) == 1


async def test_a_request_that_died_locks_its_key_for_a_minute_and_what_was_slow_does_not_undo_its_successor(
    api_on: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await api_on.client()
    clock = api_on.store.clock
    with monkeypatch.context() as patch:
        held = Held(patch)
        slow = asyncio.ensure_future(post(admin, "a-key", {"name": "slow"}))
        await held.began.wait()
    api_on.store.clock = lambda: clock() + timedelta(seconds=55)
    assert reason(await post(admin, "a-key", {"name": "slow"})) == "IDEMPOTENCY_KEY_IN_USE"
    api_on.store.clock = lambda: clock() + timedelta(seconds=65)
    successor = await post(admin, "a-key", {"name": "slow"})
    assert successor.status_code == 201
    held.may_end.set()
    assert (await slow).status_code == 201
    assert (await post(admin, "a-key", {"name": "slow"})).content == successor.content


async def test_what_was_slow_and_fails_does_not_let_go_of_its_successors_key(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await api.client()
    clock = api.store.clock
    with monkeypatch.context() as patch:
        slow_one = Held(patch)
        slow = asyncio.ensure_future(post(admin, "a-key"))
        await slow_one.began.wait()
    api.store.clock = lambda: clock() + timedelta(seconds=65)
    with monkeypatch.context() as patch:
        held = Held(patch)
        successor = asyncio.ensure_future(post(admin, "a-key"))
        await held.began.wait()

        def fail(*_arguments: Any, **_options: Any) -> Any:
            raise ZeroDivisionError

        with monkeypatch.context() as broken:
            broken.setattr("api.resources.resource.rows.insert", fail)
            slow_one.may_end.set()
            assert (await slow).status_code == 500
        assert reason(await post(admin, "a-key")) == "IDEMPOTENCY_KEY_IN_USE"
        held.may_end.set()
        assert (await successor).status_code == 201


async def test_after_a_day_a_key_is_new(api: Api, moved: Any) -> None:
    admin = await api.client()
    first = await post(admin, "a-key")
    moved(timedelta(hours=23, minutes=59))
    assert (await post(admin, "a-key")).content == first.content
    moved(timedelta(hours=24, seconds=1))
    again = await post(admin, "a-key", {"name": "support"})
    assert again.status_code == 201 and again.json()["name"] == "support"


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\there", "\x7f", "caf\xe9"])
async def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    admin = await api.client()
    headers = [(b"authorization", f"Bearer {admin.key}".encode()), (b"idempotency-key", key.encode("latin-1"))]
    answer = await api.http.post(PATH, json={}, headers=headers)
    assert answer.status_code == 400 and reason(answer) == "INVALID_REQUEST_PARAMETER"
    assert await count(admin) == 0


async def test_two_keys_are_none(api: Api) -> None:
    admin = await api.client()
    headers = [("Authorization", f"Bearer {admin.key}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await api.http.post(PATH, json={}, headers=headers)).status_code == 400


async def test_the_longest_key_and_the_shortest_are_good(api: Api) -> None:
    admin = await api.client()
    for key in ("x", "x" * 255):
        assert (await post(admin, key)).status_code == 201
        assert (await post(admin, key)).headers["idempotent-replayed"] == "true"


async def test_other_methods_take_no_notice_of_it(api: Api) -> None:
    admin = await api.client()
    made = await admin.post(PATH, {})
    for name in ("a", "b"):
        changed = await admin.ask(
            "PUT", f"{PATH}/{made['id']}", 200, json={"name": name}, headers={"Idempotency-Key": "a-key"}
        )
        assert changed["name"] == name


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1.0/accesskeys", {"name": "mine"}, "accesskey"),
        ("/v1.0/webhooks", {"uri": "https://example.com/hook"}, "secret"),
    ],
)
async def test_a_secret_is_shown_once_and_kept_nowhere(api: Api, path: str, body: Any, field: str) -> None:
    admin = await api.client()
    first = await post(admin, "a-key", body, path)
    secret = first.json()[field]
    assert first.status_code == 201 and secret
    again = await post(admin, "a-key", body, path)
    assert again.status_code == 409 and reason(again) == "IDEMPOTENCY_KEY_REUSED"
    assert "201" in again.json()["error"]["message"] and secret not in again.text
    assert secret not in str([dict(row) for row in await kept(api)])
    names = [row.get("name") for row in (await admin.get(path))["result"]]
    assert names.count(body.get("name", "")) == 1


def test_every_answer_that_may_hold_a_secret_is_known(api: Api) -> None:
    """Fields of answers to POST whose names say that they are secret are among those that are not kept, and not deeper
    than the middleware looks."""
    document = api.app.openapi()
    schemas = document["components"]["schemas"]
    words = ("secret", "password", "token", "accesskey", "credential")
    not_secret = {"next_page_token"}

    def names(schema: Any, depth: int = 0) -> list[tuple[int, str]]:
        if "$ref" in schema:
            return names(schemas[schema["$ref"].rpartition("/")[2]], depth) if depth < 6 else []
        found = [
            pair
            for name, inner in schema.get("properties", {}).items()
            for pair in [(depth, name), *names(inner, depth + 1)]
        ]
        found += names(schema["items"], depth + 1) if "items" in schema else []
        return found + [pair for inner in schema.get("anyOf", []) for pair in names(inner, depth)]

    seen = 0
    for path, operations in document["paths"].items():
        if "post" not in operations:
            continue
        for code, response in operations["post"]["responses"].items():
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            if not code.startswith("2") or path.endswith("/auth/login"):
                continue  # a login has no key: it may be asked for as often as one likes
            for depth, name in names(schema):
                if any(word in name for word in words) and name not in not_secret and not name.endswith("_prefix"):
                    seen += 1
                    assert depth == 0 and name in idempotency.SECRET_FIELDS, f"POST {path} answers with {name}"
    assert seen >= 2


async def test_a_store_that_cannot_keep_the_answer_does_not_spoil_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await api.client()
    from store.database.errors import StoreError

    async def fail(*_arguments: Any) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("api.http.idempotency._Claim.keep", fail)
        assert (await post(admin, "a-key")).status_code == 201
    assert reason(await post(admin, "a-key")) == "IDEMPOTENCY_KEY_IN_USE"


async def test_a_long_upload_with_a_key_is_read_once(api: Api) -> None:
    csv = b"number,price\n+15551230001,5\n+15551230002,5\n"
    options = {"headers": {"Content-Type": "text/csv", "Idempotency-Key": "a-key"}, "content": csv}
    options["headers"]["Authorization"] = f"Bearer {api.root.key}"  # type: ignore[index]
    first = await api.http.post("/v1.0/inventory", **options)  # type: ignore[arg-type]
    again = await api.http.post("/v1.0/inventory", **options)  # type: ignore[arg-type]
    assert first.status_code == 200, first.text
    assert first.content == again.content and again.headers["idempotent-replayed"] == "true"
