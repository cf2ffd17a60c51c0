"""What remains of a call that its caller has transferred: whose money it spends, and which number it shows."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from flows.calls.address import Address
from flows.connect import always, reach
from flows.language.options import ConnectOptions
from flows.language.program import Program, Step
from flows.language.run import Run
from flows.transfer.successor import onward_of
from routing.access.phones import Phone

OWN, FOREIGN = "+12125550001", "+15559990000"
OF_PHONE, OF_NUMBER = UUID(int=5), UUID(int=6)


@pytest.mark.parametrize("own", [OWN, ""])
def test_who_has_ordered_a_transfer_pays_for_it_and_shows_its_own_number(world: Any, own: str) -> None:
    """A phone calls a number of another customer's, and sends who answers there on to a foreign number."""
    phone = Phone(name="alice", caller_id=own, customer_id=OF_PHONE, max_calls=1)
    number = world.number("+15558880000", customer_id=OF_NUMBER)
    row = world.directory.number(number.number)
    record = world.record(phone=phone, shown=own, source=own or "alice", customer_id=OF_NUMBER)

    async def go() -> Any:
        caller = world.fake_call(world.clock)
        step = Step("", "connect", lambda run, option: None, None, 1, False)
        run = Run(Program("", "", [step]), caller, world.env, record, row)
        run.step = step
        assert (run.customer_id, run.phone) == (OF_NUMBER, None)
        onward = onward_of(run, caller, FOREIGN, "tel")
        assert (onward.customer_id, onward.record.customer_id, onward.phone) == (OF_PHONE, OF_PHONE, phone)
        address = Address(type="tel", target=FOREIGN)
        option = ConnectOptions(destinations=[address])
        assert (await reach(onward, option, address, always)).answered
        world.env.phones.take(phone)
        return await reach(onward, option, address, always)

    refused = asyncio.run(go())
    assert (refused.sip_status, len(world.agent.legs)) == (486, 1)
    spec = world.agent.legs[0].spec
    told = dict(spec.headers)
    if own:
        assert f"sip:{OWN}@" in spec.from_
        assert OWN in told["P-Asserted-Identity"]
    else:
        assert "anonymous" in spec.from_
        assert "P-Asserted-Identity" not in told
