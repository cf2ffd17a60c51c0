"""Connect: a caller and one destination, through the providers, at its phones, directly, or by the flow of a number of
ours."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from engine.media.anchor import CALLEE, CALLER
from engine.sip.flow import is_web_page
from engine.sip.message.status import reason_phrase
from flows.calls.address import Address
from flows.calls.context import CallContext
from flows.calls.destinations import LONGEST_WAIT, REFUSED, Contact, by_preference
from flows.calls.dial import AnswerClaim, ConnectResult, ConnectTerms, dial_hunt, most_telling, unanswered
from flows.calls.hangup import CAUSES, ELSEWHERE, end_leg
from flows.calls.identity import caller_identity
from flows.calls.phone_dialogs import WITHHELD
from flows.calls.ports import CallEnded, FlowProgram, OutgoingLeg, ProviderHunt, Reservation
from flows.calls.record import CallRecord
from flows.calls.tree import LOOP_DETECTED, Tree
from flows.calls.uri_hunt import UriHunt
from flows.fork import MOST_BRANCHES, ParallelFork
from flows.nested_call import NestedLeg
from flows.transfer.pickup import ring_or_hand_over
from flows.transfer.refer import converse
from routing.access.admission import DialOut, RingExtension, RunFlow, client_of, extension_for, judge
from routing.access.destinations import NamedBy, named_by
from routing.directory.extensions import ExtensionRow
from routing.directory.number_source import NumberUnavailable
from routing.directory.rows import NumberRow
from routing.numbers.normalise import normalise_dialled
from routing.numbers.short_numbers import is_emergency

TOO_MANY = (486, "Too Many Calls Out")
NONE_OUT = (403, "No Calls Out")
"""What a phone hears that has as many calls out as it may have, and one that may have none."""

SIPS_NOT_ALLOWED = "SIPS Not Allowed"
"""What a caller hears that asks by a SIPS URI for an extension whose phones are reached in the clear alone."""


async def connect_destination(
    context: CallContext, terms: ConnectTerms, address: Address, claim: AnswerClaim, named: NamedBy = "customer"
) -> ConnectResult:
    """Dials `address` for the caller and bridges it when it answers, until one of the two hangs up.

    claim: Asked when it answers; False means that another destination was quicker.
    named: Who has named the address, where that is a SIP URI.
    """
    if address.type == "tel":
        return await connect_number(context, terms, address.target, claim)
    if address.type == "sip":
        return await _connect_uri(context, terms, address.sip_uri, named, claim)
    if address.type == "extension":
        extension = extension_for(context.services.directory, address.target, context.customer_id)
        if extension is not None:
            return await ring_extension(context, terms, extension, claim)
    contacts = await context.services.contacts.resolve(address, context.customer_id)
    if not contacts:
        context.record.note(f"connect: {address.type} {address.target!r} is not known or not reachable")
        return unanswered(404, "Not Found")
    # An agent is called at its extension: whoever watches that sees it ring.
    phone = context.services.directory.extension(contacts[0].extension) if contacts[0].extension else None
    if phone is not None:
        return await _ring_devices(context, terms, contacts, claim, phone)
    return await _ring(context, terms, contacts, claim)


async def _ring(
    context: CallContext,
    terms: ConnectTerms,
    contacts: Sequence[Contact],
    claim: AnswerClaim,
    extension: ExtensionRow | None = None,
) -> ConnectResult:
    """The contacts of one callee, by preference."""
    results: list[ConnectResult] = []
    for group in by_preference(contacts[-MOST_BRANCHES:]):
        dials = [partial(_connect_contact, context, contact, extension) for contact in group]
        if len(dials) == 1:
            results.append(await dials[0](terms, claim))
        else:
            results += await ParallelFork(claim, one_callee=True).run(context, terms, dials)
        result = most_telling(results)
        if result.answered or result.sip_status >= 600:  # which speaks for all of them (RFC 3261 §16.7)
            return result
    return most_telling(results)


async def _connect_contact(
    context: CallContext, contact: Contact, extension: ExtensionRow | None, terms: ConnectTerms, claim: AnswerClaim
) -> ConnectResult:
    if contact.flow is None and not contact.path:
        named = named_by(context.customer_id, contact.customer_id)
        return await _connect_uri(context, terms, contact.uri, named, claim)
    services = context.services
    hunt = await UriHunt.to(contact, await caller_identity(context, terms, extension), services)
    if isinstance(hunt, str):
        context.record.note(f"connect: {hunt}")
        return unanswered(480, "Temporarily Unavailable")
    # The descriptions of browsers do not pass an anchor: it takes ICE out of them.
    browser = contact.flow is not None and is_web_page(contact.flow.party)
    return await _dial_and_bridge(context, terms, hunt, claim, "" if browser else services.media.phones)


async def ring_extension(
    context: CallContext, terms: ConnectTerms, extension: ExtensionRow, claim: AnswerClaim
) -> ConnectResult:
    """Rings all devices of an extension. Where none answers, its own flow runs, if it has one and nobody else is called
    beside it; not once more where it runs already and has led here."""
    services, record = context.services, context.record
    address = Address(type="extension", target=extension.name)
    contacts = await services.contacts.resolve(address, extension.customer_id)
    if not contacts:
        waited = await _returned(context, extension, terms.ring_timeout or LONGEST_WAIT)
        if waited is not None:
            contacts = await services.contacts.resolve(address, extension.customer_id)
            if terms.ring_timeout:
                terms = replace(terms, ring_timeout=max(1, int(terms.ring_timeout - waited)))
    found = [contact for contact in contacts if contact.secure] if terms.secure else contacts
    if found:
        result = await _ring_devices(context, terms, found, claim, extension)
    elif contacts:
        record.note(f"connect: no phone of extension {extension.name} is reached over TLS, as the call asks for")
        result = unanswered(480, SIPS_NOT_ALLOWED)
    else:
        record.note(f"connect: no phone of extension {extension.name} is registered")
        result = unanswered(480, "Temporarily Unavailable")
    runs = terms.diverts and extension.call_flow_id.int and extension.name not in context.diverted
    if result.answered or not runs or context.caller.ended_at is not None:
        return result
    flow = services.library.find(extension.call_flow_id)
    if flow is None:
        record.note(f"connect: extension {extension.name} has a call flow that does not exist")
        return result
    return await _run_nested(context, terms, flow, claim, extension=extension)


async def _returned(context: CallContext, extension: ExtensionRow, at_most: float) -> float | None:
    """After how many seconds a phone that has lost its connection is there again, while the caller waits; None: it is
    not, or nobody is expected."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    back = loop.create_task(context.services.contacts.returned(extension.name, at_most), name="phone returns")
    gone = loop.create_task(context.caller.wait_ended(), name="caller waits")
    try:
        await asyncio.wait((back, gone), return_when=asyncio.FIRST_COMPLETED)
        return loop.time() - began if back.done() and back.result() else None
    finally:
        back.cancel()
        gone.cancel()


async def _ring_devices(
    context: CallContext,
    terms: ConnectTerms,
    contacts: Sequence[Contact],
    claim: AnswerClaim,
    extension: ExtensionRow,
) -> ConnectResult:
    """The devices of an extension, while others see it ring, and may pick it up."""
    dialogs, record = context.services.phone_dialogs, context.record
    withheld = terms.anonymous == "yes" or (record.anonymous and terms.anonymous != "no")
    caller, name = (WITHHELD, "") if withheld else (record.source, record.source_name)
    dialog = dialogs.begin(extension.name, "recipient", "trying", caller, name)
    terms = replace(terms, rings=partial(dialogs.rings, dialog))

    def answered() -> bool:
        if dialog.taken or not claim():
            return False
        dialogs.turn(dialog, "confirmed")
        return True

    try:
        # Whoever watches only once it rings is told of it too, and may have it.
        return await ring_or_hand_over(context, dialog, _ring(context, terms, contacts, answered, extension), claim)
    finally:
        dialogs.end(dialog)


async def _connect_uri(
    context: CallContext, terms: ConnectTerms, uri: str, named: NamedBy, claim: AnswerClaim
) -> ConnectResult:
    """`connect_destination` for a SIP URI: what leads to ourselves is as if its user part had been dialled."""
    services = context.services
    way = await services.way_to(uri, named)
    if way.refused:
        context.record.note(f"connect: {way.refused}")
        context.warn("destination refused", destination=uri[:200], named_by=named)
        services.directory.count_refusal("destination_refused")
        return unanswered(*REFUSED)
    if way.here:
        return await connect_number(context, terms, uri, claim, foreign=not context.branch.tree.guest)
    hunt = UriHunt(uri, await caller_identity(context, terms), services.routing.from_domain, way.allows)
    return await _dial_and_bridge(context, terms, hunt, claim)


async def connect_number(
    context: CallContext, terms: ConnectTerms, text: str, claim: AnswerClaim, *, foreign: bool = True
) -> ConnectResult:
    """`connect_destination` for a number, in any form: the flow of one of ours runs here, any other goes through the
    providers, where it may be `foreign`."""
    services = context.services
    directory = services.directory
    try:
        await services.fetch_numbers(services.missing_numbers(text))
    except NumberUnavailable as error:
        context.record.note(f"connect: {text} cannot be looked up: {error}")
        return unanswered(503, "Service Unavailable")
    meant = normalise_dialled(text, services.routing, directory.numbers)
    verdict = judge(directory, services.routing, client_of(context.customer_id), meant)
    if isinstance(verdict, RingExtension):
        return await ring_extension(context, terms, verdict.extension, claim)
    if isinstance(verdict, DialOut):
        if not foreign:
            context.record.note(f"connect: {verdict.target} is none of our numbers, and the caller is a guest")
            return unanswered(*REFUSED)
        return await _dial_out(context, terms, verdict.target, claim)
    if isinstance(verdict, RunFlow):
        return await _run_number(context, terms, verdict, claim)
    context.record.note(f"connect: {verdict.detail}")
    return unanswered(verdict.status, verdict.reason)


async def _dial_out(context: CallContext, terms: ConnectTerms, target: str, claim: AnswerClaim) -> ConnectResult:
    services, phone = context.services, context.phone
    phones = services.accounts.phones
    if is_emergency(target, services.routing):
        phone = None  # whoever it is, and whatever it may not
    if phone is not None and not phones.take(phone):
        why = f"has {phone.max_calls} calls out already" if phone.max_calls else "may not call out"
        context.record.note(f"connect: {target} is not called: phone {phone.name} {why}")
        services.log.warning(
            "phone may not call out", call_id=context.record.id, user=phone.name, max_calls=phone.max_calls
        )
        services.directory.count_refusal("phone_limit")
        return unanswered(*(TOO_MANY if phone.max_calls else NONE_OUT))
    try:
        caller = await caller_identity(context, terms)
        record = context.record
        caller.carried, caller.parts, caller.location = record.own_fields, record.parts, record.location
        if target == record.destination:
            caller.number_parameters = record.number_parameters
        hunt = services.router.hunt(target, caller=caller, customer_id=context.customer_id)
        return await _dial_and_bridge(context, terms, hunt, claim)
    finally:
        if phone is not None:
            phones.release(phone)


async def _dial_and_bridge(
    context: CallContext, terms: ConnectTerms, hunt: ProviderHunt, claim: AnswerClaim, anchor: str = ""
) -> ConnectResult:
    services, record = context.services, context.record
    record.tried.append(hunt.records)
    leg, attempt, kind, status, reason, reservation, headers = await dial_hunt(
        services,
        hunt,
        record,
        caller=context.caller,
        early_media=terms.early_media,
        ring_timeout=terms.ring_timeout,
        customer_id=context.customer_id,
        anchor=context.anchor or anchor,
        dialled=partial(_dialled, context, terms),
        branch=context.branch,
        number=context.destination,
        breadth=context.breadth if terms.breadth is None else terms.breadth,
    )
    if leg is None:
        return unanswered(status, reason, kind, headers)
    held = _Held(hunt, attempt, reservation, context.branch.tree)
    # From here on there is a leg that is paid for: whatever happens, it is hung up and its channel given back.
    began = services.clock()
    try:
        if not claim():
            leg.hangup(480, ELSEWHERE)
            return unanswered(487, "Request Terminated", "cancelled")
        bridge = context.call.bridge(leg)
        recording = context.recording
        if recording is not None:
            leg.overhear(recording.recorder.channel(CALLER), recording.recorder.channel(CALLEE))
        if reservation is not None:
            reservation.answered(partial(_exhausted, context.caller, leg, record))
        await converse(context, leg, held.close, bridge, _connect_target)
        return ConnectResult(
            status="answered", sip_status=status, reason=reason, duration=services.clock() - began, word="normal"
        )
    except CallEnded as error:
        if context.caller.ended_at is not None:
            raise
        # The far end answered and was gone before the two could be connected.
        record.note(f"connect: {error}")
        return unanswered(480, "Temporarily Unavailable")
    except Exception as error:  # such as media that cannot be agreed on
        context.warn("bridging failed", error=f"{type(error).__name__}: {error}"[:500])
        return unanswered(getattr(error, "status", 0) or 488, "Not Acceptable Here")
    finally:
        if leg.ended_at is None:
            leg.hangup(480, CAUSES["normal"].header)
        held.close()
        passed = await leg.passed()
        if passed is not None:
            record.carried("anchored", passed)


def _dialled(context: CallContext, terms: ConnectTerms, leg: OutgoingLeg) -> None:
    """Tells of a leg that is dialled, and of its ringing."""
    if context.on_dialled is not None:
        context.on_dialled(leg)
    rings, follows = terms.rings, leg.on_status
    if rings is None:
        return

    def turned(dialled_leg: OutgoingLeg) -> None:
        if follows is not None:
            follows(dialled_leg)
        if dialled_leg.status == "ringing":
            rings()

    leg.on_status = turned


async def _connect_target(context: CallContext, address: Address, claim: AnswerClaim) -> ConnectResult:
    """Who a call is transferred to."""
    return await connect_destination(context, ConnectTerms(), address, claim)


class _Held:
    """What an answered leg costs: a channel of its provider, money, and a place among the legs of its tree."""

    __slots__ = ("_attempt", "_hunt", "_reservation", "_tree")

    def __init__(self, hunt: Any, attempt: Any, reservation: Reservation | None, tree: Tree) -> None:
        self._tree = tree
        self._hunt = hunt
        self._attempt = attempt
        self._reservation = reservation

    def close(self) -> None:
        """Gives it back, once."""
        hunt, self._hunt = self._hunt, None
        if hunt is not None:
            hunt.release(self._attempt)
            self._tree.legs -= 1
            if self._reservation is not None:
                self._reservation.close()


def _exhausted(caller: Any, leg: OutgoingLeg, record: CallRecord) -> None:
    """The credit is used up. What costs ends first: the caller's BYE may have to wait for its ACK."""
    leg.hangup(CAUSES["timeout"].status, CAUSES["timeout"].header)
    end_leg(caller, record, "timeout")


async def _run_number(context: CallContext, terms: ConnectTerms, verdict: RunFlow, claim: AnswerClaim) -> ConnectResult:
    """Another number of ours: its flow runs as if it had been called, on the same caller."""
    number = verdict.number
    flow = context.services.library.find(number.call_flow_id)
    if flow is None:
        context.record.note(f"connect: {number.number} has a call flow that does not exist")
        return unanswered(480, "Temporarily Unavailable")
    return await _run_nested(context, terms, flow, claim, number=number)


async def _run_nested(
    context: CallContext,
    terms: ConnectTerms,
    flow: FlowProgram,
    claim: AnswerClaim,
    *,
    number: NumberRow | None = None,
    extension: ExtensionRow | None = None,
) -> ConnectResult:
    """The flow of a number, or of an extension, on the same caller.

    Where that flow does not answer, its status is the destination's; where it does, the connect is over when that flow
    is, and the caller's own flow goes on.
    """
    services, record = context.services, context.record
    called = number.number if number is not None else extension.name if extension is not None else ""
    branch = context.branch.grow(services.log, services.clock(), record.id)
    if branch is None:
        record.note(f"connect: our own numbers call one another too often; {called} is left out")
        return unanswered(*LOOP_DETECTED)
    leg = NestedLeg(context.call, claim)
    inner = CallContext(
        flows=context.flows,
        call=leg,
        record=record,
        number=number,
        extension=extension,
        budget=context.budget,
        branch=branch,
        depth=context.depth + 1,
    )
    inner.diverted = context.diverted if extension is None else context.diverted | {extension.name}
    inner.caller = context.caller
    inner.destination = called
    inner.breadth = context.breadth if terms.breadth is None else terms.breadth
    inner.anchored = context.anchored or (context.flow is not None and context.flow.media == "anchor")
    inner.on_dialled = context.on_dialled
    inner.binding = context.binding
    began = services.clock()
    await context.flows.run_nested(flow, inner)
    if leg.answered:
        return ConnectResult(
            status="answered", sip_status=200, reason="OK", duration=services.clock() - began, word="normal"
        )
    status = leg.end_status or 480
    return unanswered(status, leg.end_reason or reason_phrase(status), headers=leg.end_headers)
