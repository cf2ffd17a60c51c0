"""Phones that log in: what is asserted of them (RFC 3325 §5), whose money their calls spend, how many they have."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from config.faults import ConfigurationError
from config.loading import load
from engine.sip.message.message import Request
from routing.directory.customers import CustomerTerms

Run = Callable[..., None]
OURS, OWN, OTHER, STRANGE, FOREIGN = "+15551234567", "+12125550001", "+12125550002", "+12025550100", "+821012345678"
CUSTOMER = UUID(int=9)
CLIENT, GUEST, ONE = "127.0.0.11", "127.0.0.12", "127.0.0.21"
CARRIES = ["P-Asserted-Identity", "Remote-Party-ID", "Diversion"]
ASSERTED = (*CARRIES, "P-Preferred-Identity", "History-Info")


FULLWIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in "12025550100")
SHOWN = (STRANGE, "555-0100", FULLWIDTH, "\u0662\u0660", "\u2461\u24ea")


def user(name: str = "alice", **more: Any) -> dict[str, Any]:
    return {"username": name, "password": "secret", **more}


async def around(bench: Any, *users: dict[str, Any], does: Any = 486, **sections: Any) -> tuple[Any, Any, Any]:
    """An engine with these users, its carrier, and a phone somewhere."""
    carrier, phone = await bench.phone(ONE, does), await bench.phone(GUEST)
    more = bench.providers(carrier, caller_id_headers=CARRIES) | sections
    return await bench.engine(sip={"users": list(users)}, **more), carrier, phone


async def call(engine: Any, phone: Any, number: str = FOREIGN, name: str = "alice", **more: Any) -> Any:
    values = {"from_": f"<sip:{name}@{GUEST}>", "username": name, "password": "secret"} | more
    return await phone.call(engine.address, number, **values)


def said(request: Request) -> str:
    """Everything that tells who calls, but the Contact, which is ours."""
    return "\n".join(f"{name}: {value}" for name in ("From", *ASSERTED) for value in request.lines(name) or [])


CLAIMS = [
    {"from_": f"<sip:{STRANGE}@h.example>"},
    {"from_": f'"{STRANGE}" <sip:alice@h.example>'},
    {"from_": f'"(202) 555-0100" <sip:{STRANGE}@h.example;user=phone>'},
    {"from_": f"<tel:{STRANGE}>"},
    {"from_": f'"{FULLWIDTH}" <sip:alice@h.example>'},
    {"from_": '"\u0662\u0660\u0662\u0665\u0665\u0665" <sip:alice@h.example>'},
    {"from_": '"\u2461\u24ea\u2461_\u00b2\u2075\u2075" <sip:alice@h.example>'},
    {"headers": [("P-Asserted-Identity", f"<sip:{STRANGE}@h.example>")]},
    {"headers": [("P-Asserted-Identity", f"<tel:{STRANGE}>, <sip:{STRANGE}@h.example>")]},
    {"headers": [("P-Preferred-Identity", f'"x" <sip:{STRANGE}@h.example>')]},
    {"headers": [("Remote-Party-ID", f"<sip:{STRANGE}@h.example>;party=calling;screen=yes")]},
    {"headers": [("Diversion", f"<sip:{STRANGE}@h.example>;reason=unconditional")]},
    {"headers": [("History-Info", f"<sip:{STRANGE}@h.example>;index=1")]},
    {"from_": f"<sip:{STRANGE}@h.example>", "headers": [("Privacy", "id")]},
    {"from_": "<sip:anonymous@anonymous.invalid>", "headers": [("P-Asserted-Identity", f"<tel:{STRANGE}>")]},
]  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("caller_id", ["", OWN])
def test_what_a_phone_claims_is_not_what_it_is_rfc_3325_5(run: Run, claim: dict[str, Any], caller_id: str) -> None:
    async def test(bench: Any) -> None:
        engine, carrier, phone = await around(bench, user(caller_id=caller_id))
        await call(engine, phone, **claim)
        invite = carrier.invites[0]
        assert not [shown for shown in SHOWN if shown in said(invite)]
        hidden = "Privacy" in invite.first
        if not caller_id:
            assert "anonymous" in invite.get("From").lower()
            assert not [name for name in ASSERTED if name in invite.first]
        else:
            assert OWN in invite.get("P-Asserted-Identity")
            assert (OWN in invite.get("From")) is not hidden

    run(test)


@pytest.mark.parametrize(
    ("claim", "shown"),
    [
        ({"from_": f"<sip:{OTHER}@h.example>"}, OTHER),
        ({"from_": f"<sip:{OTHER[1:]}@h.example>"}, OTHER),
        ({"headers": [("P-Preferred-Identity", f"<sip:{OTHER}@h.example>")]}, OTHER),
        ({"from_": f"<sip:{OWN}@h.example>"}, OWN),
        ({"from_": f"<sip:{OURS}@h.example>"}, OWN),  # a number of ours, and none of its own
        ({}, OWN),
    ],
)
def test_a_phone_shows_one_of_its_numbers_and_its_own_is_asserted(run: Run, claim: dict[str, Any], shown: str) -> None:
    async def test(bench: Any) -> None:
        engine, carrier, phone = await around(bench, user(caller_id=OWN, caller_ids=[OTHER]))
        await call(engine, phone, **claim)
        invite = carrier.invites[0]
        assert f"sip:{shown}@" in invite.get("From")
        assert f"sip:{OWN}@" in invite.get("P-Asserted-Identity")
        assert engine.record.source == shown

    run(test)


def test_without_a_caller_id_a_provider_gets_what_its_own_settings_say(run: Run) -> None:
    async def test(bench: Any) -> None:
        carrier, phone = await bench.phone(ONE, 486), await bench.phone(GUEST)
        more = bench.providers(carrier, caller_id_headers=CARRIES, from_user="account7")
        engine = await bench.engine(sip={"users": [user()]}, **more)
        await call(engine, phone, from_=f"<sip:{STRANGE}@h.example>")
        invite = carrier.invites[0]
        assert "sip:account7@" in invite.get("From")
        assert not [name for name in ASSERTED if name in invite.first]

    run(test)


def test_a_trusted_clients_identity_is_passed_on_as_ever(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine, carrier, _ = await around(bench, user(caller_id=OWN))
        client = await bench.phone(CLIENT)
        await client.call(engine.address, FOREIGN, headers=[("P-Asserted-Identity", f"<sip:{STRANGE}@h.example>")])
        assert STRANGE in carrier.invites[0].get("P-Asserted-Identity")

    run(test)


def test_two_phones_of_one_address_are_two(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine, carrier, phone = await around(bench, user("alice", caller_id=OWN), user("bob", caller_id=OTHER))
        for name in ("alice", "bob", "alice"):
            await call(engine, phone, name=name, from_=f"<sip:{STRANGE}@h.example>")
        told = [invite.get("P-Asserted-Identity") for invite in carrier.invites]
        assert [OWN in told[0], OTHER in told[1], OWN in told[2]] == [True, True, True]

    run(test)


def test_nobody_vouches_for_a_guest(run: Run) -> None:
    """A phone that does not log in is one, and our own numbers are open to it."""

    async def test(bench: Any) -> None:
        connect = {"type": "connect", "option": {"destinations": [{"type": "tel", "target": FOREIGN}]}}
        flows = [{"name": "echo", "actions": [connect]}]
        engine, carrier, phone = await around(bench, user(caller_id=OWN), flows=flows)
        await phone.call(engine.address, OURS, from_=f"<sip:{STRANGE}@h.example>", headers=CLAIMS[7]["headers"])
        invite = carrier.invites[0]
        assert STRANGE in invite.get("From")
        assert not [name for name in ("P-Asserted-Identity", "Remote-Party-ID") if name in invite.first]

    run(test)


def test_a_phones_calls_are_its_customers(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine, carrier, phone = await around(bench, user(caller_id=OWN, customer_id=str(CUSTOMER)))
        asked: list[UUID] = []

        class Pays:
            def rated(self, customer_id: UUID) -> bool:
                asked.append(customer_id)
                return True

            async def reserve(self, customer_id: UUID, call_id: UUID, rate: int) -> None:
                asked.append(customer_id)

        engine.node.flows.calls.accounts.charging = Pays()
        for row in list(engine.node.directory.routes):
            row.rate = 60_000
        assert (await call(engine, phone))[1].status == 402
        assert asked == [CUSTOMER, CUSTOMER]
        assert engine.record.customer_id == CUSTOMER
        engine.node.directory.put_customer(CustomerTerms.of(CUSTOMER, destination_countries=["US"]))
        assert (await call(engine, phone))[1].status == 403
        assert carrier.requests == []

    run(test)


@pytest.mark.parametrize("most", [0, 1, 4])
def test_a_phone_has_so_many_calls_out_at_once(run: Run, most: int) -> None:
    async def test(bench: Any) -> None:
        limit = {} if most == 4 else {"max_calls": most}
        engine, carrier, phone = await around(bench, user(caller_id=OWN, **limit), user("bob"), does="echo")
        legs = [await call(engine, phone) for _ in range(most)]
        assert [outcome.kind for _, outcome in legs] == ["answered"] * most
        assert (await call(engine, phone))[1].status == (486 if most else 403)
        assert len(carrier.calls) == most
        line = await bench.log.wait("phone may not call out")
        assert (line["user"], line["max_calls"]) == ("alice", most)
        # Its calls to our own numbers are none out, and another phone's are another's.
        leg, outcome = await call(engine, phone, OURS)
        assert outcome.kind == "answered"
        leg.hangup()
        leg, outcome = await call(engine, phone, name="bob")
        assert outcome.kind == "answered"
        leg.hangup()
        if legs:
            legs[0][0].hangup()
            await bench.until(
                lambda: not engine.node.flows.calls.accounts.phones.running.get(("trunkline", "bob")), "bob's end"
            )
            await bench.until(
                lambda: engine.node.flows.calls.accounts.phones.running.get(("trunkline", "alice"), 0) < most, "an end"
            )
            assert (await call(engine, phone))[1].kind == "answered"

    run(test)


def test_calls_that_fail_or_are_given_up_do_not_count_on(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine, carrier, phone = await around(bench, user(max_calls=1), does="ring")
        leg = phone.dial(engine.address, FOREIGN, username="alice", password="secret")
        await carrier.incoming()
        leg.cancel()
        await engine.quiet()
        carrier.does = 503
        for _ in range(3):
            assert (await call(engine, phone))[1].status == 500
        assert engine.node.flows.calls.accounts.phones.running == {}

    run(test)


@pytest.mark.parametrize("caller_id", ["", OWN])
def test_a_phones_texts_are_its_own_too(run: Run, caller_id: str) -> None:
    async def test(bench: Any) -> None:
        users = (user(caller_id=caller_id, customer_id=str(CUSTOMER)), user("mute", max_calls=0))
        engine, carrier, phone = await around(bench, *users)

        async def text(name: str) -> int:
            from engine.dial import DialSpec, Peer

            uri = f"sip:{FOREIGN}@{engine.address}"
            spec = DialSpec(
                request_uri=uri,
                destination=f"sip:{engine.address}",
                from_=f"<sip:{STRANGE}@h.example>",
                to=f"<{uri}>",
                headers=[("P-Asserted-Identity", f"<sip:{STRANGE}@h.example>")],
                peer=Peer(username=name, password="secret"),
                no_reply_timeout=10.0,
            )
            async with asyncio.timeout(15):
                return int((await phone.agent.messages.send(spec, "x")).status)

        post, orders = engine.node.flows.messages, []
        send = post.send
        post.send = lambda order: (orders.append(order), send(order))[1]
        assert await text("alice") == 405
        [order] = orders
        assert STRANGE not in order.source.target, "what it claims does not stand in its record either"
        assert order.source.target == (caller_id or f"sip:alice@{engine.node.flows.calls.routing.from_domain}")
        message = next(found for found in carrier.requests if found.method == "MESSAGE")
        assert STRANGE not in said(message)
        assert (OWN in message.get("P-Asserted-Identity")) is bool(caller_id)
        assert await text("mute") == 403
        told = [line for line in bench.log.named("message refused") if line.get("user") == "mute"]
        assert [(line["status"], line["max_calls"]) for line in told] == [(403, 0)]
        assert carrier.heard["MESSAGE"] == 1

    run(test)


def test_the_file_is_warned_of_phones_that_show_nothing_or_another_customers_number(tmp_path: Any) -> None:
    def read(**more: Any) -> Any:
        import yaml

        path = tmp_path / "t.yaml"
        numbers = [{"number": OWN, "customer_id": str(CUSTOMER)}, {"number": OTHER}]
        providers = [{"name": "p", "hostname": "192.0.2.1"}]
        whole = {"sip": {"users": [user(**more)]}, "numbers": numbers, "providers": providers, "store": ":memory:"}
        path.write_text(yaml.safe_dump(whole))
        return load(path, environ={})

    assert any("alice has no caller_id" in line for line in read().warnings)
    assert not any("caller_id" in line for line in read(max_calls=0).warnings)
    assert not any("caller_id" in line for line in read(caller_id=OWN, customer_id=str(CUSTOMER)).warnings)
    assert not any("caller_id" in line for line in read(caller_id="+19995550001").warnings)
    for wrong in (
        {"caller_id": OWN},
        {"caller_id": "alice"},
        {"caller_id": OTHER, "caller_ids": [OWN]},
        {"max_calls": -1},
    ):
        with pytest.raises(ConfigurationError, match=r"sip\.users"):
            read(**wrong)
