"""What a file declares: in the store under its name, marked, changed with the file and gone with it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from routing.identifiers import NIL, PLATFORM, named_id, route_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from store.database import tables
from store.database.errors import StoreError
from store.directory import reconcile as declared
from store.directory.reconcile import Declarations, merge
from store.maintenance.declared_files import declaring_files, release
from store.store import Store
from tests.store.feeding import add_flow, add_number, add_provider, add_route, process, until

FILE = "/etc/trunkline.yaml"
NUMBER = "+15551234567"


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(store_url)
    yield opened
    await opened.close()


def flow(name: str, *actions: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A row as the service makes it: actions have ids, made up where their author gave none."""
    made = [{"id": str(uuid4()), "next_id": "", "type": "answer", "option": {}} | action for action in actions or ({},)]
    row = {"id": named_id("flow", name), "customer_id": UUID(int=0), "name": name, "detail": "", "actions": made}
    return row | {"on_complete_flow_id": ""} | values


def whole(**changed: Any) -> Declarations:
    """A provider, a route to it, a number that arrives on it and runs a flow."""
    carrier = Provider(name="carrier", hostname="192.0.2.1", tech_headers={"X-B": "1", "X-A": "2"})
    values: dict[str, Any] = {
        "providers": [carrier],
        "routes": [Route(provider_id=carrier.id, target="+44", priority=1)],
        "numbers": [Number(number=NUMBER, provider_id=carrier.id, call_flow_id=named_id("flow", "echo"))],
        "flows": [flow("echo")],
    }
    return Declarations(source=FILE, **(values | changed))


async def living(store: Store, table: sa.Table) -> list[Any]:
    async with store.read() as connection:
        query = sa.select(table).where(table.c.tm_delete.is_(None)).order_by(table.c.tm_create, table.c.id)
        return list((await connection.execute(query)).mappings())


async def changes(store: Store) -> Sequence[Any]:
    async with store.read() as connection:
        return (await connection.execute(sa.select(tables.changes).order_by(tables.changes.c.id))).all()


async def test_what_is_declared_is_there_and_marked(store: Store) -> None:
    done = await merge(store, whole())
    assert done.added == {"provider": 1, "route": 1, "number": 1, "flow": 1}
    (provider,) = await living(store, tables.providers)
    (route,) = await living(store, tables.routes)
    (number,) = await living(store, tables.numbers)
    (found,) = await living(store, tables.flows)
    assert {row["declared_in"] for row in (provider, route, number, found)} == {FILE}
    assert route["provider_id"] == number["provider_id"] == provider["id"] == named_id("provider", "carrier")
    assert number["call_flow_id"] == found["id"] == named_id("flow", "echo")
    assert {row.kind for row in await changes(store)} == {"provider", "route", "number", "flow"}


async def test_what_is_equal_is_not_touched(store: Store) -> None:
    await merge(store, whole())
    before = await changes(store), await living(store, tables.flows), await living(store, tables.numbers)
    done = await merge(store, whole())  # whose actions have other ids, as they have at each reading of the file
    assert done.total == 0
    assert (await changes(store), await living(store, tables.flows), await living(store, tables.numbers)) == before


async def test_what_has_changed_is_changed_and_the_rest_left_alone(store: Store) -> None:
    await merge(store, whole())
    seen = len(await changes(store))
    other = Provider(name="carrier", hostname="192.0.2.2", tech_headers={"X-A": "2", "X-B": "1"})
    done = await merge(store, whole(providers=[other], flows=[flow("echo", {"type": "hangup"})]))
    assert (done.changed, done.added.total(), done.removed.total()) == ({"provider": 1, "flow": 1}, 0, 0)
    (provider,) = await living(store, tables.providers)
    assert provider["hostname"] == "192.0.2.2"
    assert provider["settings"]["tech_headers"] == [["X-A", "2"], ["X-B", "1"]]
    assert {row.kind for row in (await changes(store))[seen:]} == {"provider", "flow"}


async def test_what_is_declared_no_more_is_deleted_and_may_come_back(store: Store) -> None:
    await merge(store, whole())
    done = await merge(store, Declarations(source=FILE))
    assert done.removed == {"provider": 1, "route": 1, "number": 1, "flow": 1}
    assert not await living(store, tables.numbers)
    done = await merge(store, whole())
    assert done.changed == {"provider": 1, "route": 1, "number": 1, "flow": 1}  # the same rows, alive again
    (number,) = await living(store, tables.numbers)
    assert number["id"] == named_id("number", NUMBER)


async def test_what_the_api_made_becomes_the_files_and_keeps_its_id(store: Store) -> None:
    async with store.write() as transaction:
        provider = await add_provider(transaction, "carrier", hostname="192.0.2.200")
        theirs = await add_provider(transaction, "another")
        made = await add_flow(transaction, "echo")
        route = await add_route(transaction, provider["id"], target="+44", priority=1, weight=7)
        number = await add_number(transaction, NUMBER, customer_id=uuid4())
    done = await merge(store, whole())
    assert done.changed == {"provider": 1, "route": 1, "number": 1, "flow": 1}
    assert done.added.total() == 0
    (changed,) = await living(store, tables.numbers)
    assert changed["id"] == number["id"]
    assert (changed["provider_id"], changed["call_flow_id"]) == (provider["id"], made["id"])
    assert changed["declared_in"] == FILE
    assert [row["id"] for row in await living(store, tables.routes)] == [route["id"]]
    kept = {row["id"]: row for row in await living(store, tables.providers)}
    assert kept[provider["id"]]["hostname"] == "192.0.2.1"
    assert kept[theirs["id"]]["declared_in"] == ""
    assert (await merge(store, whole())).total == 0
    # The file lets go of all but its provider: nothing else of the API's is touched.
    await merge(store, Declarations(source=FILE, providers=whole().providers))
    assert {row["id"] for row in await living(store, tables.providers)} == {provider["id"], theirs["id"]}
    assert not await living(store, tables.routes)


async def test_a_new_route_to_a_provider_of_the_api_has_the_same_id_at_every_start(store: Store) -> None:
    async with store.write() as transaction:
        provider = await add_provider(transaction, "carrier")
    await merge(store, whole())
    (route,) = await living(store, tables.routes)
    assert route["id"] == route_id(UUID(int=0), "+44", provider["id"], 1)
    assert (await merge(store, whole())).total == 0


async def test_flows_that_name_one_another_by_id_find_each_other(store: Store) -> None:
    explicit = uuid4()
    async with store.write() as transaction:
        made = await add_flow(transaction, "second")
    first = flow(
        "first", {"type": "fetch_flow", "option": {"flow_id": str(explicit)}}, on_complete_flow_id=str(explicit)
    )
    flows = [first, flow("second", id=explicit)]
    await merge(store, Declarations(source=FILE, flows=flows))
    rows = {row["name"]: row for row in await living(store, tables.flows)}
    assert rows["second"]["id"] == made["id"]
    assert rows["first"]["on_complete_flow_id"] == str(made["id"])
    assert rows["first"]["actions"][0]["option"] == {"flow_id": str(made["id"])}
    assert (await merge(store, Declarations(source=FILE, flows=flows))).total == 0


async def test_a_customers_flow_of_the_same_name_stays_the_customers(store: Store) -> None:
    async with store.write() as transaction:
        made = await add_flow(transaction, "echo", customer_id=uuid4())
    await merge(store, whole())
    rows = {row["id"]: row for row in await living(store, tables.flows)}
    assert rows[made["id"]]["declared_in"] == ""
    assert len(rows) == 2


async def test_another_name_for_an_id_is_a_change(store: Store) -> None:
    fixed = uuid4()
    await merge(store, Declarations(source=FILE, providers=[Provider(id=fixed, name="old", hostname="192.0.2.1")]))
    done = await merge(
        store, Declarations(source=FILE, providers=[Provider(id=fixed, name="new", hostname="192.0.2.1")])
    )
    assert (done.changed, done.removed.total()) == ({"provider": 1}, 0)
    assert [(row["id"], row["name"]) for row in await living(store, tables.providers)] == [(fixed, "new")]


async def test_an_id_whose_row_has_found_another_name_is_not_used_twice(store: Store) -> None:
    async with store.write() as transaction:
        made = await add_provider(transaction, "a")
    file = Declarations(
        source=FILE,
        providers=[Provider(name="a", hostname="192.0.2.1"), Provider(id=made["id"], name="b", hostname="192.0.2.2")],
    )
    await merge(store, file)
    rows = {row["name"]: row["id"] for row in await living(store, tables.providers)}
    assert rows["a"] == made["id"] != rows["b"]
    assert (await merge(store, file)).total == 0


async def test_another_number_for_an_id_takes_the_old_one_out(store_url: str) -> None:
    fixed = uuid4()
    async with process(store_url) as here:
        await merge(here.store, Declarations(source=FILE, numbers=[Number(id=fixed, number=NUMBER)]))
        await here.settled()
        assert list(here.directory.numbers) == [NUMBER]
        await merge(here.store, Declarations(source=FILE, numbers=[Number(id=fixed, number="+15557654321")]))
        await here.settled()
        assert list(here.directory.numbers) == ["+15557654321"]


async def test_what_another_file_had_declared_is_counted(store: Store) -> None:
    await merge(store, whole())
    done = await merge(store, Declarations(source="/etc/other.yaml", providers=whole().providers))
    assert done.taken == {FILE: {"provider": 1}}
    # What the first file declares besides is none of the other's business.
    assert len(await living(store, tables.numbers)) == 1


async def test_a_file_that_was_moved_takes_what_it_still_declares_and_the_rest_can_be_released(store: Store) -> None:
    await merge(store, whole())
    moved = whole(flows=[flow("echo"), flow("new")], numbers=[])
    moved.source = "/srv/trunkline.yaml"
    done = await merge(store, moved)
    assert done.taken == {FILE: {"provider": 1, "route": 1, "flow": 1}}
    assert (done.added, done.removed) == ({"flow": 1}, {})
    async with store.read() as connection:
        files = await declaring_files(connection)
    assert files == {"/srv/trunkline.yaml": {"provider": 1, "route": 1, "flow": 2}, FILE: {"number": 1}}

    before = await living(store, tables.numbers)
    async with store.write() as transaction:
        assert await release(transaction, FILE) == {"number": 1}
    (number,) = await living(store, tables.numbers)
    assert dict(number) == dict(before[0]) | {"declared_in": "", "tm_update": number["tm_update"]}
    async with store.write() as transaction:
        assert not await release(transaction, FILE)
    # It is the API's: no reload of any file touches it.
    assert (await merge(store, moved)).total == 0


async def test_a_merge_that_fails_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await merge(store, whole())
    before = await living(store, tables.providers), await changes(store)

    async def fails(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(declared._Merging, "_insert", fails)
    with pytest.raises(RuntimeError):
        await merge(store, whole(providers=[Provider(name="carrier", hostname="192.0.2.2")]))
    assert (await living(store, tables.providers), await changes(store)) == before


async def test_very_many_are_one_change(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "MANY", 500)
    numbers = [Number(number=f"+1555{index:07}") for index in range(1_000)]
    async with process(store_url) as here:
        done = await merge(here.store, Declarations(source=FILE, numbers=numbers))
        assert done.added == {"number": 1_000}
        assert [row.kind for row in await changes(here.store)] == ["all"]
        await here.settled()
        assert len(here.directory.numbers) == 1_000
        assert (await merge(here.store, Declarations(source=FILE, numbers=numbers))).total == 0
        await merge(here.store, Declarations(source=FILE, numbers=numbers[:-1]))
        await until(lambda: len(here.directory.numbers) == 999)


# ---- agents, queues, conferences


def agent(name: str, **values: Any) -> dict[str, Any]:
    row = {"id": named_id("agent", name), "customer_id": PLATFORM, "name": name, "username": name, "detail": ""}
    row |= {"addresses": [], "ring_method": "ring_all", "tag_ids": [], "status": "available"}
    return row | {"password_hash": "", "permission": "customer_agent"} | values


def queue(name: str, *agents: str, **values: Any) -> dict[str, Any]:
    ids = [str(named_id("agent", one)) for one in agents]
    row = {"id": named_id("queue", name), "customer_id": PLATFORM, "name": name, "detail": "", "agent_ids": ids}
    return row | {"routing_method": "random", "tag_ids": [], "overflow_flow_id": ""} | values


def office(**changed: Any) -> Declarations:
    room = {"id": named_id("conference", "room"), "customer_id": PLATFORM, "name": "room", "announce": False}
    rooms: dict[str, Any] = {"agents": [agent("ann")], "queues": [queue("desk", "ann")], "conferences": [room]}
    return Declarations(source=FILE, **(rooms | changed))


async def test_agents_queues_and_conferences_are_there_marked_and_released(store: Store) -> None:
    done = await merge(store, office())
    assert done.added == {"agent": 1, "queue": 1, "conference": 1}
    assert (await merge(store, office())).total == 0
    found = [(await living(store, table))[0] for table in (tables.agents, tables.queues, tables.conferences)]
    assert {row["declared_in"] for row in found} == {FILE}
    assert found[1]["agent_ids"] == [str(found[0]["id"])]
    assert {row.kind for row in await changes(store)} == {"agent", "queue", "conference"}
    async with store.read() as connection:
        assert await declaring_files(connection) == {FILE: {"agent": 1, "queue": 1, "conference": 1}}
    assert (await merge(store, Declarations(source=FILE))).removed == {"agent": 1, "queue": 1, "conference": 1}
    assert not await living(store, tables.agents)
    assert (await merge(store, office())).changed == {"agent": 1, "queue": 1, "conference": 1}  # they are back
    async with store.write() as transaction:
        assert await release(transaction, FILE) == {"agent": 1, "queue": 1, "conference": 1}


async def test_what_an_agent_says_of_itself_and_its_password_outlive_a_reload(store: Store) -> None:
    await merge(store, office())
    (before,) = await living(store, tables.agents)
    async with store.write() as transaction:
        values = {"status": "away", "password_hash": "x"}
        await transaction.execute(sa.update(tables.agents).where(tables.agents.c.id == before["id"]).values(values))
    assert (await merge(store, office())).total == 0
    await merge(store, office(agents=[agent("ann", detail="desk 4"), agent("bob")]))
    ann, bob = await living(store, tables.agents)
    assert (ann["status"], ann["password_hash"], ann["detail"]) == ("away", "x", "desk 4")
    assert bob["status"] == "available"
    await merge(store, office(agents=[]))
    await merge(store, office())  # who comes back is somebody new
    (ann,) = await living(store, tables.agents)
    assert (ann["status"], ann["password_hash"]) == ("available", "")


async def test_an_agent_of_the_platform_becomes_the_files_and_queues_ring_it(store: Store) -> None:
    theirs = agent("ann", id=uuid4(), status="busy", password_hash="x")
    async with store.write() as transaction:
        times = {"tm_create": transaction.now, "tm_update": transaction.now}
        await transaction.execute(sa.insert(tables.agents), theirs | times)
    assert (await merge(store, office())).changed == {"agent": 1}
    (ann,) = await living(store, tables.agents)
    (desk,) = await living(store, tables.queues)
    assert (ann["id"], ann["status"], ann["password_hash"]) == (theirs["id"], "busy", "x")
    assert desk["agent_ids"] == [str(theirs["id"])]
    assert (await merge(store, office())).total == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"permission": "project_super_admin"},
            "that user exists, and may do more than an agent (project_super_admin)",
        ),
        ({"customer_id": UUID(int=9)}, "another customer has a user of that name"),
    ],
)
async def test_nobody_who_may_do_more_is_taken_into_a_file(store: Store, values: Any, said: str) -> None:
    """Or a line in the file would delete the last admin, and another customer's user see the platform."""
    async with store.write() as transaction:
        times = {"tm_create": transaction.now, "tm_update": transaction.now}
        await transaction.execute(sa.insert(tables.agents), agent("ann", id=uuid4()) | values | times)
    with pytest.raises(StoreError) as refused:
        await merge(store, office())
    assert said in str(refused.value) and "'ann' cannot be declared" in str(refused.value)
    assert not await living(store, tables.queues)


async def test_a_queue_overflows_to_the_flow_that_the_store_has(store: Store) -> None:
    async with store.write() as transaction:
        row = flow("night", id=uuid4())
        await transaction.execute(
            sa.insert(tables.flows), row | {"tm_create": transaction.now, "tm_update": transaction.now}
        )
    overflow = str(named_id("flow", "night"))
    await merge(store, office(flows=[flow("night")], queues=[queue("desk", "ann", overflow_flow_id=overflow)]))
    (desk,) = await living(store, tables.queues)
    assert desk["overflow_flow_id"] == str(row["id"])


# ---- extensions


def extension(name: str, **values: Any) -> dict[str, Any]:
    row = {"id": named_id("extension", name), "customer_id": NIL, "name": name, "detail": "", "realm": "trunkline"}
    row |= {"ha1": '{"md5":"0123"}', "display_name": "", "caller_id": "", "caller_ids": [], "max_calls": 4}
    return row | {"max_contacts": 10, "call_flow_id": NIL, "mailbox": "", "status": "active"} | values


async def test_extensions_are_merged_loaded_and_followed(store_url: str) -> None:
    flow = {"id": uuid4(), "customer_id": NIL, "name": "away", "detail": "", "actions": [], "on_complete_flow_id": ""}
    async with process(store_url) as here:
        rows = [extension("alice", call_flow_id=flow["id"], caller_ids=["+15551234567"]), extension("x" * 200)]
        declared = Declarations(source=FILE, extensions=rows, flows=[flow | {"media": ""}])
        assert (await merge(here.store, declared)).added == {"extension": 2, "flow": 1}
        assert (await merge(here.store, declared)).total == 0
        await here.settled()
        alice = here.directory.extension("alice")
        assert alice is not None
        assert (alice.id, alice.realm, dict(alice.ha1)) == (rows[0]["id"], "trunkline", {"md5": "0123"})
        assert (alice.caller_ids, alice.call_flow_id) == ({"+15551234567"}, flow["id"])
        renamed = extension("alicia", id=rows[0]["id"])
        done = await merge(here.store, Declarations(source=FILE, extensions=[renamed]))
        assert (done.changed["extension"], done.removed["extension"]) == (1, 1)
        await here.settled()
        assert {name: row.id for name, row in here.directory.extensions.by_name.items()} == {"alicia": renamed["id"]}
        keys = {row.key for row in await changes(here.store) if row.kind == "extension"}
        assert keys == {"alice", "alicia", "x" * 64}


async def test_an_extension_of_the_api_becomes_the_files_but_not_another_customers(store: Store) -> None:
    theirs = extension("alice", id=uuid4(), customer_id=uuid4())
    ours = extension("bob", id=uuid4(), customer_id=PLATFORM, ha1='{"md5":"4567"}')
    async with store.write() as transaction:
        times = {"tm_create": transaction.now, "tm_update": transaction.now}
        await transaction.execute(sa.insert(tables.extensions), [theirs | times, ours | times])
    with pytest.raises(StoreError, match="the extension 'alice' cannot be declared: another customer has one"):
        await merge(store, Declarations(source=FILE, extensions=[extension("alice")]))
    assert (await merge(store, Declarations(source=FILE, extensions=[extension("bob")]))).changed == {"extension": 1}
    found = {row["name"]: row for row in await living(store, tables.extensions)}
    assert (found["bob"]["id"], found["bob"]["ha1"]) == (ours["id"], '{"md5":"0123"}')
    assert found["alice"]["declared_in"] == ""
