"""What one call or message sets off in a whole engine ends, and the engine answers all the while (RFC 3261 §16.3)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from config.loading import load
from engine.dial import DialSpec
from flows.calls.address import Address
from flows.calls.tree import MOST_RUNS
from flows.origination.call import originate

Run = Callable[..., None]
OURS, OTHER, ECHO = "+15551234567", "+15551234568", "+899100000001"
CLIENT, GUEST, ONE = "127.0.0.11", "127.0.0.12", "127.0.0.21"
TEL = {"type": "tel", "target": OURS}


def document(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Two numbers that run the same flow, which is `loop`."""
    numbers = [{"number": number, "call_flow": "loop", **more} for number in (OURS, OTHER)]
    return {"numbers": numbers, "flows": [{"name": "loop", "actions": list(actions)}]}


def action(kind: str, **option: Any) -> dict[str, Any]:
    return {"type": kind, "option": option}


async def ends(bench: Any, engine: Any) -> None:
    """Until nothing runs any more. OPTIONS are answered meanwhile."""
    wire = await bench.wire("127.0.0.99")
    flows = engine.node.flows

    def idle() -> bool:
        post = flows.messages
        return not (engine.node.agent.calls or len(flows.calls.tasks) or post.waiting or post.processing)

    while not idle():
        assert await engine.alive(wire) == 200
        await asyncio.sleep(0)


@pytest.mark.parametrize("form", ["tel", "sip", "sip by maddr"])
@pytest.mark.parametrize("method", ["ring_all", "linear"])
def test_a_number_that_rings_itself_and_another_of_the_same_flow(run: Run, form: str, method: str) -> None:
    async def test(bench: Any) -> None:
        listen = {"listen": ["udp://127.0.0.1:0"]}
        guest = await bench.phone(GUEST)
        engine = await bench.engine(sip=listen, **document(action("connect", destinations=[TEL])))
        port = engine.address.rpartition(":")[2]
        host = engine.address if form == "sip" else f"h.example:{port};maddr=127.0.0.1"
        targets = [
            {"type": "tel", "target": number} if form == "tel" else {"type": "sip", "target": f"sip:{number}@{host}"}
            for number in (OURS, OTHER)
        ]
        loop = document(action("connect", destinations=targets, ring_method=method, relay_reason=True))
        bench.write(bench.document(sip=listen, **loop))
        await engine.node.reload(load(engine.path, environ={}))
        _, outcome = await guest.call(engine.address, OURS)
        assert outcome.status == 482
        assert len(bench.log.named("loop of flows ended")) == 1
        assert len(engine.node.flows.calls.registry.newest(1000)) == 1  # all of it was one call
        await ends(bench, engine)

    run(test)


@pytest.mark.long
@pytest.mark.parametrize("answers", [True, False])
def test_a_number_that_calls_itself(run: Run, answers: bool) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        calls = action("call", destinations=[TEL, {"type": "tel", "target": OTHER}], flow_id="loop")
        engine = await bench.engine(**document(*([action("answer")] if answers else []), calls))
        await guest.call(engine.address, OURS)
        await ends(bench, engine)
        records = engine.node.flows.calls.registry.newest(2000)
        assert MOST_RUNS / 2 <= len(records) <= 2 * MOST_RUNS
        assert len(bench.log.named("loop of flows ended")) == 1

    run(test)


def test_calls_and_messages_that_lead_to_one_another(run: Run) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        loop = [
            action("message_send", text="x", destinations=[{"type": "tel", "target": OTHER}]),
            action("call", destinations=[TEL], flow_id="loop"),
        ]
        engine = await bench.engine(**document(*loop, message_flow="loop"))
        await guest.call(engine.address, OURS)
        await ends(bench, engine)
        assert len(engine.node.flows.calls.registry.newest(2000)) <= 2 * MOST_RUNS

    run(test)


def test_one_order_is_one_tree_and_the_next_order_another(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(**document(action("answer"), action("call", destinations=[TEL, TEL])))
        for expected in (1, 2):
            _, task = originate(engine.node.flows, Address(**TEL))
            await task
            await ends(bench, engine)
            assert len(bench.log.named("loop of flows ended")) == expected

    run(test)


def test_an_originated_call_to_an_own_number_is_no_packet_and_no_clients(run: Run) -> None:
    async def test(bench: Any) -> None:
        flows = [{"name": "loop", "actions": [action("answer"), action("sleep", duration=1)]}]
        numbers = [{"number": OURS, "call_flow": "loop"}]
        engine = await bench.engine(flows=flows, numbers=numbers, sip={"trusted_networks": [f"{CLIENT}/32"]})
        agent = engine.node.agent
        sent = sum(getattr(transport, "sent", 0) for transport in agent.listeners)
        record, task = originate(engine.node.flows, Address(**TEL))
        await task
        await engine.quiet()
        assert (record.hangup_reason, record.end_status) == ("normal", 200)
        assert sum(getattr(transport, "sent", 0) for transport in agent.listeners) == sent
        both = engine.node.flows.calls.registry.newest(10)
        assert sorted(each.direction for each in both) == ["incoming", "outgoing"]
        assert both[0].sip_call_ids == both[1].sip_call_ids

    run(test)


def test_nobody_else_comes_by_that_way(run: Run) -> None:
    """Its name stands in messages that a customer may see in a trace of its call."""

    async def test(bench: Any) -> None:
        engine, wire = await bench.engine(), await bench.wire(GUEST)
        agent = engine.node.agent
        inside = agent.loopback.domain
        # A call that nobody of ours has dialled, although it names the way.
        request = wire.request(uri=f"sip:{OURS}@{inside}")
        assert (await wire.answer(request, engine.address)).status in (200, 401, 403, 404)
        spec = DialSpec(
            request_uri=f"sip:{OURS}@{inside}",
            destination=f"sip:{inside}",
            from_="<sip:a@b.example>",
            to=f"<sip:{OURS}@{inside}>",
        )
        leg = agent.dial(spec)
        outcome = await leg.outcome()
        assert (outcome.kind, outcome.status) == ("refused", 403)

    run(test)


@pytest.mark.parametrize("ends_by", ["caller", "phone"])
def test_an_originated_call_goes_on_to_a_phone_through_an_own_number(run: Run, ends_by: str) -> None:
    async def test(bench: Any) -> None:
        desk = await bench.phone("127.0.0.31", does="echo")
        to_desk = action("connect", destinations=[{"type": "sip", "target": f"sip:d@{desk.address}"}])
        flows = [{"name": "loop", "actions": [to_desk]}, {"name": "echo", "actions": [action("echo", duration=60000)]}]
        engine = await bench.engine(flows=flows, numbers=[{"number": OURS, "call_flow": "loop"}])
        echo = engine.node.library.find("echo")
        record, task = originate(engine.node.flows, Address(**TEL), flow=echo)
        call = await desk.incoming()
        await bench.until(lambda: record.answered_ms is not None and call.answered, "the answer")
        assert b"m=audio" in desk.invites[0].body
        # A new offer of the phone's goes all the way to our own media, and the answer back.
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        offer = desk.invites[0].body.replace(b"127.0.0.1", b"127.0.0.31")
        now = desk.agent.now()
        call.session.renegotiate("INVITE", offer, now, lambda status, response, later: answered.set_result(status))
        assert await answered == 200
        if ends_by == "phone":
            call.hangup()
        else:
            engine.node.flows.calls.registry.running(record.id).hang_up("normal")
        await task
        await engine.quiet()
        assert (record.hangup_reason, record.end_status) == ("normal", 200)

    run(test)


def test_limits_for_strangers_are_none_for_ourselves(run: Run) -> None:
    """The engine's own address is a stranger's here, with a burst of two and one call at once."""

    async def test(bench: Any) -> None:
        sip = {"invite_rate": {"rate": 1, "burst": 2}, "max_calls": 400, "stranger_calls": 0.0025}
        flows = [{"name": "loop", "actions": [action("answer"), action("sleep", duration=60000)]}]
        engine = await bench.engine(sip=sip, flows=flows, numbers=[{"number": OURS, "call_flow": "loop"}])
        flows, wait = engine.node.flows, engine.node.library.find("loop")
        made = [originate(flows, Address(**TEL), flow=wait) for _ in range(60)]
        await bench.until(lambda: all(record.answered_ms is not None for record, _ in made), "60 answers")
        assert not bench.log.named("calls refused")
        for record, _ in made:
            flows.calls.registry.running(record.id).hang_up("normal")
        await asyncio.wait([task for _, task in made])
        await engine.quiet()
        assert {record.hangup_reason for record, _ in made} == {"normal"}

    run(test)
