"""Agents, logins and access keys: who gets in, with what, and until when."""

from datetime import timedelta

import pytest

from api.http.limits import RequestLimits
from api.http.tokens import key_hash
from engine.rate_limit import RateLimit
from store import rows
from store.database import tables
from tests.api.conftest import Api, Client

PASSWORD = "correct horse"


async def _agent(api: Api, admin: Client, permission: str = "customer_agent", username: str = "alice") -> str:
    body = {"username": username, "password": PASSWORD, "permission": permission}
    made = await admin.post("/v1.0/agents", body)
    assert "password" not in str(made)
    identifier: str = made["id"]
    return identifier


async def _login(api: Api, username: str = "alice", password: str = PASSWORD) -> Client:
    answer = await api.nobody.post("/v1.0/auth/login", {"username": username, "password": password}, 200)
    return Client(api.http, answer["token"], api.root.customer_id, api.root.agent_id)


async def test_a_login_gives_a_token_that_opens_the_api_in_three_ways(api: Api) -> None:
    admin = await api.client()
    agent_id = await _agent(api, admin)
    alice = await _login(api)
    path = f"/v1.0/agents/{agent_id}"
    assert (await alice.get(path))["username"] == "alice"
    for parameter in ("token", "accesskey"):
        assert (await api.nobody.get(path, **{parameter: alice.key}))["username"] == "alice"


@pytest.mark.parametrize(("username", "password"), [("alice", "wrong"), ("nobody", PASSWORD)])
async def test_a_wrong_login_is_told_the_same_whatever_is_wrong(api: Api, username: str, password: str) -> None:
    await _agent(api, await api.client())
    error = await api.nobody.post("/v1.0/auth/login", {"username": username, "password": password}, 401)
    assert (error["status"], error["reason"]) == ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
    assert (
        error["message"] == "the user name or the password is wrong; correct it, or have an admin set another password"
    )


async def test_a_token_ends_after_seven_days_and_with_its_password(api: Api) -> None:
    admin = await api.client()
    agent_id = await _agent(api, admin)
    now = api.store.clock()
    api.store.clock = lambda: now - timedelta(days=7, seconds=1)
    old = await _login(api)
    api.store.clock = lambda: now
    assert "seven days" in (await old.get("/v1.0/agents", 401))["message"]
    alice = await _login(api)
    await alice.put(f"/v1.0/agents/{agent_id}", {"password": "another horse"})
    assert (await alice.get("/v1.0/agents", 401))["reason"] == "INVALID_CREDENTIALS"
    await _login(api, password="another horse")


async def test_a_deleted_agents_token_and_keys_open_nothing(api: Api) -> None:
    admin = await api.client()
    agent_id = await _agent(api, admin)
    alice = await _login(api)
    key = await alice.post("/v1.0/accesskeys", {})
    await admin.delete(f"/v1.0/agents/{agent_id}")
    await alice.get("/v1.0/agents", 401)
    await api.nobody.get("/v1.0/agents", 401, accesskey=key["accesskey"])
    await _agent(api, admin)  # the name is free again


async def test_nobody_makes_or_changes_agents_beyond_itself(api: Api) -> None:
    admin = await api.client("customer_admin")
    body = {"username": "root2", "password": PASSWORD, "permission": "project_super_admin"}
    assert (await admin.post("/v1.0/agents", body, 403))["reason"] == "PERMISSION_DENIED"
    agent_id = await _agent(api, admin)
    alice = await _login(api)
    assert (await alice.put(f"/v1.0/agents/{agent_id}", {"permission": "customer_admin"}, 403))["reason"]
    assert (await alice.put(f"/v1.0/agents/{admin.agent_id}", {"name": "x"}, 403))["reason"] == "PERMISSION_DENIED"
    assert (await alice.put(f"/v1.0/agents/{agent_id}", {"name": "Alice"}))["name"] == "Alice"
    boss = await api.client("project_super_admin", admin.customer_id)
    assert (await admin.put(f"/v1.0/agents/{boss.agent_id}", {"password": PASSWORD}, 403))["reason"]
    assert (await admin.delete(f"/v1.0/agents/{admin.agent_id}", 409))["reason"] == "RESOURCE_IN_USE"


async def test_a_user_name_is_given_once(api: Api) -> None:
    await _agent(api, await api.client())
    body = {"username": "alice", "password": PASSWORD}
    assert (await (await api.client()).post("/v1.0/agents", body, 409))["reason"] == "NAME_ALREADY_EXISTS"


async def test_a_key_is_shown_once_kept_as_a_hash_and_revoked(api: Api) -> None:
    admin = await api.client()
    made = await admin.post("/v1.0/accesskeys", {"name": "ci"})
    key = made["accesskey"]
    async with api.store.read() as connection:
        row = (await rows.page(connection, tables.accesskeys, tables.accesskeys.c.name == "ci")).rows[0]
    assert row["key_hash"] == key_hash(key) and key not in str(row)
    path = f"/v1.0/accesskeys/{made['id']}"
    shown = await admin.get(path)
    assert "accesskey" not in shown and key.startswith(shown["key_prefix"])
    await api.nobody.get("/v1.0/accesskeys", accesskey=key)
    await admin.delete(path)
    assert (await api.nobody.get("/v1.0/accesskeys", 401, accesskey=key))["reason"] == "INVALID_CREDENTIALS"


async def test_a_key_can_be_less_than_its_owner_never_more_and_can_expire(api: Api) -> None:
    admin = await api.client()
    less = await admin.post("/v1.0/accesskeys", {"permission": "customer_agent"})
    limited = Client(api.http, less["accesskey"], admin.customer_id, admin.agent_id)
    assert (await limited.post("/v1.0/queues", {}, 403))["reason"] == "PERMISSION_DENIED"
    assert (await limited.post("/v1.0/accesskeys", {"permission": "customer_admin"}, 403))["reason"]
    assert (await admin.post("/v1.0/accesskeys", {"permission": "project_super_admin"}, 403))["reason"]
    now = api.store.clock()
    soon = await admin.post("/v1.0/accesskeys", {"tm_expire": (now + timedelta(hours=1)).isoformat()})
    await api.nobody.get("/v1.0/queues", accesskey=soon["accesskey"])
    api.store.clock = lambda: now + timedelta(hours=1)
    assert (await api.nobody.get("/v1.0/queues", 401, accesskey=soon["accesskey"]))["reason"] == "INVALID_CREDENTIALS"
    assert (await admin.post("/v1.0/accesskeys", {"tm_expire": now.isoformat()}, 400))["reason"]


async def test_a_key_makes_none_that_outlives_it(api: Api) -> None:
    """Whoever was given it for an hour would else have another for ever."""
    admin = await api.client()
    hour = api.store.clock() + timedelta(hours=1)
    made = await admin.post("/v1.0/accesskeys", {"tm_expire": hour.isoformat()})
    lent = Client(api.http, made["accesskey"], admin.customer_id, admin.agent_id)
    for body in ({}, {"tm_expire": None}, {"permission": "customer_agent"}):
        assert (await lent.post("/v1.0/accesskeys", body))["tm_expire"] == made["tm_expire"]
    later = (hour + timedelta(seconds=1)).isoformat()
    assert (await lent.post("/v1.0/accesskeys", {"tm_expire": later}, 403))["details"][0]["field"] == "tm_expire"
    sooner = (hour - timedelta(minutes=5)).isoformat()
    child = await lent.post("/v1.0/accesskeys", {"tm_expire": sooner})
    assert child["tm_expire"] < made["tm_expire"]
    grandchild = await Client(api.http, child["accesskey"], admin.customer_id, admin.agent_id).post("/v1.0/accesskeys")
    assert grandchild["tm_expire"] == child["tm_expire"]
    assert (await admin.post("/v1.0/accesskeys"))["tm_expire"] is None


async def test_a_key_takes_no_key_away_that_may_do_more(api: Api) -> None:
    admin = await api.client()
    more = await admin.post("/v1.0/accesskeys", {})
    less = await admin.post("/v1.0/accesskeys", {"permission": "customer_agent"})
    limited = Client(api.http, less["accesskey"], admin.customer_id, admin.agent_id)
    beneath = await api.client("customer_admin", api.root.customer_id)
    roots = (await api.root.get("/v1.0/accesskeys"))["result"]
    (root,) = [key for key in roots if key["permission"] == "project_super_admin"]
    for client, key in ((limited, more), (beneath, root)):
        assert (await client.delete(f"/v1.0/accesskeys/{key['id']}", 403))["reason"] == "PERMISSION_DENIED"
    await limited.delete(f"/v1.0/accesskeys/{less['id']}")
    await admin.delete(f"/v1.0/accesskeys/{more['id']}")


async def test_a_key_follows_its_owner_down(api: Api) -> None:
    admin = await api.client()
    agent_id = await _agent(api, admin, "customer_admin")
    key = (await (await _login(api)).post("/v1.0/accesskeys", {}))["accesskey"]
    holder = Client(api.http, key, admin.customer_id, admin.agent_id)
    await holder.post("/v1.0/queues", {})
    await admin.put(f"/v1.0/agents/{agent_id}", {"permission": "customer_agent"})
    assert (await holder.post("/v1.0/queues", {}, 403))["reason"] == "PERMISSION_DENIED"


async def test_agents_see_their_own_keys_and_admins_their_customers(api: Api) -> None:
    admin = await api.client()
    agent = await api.client("customer_agent", admin.customer_id)
    mine = (await agent.get("/v1.0/accesskeys"))["result"]
    assert [row["agent_id"] for row in mine] == [str(agent.agent_id)]
    everyones = (await admin.get("/v1.0/accesskeys"))["result"]
    assert len(everyones) == 2
    others = next(row["id"] for row in everyones if row["agent_id"] == str(admin.agent_id))
    for error in (
        await agent.get(f"/v1.0/accesskeys/{others}", 404),
        await agent.delete(f"/v1.0/accesskeys/{others}", 404),
        await agent.put(f"/v1.0/accesskeys/{others}", {}, 404),
    ):
        assert error["reason"] == "ACCESSKEY_NOT_FOUND"


async def test_guessing_is_slowed_down(api: Api) -> None:
    api.services.limits = RequestLimits(RateLimit(0, 1), RateLimit(0.001, 3), api.services.clock)
    for _ in range(3):
        await api.nobody.get("/v1.0/queues", 401, token="tk_guess")
    answer = await api.http.get("/v1.0/queues?token=tk_guess")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_customer_and_an_address_have_their_rates(api: Api) -> None:
    admin, other = await api.client(), await api.client()
    moment = 100.0
    api.services.clock = lambda: moment
    async with api.store.write() as transaction:
        await rows.update(transaction, tables.customers, admin.customer_id, {"request_rate": 1})
    for _ in range(2):
        await admin.get("/v1.0/queues")
    error = await admin.get("/v1.0/queues", 429)
    assert (error["status"], error["reason"]) == ("RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED")
    await other.get("/v1.0/queues")
    moment = 101.0
    await admin.get("/v1.0/queues")


async def test_nobody_takes_their_own_permission_away(api: Api) -> None:
    admin = await api.client()
    path = f"/v1.0/agents/{admin.agent_id}"
    assert (await admin.put(path, {"permission": "customer_agent"}, 409))["reason"] == "RESOURCE_IN_USE"
    assert (await admin.put(path, {"permission": "customer_admin"}))["permission"] == "customer_admin"
    assert (await api.root.put(path, {"permission": "customer_agent"}))["permission"] == "customer_agent"


async def test_who_has_no_password_does_not_log_in_with_any(api: Api) -> None:
    for password in ("", "nobody has this password"):
        answer = await api.http.post("/v1.0/auth/login", json={"username": "admin", "password": password})
        assert answer.status_code == 401
