"""SIGTERM: no new calls, time for those in progress, and then an end that leaves nothing behind."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., None]
CLIENT, GUEST, ONE, TWO = "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22"
OURS, FOREIGN = "+15551234567", "+821012345678"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_with_nothing_to_wait_for_it_ends_at_once(run: Run, number: signal.Signals) -> None:
    async def test(bench: Any) -> None:
        served = await bench.serve(sip={"drain_timeout": 3600})
        served.signal(number)
        assert await served.code() == 0

    run(test)


def test_new_calls_are_refused_and_calls_in_progress_may_end(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client, wire = await bench.phone(ONE), await bench.phone(CLIENT), await bench.wire(GUEST)
        served = await bench.serve(sip={"drain_timeout": 3600}, **bench.providers(one))
        leg, _ = await client.call(served.address, FOREIGN)
        address = served.address
        served.signal(signal.SIGTERM)
        await bench.until(lambda: served.node.agent.endpoint.draining)
        for method in ("INVITE", "OPTIONS"):
            response = await wire.answer(wire.request(method), address)
            assert response.status == 503
            assert (method != "INVITE") or int(response.get("Retry-After")) > 0
        # What is up can still do all that a call can: a request within it, and its end.
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        leg.session.request("INFO", client.agent.now(), "", b"", lambda status, response, now: done.set_result(status))
        assert await done == 200
        assert not served.task.done()
        leg.hangup()
        assert await served.code() == 0
        assert one.heard["BYE"] == 1
        assert not served.log.named("calls hung up at the end of the drain")

    run(test)


def test_what_has_not_ended_in_time_is_hung_up_on_both_legs(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE), await bench.phone(TWO, "ring")
        client, guest = await bench.phone(CLIENT), await bench.phone(GUEST)
        more = bench.providers(one)
        more["providers"].append({"name": "slow", "hostname": two.address})
        more["routes"].append({"target": "+44", "provider": "slow"})
        served = await bench.serve(sip={"drain_timeout": 0.2}, **more)
        bridged, _ = await client.call(served.address, FOREIGN)
        echo, _ = await guest.call(served.address, OURS)
        ringing = client.dial(served.address, "+441632960000")
        await two.incoming()
        served.signal(signal.SIGTERM)
        assert await served.code() == 0
        for leg in (bridged, echo):
            await leg.wait_ended()
            assert leg.ended_by == "remote"
        assert (await ringing.outcome()).status == 503
        assert one.heard["BYE"] == 1
        await bench.until(lambda: two.heard["CANCEL"] == 1)
        reasons = [request.get("Reason") for request in one.requests if request.method == "BYE"]
        assert reasons == ['SIP;cause=503;text="shutting down"']
        assert served.log.named("calls hung up at the end of the drain")
        assert len(served.log.named("call ended")) == 3
        assert not served.node.agent.tasks.running

    run(test)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(run: Run, second: signal.Signals) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE), await bench.phone(CLIENT)
        served = await bench.serve(sip={"drain_timeout": 3600}, **bench.providers(one))
        leg, _ = await client.call(served.address, FOREIGN)
        served.signal(signal.SIGTERM)
        await bench.until(lambda: served.node.agent.endpoint.draining)
        served.signal(second)
        assert await served.code() == 0
        await leg.wait_ended()
        await one.calls[0].wait_ended()

    run(test)


def test_peers_that_do_not_answer_the_last_bye_hold_up_nothing_for_long(run: Run) -> None:
    async def test(bench: Any) -> None:
        bench.patch.setattr("engine.user_agent._BYE_GRACE", 0.3)
        wire = await bench.wire(GUEST)
        served = await bench.serve(sip={"drain_timeout": 0})
        assert (await wire.answer(wire.request(), served.address)).status == 200
        begun = asyncio.get_running_loop().time()
        served.signal(signal.SIGTERM)
        assert await served.code() == 0
        assert asyncio.get_running_loop().time() - begun < 10  # Timer F is 32 s
        assert any(data.startswith(b"BYE ") for data in wire.heard)

    run(test)


STUBBORN = """
import asyncio
from flows.python import flow

@flow("py")
async def py(call):
    call.answer()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)
"""


def test_a_flow_that_swallows_its_cancellation_does_not_hold_up_the_end(run: Run) -> None:
    async def test(bench: Any) -> None:
        (bench.path.parent / "ours.py").write_text(STUBBORN)
        guest = await bench.phone(GUEST)
        served = await bench.serve(
            numbers=[{"number": OURS, "call_flow": "py"}], flows_module="ours.py", sip={"drain_timeout": 0.1}
        )
        leg, _ = await guest.call(served.address, OURS)
        served.signal(signal.SIGTERM)
        assert await served.code() == 0
        await leg.wait_ended()
        assert not served.node.agent.tasks.running

    run(test)
