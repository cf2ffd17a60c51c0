"""The model that the options of all actions are made of.

Durations of actions are milliseconds; ring timeouts are seconds, as they are for providers. What an options model does
not name is refused when a flow is saved.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from flows.faults import FieldPath
from flows.language.variables import plain_name
from flows.values import VARIABLE, or_variable, schema

RUNNING: Final = {"running": True}
"""The validation context of options whose variables have been filled in."""
FLOW_ACTION: Final[dict[str, JsonValue]] = {"$ref": "#/components/schemas/FlowAction"}
"""The JSON schema of an action, in the API's document."""

Shape = Mapping[str, Mapping[str, Any]]
"""Field -> what a JSON schema says of it in one form of an object: its keywords, and `required` and `nullable`."""


class Options(BaseModel):
    """The options of an action. Types are strict: a number in quotes is no number.

    Attributes:
        shapes: The forms of which an object must have one, because what a field may hold depends on another. The JSON
            schema of what the class's validators refuse.
        web_addresses: The fields that hold web addresses, or lists of them: none may be private unless that is allowed.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    shapes: ClassVar[Sequence[Shape]] = ()
    web_addresses: ClassVar[Sequence[str]] = ()

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        """The actions that this one may jump to: the option's field, and the id."""
        return ()

    @property
    def falls_through(self) -> bool:
        """Whether the flow may go on with the next action."""
        return True

    @property
    def inline_actions(self) -> Sequence[Any]:
        """The actions that this one holds itself, in its field `actions`: a flow of their own."""
        return ()


class NoOptions(Options):
    """For actions that take none."""


NO_OPTIONS: Final = NoOptions()


def given(*fields: str, **keywords: Any) -> Sequence[Shape]:
    """A shape for each of these fields, in which it is given."""
    return tuple({field: {"required": True, "nullable": False} | keywords} for field in fields)


VariableName = Annotated[
    str,
    AfterValidator(plain_name),
    Field(min_length=1, max_length=255),
    schema(pattern=or_variable(VARIABLE)),
]
"""A variable, by its name or as `${name}`."""
