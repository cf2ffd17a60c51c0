"""Extensions by the API: made, changed, sent away, and whose they are."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from api.resources.phones import extensions
from engine.sip.auth.digest import ha1_of_each
from engine.sip.binding import Binding
from routing.directory.extensions import read_ha1
from routing.identifiers import NIL
from store import rows
from store.database import tables
from tests.api.conftest import Api, Client

PATH = "/v1.0/extensions"
PASSWORD = "a long password"
NUMBER = "+15551234567"
JSON = {"Content-Type": "application/json"}


async def number_of(api: Api, client: Client, number: str = NUMBER, **values: Any) -> Any:
    made = {"number": number, "type": "normal", "status": "active", "origin": "ported", "kind": "local"}
    async with api.store.write() as transaction:
        row = await rows.insert(transaction, tables.numbers, made | {"customer_id": client.customer_id} | values)
    return row["id"]


async def stored(api: Api, extension: Any) -> Any:
    async with api.store.read() as connection:
        query = sa.select(tables.extensions).where(tables.extensions.c.id == UUID(extension["id"]))
        return (await connection.execute(query)).mappings().one()


def register(api: Api, name: str, **values: Any) -> Binding:
    given = {"id": str(uuid4()), "contact": f"<sip:{name}@192.168.1.2>"}
    given |= {"source": "198.51.100.7", "user_agent": "Desk phone", "expires_at": api.services.clock() + 60}
    binding = Binding(**(given | values))
    api.services.location.add(name, binding)
    return binding


async def test_one_has_what_it_is_given_and_never_shows_its_password(api_on: Api) -> None:
    mine = await api_on.client()
    await number_of(api_on, mine)
    await number_of(api_on, mine, "+15557654321")
    flow = await mine.post("/v1.0/flows", {"actions": [{"type": "hangup"}]})
    given = {
        "name": "alice",
        "detail": "second floor",
        "display_name": "Alice Adams",
        "caller_id": NUMBER,
        "caller_ids": ["+15557654321"],
        "max_contacts": 3,
        "max_calls": 0,
        "call_flow_id": flow["id"],
        "mailbox": "*97",
        "status": "suspended",
    }
    made = await mine.post(PATH, given | {"password": PASSWORD})
    assert {name: made[name] for name in given} == given
    assert (made["registered"], made["contacts"], made["declared_in"]) == (False, [], "")
    assert await mine.get(f"{PATH}/{made['id']}") == made
    assert (await mine.get(PATH, name="alice"))["result"] == [made]
    assert (await mine.ask("GET", f"{PATH}?status=active"))["result"] == []
    changed = await mine.put(f"{PATH}/{made['id']}", made | {"status": "active", "caller_ids": None})
    assert (changed["status"], changed["caller_ids"]) == ("active", [])
    gone = await mine.delete(f"{PATH}/{made['id']}")
    assert gone["tm_delete"]
    assert PASSWORD not in json.dumps([made, changed, gone])
    await mine.get(f"{PATH}/{made['id']}", 404)
    again = await mine.post(PATH, {"name": "alice", "password": PASSWORD})  # its name is free
    assert (again["max_contacts"], again["max_calls"], again["call_flow_id"]) == (10, 4, str(NIL))


async def test_what_stands_for_a_password_is_of_the_realm_of_the_day_it_was_set(api: Api) -> None:
    mine = await api.client()
    made = await mine.post(PATH, {"name": "alice", "password": PASSWORD})
    api.services.routing.realm = "office"
    await mine.put(f"{PATH}/{made['id']}", {"display_name": "Alice"})
    row = await stored(api, made)
    assert (row["realm"], read_ha1(row["ha1"])) == ("trunkline", ha1_of_each("alice", "trunkline", PASSWORD))
    await mine.put(f"{PATH}/{made['id']}", {"password": "another long one"})
    row = await stored(api, made)
    assert (row["realm"], read_ha1(row["ha1"])) == ("office", ha1_of_each("alice", "office", "another long one"))


@pytest.mark.parametrize("name", ["+15551234567", "al ice", "", ".alice", "alice@home", "a" * 65, "ålice", "a\n"])
async def test_what_is_no_name_is_refused(api: Api, name: str) -> None:
    error = await (await api.client()).post(PATH, {"name": name, "password": PASSWORD}, 400)
    assert [fault["field"] for fault in error["details"]] == ["name"]


@pytest.mark.parametrize("password", ["short", "", "alice2000", "0002ecila", "Password1", "aaaaaaaaaa", "a" * 129])
async def test_a_weak_password_is_refused_and_not_shown(api: Api, password: str) -> None:
    mine = await api.client()
    error = await mine.post(PATH, {"name": "alice2000", "password": password}, 400)
    assert [fault["field"] for fault in error["details"]] == ["password"]
    assert not password or password == "short" or password not in json.dumps(error)
    made = await mine.post(PATH, {"name": "alice2000", "password": PASSWORD})
    assert [f["field"] for f in (await mine.put(f"{PATH}/{made['id']}", {"password": password}, 400))["details"]]
    await mine.post(PATH, {"name": "bob"}, 400)  # there is no extension without one


async def test_a_name_is_once_in_the_installation_and_nobody_is_told_whose(api_on: Api) -> None:
    mine, other = await api_on.client(), await api_on.client()
    await other.post(PATH, {"name": "alice", "password": PASSWORD})
    for client in (mine, other, api_on.root):
        error = await client.post(PATH, {"name": "alice", "password": PASSWORD}, 409)
        assert (error["status"], error["reason"]) == ("ALREADY_EXISTS", "EXTENSION_ALREADY_EXISTS")
        assert str(other.customer_id) not in json.dumps(error)
    await mine.post(PATH, {"name": "Alice", "password": PASSWORD})  # RFC 3261 §19.1.4: case counts


async def test_its_numbers_and_its_flow_are_its_customers(api_on: Api) -> None:
    mine, other = await api_on.client(), await api_on.client()
    await number_of(api_on, other)
    await number_of(api_on, mine, "+15550000001", status="suspended")
    await number_of(api_on, mine, "+15550000002", status="released", tm_delete=(await _now(api_on)))
    flow = await other.post("/v1.0/flows", {"actions": [{"type": "hangup"}]})
    new = {"name": "alice", "password": PASSWORD}
    made = await mine.post(PATH, new | {"caller_id": "+15550000001"})
    for field, value, named in (
        ("caller_id", NUMBER, "caller_id"),
        ("caller_id", "+15550000002", "caller_id"),
        ("caller_ids", ["+15550000001", NUMBER], "caller_ids[1]"),
        ("call_flow_id", flow["id"], "call_flow_id"),
    ):
        error = await mine.put(f"{PATH}/{made['id']}", {field: value}, 400)
        assert [fault["field"] for fault in error["details"]] == [named], error
        reason = "FLOW_NOT_FOUND" if field == "call_flow_id" else "NUMBER_NOT_FOUND"
        assert error["reason"] == reason
        await mine.post(PATH, new | {"name": "bob", field: value}, 400)
        # A super admin gives nobody another's either.
        await api_on.root.put(f"{PATH}/{made['id']}", {field: value}, 400)


async def _now(api: Api) -> Any:
    async with api.store.write() as transaction:
        return transaction.now


async def test_who_gives_a_number_back_shows_it_no_more(api_on: Api) -> None:
    mine = await api_on.client()
    first, second = await number_of(api_on, mine), await number_of(api_on, mine, "+15557654321")
    numbers = {"caller_id": NUMBER, "caller_ids": ["+15557654321"]}
    made = await mine.post(PATH, {"name": "alice", "password": PASSWORD} | numbers)
    await mine.delete(f"/v1.0/numbers/{first}")
    await mine.delete(f"/v1.0/numbers/{second}")
    now = await mine.get(f"{PATH}/{made['id']}")
    assert (now["caller_id"], now["caller_ids"]) == ("", [])


async def test_a_flow_that_one_goes_to_is_not_deleted(api: Api) -> None:
    mine = await api.client()
    flow = await mine.post("/v1.0/flows", {"actions": [{"type": "hangup"}]})
    made = await mine.post(PATH, {"name": "alice", "password": PASSWORD, "call_flow_id": flow["id"]})
    error = await mine.delete(f"/v1.0/flows/{flow['id']}", 409)
    assert error["reason"] == "FLOW_IN_USE"
    assert "extension alice" in error["message"]
    await mine.delete(f"{PATH}/{made['id']}")
    await mine.delete(f"/v1.0/flows/{flow['id']}")


async def test_they_go_with_their_customer(api: Api) -> None:
    mine = await api.client()
    made = await mine.post(PATH, {"name": "alice", "password": PASSWORD})
    await api.root.delete(f"/v1.0/customers/{mine.customer_id}")
    assert (await stored(api, made))["tm_delete"]


async def test_those_of_a_file_are_the_files(api: Api) -> None:
    made = await api.root.post(PATH, {"name": "alice", "password": PASSWORD})
    async with api.store.write() as transaction:
        await rows.update(transaction, tables.extensions, UUID(made["id"]), {"declared_in": "/a.yaml"})
    for method, body in (("PUT", {"display_name": "A"}), ("DELETE", None)):
        error = await api.root.ask(method, f"{PATH}/{made['id']}", 409, json=body)
        assert error["reason"] == "DECLARED_IN_FILE"


async def test_one_with_an_older_name_is_changed_like_any_other(api: Api) -> None:
    made = await api.root.post(PATH, {"name": "alice", "password": PASSWORD})
    async with api.store.write() as transaction:
        await rows.update(transaction, tables.extensions, UUID(made["id"]), {"name": "al ice@home"})
    changed = await api.root.put(f"{PATH}/{made['id']}", {"display_name": "A", "password": "another long one"})
    assert (changed["name"], changed["display_name"]) == ("al ice@home", "A")
    expected = ha1_of_each("al ice@home", "trunkline", "another long one")
    assert read_ha1((await stored(api, made))["ha1"]) == expected


async def test_a_customer_has_so_many_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "MOST_OF_ONE", 1)
    mine = await api.client()
    made = await mine.post(PATH, {"name": "alice", "password": PASSWORD})
    error = await mine.post(PATH, {"name": "bob", "password": PASSWORD}, 429)
    assert (error["status"], error["reason"]) == ("RESOURCE_EXHAUSTED", "EXTENSION_LIMIT")
    await mine.delete(f"{PATH}/{made['id']}")
    await mine.post(PATH, {"name": "bob", "password": PASSWORD})
    for name in ("carol", "dave"):
        await api.root.post(PATH, {"name": name, "password": PASSWORD})  # the platform's are not counted


# ---- where their phones are


async def test_its_contacts_are_shown_and_sent_away(api: Api) -> None:
    mine = await api.client()
    api.services.node_name = "sip1"
    made = await mine.post(PATH, {"name": "alice", "password": PASSWORD})
    first, second = register(api, "alice", rtt=0.0236), register(api, "alice")
    register(api, "alice", expires_at=api.services.clock() - 1)  # over, and not looked at yet
    shown = await mine.get(f"{PATH}/{made['id']}")
    assert shown["registered"]
    assert [contact["id"] for contact in shown["contacts"]] == [first.id, second.id]
    assert shown["contacts"][0] | {"expires_at": 0} == {
        "id": first.id,
        "contact": "<sip:alice@192.168.1.2>",
        "source": "198.51.100.7",
        "transport": "",
        "user_agent": "Desk phone",
        "expires_at": 0,
        "node": "sip1",
        "rtt_ms": 24,
    }
    assert (await mine.get(PATH))["result"] == [shown]
    # What GET shows, PUT takes back, whatever the phones have done meanwhile.
    left = await mine.delete(f"{PATH}/{made['id']}/contacts/{first.id}")
    assert [contact["id"] for contact in left["contacts"]] == [second.id]
    await mine.delete(f"{PATH}/{made['id']}/contacts/{first.id}", 404)
    assert (await mine.put(f"{PATH}/{made['id']}", shown | {"detail": "x"}))["contacts"] == left["contacts"]
    emptied = await mine.delete(f"{PATH}/{made['id']}/contacts")
    assert (emptied["registered"], emptied["contacts"]) == (False, [])
    assert not api.services.location.bindings("alice")
    await mine.delete(f"{PATH}/{made['id']}/contacts")  # there are none to end


async def test_nobody_sees_or_ends_anothers(api: Api) -> None:
    mine, other = await api.client(), await api.client()
    theirs = await other.post(PATH, {"name": "alice", "password": PASSWORD})
    binding = register(api, "alice")
    assert (await mine.get(PATH))["result"] == []
    await mine.get(f"{PATH}/{theirs['id']}", 404)
    await mine.put(f"{PATH}/{theirs['id']}", {"password": "my own password"}, 404)
    for path in ("", "/contacts", f"/contacts/{binding.id}"):
        await mine.delete(f"{PATH}/{theirs['id']}{path}", 404)
    made = await mine.post(PATH, {"name": "bob", "password": PASSWORD})
    await mine.delete(f"{PATH}/{made['id']}/contacts/{binding.id}", 404)
    assert list(api.services.location.bindings("alice")) == [binding]
    assert (await api.root.get(PATH, customer_id=str(other.customer_id)))["result"][0]["id"] == theirs["id"]


async def test_contacts_of_other_nodes_are_shown_and_ended_there(api_on: Api) -> None:
    mine = await api_on.client()
    api_on.services.node_name = "sip1"
    made = await mine.post(PATH, {"name": "alice", "password": PASSWORD})
    here = register(api_on, "alice")
    now = api_on.store.clock()
    row = {
        "extension": "alice",
        "contact": "<sip:a@10.0.0.9>",
        "uri": "sip:a@10.0.0.9",
        "listener": "tcp/192.0.2.1:5060",
    }
    row |= {"source": "2001:db8::7", "host": "2001:db8::7", "port": 5071, "user_agent": "Phone", "tm_create": now}
    ids = [str(uuid4()) for _ in range(3)]
    async with api_on.store.write() as transaction:
        for place, (identifier, node, ends) in enumerate(((0, "sip2", 60), (1, "sip1", 60), (2, "sip2", -1))):
            values = row | {"id": ids[identifier], "node": node, "tm_expire": now + timedelta(seconds=ends)}
            await transaction.execute(sa.insert(tables.bindings), values | {"cseq": place})
    # Its own it knows better, and what is over is over.
    shown = (await mine.get(f"{PATH}/{made['id']}"))["contacts"]
    assert [contact["id"] for contact in shown] == [here.id, ids[0]]
    assert (shown[1]["source"], shown[1]["transport"], shown[1]["node"]) == ("[2001:db8::7]:5071", "tcp", "sip2")
    left = await mine.delete(f"{PATH}/{made['id']}/contacts/{ids[0]}")
    assert [contact["id"] for contact in left["contacts"]] == [here.id]
    async with api_on.store.read() as connection:
        query = sa.select(tables.changes.c.resource_id, tables.changes.c.key).where(tables.changes.c.kind == "contact")
        assert [tuple(found) for found in await connection.execute(query)] == [(UUID(ids[0]), "alice")]
    await mine.delete(f"{PATH}/{made['id']}/contacts/{ids[0]}", 404)


async def test_the_phones_of_one_that_is_gone_are_not_shown_to_who_has_its_name(api_on: Api) -> None:
    mine = await api_on.client()
    made = await mine.post(PATH, {"name": "alice", "password": PASSWORD})
    now = api_on.store.clock()
    row = {"extension": "alice", "contact": "<sip:a@10.0.0.9>", "uri": "sip:a@10.0.0.9", "listener": "udp/192.0.2.1:0"}
    row |= {"source": "192.0.2.7", "host": "192.0.2.7", "port": 5071, "node": "sip2", "id": str(uuid4())}
    async with api_on.store.write() as transaction:
        times = {"tm_create": now, "tm_expire": now + timedelta(seconds=600)}
        await transaction.execute(sa.insert(tables.bindings), row | times)
    assert len((await mine.get(f"{PATH}/{made['id']}"))["contacts"]) == 1
    await mine.delete(f"{PATH}/{made['id']}")
    again = await mine.post(PATH, {"name": "alice", "password": PASSWORD})
    assert (again["registered"], again["contacts"]) == (False, [])
    assert (await mine.get(f"{PATH}/{again['id']}"))["contacts"] == []


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"pasword": "hush"}, "pasword", "is not known here; did you mean password?"),
        ({"password:hush": ""}, "password:(hidden)", "is not known here; did you mean password?"),
        ({"pin:hush": ""}, "pin:(hidden)", "is not known here; remove it"),
    ],
)
async def test_a_name_that_is_like_a_fields_is_asked_after_and_shows_no_value(
    api: Api, given: Any, field: str, message: str
) -> None:
    mine = await api.client()
    error = await mine.post(PATH, {"name": "alice", "password": PASSWORD} | given, 400)
    assert (error["details"][0]["field"], error["details"][0]["message"]) == (field, message)
    assert "hush" not in json.dumps(error)


async def test_a_key_twice_shows_no_value(api: Api) -> None:
    mine = await api.client()
    error = await mine.ask("POST", PATH, 400, content=b'{"password:hush": 1, "password:hush": 2}', headers=JSON)
    assert "password:(hidden)" in error["message"]
    assert "hush" not in json.dumps(error)


@pytest.mark.parametrize("name", ["112", "911"])
async def test_none_is_called_like_an_emergency_number(api: Api, name: str) -> None:
    mine = await api.client()
    error = await mine.post(PATH, {"name": name, "password": PASSWORD}, 400)
    assert error["details"][0]["field"] == "name"
    assert "is an emergency number" in error["message"]
    await mine.post(PATH, {"name": "101", "password": PASSWORD})
