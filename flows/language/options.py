"""The options of actions: the model that all of them are made of, and those of `connect`, which transfers and queues
dial with, too.

Durations of actions are milliseconds; ring timeouts are seconds, as they are for providers. What an options model does
not name is refused when a flow is saved.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from flows.calls.address import Address
from flows.faults import FieldPath
from routing.hunt.identity import Anonymous

RUNNING: Final = {"running": True}
"""The validation context of options whose variables have been filled in."""
FLOW_ACTION: Final[dict[str, JsonValue]] = {"$ref": "#/components/schemas/FlowAction"}
"""The JSON schema of an action, in the API's document."""

Shape = Mapping[str, Mapping[str, Any]]
"""Field -> what a JSON schema says of it in one form of an object: its keywords, and `required` and `nullable`."""


class Options(BaseModel):
    """What an action may be told. Types are strict: a number in quotes is no number.

    Attributes:
        shapes: The forms of which an object must have one, because what a field may hold depends on another. The JSON
            schema of what the class's validators refuse.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    shapes: ClassVar[Sequence[Shape]] = ()

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


class ConnectOptions(Options):
    """`connect`: who is dialled, how, for how long (`ring_timeout` seconds; 0 leaves it to the provider)."""

    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=20)
    ring_method: Literal["ring_all", "linear"] = "ring_all"
    ring_timeout: int = Field(default=0, ge=0, le=3600)
    early_media: bool = True
    relay_reason: bool = False
    anonymous: Anonymous = "auto"


def given(*fields: str, **keywords: Any) -> Sequence[Shape]:
    """A shape for each of these fields, in which it is given."""
    return tuple({field: {"required": True, "nullable": False} | keywords} for field in fields)
