"""Text messages that cost: no text without money, and each is paid once, when a provider has taken it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from flows.messages.outbox import CUSTOMER_BURST
from routing.identifiers import NIL
from store.database import tables
from tests.api.exchange import ELSEWHERE, FOREIGN, MINE, exchange, order
from tests.service.test_messages import Texts

Run = Callable[..., None]
ONE, TWO, GUEST = "127.0.0.21", "127.0.0.22", "127.0.0.12"
PATH = "/v1.0/messages"


def text(*destinations: Any, **more: Any) -> dict[str, Any]:
    return order(*destinations) | {"text": "x"} | more


async def priced(bench: Any, *statuses: int, rates: tuple[int, ...] = (100, 40), **sections: Any) -> tuple[Any, ...]:
    """An exchange with as many carriers as statuses, whose routes ask so much a text; calls are free."""
    carriers = [Texts(await bench.phone(host), status) for host, status in zip((ONE, TWO), statuses, strict=False)]
    whole = bench.providers(*(carrier.phone for carrier in carriers))
    for route, rate in zip(whole["routes"], rates, strict=False):
        route["message_rate"] = rate
    return await exchange(bench, **(whole | sections)), *carriers


async def money(x: Any, bench: Any, customer_id: UUID) -> tuple[int, int, list[tuple[str, int]]]:
    """Balance, what is reserved, and what the ledger has beside the top-up; once all is settled."""
    post = x.node.flows.messages
    await bench.until(lambda: not post.waiting, "the end of sending")
    await x.node.flows.calls.accounts.charging.writer.flush()
    async with x.store.read() as connection:
        accounts, ledger = tables.billing_accounts, tables.ledger
        query = sa.select(accounts).where(accounts.c.customer_id == customer_id)
        account = (await connection.execute(query)).mappings().one()
        rows = sa.select(ledger.c.kind, ledger.c.amount).where(ledger.c.account_id == account["id"])
        entries = [(row.kind, row.amount) for row in await connection.execute(rows.where(ledger.c.kind != "top_up"))]
    return account["balance"], account["reserved"], entries


@pytest.mark.parametrize("destinations", [1, 3, 100])
def test_what_the_account_cannot_pay_is_402_and_nothing_is_sent(run: Run, destinations: int) -> None:
    async def test(bench: Any) -> None:
        x, carrier = await priced(bench, 200)
        poor = await x.manager(balance=100 * destinations - 1)
        error = await poor.post(PATH, text(*[f"+4416329600{n:02}" for n in range(destinations)]), 402)
        assert (error["reason"], error["status"]) == ("INSUFFICIENT_BALANCE", "PAYMENT_REQUIRED")
        assert str(100 * destinations) in error["message"]
        balance, reserved, entries = await money(x, bench, poor.customer_id)
        assert (balance, reserved, entries, carrier.got) == (100 * destinations - 1, 0, [], [])

    run(test)


def test_a_text_is_paid_when_a_provider_has_taken_it(run: Run) -> None:
    async def test(bench: Any) -> None:
        x, carrier = await priced(bench, 202)
        rich = await x.manager(balance=250)
        await rich.post(PATH, text(FOREIGN, ELSEWHERE))
        assert await money(x, bench, rich.customer_id) == (50, 0, [("message", -100), ("message", -100)])
        assert len(carrier.got) == 2
        entries = (await rich.get("/v1.0/billing_accounts"))["result"]
        assert entries[0]["balance"] == 50
        await rich.post(PATH, text(), 402)

    run(test)


@pytest.mark.parametrize(("statuses", "cost"), [((503, 200), 40), ((403, 503), 0), ((486, 200), 0), ((200, 200), 100)])
def test_failover_is_paid_once_and_refusals_are_free(run: Run, statuses: tuple[int, int], cost: int) -> None:
    async def test(bench: Any) -> None:
        x, *_ = await priced(bench, *statuses)
        manager = await x.manager(balance=1_000)
        await manager.post(PATH, text())
        balance, reserved, entries = await money(x, bench, manager.customer_id)
        assert (balance, reserved) == (1_000 - cost, 0)
        assert entries == ([("message", -cost)] if cost else [])

    run(test)


def test_what_is_not_taken_in_the_end_is_given_back(run: Run) -> None:
    """The credit is there when the order comes, and the account is emptied by texts that are sent at the same time."""

    async def test(bench: Any) -> None:
        x, carrier = await priced(bench, 200)
        manager = await x.manager(balance=500)
        post = x.node.flows.messages
        made = [await manager.post(PATH, text(*[f"+4416329601{n:02}" for n in range(5)])) for _ in range(1)]
        await bench.until(lambda: not post.waiting, "the end of sending")
        assert len(made[0]["targets"]) == 5
        assert (await money(x, bench, manager.customer_id))[0] == 0
        # A flow's text asks nobody at the API first.
        from flows.calls.address import Address
        from flows.messages.model import MessageRequest

        source = Address(type="tel", target=MINE)
        sent = await post.send(
            MessageRequest(
                customer_id=manager.customer_id,
                source=source,
                destinations=[Address(type="tel", target=FOREIGN)],
                text="x",
            )
        )
        await sent.over.wait()
        target = sent.targets[0]
        assert (target.status, target.sip_status) == ("failed", 402)
        assert target.attempts[0]["skipped"] == "insufficient_balance"
        assert len(carrier.got) == 5

    run(test)


def test_a_flow_that_forwards_pays_and_a_guest_cannot_make_it_send_without(run: Run) -> None:
    async def test(bench: Any) -> None:
        x, carrier = await priced(bench, 200)
        manager = await x.manager("", balance=150)
        actions = [
            {"type": "message_send", "option": {"text": "x", "destinations": [{"type": "tel", "target": FOREIGN}]}}
        ]
        flow = await manager.post("/v1.0/flows", {"name": "on", "actions": actions})
        await x.number(manager.customer_id, message_flow_id=UUID(flow["id"]))
        await x.services.settled()
        guest = Texts(await bench.phone(GUEST))
        for _ in range(4):
            assert (await guest.send(x.engine.address, MINE, "hello", from_="ann")).status == 200
        await bench.until(lambda: not x.node.agent.messages.tasks, "the flows")
        assert await money(x, bench, manager.customer_id) == (50, 0, [("message", -100)])
        assert len(carrier.got) == 1

    run(test)


@pytest.mark.parametrize("form", ["tel", "sip"])
def test_countries_and_standing_hold_for_texts(run: Run, form: str) -> None:
    async def test(bench: Any) -> None:
        x, carrier = await priced(bench, 200)
        manager = await x.manager(balance=1_000)
        await x.root.put(f"/v1.0/customers/{manager.customer_id}", {"destination_countries": ["GB"]})
        target = FOREIGN if form == "tel" else f"sip:{FOREIGN}@{x.engine.address}"
        body = text() | {"destinations": [{"type": form, "target": target}]}
        assert (await manager.post(PATH, body, 403))["reason"] == "DESTINATION_NOT_ALLOWED"
        await x.root.put(f"/v1.0/customers/{manager.customer_id}", {"destination_countries": [], "suspended": True})
        assert (await manager.post(PATH, body, 403))["reason"] == "CUSTOMER_SUSPENDED"
        assert await money(x, bench, manager.customer_id) == (1_000, 0, [])
        assert carrier.got == []

    run(test)


def test_a_customer_sends_so_many_and_no_more(run: Run) -> None:
    async def test(bench: Any) -> None:
        x, *_ = await priced(bench, 200, rates=(0,))
        manager, other = await x.manager(), await x.manager("+15550005555")
        x.node.flows.calls.clock = lambda: 1_000.0
        many = [f"+4416329602{n:02}" for n in range(100)]
        for _ in range(CUSTOMER_BURST // 100):
            await manager.post(PATH, text(*many))
        error = await manager.post(PATH, text(), 429)
        assert error["reason"] == "RATE_LIMIT_EXCEEDED"
        await other.post(PATH, text() | {"source": {"type": "tel", "target": "+15550005555"}})

    run(test)


def test_the_platforms_texts_are_free_as_its_calls_are(run: Run) -> None:
    async def test(bench: Any) -> None:
        x, carrier = await priced(bench, 200)
        from flows.calls.address import Address
        from flows.messages.model import MessageRequest

        source = Address(type="tel", target=MINE)
        sent = await x.node.flows.messages.send(
            MessageRequest(customer_id=NIL, source=source, destinations=[Address(type="tel", target=FOREIGN)], text="x")
        )
        await sent.over.wait()
        assert (sent.targets[0].status, len(carrier.got)) == ("delivered", 1)

    run(test)


def test_routes_have_a_price_for_texts(run: Run) -> None:
    async def test(bench: Any) -> None:
        x, *_ = await priced(bench, 200)
        (route,) = [row for row in (await x.root.get("/v1.0/routes"))["result"] if row["message_rate"]]
        assert route["message_rate"] == 100
        provider = route["provider_id"]
        made = await x.root.post("/v1.0/routes", {"target": "+44", "provider_id": provider, "message_rate": 7})
        assert (made["message_rate"], made["rate"]) == (7, 0)
        changed = await x.root.put(f"/v1.0/routes/{made['id']}", {"message_rate": 8})
        assert changed["message_rate"] == 8
        for wrong in (-1, 10**13, "7", None):
            body = {"target": "+45", "provider_id": provider, "message_rate": wrong}
            await x.root.post("/v1.0/routes", body, 400)
        found = await x.root.get("/v1.0/routes/explain", destination="+441632960000")
        assert found["entries"][0]["message_rate"] == 8

    run(test)
