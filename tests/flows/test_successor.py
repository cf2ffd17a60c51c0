"""What remains of a call that its caller has transferred: whose money it spends, and which number it shows."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from flows.calls.address import Address
from flows.calls.context import CallContext
from flows.calls.dial import ConnectTerms, always
from flows.connect import connect_destination
from flows.language.program import Program, Step
from flows.transfer.successor import make_successor
from routing.directory.extensions import ExtensionRow

OWN, FOREIGN = "+12125550001", "+15559990000"
OF_PHONE, OF_NUMBER = UUID(int=5), UUID(int=6)


@pytest.mark.parametrize("own", [OWN, ""])
def test_who_has_ordered_a_transfer_pays_for_it_and_shows_its_own_number(world: Any, own: str) -> None:
    """A phone calls a number of another customer's, and sends who answers there on to a foreign number."""
    phone = ExtensionRow(name="alice", caller_id=own, customer_id=OF_PHONE, max_calls=1)
    number = world.number("+15558880000", customer_id=OF_NUMBER)
    row = world.directory.number(number.number)
    record = world.record(phone=phone, shown=own, source=own or "alice", customer_id=OF_NUMBER)

    async def go() -> Any:
        caller = world.fake_call(world.clock)
        step = Step(type="connect", function=lambda run, option: None, option=None)
        context = CallContext(flows=world.services, call=caller, record=record, number=row)
        context.flow, context.step = Program(steps=[step]), step
        assert (context.customer_id, context.phone) == (OF_NUMBER, None)
        successor = make_successor(context, caller, FOREIGN, "tel")
        assert (successor.customer_id, successor.record.customer_id, successor.phone) == (OF_PHONE, OF_PHONE, phone)
        address = Address(type="tel", target=FOREIGN)
        assert (await connect_destination(successor, ConnectTerms(), address, always)).answered
        world.services.calls.accounts.phones.take(phone)
        return await connect_destination(successor, ConnectTerms(), address, always)

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
