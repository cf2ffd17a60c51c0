"""The action `mailbox_set`: how many messages wait for an extension, which its phones show (RFC 3842)."""

from typing import Annotated

from pydantic import AfterValidator, Field

from flows.actions import action
from flows.calls.address import PLACEHOLDER
from flows.calls.services import MailboxNotKept
from flows.faults import ActionError
from flows.language.options import Options
from flows.language.registry import ANY, Report
from flows.language.run import Run
from flows.values import Line, or_variable, schema
from routing.access.admission import extension_for
from routing.mailboxes import MOST_MESSAGES, MailboxKey, MessageCount


def _count(value: int | str) -> int | str:
    """Raises ValueError."""
    if isinstance(value, str):
        if PLACEHOLDER in value:
            return value
        if not (value.isascii() and value.isdigit() and len(value) < 8):
            raise ValueError("is no number of messages; write a number, or a variable that holds one")
        value = int(value)
    if not 0 <= value <= MOST_MESSAGES:
        raise ValueError(f"is none from 0 to {MOST_MESSAGES}")
    return value


Count = Annotated[
    int | str,
    AfterValidator(_count),
    schema(
        anyOf=[
            {"type": "integer", "minimum": 0, "maximum": MOST_MESSAGES},
            {"type": "string", "pattern": or_variable("^[0-9]{1,6}$")},
        ]
    ),
]


class MailboxSetOptions(Options):
    """`mailbox_set`: the extension, by its name or id, and how many messages wait for it, new and old."""

    extension: Line = Field(min_length=1, max_length=255)
    new: Count
    old: Count = 0


async def _simulate(report: Report, run: Run, option: MailboxSetOptions) -> None:
    """Nobody is told."""
    report("(not told)")


@action(
    MailboxSetOptions,
    media=ANY,
    describe=lambda run, option: f"{option.extension}: {option.new} new, {option.old} old",
    simulate=_simulate,
)
async def mailbox_set(run: Run, option: MailboxSetOptions) -> None:
    """Sets the count of the extension's mailbox, which others may share; phones that have subscribed are told."""
    services = run.services.calls
    if services.mailboxes is None:
        raise ActionError("this engine keeps no mailboxes")
    extension = extension_for(services.directory, option.extension, run.context.customer_id)
    if extension is None:
        raise ActionError(f"there is no extension {option.extension!r}")
    try:
        await services.mailboxes.write(MailboxKey.of(extension), MessageCount(int(option.new), int(option.old)))
    except MailboxNotKept as error:
        raise ActionError(str(error)) from None
