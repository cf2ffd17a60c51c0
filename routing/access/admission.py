"""Admission: who a caller is, and whether its call or text runs a flow, goes out through providers, or is refused."""

from contextlib import suppress
from typing import Literal, NamedTuple
from uuid import UUID

from engine.sip.flow import address_of, is_web_page
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.directory.rows import NumberRow
from routing.identifiers import of_platform, same_customer
from routing.models.provider import Provider
from routing.numbers.normalise import DialledNumber
from routing.numbers.numbering import is_virtual
from routing.numbers.short_numbers import is_emergency, is_short, short_digits
from routing.settings import RoutingSettings

SourceKind = Literal["trunk", "client", "guest"]
Medium = Literal["call", "message"]

Cause = Literal[
    "no_call_flow",
    "no_message_flow",
    "suspended",
    "unknown_number",
    "not_provisioned",
    "virtual_from_trunk",
    "unknown_extension",
    "empty",
    "overlong",
    "foreign_from_guest",
    "guests_not_allowed",
    "loop",
]


class Source(NamedTuple):
    """Where a call comes from.

    Attributes:
        kind: "trunk", "client" (trusted network or credentials) or "guest".
        provider: The trunk's provider.
        customer_id: Whose extensions a client reaches by their names; None: nobody's.
        all_extensions: It reaches those of every customer.
    """

    kind: SourceKind
    provider: Provider | None = None
    customer_id: UUID | None = None
    all_extensions: bool = False


def client_of(customer_id: UUID) -> Source:
    """Who dials for a customer: a flow, an order, an agent. The platform reaches everybody's extensions."""
    return Source("client", customer_id=customer_id, all_extensions=of_platform(customer_id))


def phone_of_customer(customer_id: UUID) -> Source:
    """A phone that has shown whose it is: it reaches the extensions of its own customer, the platform's too."""
    return Source("client", customer_id=customer_id)


class RunFlow(NamedTuple):
    """The call is for one of our numbers: its call flow runs, for a message its message flow.

    Attributes:
        note: What the call record should say beside it; "" mostly.
    """

    number: NumberRow
    note: str = ""


class DialOut(NamedTuple):
    """The call goes to a foreign number, through the providers.

    Attributes:
        target: In normal form; a short number as it stands.
    """

    target: str


class RingExtension(NamedTuple):
    """The call, or message, is for an extension: its phones ring.

    Attributes:
        extension: An active one, that this source may reach.
    """

    extension: ExtensionRow


class Refuse(NamedTuple):
    """The call is refused.

    Attributes:
        status: SIP status and its reason phrase.
        warning: Text for a `Warning: 399` header; "" for none.
        cause: Why, as a stable word for counters and logs.
        detail: Why, as a sentence for a log; holds what was dialled, which came from the network.
    """

    status: int
    reason: str
    warning: str
    cause: Cause
    detail: str


Decision = RunFlow | DialOut | RingExtension | Refuse

_TRUSTED = Source("client", all_extensions=True)
_CLIENT = Source("client")
_GUEST = Source("guest")

# What refusals look like on the wire. None of them tells a stranger more than the status does.
_ANSWERS: dict[Cause, tuple[int, str]] = {
    "no_call_flow": (480, "Temporarily Unavailable"),
    "no_message_flow": (480, "Temporarily Unavailable"),
    "suspended": (480, "Temporarily Unavailable"),
    "unknown_number": (404, "Not Found"),
    "not_provisioned": (404, "Not Found"),
    "virtual_from_trunk": (404, "Not Found"),
    "unknown_extension": (404, "Not Found"),
    "empty": (484, "Address Incomplete"),
    "overlong": (484, "Address Incomplete"),
    "foreign_from_guest": (403, "Forbidden"),
    "guests_not_allowed": (403, "Forbidden"),
    "loop": (482, "Loop Detected"),
}


def identify(
    directory: Directory, settings: RoutingSettings, party: str, authenticated: bool = False, own: bool = False
) -> Source:
    """Who calls from `party`: a numeric address, and what a certificate has shown of who is there
    (`engine.sip.flow.Flow.party`). A trunk stays a trunk even where it is trusted or has credentials: else whoever
    reaches us through it could dial out at our cost. So is who is at the address of a trunk that has to show a
    certificate, and has not: a guest. A page in a browser is what its credentials say, wherever that browser is. `own`:
    we sent it ourselves, and it has come back; whoever made us send it gets no rights by that, whatever address it
    comes from."""
    if own:
        return _GUEST
    if is_web_page(party):
        return _CLIENT if authenticated else _GUEST
    provider = directory.provider_at(party)
    if provider is not None:
        return Source("trunk", provider) if directory.provider_of(party) is not None else _GUEST
    if settings.trusted.find(address_of(party)):
        return _TRUSTED
    return _CLIENT if authenticated else _GUEST


def admit(
    directory: Directory, settings: RoutingSettings, source: Source, dialled: DialledNumber, medium: Medium = "call"
) -> Decision:
    """What becomes of the call, or message. Refusals are counted in `directory.refused`."""
    verdict = judge(directory, settings, source, dialled, medium)
    if isinstance(verdict, Refuse):
        directory.count_refusal(verdict.cause)
    return verdict


def judge(
    directory: Directory, settings: RoutingSettings, source: Source, dialled: DialledNumber, medium: Medium = "call"
) -> Decision:
    """As `admit`, without counting."""
    kind = source.kind
    if kind == "guest" and not settings.allow_guests:
        return _refuse("guests_not_allowed", "callers without trunk, trusted network or credentials are not let in")
    digits = short_digits(dialled.text)
    emergency = is_emergency(digits, settings)
    if kind == "client":
        if emergency:
            return DialOut(digits)
        if (extension := reached_extension(directory, settings, source, dialled)) is not None:
            return RingExtension(extension)
        if dialled.number not in directory.numbers and is_short(digits, settings):
            return DialOut(digits)
    elif emergency and kind == "guest":
        return _refuse("foreign_from_guest", f"a guest dialled {dialled.text}, an emergency number")
    if dialled.kind != "number":
        if dialled.kind == "empty":
            return _refuse("empty", "nothing was dialled")
        if dialled.kind == "overlong":
            return _refuse("overlong", f"{dialled.text} is too long for a number")
        if kind == "guest":  # there may be such an extension, for who logs in
            return _refuse("unknown_extension", f"a guest dialled {dialled.text}, which is no number")
        return _refuse("unknown_extension", f"{dialled.text} is neither a number nor a known extension")
    target = dialled.number
    row = directory.number(target)
    virtual = is_virtual(target)
    if virtual and kind == "trunk":
        return _refuse("virtual_from_trunk", f"{target} is virtual and cannot be reached through a trunk")
    if row is None:
        if virtual:
            return _refuse("unknown_number", f"{target} is a virtual number that does not exist")
        if kind == "trunk":
            return _refuse("unknown_number", f"{target} is none of our numbers")
        if kind == "guest":
            return _refuse("foreign_from_guest", f"a guest dialled {target}, which is none of our numbers")
        return DialOut(target)
    return _judge_own(row, source, medium)


def _judge_own(row: NumberRow, source: Source, medium: Medium) -> Decision:
    """What becomes of a call, or message, for a number of ours."""
    target, status = row.number, row.status
    if status == "active":
        if medium == "call":
            if not row.call_flow_id.int:
                warning = f"Number {target} has no call flow"
                return _refuse("no_call_flow", f"{target} has no call flow", warning)
        elif not row.message_flow_id.int:
            return no_message_flow(target)
        provider = source.provider
        if provider is not None and row.provider_id.int and row.provider_id.int != provider.id.int:
            return RunFlow(row, "arrived on a trunk that is not the number's own")
        return RunFlow(row)
    if status == "suspended":
        return _refuse("suspended", f"{target} is suspended")
    return _refuse("not_provisioned", f"{target} is {status}")


def reached_extension(
    directory: Directory, settings: RoutingSettings, source: Source, dialled: DialledNumber
) -> ExtensionRow | None:
    """The active extension whose name a client has dialled, and reaches by it; None where there is none. An emergency
    number is never one. Who reaches those of all customers reaches none by a number: a customer who gives its extension
    the digits of somebody's number gets no calls of others for that."""
    row = directory.extension(dialled.text)
    if row is None or not row.active or is_emergency(dialled.text, settings):
        return None
    owner = source.customer_id
    if owner is not None and same_customer(owner, row.customer_id):
        return row
    reached = source.all_extensions and (dialled.kind != "number" or of_platform(row.customer_id))
    return row if reached else None


def extension_for(directory: Directory, reference: str, customer_id: UUID) -> ExtensionRow | None:
    """The active extension that a flow of this customer calls by its name or its id; the platform's flows call any."""
    row = directory.extension(reference)
    if row is None:
        with suppress(ValueError):
            row = directory.extensions.find(UUID(reference))
    if row is None or not row.active:
        return None
    return row if of_platform(customer_id) or customer_id == row.customer_id else None


def looped(dialled: DialledNumber) -> Refuse:
    """The answer to what a call, or message, for the same number has led to."""
    return _refuse("loop", f"{dialled.number or dialled.text} has led to itself")


def no_message_flow(number: str) -> Refuse:
    """The answer to a message for a number that takes none."""
    return _refuse("no_message_flow", f"{number} has no message flow", f"Number {number} has no message flow")


def _refuse(cause: Cause, detail: str, warning: str = "") -> Refuse:
    status, reason = _ANSWERS[cause]
    return Refuse(status=status, reason=reason, warning=warning, cause=cause, detail=detail)
