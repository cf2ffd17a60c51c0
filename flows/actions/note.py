"""The action `note`: a remark in the call's record."""

from pydantic import Field

from flows.actions import action
from flows.calls.ports import CallEnded
from flows.language.options import Options
from flows.language.run import Run
from flows.values import Line


class NoteOptions(Options):
    """`note`: the remark; `${name}` in it is expanded."""

    text: Line = Field(min_length=1, max_length=255)


@action(NoteOptions, describe=lambda run, option: option.text)
def note(run: Run, option: NoteOptions) -> None:
    """Adds a remark to the `notes` of the call's record, which keeps twenty."""
    if run.over:
        raise CallEnded("the call is over")
    run.record.note(option.text)
