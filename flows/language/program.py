"""Programs: flows made ready to run, one step for each action, its options checked, its jumps resolved.

Nothing here knows which actions there are; `compiler` makes programs, `interpreter` runs them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Union
from uuid import UUID

Medium = Literal["call", "message"]
"""What a flow runs on."""

STOP = -1
"""What an action returns that ends the flow without a hangup."""
HUNG_UP = -2
"""What an action returns that ended the call."""

StepResult = Union[int, "Program", None]
"""What an action returns: None (go on), the index of the step to jump to, STOP, HUNG_UP, or a program to run in place.
"""


@dataclass(slots=True, eq=False, kw_only=True)
class Step:
    """One action.

    Attributes:
        id: What jumps and log lines call it.
        type: The action's name, or "python".
        function: `function(run, option)`, which returns a StepResult, or is awaited for one. The types of an action's
            parameters are checked where it is registered.
        option: Its options, checked.
        following: The index of the step that comes next; the program's length is the end.
        waits: Whether `function` is awaited.
        source: The option as written, where it holds `${`; else None.
        inline: The flow that the option holds itself.
        connects: Whether the caller may talk with another party in it, or in what it runs.
        on_messages: Whether it can run on a message.
    """

    id: str = ""
    type: str
    function: Callable[[Any, Any], Any]
    option: Any
    following: int = 1
    waits: bool = False
    source: dict[str, Any] | None = None
    inline: "Program | None" = None
    connects: bool = False
    on_messages: bool = True


@dataclass(slots=True, eq=False, kw_only=True)
class Program:
    """A compiled flow.

    Attributes:
        id, name: Those of the flow.
        steps: Its actions.
        places: The index of each step, by the action's id.
        on_complete: The flow that runs after it, by its id or name; "" for none.
        customer_id: Who wrote it; None, as the nil UUID, is the platform.
        media: "anchor" where the media of the calls that it connects are to pass us.
    """

    id: str = ""
    name: str = ""
    steps: list[Step] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    on_complete: str = ""
    customer_id: UUID | None = None
    media: str = ""

    def belongs_to(self, customer_id: UUID | None) -> None:
        """Sets who wrote it, and all the flows that it holds."""
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

    def compile(self, actions: list[Any], medium: Medium, title: str) -> Program:
        """A flow of actions that are not kept. Raises FlowError, which calls them `title`."""
        ...
