"""Every operation of the document, without credentials, with credentials that are no good, and with each permission."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from api.http.passwords import hash_password
from api.http.tokens import Tokens
from store import rows
from store.database import tables
from tests.api.conftest import Api, Client
from tests.api.contract import LADDER, PUBLIC, Operation, ask, body_of, operations

pytestmark = pytest.mark.long  # every operation by everybody


@pytest.fixture
def app(api: Api) -> FastAPI:
    """The same API, to be asked without a client."""
    return api.app


def every(app: FastAPI) -> list[Operation]:
    """The operations that take credentials."""
    return [found for found in operations(app.openapi()) if found.name not in PUBLIC]


def somewhere(operation: Operation) -> str:
    """A path whose ids lead to nothing."""
    return operation.at({name: UUID(int=1) for name in operation.parameters})


def test_every_operation_says_which_permission_it_takes(app: FastAPI) -> None:
    for operation in operations(app.openapi()):
        if operation.name in PUBLIC:
            assert not operation.permission, f"{operation} is listed as public and takes {operation.permission}"
        else:
            assert operation.permission in LADDER, f"{operation}: pass **guarded(…) to its decorator"


async def test_without_credentials_nothing_is_shown(api: Api, app: FastAPI) -> None:
    for operation in every(app):
        answer = await ask(app, operation, somewhere(operation), body=body_of(operation))
        assert answer.status == 401, f"{operation}: {answer.status} {answer.text}"
        assert answer.reason == "AUTHENTICATION_REQUIRED"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("permission", LADDER)
async def test_each_permission_may_do_what_the_document_says_and_no_more(
    api: Api, app: FastAPI, permission: str
) -> None:
    client = await api.client(permission)
    mine = LADDER.index(permission)
    for operation in every(app):
        body = body_of(operation)
        answer = await ask(app, operation, somewhere(operation), client.key, body=body)
        if mine < LADDER.index(operation.permission):
            assert answer.status == 403, f"{operation} with {permission}: {answer.status} {answer.text}"
            assert answer.reason == "PERMISSION_DENIED" and operation.permission in answer.text
        else:
            assert answer.status != 401 and answer.reason != "PERMISSION_DENIED", (
                f"{operation} with {permission}: {answer.status} {answer.text}"
            )
            assert answer.status < 500, f"{operation}: {answer.text}"


# ---- credentials that are no good: how each comes to be so


async def _nonsense(_api: Api, _client: Client) -> str:
    return "tk_nobody_was_ever_given_this_one"


async def _expired_key(api: Api, client: Client) -> str:
    past = api.store.clock() - timedelta(microseconds=1)
    await _change(api, sa.update(tables.accesskeys).values(tm_expire=past))
    return client.key


async def _revoked_key(api: Api, client: Client) -> str:
    (key,) = (await client.get("/v1.0/accesskeys"))["result"]
    await client.delete(f"/v1.0/accesskeys/{key['id']}")
    return client.key


async def _key_of_a_deleted_agent(api: Api, client: Client) -> str:
    await api.root.delete(f"/v1.0/agents/{client.agent_id}")
    return client.key


async def _key_of_a_deleted_customer(api: Api, client: Client) -> str:
    now = api.store.clock()
    await _change(api, sa.update(tables.customers).where(_of(client)).values(tm_delete=now))
    return client.key


async def _key_of_a_suspended_customer(api: Api, client: Client) -> str:
    await api.root.put(f"/v1.0/customers/{client.customer_id}", {"suspended": True})
    return client.key


async def _token_of_an_old_password(api: Api, client: Client) -> str:
    token = await _token(api, client)
    await api.root.put(f"/v1.0/agents/{client.agent_id}", {"password": "another long password"})
    return token


async def _token_of_last_week(api: Api, client: Client) -> str:
    return api.services.tokens.make(client.agent_id, "", api.store.clock() - timedelta(days=7, seconds=1))


async def _token_of_another_engine(api: Api, client: Client) -> str:
    return Tokens("x" * 64).make(client.agent_id, "", api.store.clock())


async def _forged_from_the_file(api: Api, client: Client) -> str:
    """What signs tokens stands in the store, and so does that this agent has no password."""
    return api.services.tokens.make(client.agent_id, "", api.store.clock())


async def _forged_for_what_is_no_hash(api: Api, client: Client) -> str:
    mine = tables.agents.c.id == client.agent_id
    await _change(api, sa.update(tables.agents).where(mine).values(password_hash="!"))
    return api.services.tokens.make(client.agent_id, "!", api.store.clock())


async def _forged_for_the_first_admin(api: Api, client: Client) -> str:
    return api.services.tokens.make(api.root.agent_id, "", api.store.clock())


async def _kept_from_before_the_password_was_taken_away(api: Api, client: Client) -> str:
    token = await _token(api, client)
    mine = tables.agents.c.id == client.agent_id
    await _change(api, sa.update(tables.agents).where(mine).values(password_hash=""))
    return token


async def _token_without_a_signature(api: Api, client: Client) -> str:
    token = await _token(api, client)
    # {"alg":"none","typ":"JWT"}: RFC 8725 §3.1 has what came of taking it.
    return "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + token.split(".")[1] + "."


async def _token_of_a_suspended_customer(api: Api, client: Client) -> str:
    token = await _token(api, client)
    await _key_of_a_suspended_customer(api, client)
    return token


async def _token(api: Api, client: Client) -> str:
    """From a login, as its user would get it."""
    name = uuid4().hex
    hashed = await hash_password("a long password")
    mine = tables.agents.c.id == client.agent_id
    await _change(api, sa.update(tables.agents).where(mine).values(username=name, password_hash=hashed))
    body = {"username": name, "password": "a long password"}
    token: str = (await api.nobody.post("/v1.0/auth/login", body, 200))["token"]
    await Client(api.http, token, client.customer_id, client.agent_id).get("/v1.0/queues")
    return token


def _of(client: Client) -> sa.ColumnElement[bool]:
    return tables.customers.c.id == client.customer_id


async def _change(api: Api, statement: sa.Executable) -> None:
    async with api.store.write() as transaction:
        await transaction.execute(statement)


NO_GOOD: Mapping[Callable[[Api, Client], Awaitable[str]], tuple[int, str]] = {
    _nonsense: (401, "INVALID_CREDENTIALS"),
    _expired_key: (401, "INVALID_CREDENTIALS"),
    _revoked_key: (401, "INVALID_CREDENTIALS"),
    _key_of_a_deleted_agent: (401, "INVALID_CREDENTIALS"),
    _key_of_a_deleted_customer: (401, "INVALID_CREDENTIALS"),
    _key_of_a_suspended_customer: (403, "CUSTOMER_SUSPENDED"),
    _token_of_an_old_password: (401, "INVALID_CREDENTIALS"),
    _token_of_last_week: (401, "INVALID_CREDENTIALS"),
    _token_of_another_engine: (401, "INVALID_CREDENTIALS"),
    _token_without_a_signature: (401, "INVALID_CREDENTIALS"),
    _forged_from_the_file: (401, "INVALID_CREDENTIALS"),
    _forged_for_what_is_no_hash: (401, "INVALID_CREDENTIALS"),
    _forged_for_the_first_admin: (401, "INVALID_CREDENTIALS"),
    _kept_from_before_the_password_was_taken_away: (401, "INVALID_CREDENTIALS"),
    _token_of_a_suspended_customer: (403, "CUSTOMER_SUSPENDED"),
}


@pytest.mark.parametrize("spoilt", NO_GOOD, ids=lambda spoilt: spoilt.__name__.strip("_"))
async def test_credentials_that_are_no_good_open_nothing(
    api: Api, app: FastAPI, spoilt: Callable[[Api, Client], Awaitable[str]]
) -> None:
    client = await api.client("customer_admin")
    await client.get("/v1.0/queues")  # good until now
    shown = await spoilt(api, client)
    for operation in every(app):
        answer = await ask(app, operation, somewhere(operation), shown, body=body_of(operation))
        assert (answer.status, answer.reason) == NO_GOOD[spoilt], f"{operation}: {answer.status} {answer.text}"
    queues = next(found for found in every(app) if found.name == "list_queues")
    for way in ("token", "accesskey"):
        answer = await ask(app, queues, queues.path, query={way: shown})
        assert (answer.status, answer.reason) == NO_GOOD[spoilt]


async def test_a_key_may_do_no_more_than_its_owner_may_now(api: Api, app: FastAPI) -> None:
    client = await api.client("customer_admin")
    mine = tables.agents.c.id == client.agent_id
    await _change(api, sa.update(tables.agents).where(mine).values(permission="customer_agent"))
    for operation in every(app):
        answer = await ask(app, operation, somewhere(operation), client.key, body=body_of(operation))
        refused = operation.permission != "customer_agent"
        assert (answer.status == 403) == refused, f"{operation}: {answer.status} {answer.text}"


async def test_a_limited_key_may_do_less_than_its_owner(api: Api) -> None:
    admin = await api.client("customer_admin")
    made = await admin.post("/v1.0/accesskeys", {"permission": "customer_agent"})
    limited = Client(api.http, made["accesskey"], admin.customer_id, admin.agent_id)
    await limited.get("/v1.0/queues")
    await limited.post("/v1.0/queues", {}, 403)
    await limited.post("/v1.0/accesskeys", {"permission": "customer_admin"}, 403)


async def test_metrics_are_for_nobody_without_a_key_of_the_platform(api: Api, app: FastAPI) -> None:
    metrics = next(found for found in operations(app.openapi()) if found.name == "metrics")
    admin = await api.client()
    for key, status in (("", 401), (admin.key, 403), ("tk_nonsense", 401)):
        assert (await ask(app, metrics, metrics.path, key)).status == status


async def test_a_failed_login_does_not_tell_whether_the_user_exists(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the words of the answer nor by its time: as many passwords are verified."""
    verified: list[str] = []
    from api.http import passwords

    verify = passwords._verify

    def counted(password_hash: str, password: str) -> bool:
        verified.append(password)
        return verify(password_hash, password)

    monkeypatch.setattr(passwords, "_verify", counted)
    client = await api.client()
    async with api.store.write() as transaction:
        hashed = await hash_password("a long password")
        await rows.update(transaction, tables.agents, client.agent_id, {"username": "known", "password_hash": hashed})
    answers = []
    for name in ("known", "unknown", "", "\u00e9" * 255):
        error = await api.nobody.post("/v1.0/auth/login", {"username": name, "password": "wrong password"}, 401)
        answers.append((error["reason"], error["message"]))
    assert len(set(answers)) == 1
    assert len(verified) == 4
