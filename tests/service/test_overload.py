"""Too much, too odd, too slow, and flows that misbehave: the engine goes on, and what it holds is bounded."""

import asyncio
import gc
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

pytestmark = pytest.mark.long  # engines under load

Run = Callable[..., None]
CLIENT, GUEST, ONE, TWO = "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22"
OURS, ECHO, FOREIGN = "+15551234567", "+899100000001", "+821012345678"
SILENT = {"name": "silent", "actions": [{"type": "ringing"}, {"type": "block"}]}


def _blocks() -> int:
    """How many pieces of memory the interpreter holds."""
    gc.collect()
    return sys.getallocatedblocks()


def test_beyond_max_calls_it_is_503_and_calls_in_progress_live_on(run: Run) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        engine = await bench.engine(sip={"max_calls": 2, "stranger_calls": 0})
        legs = [(await guest.call(engine.address, OURS))[0] for _ in range(2)]
        _, outcome = await guest.call(engine.address, OURS)
        assert (outcome.status, outcome.retry_after > 0) == (503, True)
        assert not any(leg.ended for leg in legs)
        legs[0].hangup()
        await bench.until(lambda: engine.node.agent.incoming == 1)
        third, outcome = await guest.call(engine.address, OURS)
        assert outcome.kind == "answered"
        for leg in (legs[1], third):
            leg.hangup()
        await engine.quiet()

    run(test)


def test_a_source_that_calls_too_often_is_refused_and_others_are_not(run: Run) -> None:
    async def test(bench: Any) -> None:
        wire, guest = await bench.wire(GUEST), await bench.phone("127.0.0.13")
        engine = await bench.engine(
            sip={"invite_rate": {"rate": 0.001, "burst": 3}},
            flows=[{"name": "echo", "actions": [{"type": "reject"}]}],
        )
        statuses = [(await wire.answer(wire.request(), engine.address)).status for _ in range(4)]
        assert statuses == [603, 603, 603, 503]
        unanswered = wire.request()
        wire.send(unanswered, engine.address)
        assert await engine.alive(wire) == 200  # what came before has been seen
        assert len([data for data in wire.heard if b" INVITE\r\n" in data]) == 4
        assert (await guest.call(engine.address, OURS))[1].status == 603
        assert engine.node.agent.refusals.counts == {"invite_rate": 1, "invite_rate_unread": 1}

    run(test)


def test_half_open_calls_run_out(run: Run) -> None:
    """2,000 INVITEs whose sender never says another word: answered or ringing, nothing of them stays."""

    async def test(bench: Any) -> None:
        wire, client, one = await bench.wire(GUEST), await bench.phone(CLIENT), await bench.phone(ONE)
        answering = {"name": "answering", "actions": [{"type": "answer"}, {"type": "block"}]}
        ringing = {"name": "ringing", "actions": [{"type": "ringing"}, {"type": "sleep", "option": {"duration": 800}}]}
        engine = await bench.engine(
            numbers=[{"number": OURS, "call_flow": "answering"}, {"number": ECHO, "call_flow": "ringing"}],
            flows=[answering, ringing],
            sip={
                "t1": 0.02,
                "t2": 0.5,
                "max_calls": 3000,
                "stranger_calls": 0,
                "invite_rate": {"rate": 0},
                "rtp_ports": "20000-29999",
            },
            **bench.providers(one),
        )
        bridged, outcome = await client.call(engine.address, FOREIGN)
        assert outcome.kind == "answered"
        for index in range(2000):
            wire.send(wire.request(uri=f"sip:{(OURS, ECHO)[index % 2]}@127.0.0.1"), engine.address)
            if index % 50 == 49:
                await asyncio.sleep(0)
                await bench.until(
                    lambda: not engine.node.agent.intake.waiting and not engine.node.agent.intake.in_dialog
                )
        await bench.until(lambda: engine.node.agent.incoming > 500)
        assert await engine.alive(wire) == 200
        await bench.until(lambda: engine.node.agent.incoming == 1, "the end of the half-open calls")
        assert not bridged.ended
        bridged.hangup()
        await one.calls[0].wait_ended()
        await engine.quiet()
        endpoint = engine.node.agent.endpoint
        await bench.until(lambda: not endpoint.transactions.servers, "the end of the transactions")
        assert len(endpoint.transactions.clients) <= 1  # the BYE of the bridged call waits for retransmissions, T4
        assert not endpoint.dialogs
        assert not endpoint.sessions
        assert not engine.node.agent.tasks.running

    run(test)


def test_twenty_thousand_random_datagrams(run: Run) -> None:
    async def test(bench: Any) -> None:
        wire, client, one = await bench.wire(GUEST), await bench.phone(CLIENT), await bench.phone(ONE)
        engine = await bench.engine(**bench.providers(one))
        bridged, _ = await client.call(engine.address, FOREIGN)
        agent = engine.node.agent
        rng = random.Random(7)
        valid = wire.request()

        def datagram() -> bytes:
            kind = rng.randrange(4)
            if kind == 0:
                return rng.randbytes(rng.randrange(1, 200))
            if kind == 1:
                return valid[: rng.randrange(len(valid))]
            if kind == 2:
                place = rng.randrange(len(valid) - 4)
                return valid[:place] + rng.randbytes(4) + valid[place + 4 :]
            return b"SIP/2.0 200 OK\r\n" + valid[valid.index(b"\r\n") + 2 :]

        async def send(count: int) -> None:
            for index in range(count):
                wire.send(datagram(), engine.address)
                if index % 100 == 99:
                    await asyncio.sleep(0)
                    await bench.until(lambda: not agent.intake.waiting and not agent.intake.in_dialog)
            assert await engine.alive(wire) == 200  # it has come as far as this
            wire.heard.clear()

        before = agent.endpoint.counters.received
        await send(10_000)
        blocks = _blocks()
        await send(10_000)
        assert agent.endpoint.counters.received - before > 15_000
        assert _blocks() - blocks < 10_000  # the trace's ring of 10,000 messages was full by then
        assert not bridged.ended
        assert not engine.log.named("message not handled")
        bridged.hangup()
        await one.calls[0].wait_ended()

    run(test)


@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE", "FROB", "BYE", "CANCEL", "PRACK", "INFO"])
def test_floods_of_requests_that_lead_nowhere(run: Run, method: str) -> None:
    async def test(bench: Any) -> None:
        wire = await bench.wire(GUEST)
        engine = await bench.engine(sip={"t1": 0.002})
        for _ in range(500):
            wire.send(wire.request(method, body=False), engine.address)
        assert await engine.alive(wire) == 200
        servers = engine.node.agent.endpoint.transactions.servers
        await bench.until(lambda: not servers, "the end of all transactions")
        assert not engine.node.agent.calls

    run(test)


def test_a_request_with_300_headers_is_served_or_refused(run: Run) -> None:
    async def test(bench: Any) -> None:
        wire = await bench.wire(GUEST)
        engine = await bench.engine(flows=[{"name": "echo", "actions": [{"type": "reject"}]}])
        headers = [f"X-Number-{index}: {'x' * 20}" for index in range(300)]
        response = await wire.answer(wire.request(headers=headers), engine.address)
        assert response.status in (400, 413, 513, 603)
        assert await engine.alive(wire) == 200

    run(test)


def test_garbage_and_sloth_on_tcp(run: Run) -> None:
    async def test(bench: Any) -> None:
        wire = await bench.wire(GUEST)
        phone = await bench.phone(CLIENT, transports=("tcp",))
        engine = await bench.engine(sip={"listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]})
        host, _, port = engine.at("tcp").rpartition(":")
        leg, outcome = await phone.call(engine.at("tcp"), OURS, transport="tcp")
        assert outcome.kind == "answered"
        rng = random.Random(3)
        for garbage, answered in (
            (rng.randbytes(5000), False),
            (b"\x16\x03\x01" + rng.randbytes(500), False),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
            (b"INVITE sip:x@y SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n", True),
            (b"INVITE sip:x@y SIP/2.0\r\nContent-Length: -1\r\n\r\n", True),
            (b"A" * 200_000, True),
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(garbage)
            if answered:  # whatever it says to that, it hangs up
                async with asyncio.timeout(30):
                    with suppress(ConnectionError):
                        await reader.read()
            writer.close()
        # A request in pieces of a few bytes is a request.
        answers, slow = await asyncio.open_connection(host, int(port), local_addr=(GUEST, 0))
        request = wire.request("OPTIONS", body=False).replace(b"/UDP", b"/TCP")
        for start in range(0, len(request), 7):
            slow.write(request[start : start + 7])
            await slow.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            assert (await answers.readline()).startswith(b"SIP/2.0 200")
        slow.close()
        assert await engine.alive(wire) == 200
        assert not leg.ended
        leg.hangup()
        await leg.wait_ended()

    run(test)


# ---- flows that misbehave

FLOWS = """
import asyncio
from flows.python import flow

@flow("raises")
async def raises(call):
    raise RuntimeError("a fault of the flow's")

@flow("raises later")
async def raises_later(call):
    call.answer()
    await asyncio.sleep(0)
    raise RuntimeError("a fault of the flow's")

@flow("forever")
async def forever(call):
    call.answer()
    await asyncio.Event().wait()

@flow("stubborn")
async def stubborn(call):
    call.answer()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)

@flow("patient")
async def patient(call):
    call.answer()
    try:
        async with asyncio.timeout(0.01):
            await call.block()
    except TimeoutError:
        pass
    await asyncio.sleep(3600)

@flow("deaf")
async def deaf(call):
    call.ringing()
    await asyncio.Event().wait()
"""


def python(bench: Any, flow: str) -> dict[str, Any]:
    (bench.path.parent / "ours.py").write_text(FLOWS)
    return {
        "numbers": [{"number": OURS, "call_flow": flow}, {"number": ECHO, "call_flow": "echo"}],
        "flows_module": "ours.py",
    }


@pytest.mark.parametrize("flow", ["raises", "raises later"])
def test_a_flow_that_raises_ends_its_call_and_touches_no_other(run: Run, flow: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        engine = await bench.engine(**python(bench, flow))
        other, _ = await guest.call(engine.address, ECHO)
        leg, outcome = await guest.call(engine.address, OURS)
        assert outcome.status == (480 if flow == "raises" else 200)
        if flow != "raises":
            await leg.wait_ended()
        (line,) = engine.log.named("action failed")
        assert "a fault of the flow's" in line["error"]
        assert not other.ended
        other.hangup()
        await engine.quiet()

    run(test)


@pytest.mark.parametrize("flow", ["forever", "patient"])
def test_a_flow_that_waits_for_ever_ends_with_its_call(run: Run, flow: str) -> None:
    async def test(bench: Any) -> None:
        bench.patch.setattr("engine.call_tasks.GRACE", 0.05)
        guest = await bench.phone(GUEST)
        engine = await bench.engine(**python(bench, flow))
        leg, _ = await guest.call(engine.address, OURS)
        if flow == "patient":
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.03, done.set_result, None)
            await done
        leg.hangup()
        await leg.wait_ended()
        await bench.until(lambda: not engine.node.agent.tasks.running, "the end of the flow")

    run(test)


def test_a_flow_that_never_answers_ends_when_its_caller_gives_up(run: Run) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        engine = await bench.engine(**python(bench, "deaf"))
        leg = guest.dial(engine.address, OURS)
        await bench.until(lambda: guest.heard["180"])
        leg.cancel()
        await bench.until(lambda: guest.heard["487"])
        await bench.until(lambda: not engine.node.agent.tasks.running, "the end of the flow")
        assert engine.record.hangup_reason == "cancel"

    run(test)


def test_a_flow_that_swallows_its_cancellation_is_cancelled_again(run: Run) -> None:
    async def test(bench: Any) -> None:
        bench.patch.setattr("engine.call_tasks.GRACE", 0.05)
        guest = await bench.phone(GUEST)
        engine = await bench.engine(**python(bench, "stubborn"))
        leg, _ = await guest.call(engine.address, OURS)
        leg.hangup()
        await leg.wait_ended()
        line = await engine.log.wait("a flow runs on after its call: cancelled again")
        assert line["call_id"] == engine.record.id
        await bench.until(lambda: not engine.node.agent.tasks.running, "the end of the flow")
        assert not engine.node.agent.tasks.leaving

    run(test)


def test_a_webhook_to_a_dead_host_costs_the_call_nothing(run: Run) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        actions = [
            {"type": "webhook_send", "option": {"uri": "http://127.0.0.99:9/", "method": "POST", "data": "x"}},
            {"type": "webhook_send", "option": {"uri": "http://127.0.0.99:9/", "method": "GET", "sync": True}},
            {"type": "answer"},
            {"type": "block"},
        ]
        engine = await bench.engine(flows=[{"name": "echo", "actions": actions}], webhook={"allow_private": True})
        leg, outcome = await guest.call(engine.address, OURS)
        assert outcome.kind == "answered"
        leg.hangup()
        await leg.wait_ended()
        await bench.until(lambda: not len(engine.node.flows.calls.tasks), "the end of the webhooks")

    run(test)


# ---- ends that nobody asked for


def test_the_longest_call_time_ends_both_legs(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE), await bench.phone(CLIENT)
        engine = await bench.engine(sip={"max_call_duration": 0.2}, **bench.providers(one))
        for number in (FOREIGN, OURS):
            leg, outcome = await client.call(engine.address, number)
            assert outcome.kind == "answered"
            await leg.wait_ended()
            await engine.quiet()
            assert (engine.record.hangup_reason, engine.record.hangup_by) == ("timeout", "local")
        assert one.heard["BYE"] == 1

    run(test)


def test_a_connection_that_is_lost_costs_no_other_call(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        lost, kept = await bench.phone(CLIENT, transports=("tcp",)), await bench.phone(CLIENT, transports=("tcp",))
        listen = ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]
        engine = await bench.engine(sip={"listen": listen, "t1": 0.02}, **bench.providers(one))
        for phone in (lost, kept):
            _, outcome = await phone.call(engine.at("tcp"), FOREIGN, transport="tcp")
            assert outcome.kind == "answered"
        for transport in lost.agent.listeners:
            for connection in tuple(transport.connections):
                connection.abort()
        one.calls[0].hangup()  # a BYE has to go where nobody is any more
        await bench.until(lambda: len(engine.node.agent.calls) == 2)
        (other,) = kept.agent.calls
        assert not other.ended
        other.hangup()
        await engine.quiet()

    run(test)


def test_a_route_that_leads_back_to_ourselves_does_not_go_round(run: Run) -> None:
    async def test(bench: Any) -> None:
        client = await bench.phone(CLIENT)
        sip = {"trusted_networks": ["127.0.0.0/8"]}
        served = await bench.serve(sip=sip)
        more = {
            "providers": [{"name": "me", "hostname": served.address}],
            "routes": [{"target": "all", "provider": "me"}],
        }
        await served.reload(bench.document(sip=sip, **more))
        assert (await client.call(served.address, FOREIGN))[1].status == 482  # our Via, the same number (§16.3)
        await served.quiet()
        assert len(served.node.flows.calls.registry) == 1

    run(test)
