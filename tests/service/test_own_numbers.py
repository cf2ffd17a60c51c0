"""Calls of the engine's own to its own numbers: they find the listener, whatever it is."""

from collections.abc import Callable
from typing import Any

import pytest

from flows.calls.address import Address
from flows.origination.call import originate

Run = Callable[..., None]
OURS, FOREIGN = "+15551234567", "+821012345678"


@pytest.mark.parametrize("url", ["udp://127.0.0.1:0", "tcp://127.0.0.1:0", "udp://0.0.0.0:0", "udp://[::1]:0"])
def test_a_call_of_our_own_reaches_our_own_number(run: Run, url: str) -> None:
    async def test(bench: Any) -> None:
        flows = [{"name": "busy", "actions": [{"type": "reject", "option": {"code": 486}}]}]
        engine = await bench.engine(sip={"listen": [url]}, flows=flows, numbers=[{"number": OURS, "call_flow": "busy"}])
        record, task = originate(engine.node.flows, Address(type="tel", target=OURS))
        await task
        assert (record.end_status, record.hangup_reason) == (486, "busy")
        await engine.quiet()

    run(test)


def test_nobody_is_shown_a_wildcard(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone("127.0.0.21", 486), await bench.phone("127.0.0.11")
        engine = await bench.engine(sip={"listen": ["udp://0.0.0.0:0"]}, **bench.providers(one))
        port = engine.address.rpartition(":")[2]
        await client.call(f"127.0.0.1:{port}", FOREIGN)
        invite = one.invites[0]
        for header in ("From", "P-Asserted-Identity", "Contact", "Via"):
            assert "0.0.0.0" not in invite.get(header), header
            assert invite.get(header)

    run(test)
