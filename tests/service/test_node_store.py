"""A node on its store: what is in it can be called, by this node and by every other, and outlives a restart."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from flows.calls.address import Address
from flows.origination.call import originate
from routing.directory.directory import Directory
from routing.directory.number_source import NumberUnavailable
from routing.identifiers import named_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from store import rows
from store.database import tables
from store.directory.mapping import number_row, provider_row, route_row

Run = Callable[..., None]
CLIENT, GUEST, ONE, TWO = "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22"
OURS, ECHO, FOREIGN, NEW = "+15551234567", "+899100000001", "+821012345678", "+15557654321"
BUSY = {"name": "busy", "actions": [{"type": "reject", "option": {"code": 486}}]}


def busy_row() -> dict[str, Any]:
    actions = [{"id": str(uuid4()), "next_id": "", "type": "reject", "option": {"code": 486}}]
    return {"id": uuid4(), "name": "busy", "actions": actions}


async def make_number(node: Any, number: str, flow: dict[str, Any] | None = None, **values: Any) -> None:
    """What the API does: a flow and a number that runs it."""
    async with node.storage.store.write() as transaction:
        made = await rows.insert(transaction, tables.flows, flow or busy_row())
        transaction.changed("flow", made["id"])
        values = {"call_flow_id": made["id"], "id": uuid4()} | values
        row = await rows.insert(transaction, tables.numbers, number_row(Number(number=number, **values)))
        transaction.changed("number", row["id"], number)
    await node.storage.feed.settled()


async def living(node: Any, table: sa.Table) -> list[Any]:
    async with node.storage.store.read() as connection:
        return list((await connection.execute(sa.select(table).where(table.c.tm_delete.is_(None)))).mappings())


def test_what_the_file_declares_is_in_the_store_and_can_be_called(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        one, client, guest = await bench.phone(ONE), await bench.phone(CLIENT), await bench.phone(GUEST)
        engine = await bench.engine(store=store_url, **bench.providers(one))
        assert (await guest.call(engine.address, OURS))[1].kind == "answered"
        assert (await client.call(engine.address, FOREIGN))[1].kind == "answered"
        (provider,) = await living(engine.node, tables.providers)
        assert provider["declared_in"] == str(engine.path.absolute())
        assert {row["number"] for row in await living(engine.node, tables.numbers)} == {OURS, ECHO}
        (line,) = bench.log.named("store")
        assert line["at"].partition("://")[0] == store_url.partition("://")[0]
        for phone in (client, guest):
            for leg in list(phone.agent.calls):
                leg.hangup()
        await engine.quiet()

    run(test)


def test_what_was_made_while_it_ran_is_there_after_a_restart(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        first = await bench.engine(store=store_url)
        await make_number(first.node, NEW)
        assert (await guest.call(first.address, NEW))[1].status == 486
        await first.node.close()
        second = await bench.engine(store=store_url)
        assert (await guest.call(second.address, NEW))[1].status == 486
        assert len(await living(second.node, tables.numbers)) == 3
        # Nothing that the file declares was written again.
        assert bench.log.named("store")[-1]["declared"] == 0

    run(test)


def test_a_call_that_follows_a_commit_finds_what_was_committed(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, 486), await bench.phone(CLIENT)
        engine = await bench.engine(store=store_url)
        assert (await client.call(engine.address, FOREIGN))[1].status == 480  # there is no provider
        async with engine.node.storage.store.write() as transaction:
            provider = Provider(id=uuid4(), name="late", hostname=one.address)
            await rows.insert(transaction, tables.providers, provider_row(provider))
            route = await rows.insert(transaction, tables.routes, route_row(Route(provider_id=provider.id)))
            transaction.changed("provider", provider.id)
            transaction.changed("route", route["id"])
        await engine.node.storage.feed.settled()
        assert (await client.call(engine.address, FOREIGN))[1].status == 486
        assert engine.node.directory.provider_at(ONE) is not None

    run(test)


@pytest.mark.long
@pytest.mark.peer
def test_two_nodes_on_one_store(run: Run, postgres_store_url: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        one = await bench.engine(store=postgres_store_url, node_name="one")
        two = await bench.engine(store=postgres_store_url, node_name="two")
        await make_number(one.node, NEW)
        await bench.until(lambda: two.node.directory.number(NEW))
        assert (await guest.call(two.address, NEW))[1].status == 486
        async with one.node.storage.store.read() as connection:
            names = (await connection.execute(sa.select(tables.nodes.c.name))).scalars().all()
        assert sorted(names) == ["one", "two"]
        assert one.node.storage.life.id != two.node.storage.life.id

    run(test)


def test_a_store_in_memory_for_an_api_and_none_at_all_without(run: Run) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        with_api = await bench.engine(store=":memory:", api={"listen": "127.0.0.1:0"})
        assert with_api.node.storage.store.url == ":memory:"
        await make_number(with_api.node, NEW)
        assert (await guest.call(with_api.address, NEW))[1].status == 486
        without = await bench.engine(store=":memory:", api={"listen": ""})
        assert without.node.storage is None
        assert without.node.directory.limit == 0

    run(test)


def test_a_flow_that_is_in_order_no_more_is_said_and_left_out(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=store_url)
        broken = busy_row() | {"name": "broken", "actions": [{"type": "dance"}]}
        await make_number(engine.node, NEW, flow=broken)
        line = await bench.log.wait("a flow of the store cannot be used: correct or delete it")
        assert (line["id"], line["name"]) == (str(broken["id"]), "broken")
        guest = await bench.phone(GUEST)
        assert (await guest.call(engine.address, NEW))[1].status == 480
        assert (await guest.call(engine.address, OURS))[1].kind == "answered"
        guest.agent.calls and next(iter(guest.agent.calls)).hangup()
        await engine.quiet()

    run(test)


# ---- the file again


def served(bench: Any, store_url: str) -> Any:
    bench.patch.setenv("TRUNKLINE_STORE", store_url)
    return partial(bench.serve, store=store_url)


def test_a_reload_changes_what_the_file_declares_and_nothing_else(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE), await bench.phone(TWO)
        client, guest = await bench.phone(CLIENT), await bench.phone(GUEST)
        engine = await served(bench, store_url)(**bench.providers(one))
        await make_number(engine.node, NEW)
        bridged, outcome = await client.call(engine.address, FOREIGN)
        assert outcome.kind == "answered"

        changed = bench.document(
            store=store_url, numbers=[{"number": ECHO, "call_flow": "busy"}], flows=[BUSY], **bench.providers(two)
        )
        assert (await engine.reload(changed))["event"] == "reloaded"
        assert not bridged.ended
        assert (await guest.call(engine.address, OURS))[1].status == 403  # it is a foreign number now
        assert (await guest.call(engine.address, ECHO))[1].status == 486
        assert (await guest.call(engine.address, NEW))[1].status == 486  # nobody has declared it, and it stays
        other, outcome = await client.call(engine.address, FOREIGN)
        assert (outcome.kind, len(one.calls), len(two.calls)) == ("answered", 1, 1)
        for leg in (bridged, other):
            leg.hangup()
            await leg.wait_ended()
        await engine.quiet()

    run(test)


def test_a_reload_with_a_fault_changes_nothing_in_the_store(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        engine = await served(bench, store_url)(flows=[BUSY], numbers=[{"number": OURS, "call_flow": "busy"}])
        line = await engine.reload("numbers:\n  - {number: '+15551234567', call_flow: nowhere}\n")
        assert line["event"] == "reload: nothing has changed"
        assert (await guest.call(engine.address, OURS))[1].status == 486
        assert len(await living(engine.node, tables.numbers)) == 1

    run(test)


@pytest.mark.peer
def test_a_reload_while_the_store_is_away_changes_nothing_and_says_so(
    run: Run, postgres_url: str, postgres_server: Any
) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        engine = await served(bench, postgres_url)(flows=[BUSY], numbers=[{"number": OURS, "call_flow": "busy"}])
        postgres_server.stop()
        line = await engine.reload(bench.document(store=postgres_url, numbers=[]))
        assert line["event"] == "reload: nothing has changed"
        assert line["fault"].startswith("store ")
        assert "exception" not in line
        assert (await guest.call(engine.address, OURS))[1].status == 486  # calls go on without it
        postgres_server.start()
        assert (await engine.reload(bench.document(store=postgres_url, numbers=[])))["event"] == "reloaded"
        assert (await guest.call(engine.address, OURS))[1].status == 403

    run(test)


MODULE = """
from flows.python import flow

@flow("py")
async def py(call):
    call.reject({code})
"""


def test_flows_in_python_beside_those_of_the_store(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        module = bench.path.parent / "ours.py"
        module.write_text(MODULE.format(code=486))
        more: dict[str, Any] = {"numbers": [{"number": OURS, "call_flow": "py"}], "flows_module": "ours.py"}
        engine = await served(bench, store_url)(**more)
        assert (await guest.call(engine.address, OURS))[1].status == 486
        assert [row["name"] for row in await living(engine.node, tables.flows)] == ["echo"]
        module.write_text(MODULE.format(code=603) + "# longer, so that no cache takes it for the old one\n")
        assert (await engine.reload(bench.document(store=store_url, **more)))["event"] == "reloaded"
        assert (await guest.call(engine.address, OURS))[1].status == 603
        # Both are still there when everything is read again.
        engine.node.storage.feed.start_over()
        await bench.until(lambda: engine.node.storage.feed.resynchronisations)
        assert (await guest.call(engine.address, OURS))[1].status == 603
        assert engine.node.library.find(named_id("flow", "echo")) is not None

    run(test)


def test_the_store_is_closed_after_the_calls(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        engine = await served(bench, store_url)(sip={"drain_timeout": 0.2})
        leg, _ = await guest.call(engine.address, OURS)
        engine.signal(signal.SIGTERM)
        await bench.until(lambda: engine.node.draining)
        await leg.wait_ended()  # at the end of the drain
        assert await engine.code() == 0
        assert not [line for line in bench.log.events if line["level"] == "error"]

    run(test)


# ---- numbers that are not in memory


async def crowded(bench: Any, store_url: str, **sections: Any) -> Any:
    """An engine whose memory holds two numbers of many."""
    bench.patch.setattr("service.node.Directory", lambda limit=2: Directory(2))
    numbers = [{"number": f"+1555000{index:04}", "call_flow": "echo"} for index in range(20)]
    engine = await bench.engine(store=store_url, numbers=numbers, **sections)
    assert not engine.node.directory.complete
    return engine


def absent(engine: Any) -> str:
    return next(number for index in range(20) if (number := f"+1555000{index:04}") not in engine.node.directory.numbers)


def test_a_number_that_is_not_in_memory_is_fetched_and_called(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        engine = await crowded(bench, store_url)
        for _ in range(3):
            number = absent(engine)
            leg, outcome = await guest.call(engine.address, number.removeprefix("+"))
            assert outcome.kind == "answered"
            assert engine.record.number == number
            leg.hangup()
            await leg.wait_ended()
        assert len(engine.node.directory.numbers) <= 3
        assert (await guest.call(engine.address, FOREIGN))[1].status == 403
        await engine.quiet()

    run(test)


def test_a_flow_and_a_call_of_our_own_reach_a_number_that_is_not_in_memory(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        client, one = await bench.phone(CLIENT), await bench.phone(ONE, 486)
        target = "+15550000019"
        connect = {"type": "connect", "option": {"destinations": [{"type": "tel", "target": target}]}}
        flows = [
            {"name": "echo", "actions": [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]},
            {"name": "on", "actions": [connect]},
        ]
        engine = await crowded(bench, store_url, flows=flows, **bench.providers(one))
        await make_number(engine.node, NEW, flow=None, call_flow_id=named_id("flow", "on"))
        engine.node.directory.remove_number(target)
        leg, outcome = await client.call(engine.address, NEW)
        assert outcome.kind == "answered"
        leg.hangup()
        await engine.quiet()
        number = absent(engine)
        record, task = originate(engine.node.flows, Address(type="tel", target=number))
        await task
        assert record.answered_ms is not None
        assert not one.calls  # a number of ours is never sent to a provider
        await engine.quiet()

    run(test)


def test_while_the_store_cannot_be_asked_such_a_call_is_to_come_again(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        engine = await crowded(bench, store_url)

        async def fails(number: str) -> None:
            raise NumberUnavailable("the store is away")

        engine.node.flows.calls.fetch_number = fails
        outcome = (await guest.call(engine.address, absent(engine)))[1]
        assert (outcome.status, guest.final().get("Retry-After")) == (503, "2")
        there = next(number for number in engine.node.directory.numbers)
        leg, outcome = await guest.call(engine.address, there)
        assert outcome.kind == "answered", (outcome, bench.log.text)
        leg.hangup()
        await engine.quiet()

    run(test)


def test_a_caller_that_gives_up_while_its_number_is_fetched_leaves_nothing(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(CLIENT)  # a stranger is told to wait only when its call begins
        engine = await crowded(bench, store_url)
        asked = asyncio.Event()

        async def never(number: str) -> None:
            asked.set()
            await asyncio.Event().wait()

        engine.node.flows.calls.fetch_number = never
        leg = guest.dial(engine.address, absent(engine))
        await asked.wait()
        await bench.until(lambda: guest.heard["100"])
        leg.cancel()
        assert (await leg.outcome()).kind == "cancelled"
        await bench.until(lambda: guest.heard["487"])
        await engine.quiet()

    run(test)


def test_ids_are_those_of_the_file_at_every_start(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(store=store_url)
        found = {row["number"]: row["id"] for row in await living(engine.node, tables.numbers)}
        assert found == {number: named_id("number", number) for number in (OURS, ECHO)}
        assert all(isinstance(identifier, UUID) for identifier in found.values())

    run(test)


@pytest.mark.parametrize(
    ("away", "uri", "status"), [(False, FOREIGN, 403), (False, "+899100000077", 404), (True, "", 503)]
)
def test_a_strangers_refusal_is_stateless_also_where_its_number_is_fetched_first(
    run: Run, store_url: str, away: bool, uri: str, status: int
) -> None:
    """RFC 3261 §26.3.2.4: one answer, the same tag to the retransmission (§8.2.7), nothing to the CANCEL."""

    async def test(bench: Any) -> None:
        engine = await crowded(bench, store_url)
        wire = await bench.wire(GUEST)
        if away:

            async def fails(number: str) -> None:
                raise NumberUnavailable("the store is away")

            engine.node.flows.calls.fetch_number = fails
        request = wire.request(uri=f"sip:{uri or absent(engine)}@127.0.0.1")
        answers = [await wire.answer(request, engine.address) for _ in range(3)]
        assert {(answer.status, answer.to_tag) for answer in answers} == {(status, answers[0].to_tag)}
        wire.send(request.replace(b"INVITE", b"CANCEL"), engine.address)
        assert await engine.alive(wire) == 200  # what came before has been seen
        assert not [data for data in wire.heard if b" CANCEL\r\n" in data or data.startswith(b"SIP/2.0 1")]
        endpoint = engine.node.agent.endpoint
        assert not endpoint.transactions.servers
        assert not endpoint.sessions
        assert len(engine.log.named("call refused")) == 1
        assert sum(engine.node.agent.refusals.counts.values()) == 1

    run(test)
