"""The model that the options of all actions are made of."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from flows.language.faults import FieldPath

RUNNING = {"running": True}
"""The validation context of options whose variables have been filled in."""


class Options(BaseModel):
    """What an action may be told. Types are strict: a number in quotes is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        """The actions that this one may jump to: the option's field, and the id."""
        return ()

    @property
    def falls_through(self) -> bool:
        """Whether the flow may go on with the next action."""
        return True


class NoOptions(Options):
    """For actions that take none."""
