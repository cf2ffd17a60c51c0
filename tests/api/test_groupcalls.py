"""Groupcalls through the API: who answers first has it, the status is stored, and it can be hung up."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from store.database import tables
from tests.api.exchange import ELSEWHERE, FOREIGN, MINE, NIL, TALK, exchange, followed, order
from tests.service.conftest import ONE

Run = Callable[..., None]
PATH = "/v1.0/groupcalls"


async def in_store(x: Any, status: str) -> None:
    """Waits until the store says so, which is what other nodes see."""
    for _ in range(2_000):
        async with x.store.read() as connection:
            found = (await connection.execute(sa.select(tables.groupcalls.c.status))).scalar_one()
        if found == status:
            return
    raise AssertionError(f"{found} and not {status}")


async def only_foreign(call: Any) -> None:
    call.ringing()
    if FOREIGN in call.invite.uri_text:
        call.answer()
    await call.wait_ended()


def test_the_first_that_answers_has_it(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE, only_foreign), store=store_url)
        manager, other = await x.manager(), await x.manager("")
        body = order(ELSEWHERE, FOREIGN, actions=TALK, metadata={"team": "sales"})
        made = await manager.post(PATH, body)
        path = f"{PATH}/{made['id']}"
        assert made == {
            "id": made["id"],
            "customer_id": str(manager.customer_id),
            "status": "dialing",
            "source": {"type": "tel", "target": MINE, "target_name": ""},
            "destinations": [{"type": "tel", "target": target, "target_name": ""} for target in (ELSEWHERE, FOREIGN)],
            "ring_method": "ring_all",
            "flow_id": made["flow_id"],
            "answer_call_id": NIL,
            "call_ids": made["call_ids"],
            "tm_create": made["tm_create"],
            "tm_update": made["tm_create"],
            "tm_delete": None,
        }
        slow, quick = made["call_ids"]
        await in_store(x, "progressing")
        talking = await manager.get(path)
        assert (talking["status"], talking["answer_call_id"]) == ("progressing", quick)
        lost = await followed(manager, slow)
        assert (lost["hangup_reason"], lost["groupcall_id"], lost["metadata"]) == (
            "cancel",
            made["id"],
            {"team": "sales"},
        )
        await x.written(bench)
        assert {call["id"] for call in (await manager.get("/v1.0/calls", groupcall_id=made["id"]))["result"]} == {
            slow,
            quick,
        }
        for error in (await other.get(path, 404), await other.post(f"{path}/hangup", status=404)):
            assert error["reason"] == "GROUPCALL_NOT_FOUND"
        assert (await other.get(PATH))["result"] == []
        await manager.post(f"{path}/hangup", status=200)
        assert (await followed(manager, quick))["hangup_reason"] == "normal"
        await in_store(x, "hangup")
        over = await manager.get(path)
        assert (over["status"], over["answer_call_id"]) == ("hangup", quick)
        assert over["tm_update"] > over["tm_create"]
        assert await manager.get(PATH) == {"result": [over], "next_page_token": ""}
        assert (await manager.post(f"{path}/hangup", status=409))["reason"] == "GROUPCALL_ALREADY_HANGUP"
        await bench.until(
            lambda: not x.services.groupcalls and not x.node.flows.calls.tasks, "the end of the groupcall"
        )

    run(test)


def test_one_after_another(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE, 486)
        x = await exchange(bench, one)
        manager = await x.manager()
        made = await manager.post(PATH, order(FOREIGN, ELSEWHERE, ring_method="linear"))
        for call_id in made["call_ids"]:
            assert (await followed(manager, call_id))["hangup_reason"] == "busy"
        assert [invite.uri.user for invite in one.invites] == [FOREIGN, ELSEWHERE]
        await in_store(x, "hangup")
        assert (await manager.get(f"{PATH}/{made['id']}"))["answer_call_id"] == NIL
        assert len((await manager.ask("GET", f"{PATH}?status=hangup", 200))["result"]) == 1
        assert (await manager.ask("GET", f"{PATH}?status=dialing", 200))["result"] == []

    run(test)


def test_what_was_not_dialled_yet_is_hung_up_too(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE, "ring")
        x = await exchange(bench, one)
        manager = await x.manager()
        made = await manager.post(PATH, order(FOREIGN, ELSEWHERE, ring_method="linear"))
        first, second = made["call_ids"]
        await followed(manager, first, "ringing")
        assert (await manager.get(f"/v1.0/calls/{second}"))["status"] == "dialing"
        await manager.post(f"{PATH}/{made['id']}/hangup", status=200)
        for call_id in (first, second):
            assert (await followed(manager, call_id))["hangup_reason"] == "cancel"
        await in_store(x, "hangup")
        assert len(one.calls) == 1

    run(test)


def test_it_is_written_when_the_store_takes_it_again(run: Run) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE, "ring"))
        manager = await x.manager()
        made = await manager.post(PATH, order())
        await followed(manager, made["call_ids"][0], "ringing")
        bench.patch.setattr("api.resources.calls.groupcalls.FIRST_RETRY", 0.01)
        write, failures = x.store.write, []

        def broken() -> Any:
            if len(failures) < 3:
                failures.append(True)
                raise sa.exc.OperationalError("UPDATE", {}, Exception("locked"))
            return write()

        bench.patch.setattr(type(x.store), "write", lambda store: broken())
        await manager.post(f"{PATH}/{made['id']}/hangup", status=200)
        await in_store(x, "hangup")
        assert len(failures) == 3

    run(test)


def test_the_end_of_the_engine_is_the_end_of_its_groupcalls(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        x = await exchange(bench, await bench.phone(ONE, "ring"), store=store_url)
        manager = await x.manager()
        made = await manager.post(PATH, order())
        await followed(manager, made["call_ids"][0], "ringing")
        await x.node.flows.close()
        await in_store(x, "hangup")

    run(test)
