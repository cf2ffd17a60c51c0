"""Before and at the answer: answer, ringing, progress, reject, redirect, hangup."""

from flows.calls.destinations import named_in
from flows.language.interpreter import hang_up
from flows.language.program import HUNG_UP
from flows.language.run import ActionError, Run
from flows.options import HangupOptions, NoOptions, ProgressOptions, RedirectOptions, RejectOptions


def answer(run: Run, option: NoOptions) -> None:
    """200, unless already answered."""
    call = run.call
    if not call.answered:
        call.answer()


def ringing(run: Run, option: NoOptions) -> None:
    """180, once; nothing after the answer."""
    call = run.call
    if not call.answered:
        call.ringing()


def progress(run: Run, option: ProgressOptions) -> None:
    """183 with the engine's own media. Without `early_media` all that is left to say is that it rings."""
    call = run.call
    if call.answered:
        return
    if option.early_media:
        call.progress()
    else:
        call.ringing()


def reject(run: Run, option: RejectOptions) -> int:
    """The final response that refuses."""
    _unanswered(run)
    run.call.reject(option.code, option.reason)
    return HUNG_UP


def redirect(run: Run, option: RedirectOptions) -> int:
    """302."""
    _unanswered(run)
    if run.env.destinations is not None:
        for contact in option.contacts:
            way = run.env.destinations.at_once(contact, named_in(run, contact))
            if way.refused:
                raise ActionError(way.refused)
    run.call.redirect(option.contacts)
    return HUNG_UP


def hangup(run: Run, option: HangupOptions) -> int:
    """Ends the call with a reason, its own or that of the call it refers to."""
    reason: str = option.reason
    if option.reference_id:
        other = run.env.calls.get(option.reference_id)
        if other is not None and other.hangup_reason:
            reason = other.hangup_reason
    hang_up(run, reason)
    return HUNG_UP


def _unanswered(run: Run) -> None:
    if run.call.answered:
        raise ActionError("the call has been answered, and can only be hung up")
