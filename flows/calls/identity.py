"""Caller identity: the caller, the phone's own number, or a source that a flow gives, as the far end is shown it."""

from contextlib import suppress
from uuid import UUID

from flows.calls.address import Address
from flows.calls.context import CallContext
from flows.calls.dial import ConnectTerms
from flows.calls.record import CallRecord
from flows.calls.services import CallServices
from routing.access.destinations import NamedBy
from routing.directory.extensions import ExtensionRow
from routing.directory.number_source import NumberUnavailable
from routing.hunt.identity import Anonymous, CallerIdentity, DiversionReason
from routing.identifiers import same_customer
from routing.numbers.normalise import normalise_dialled


async def caller_identity(
    context: CallContext, terms: ConnectTerms, called: ExtensionRow | None = None
) -> CallerIdentity:
    """Whom those who are dialled for a caller see. An extension that is `called` sees another one of its customer's by
    its name, by which it can call back."""
    record = context.record
    diverted_by = context.number.number if context.number is not None else ""
    why = diversion_reason(record)
    source, name = terms.source, record.source_name
    if source is not None:
        await fetch_source(context.services, source)
        if record.source and _number_of(context.services, source) == record.source:
            name = source.target_name or source.name or name
            source = None  # the caller, under whatever name
        elif not may_show(context, source, terms.source_named, terms.flow_owner):
            record.note(f"connect: {source.target} is no active number of this customer, and is not shown")
            source = None
    phone = record.phone
    if source is None and phone is not None:
        if called is not None and same_customer(phone.customer_id, called.customer_id):
            return CallerIdentity(
                number=phone.name,
                name=phone.display_name or name,
                private=record.anonymous,
                anonymous=terms.anonymous,
            )
        own = phone.caller_id
        return CallerIdentity(
            number=record.shown,
            name=name,
            private=record.anonymous,
            anonymous=terms.anonymous,
            diverted_by=diverted_by,
            diverted_why=why,
            asserted=own,
        )
    if source is None:
        # A guest's word is passed on, and vouched for by nobody (RFC 3325 §5).
        asserted = "" if record.guest else record.source if record.shown else None
        return CallerIdentity(
            number=record.shown or record.source,
            name=record.shown_name if record.shown else name,
            private=record.anonymous,
            anonymous=terms.anonymous,
            diverted_by=diverted_by,
            diverted_why=why,
            forwarded=record.forwarded,
            asserted=asserted,
            asserted_name=name if record.shown else "",
        )
    identity = identity_of(context.services, source, terms.anonymous, private=record.anonymous)
    identity.diverted_by, identity.diverted_why, identity.forwarded = diverted_by, why, record.forwarded
    return identity


def diversion_reason(record: CallRecord) -> DiversionReason:
    """Why a call is forwarded, by what became of whom it was for first (RFC 5806 §9)."""
    for tried in reversed(record.tried):
        if tried and tried[-1].kind:
            if tried[-1].status in (486, 600):
                return "user-busy"
            return "no-answer" if tried[-1].kind in ("ring_timeout", "no_reply", "no_progress") else "unconditional"
    return "unconditional"


async def fetch_source(services: CallServices, source: Address) -> None:
    """Has the number of a source in memory, where there is such a number of ours, for `may_show`."""
    with suppress(NumberUnavailable):
        await services.fetch_numbers(services.missing_numbers(source.target))


def may_show(context: CallContext, source: Address, named: NamedBy, flow_owner: UUID) -> bool:
    """Whether a call may be shown as one of `source`, which a flow of `flow_owner` gives. A customer calls with its own
    active numbers, in flows as by order, and for its caller; what the platform has written down is its business."""
    if named != "customer":
        return True
    number, record = _number_of(context.services, source), context.record
    if number and number == record.source and not record.guest and record.phone is None:
        return True  # the caller, whom somebody has vouched for
    row = context.services.directory.number(number) if source.type == "tel" and number else None
    return row is not None and row.status == "active" and row.customer_id in (context.customer_id, flow_owner)


def _number_of(services: CallServices, source: Address) -> str:
    return normalise_dialled(source.target, services.routing, services.directory.numbers).number


def identity_of(
    services: CallServices, source: Address, anonymous: Anonymous, *, private: bool = False
) -> CallerIdentity:
    """A caller that is named by an address: a number in normal form where it is one."""
    number = _number_of(services, source) or source.target
    return CallerIdentity(
        number=number,
        name=source.target_name or source.name,
        private=private,
        anonymous=anonymous,
    )
