"""The action `message_send`: sends a text message to numbers, SIP addresses, extensions or agents."""

from pydantic import Field

from flows.actions import action
from flows.calls.address import Address
from flows.faults import ActionError
from flows.language.options import Options
from flows.language.registry import ANY, Report
from flows.language.run import Run
from flows.messages.model import MAX_TEXT, MessageNotKept, MessageQueueFullError, MessageRequest, TextMessage
from routing.access.destinations import least_trusted
from routing.directory.number_source import NumberUnavailable
from routing.directory.rows import NumberRow
from routing.numbers.normalise import normalise_dialled

MOST_DESTINATIONS = 100


class MessageSendOptions(Options):
    """`message_send`: the source is our number, the destination who texts or calls, where they are left out."""

    source: Address | None = None
    destinations: list[Address] = Field(default=[], max_length=MOST_DESTINATIONS)
    text: str = Field(min_length=1, max_length=MAX_TEXT)


def _describe(run: Run, option: MessageSendOptions) -> str:
    to = ", ".join(destination.target for destination in option.destinations) or run.record.source
    return f'to {to}: "{option.text}"'


async def _simulate(report: Report, run: Run, option: MessageSendOptions) -> None:
    """Nothing is sent."""
    if run.medium == "message" or not run.over:
        report("(not sent)")


@action(MessageSendOptions, media=ANY, describe=_describe, simulate=_simulate)
async def message_send(run: Run, option: MessageSendOptions) -> None:
    """Hands the text to the post, which keeps it and then sends it; the flow does not wait for the far end."""
    post = run.services.messages
    if post is None:
        raise ActionError("this engine sends no messages")
    if not option.text.strip():
        raise ActionError("the text is empty")
    if len(option.text.encode("utf-8", "surrogatepass")) > MAX_TEXT:
        raise ActionError(f"the text is longer than {MAX_TEXT} bytes; shorten it")
    came: TextMessage | None = getattr(run, "message", None)
    number, source = await _source(run, option.source)
    destinations, via = option.destinations, ""
    if not destinations:
        destinations = [_sender(run, came)]
        via = came.via if came is not None else ""
    order = MessageRequest(
        customer_id=run.context.customer_id,
        source=source,
        destinations=destinations,
        text=option.text,
        number_id=number.id,
        via=via,
        automatic=True,
        named=least_trusted(run.named(destination.target) for destination in destinations),
        branch=run.context.branch,
    )
    try:
        message = await post.send(order)
    except (MessageNotKept, MessageQueueFullError) as error:
        raise ActionError(str(error)) from None
    run.record.note(f"message {message.id}")


async def _source(run: Run, given: Address | None) -> tuple[NumberRow, Address]:
    """Our number that sends. Replies and STOP to any other number would not reach us."""
    if given is None:
        if run.number is not None:
            return run.number, Address(type="tel", target=run.number.number)
        if run.record.direction != "outgoing" or run.record.source_type != "tel" or not run.record.source:
            raise ActionError("there is no number of ours that could send; give one as source")
        given = Address(type="tel", target=run.record.source)
    services = run.services.calls
    try:
        await services.fetch_numbers(services.missing_numbers(given.target))
    except NumberUnavailable as error:
        raise ActionError(f"the source cannot be looked up: {error}") from None
    e164 = normalise_dialled(given.target, services.routing, services.directory.numbers).number
    row = services.directory.number(e164) if given.type == "tel" and e164 else None
    if (
        row is None
        or row.status != "active"
        or (run.context.customer_id.int and row.customer_id != run.context.customer_id)
    ):
        raise ActionError(f"{given.target!r} is no active number of ours that may send; leave source out")
    return row, Address(type="tel", target=e164, target_name=given.target_name or given.name)


def _sender(run: Run, came: TextMessage | None) -> Address:
    if came is not None:
        if came.source is None:
            raise ActionError("the sender withholds its address; give destinations")
        return came.source
    record = run.record
    if record.direction == "outgoing":
        kind, number = record.destination_type, record.destination
    elif record.guest:
        # A guest's caller ID is not verified: anybody could have others texted at our cost.
        raise ActionError("nobody vouches for the number of a guest; give destinations")
    else:
        kind, number = record.source_type, "" if record.anonymous else record.source
    if kind != "tel" or not number:
        raise ActionError("the other side has no number that could be texted; give destinations")
    return Address(type="tel", target=number)
