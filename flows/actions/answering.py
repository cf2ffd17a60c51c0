"""Actions that answer, refuse or end the call: answer, ringing, progress, reject, redirect, hangup."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from flows.actions import action
from flows.calls.address import PLACEHOLDER
from flows.faults import ActionError
from flows.language.options import NoOptions, Options
from flows.language.program import HUNG_UP
from flows.language.registry import nothing
from flows.language.run import Run
from flows.values import Line, Reference, one_line, or_variable
from routing.hunt.outcome import HangupReason

_CONTACT = re.compile(r"(?:sips?|tel):[^\s<>\"]+", re.IGNORECASE)


def _contact(text: str) -> str:
    if PLACEHOLDER not in text and not _CONTACT.fullmatch(text):
        raise ValueError("is no SIP or tel URI; write it like sip:alice@example.com")
    return one_line(text)


Contact = Annotated[
    str,
    AfterValidator(_contact),
    Field(
        max_length=1024,
        json_schema_extra={"pattern": or_variable(r'^([Ss][Ii][Pp][Ss]?|[Tt][Ee][Ll]):[^\s<>"\x00-\x1f\x7f\x85]+$')},
    ),
]


@action(NoOptions, answers=True)
def answer(run: Run, option: NoOptions) -> None:
    """200, unless already answered."""
    call = run.call
    if not call.answered:
        call.answer()


@action(NoOptions)
def ringing(run: Run, option: NoOptions) -> None:
    """180, once; nothing after the answer."""
    call = run.call
    if not call.answered:
        call.ringing()


class ProgressOptions(Options):
    """`progress`: 183 with the engine's own media (`early_media`), or only the sign that the call goes on."""

    early_media: bool = True


@action(ProgressOptions, early=True)
def progress(run: Run, option: ProgressOptions) -> None:
    """183 with the engine's own media. Without `early_media` all that is left to say is that it rings."""
    call = run.call
    if call.answered:
        return
    if option.early_media:
        call.progress()
    else:
        call.ringing()


class RejectOptions(Options):
    """`reject`: the final response before the answer, and its reason phrase ("" takes the code's own)."""

    code: int = Field(default=603, ge=400, le=699)
    reason: Line = ""


@action(RejectOptions, before_answer=True, describe=nothing)
def reject(run: Run, option: RejectOptions) -> int:
    """The final response that refuses."""
    _unanswered(run)
    run.call.reject(option.code, option.reason)
    return HUNG_UP


class RedirectOptions(Options):
    """`redirect`: where the caller is sent with 302 (RFC 3261 §21.3.3)."""

    contacts: list[Contact] = Field(
        min_length=1, max_length=10, json_schema_extra={"examples": [["sip:alice@example.com"]]}
    )


@action(RedirectOptions, before_answer=True, describe=lambda run, option: ", ".join(option.contacts))
def redirect(run: Run, option: RedirectOptions) -> int:
    """302."""
    _unanswered(run)
    if run.services.calls.destinations is not None:
        for contact in option.contacts:
            way = run.services.calls.destinations.at_once(contact, run.named(contact))
            if way.refused:
                raise ActionError(way.refused)
    run.call.redirect(option.contacts)
    return HUNG_UP


class HangupOptions(Options):
    """`hangup`: why; with `reference_id` the reason that the call with this id ended with is taken, if it is known."""

    reason: HangupReason = "normal"
    reference_id: Reference = ""


@action(HangupOptions, ends=True, describe=lambda run, option: option.reason)
def hangup(run: Run, option: HangupOptions) -> int:
    """Ends the call with a reason, its own or that of the call it refers to."""
    reason: str = option.reason
    if option.reference_id:
        other = run.services.calls.registry.get(option.reference_id)
        if other is not None and other.hangup_reason:
            reason = other.hangup_reason
    run.hangup(reason)
    return HUNG_UP


def _unanswered(run: Run) -> None:
    if run.call.answered:
        raise ActionError("the call has been answered, and can only be hung up")
