"""The action `transfer`: blind transfer of the caller by REFER (RFC 3515, RFC 5589 §6)."""

import asyncio
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from flows.actions import action
from flows.calls.address import DIALLED, Address
from flows.calls.destinations import by_preference
from flows.calls.hangup import end_leg
from flows.calls.ports import CallEnded
from flows.faults import ActionError
from flows.language.options import Options
from flows.language.program import HUNG_UP
from flows.language.registry import Report
from flows.language.run import Run
from flows.values import or_variable
from routing.access.destinations import named_by
from routing.hunt.outcome import STATUS_REASONS
from routing.numbers.dial_string import escaped
from routing.numbers.normalise import normalise_dialled

LEAVES_WITHIN: Final = 3.0
"""Seconds that the caller has to hang up by itself once it has been transferred."""

_WORDS: Final = {"busy": "busy", "noanswer": "noanswer"}


def _written_shortly(value: Any) -> Any:
    """A text is an address, too: a SIP URI with its scheme, or else a number."""
    if not isinstance(value, str):
        return value
    return {"type": "sip" if value[:5].lower().startswith(("sip:", "sips:")) else "tel", "target": value}


_Shortly = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        json_schema_extra={
            "pattern": or_variable(rf'^({DIALLED[1:-1]}|[Ss][Ii][Pp][Ss]?:[^\s<>"\x00-\x1f\x7f\x85]*)$')
        },
    ),
]


class TransferOptions(Options):
    """`transfer`: whom the caller's phone is to call. Only phones can ask before they transfer, so `mode` is blind."""

    target: Annotated[Address, BeforeValidator(_written_shortly, json_schema_input_type=Address | _Shortly)]
    mode: Literal["blind"] = "blind"


async def _simulate(report: Report, run: Run, option: TransferOptions) -> int:
    """The caller is gone, as after a transfer that succeeded."""
    if run.over:
        raise CallEnded("the call is over")
    await run.call.listen()
    report("(not transferred)")
    run.call.hangup()
    return HUNG_UP


@action(TransferOptions, connects=True, simulate=_simulate)
async def transfer(run: Run, option: TransferOptions) -> int | None:
    """Sets `transfer.status` (answered, accepted, busy, noanswer, failed, refused) and `transfer.sip_status`.

    An answered transfer ends the call: the caller hangs up, or we do. `accepted`: the phone took the order and says no
    more of it. Otherwise the caller is still there, and the flow goes on.
    """
    if run.over:
        raise CallEnded("the call is over")
    if not run.call.answered:
        raise ActionError(
            "a call that is not answered cannot be transferred; put answer before transfer, or use connect"
        )
    target = await _uri(run, option.target)
    by = run.number.number if run.number is not None else ""
    address = run.call.own_address
    set_result = run.variables.set_result
    set_result("transfer.status", "")
    set_result("transfer.sip_status", "")
    try:
        told = await run.call.transfer(target, f"sip:{escaped(by)}@{address}" if by else f"sip:{address}")
    except asyncio.CancelledError:
        run.record.note(f"transfer to {target}: the caller was gone before it told how that went")
        raise
    status = told.ended
    if told.ended == "told":
        status = "answered" if told.answered else _WORDS.get(STATUS_REASONS.get(told.status, ""), "failed")
    set_result("transfer.status", status)
    set_result("transfer.sip_status", str(told.status))
    run.record.note(f"transfer to {target}: {status}" + (f" ({told.status} {told.reason})" if told.status else ""))
    if status in ("busy", "noanswer", "failed", "refused"):
        return None
    try:
        async with asyncio.timeout(LEAVES_WITHIN):
            await run.context.caller.wait_ended()
    except TimeoutError:
        if status == "accepted":
            return None
        end_leg(run.context.caller, run.record, "normal")
    return HUNG_UP


async def _uri(run: Run, target: Address) -> str:
    """What the caller's phone is to call: for a number, that number at us, so that it takes our ways and our rules."""
    if target.type == "tel":
        services = run.services.calls
        meant = normalise_dialled(target.target, services.routing, services.directory.numbers)
        user = meant.number or (meant.text if meant.kind == "extension" else "")
        if not user:
            raise ActionError(f"{target.target} is no number that could be called")
        return f"sip:{escaped(user)}@{run.call.own_address}"
    if target.type == "sip":
        uri, named = target.sip_uri, run.named(target.target)
    else:
        contacts = await run.services.calls.contacts.resolve(target, run.context.customer_id)
        if not contacts:
            raise ActionError(f"{target.type} {target.target!r} is not known or not reachable")
        found = by_preference(contacts)[0][0]
        uri, named = found.uri, named_by(run.context.customer_id, found.customer_id)
    # A trunk that is sent to itself would call at our cost.
    way = await run.services.calls.way_to(uri, named)
    if way.refused:
        raise ActionError(way.refused)
    return uri
