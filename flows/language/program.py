"""Programs: flows made ready to run, one step for each action, its options checked, its jumps resolved.

Nothing here knows which actions there are; `compiler` makes programs, `interpreter` runs them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Union
from uuid import UUID

STOP = -1
"""What an action returns that ends the flow without a hangup."""
HUNG_UP = -2
"""What an action returns that ended the call."""

StepResult = Union[int, "Program", None]
"""What an action returns: None (go on), the index of the step to jump to, STOP, HUNG_UP, or a program to run in place.
"""


@dataclass(slots=True, eq=False)
class Step:
    """One action. `following` is the index of the step that comes next; the program's length is the end.

    `function(run, option)` returns a StepResult, which is awaited where `waits` is set: the parameters and the result
    of an action are checked where it is registered. `source` is the option as written where it holds `${`, and
    None elsewhere. `connects`: behind it there may be somebody else to be heard. `on_messages`: it needs no call.
    """

    id: str
    type: str
    function: Callable[[Any, Any], Any]
    option: Any
    following: int
    waits: bool
    source: dict[str, Any] | None = None
    inline: "Program | None" = None
    connects: bool = False
    on_messages: bool = True


@dataclass(slots=True, eq=False)
class Program:
    """A compiled flow. `places` is the index of each step by the action's id."""

    id: str
    name: str
    steps: list[Step]
    places: dict[str, int] = field(default_factory=dict)
    on_complete: str = ""
    customer_id: UUID | None = None
    media: str = ""

    def belongs_to(self, customer_id: UUID | None) -> None:
        """Says who wrote it, with all the flows that it holds."""
        self.customer_id = customer_id
        for step in self.steps:
            if step.inline is not None:
                step.inline.belongs_to(customer_id)

    @property
    def title(self) -> str:
        """Its name, or its id where it has none."""
        return self.name or self.id


class Programs(Protocol):
    """The flows that can be run (`flows.language.library.FlowLibrary`)."""

    def find(self, reference: object, customer_id: UUID | None = None) -> Program | None:
        """The flow of this id or name, None where there is none. With `customer_id` other customers' do not exist."""

    def compile(self, actions: list[Any], medium: Literal["call", "message"], title: str) -> Program:
        """A flow of actions that are not kept. Raises FlowError, which calls them `title`."""
        ...
