"""The model of a flow: its fields, and the actions with their ids.

`read_flow` is the door for documents (a file's, a request's): every fault of a flow comes back in one FlowError.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from flows.faults import Fault, FieldPath, FlowError, printable, sentence
from flows.language.options import Options
from flows.language.program import Medium
from flows.language.registry import Actions, ActionType
from flows.language.validation import Part, check_actions
from flows.values import NIL, Reference
from routing.identifiers import NIL as NIL_UUID
from routing.identifiers import named_id

MAX_ACTIONS = 1000
MAX_NESTED = 3
"""How deep `call` actions may hold actions that call."""


class Action(BaseModel):
    """One step. `id` is made where it is missing; an empty or nil `next_id` means the next in the list.

    An id may be a UUID or a short name of the author's own.
    """

    model_config = ConfigDict(extra="forbid")

    id: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9._-]*$", strict=True)
    next_id: Reference = Field("", strict=True)
    type: str = Field(min_length=1, max_length=64, strict=True)
    option: dict[str, Any] = Field({}, strict=True)


class Flow(BaseModel):
    """What happens to a call, as a list of actions. Validated whole when it is made.

    `read_flow` makes them: the validation context holds `types`, the actions that there are. A flow with a name and
    without an id gets the same id at every start.
    """

    model_config = ConfigDict(extra="forbid")

    id: UUID = NIL_UUID
    customer_id: UUID = NIL_UUID
    name: str = Field("", max_length=255, strict=True)
    detail: str = Field("", max_length=4096, strict=True)
    actions: list[Action] = Field(min_length=1, max_length=MAX_ACTIONS, strict=True)
    on_complete_flow_id: Reference = Field("", strict=True)
    media: Literal["", "anchor"] = ""
    """`anchor`: media of the calls that it connects passes the engine, or an rtpengine; "": it goes end to end."""
    tm_create: datetime | None = None
    tm_update: datetime | None = None
    tm_delete: datetime | None = None

    _title: str = PrivateAttr(default="")
    _types: list[ActionType] = PrivateAttr(default_factory=list)
    _options: list[Options] = PrivateAttr(default_factory=list)
    _inline: dict[int, "Flow"] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self, info: ValidationInfo) -> Self:
        context: Mapping[str, Any] = info.context or {}
        types: Actions = context["types"]
        self._title = self.name or (str(self.id) if self.id.int else "") or context["title"]
        if self.id == NIL_UUID:
            self.id = named_id("flow", self.name) if self.name else uuid4()
        made: set[str] = set()
        for action in self.actions:
            if not action.id or action.id == NIL:
                action.id = str(uuid4())
                made.add(action.id)
        options, faults = check_actions(
            types,
            self.title,
            [Part(action.id, action.next_id, action.type, action.option) for action in self.actions],
            medium=context["medium"],
            known_flows=context["flows"],
            known_others=context["others"],
        )
        faults += self._on_complete_faults(context["flows"])
        for index, option in enumerate(options):
            if option.inline_actions:
                faults += self._read_inline(index, option.inline_actions, context)
        for fault in faults:
            if fault.action_id in made:
                fault.action_id = ""  # its author has never seen it
        faults.sort(key=lambda fault: -1 if fault.index is None else fault.index)
        if faults:
            raise FlowError(faults)
        self._types = [types[action.type] for action in self.actions]
        self._options = options
        return self

    def _read_inline(self, index: int, actions: Sequence[Any], context: Mapping[str, Any]) -> list[Fault]:
        nested = context["nested"] + 1
        action = self.actions[index]
        place: FieldPath = ("actions", index, "option", "actions")
        if nested > MAX_NESTED:
            problem = f"calls within calls are nested more than {MAX_NESTED} deep; use flow_id instead"
            return [Fault(self.title, index, action.id, action.type, place, problem)]
        title = f"{self.title}, action {index + 1} ({action.type})"
        document = {"name": title[:255], "actions": actions}
        try:
            self._inline[index] = read_flow(
                document, context["types"], flows=context["flows"], others=context["others"], nested=nested
            )
        except FlowError as error:
            return error.faults
        return []

    def _on_complete_faults(self, flows: Container[str] | None) -> list[Fault]:
        other = self.on_complete_flow_id
        if not other or flows is None or other in flows or other in (str(self.id), self.name):
            return []
        problem = f"there is no flow '{printable(other)}'; write the id or the name of a flow"
        return [Fault(self.title, None, "", "", ("on_complete_flow_id",), problem)]

    @property
    def title(self) -> str:
        """Its name, or the id that its author gave it."""
        return self._title

    @property
    def types(self) -> list[ActionType]:
        """What each action is, in order."""
        return self._types

    @property
    def options(self) -> list[Options]:
        """The checked options of each action, in order."""
        return self._options

    @property
    def inline(self) -> dict[int, "Flow"]:
        """The flows that `call` actions hold themselves, by the action's index."""
        return self._inline


def read_flow(
    document: object,
    types: Actions,
    *,
    flows: Container[str] | None = None,
    others: Mapping[str, Container[str]] | None = None,
    medium: Medium = "call",
    nested: int = 0,
    title: str = "",
) -> Flow:
    """A flow from a document, with actions of these types (`flows.actions.ACTIONS`). `flows` holds the ids and names
    that may be referred to (None: unknown, not checked),
    `others` those of queues (`queue_id`) and conferences (`conference_id`), each where it is known.

    Raises FlowError, and nothing else, with every fault.
    """
    try:
        return Flow.model_validate(
            document,
            context={
                "types": types,
                "flows": flows,
                "others": others,
                "medium": medium,
                "nested": nested,
                "title": title,
            },
        )
    except ValidationError as error:
        raise FlowError(list(_faults(document, error, title))) from None
    except RecursionError:
        raise FlowError([Fault(title, None, "", "", (), "is nested too deeply; write it flatter")]) from None


def _faults(document: object, error: ValidationError, title: str) -> Iterator[Fault]:
    fields = document if isinstance(document, Mapping) else {}
    name = fields.get("name") or title or fields.get("id") or ""
    for earlier, details in enumerate(error.errors()):
        inner = details.get("ctx", {}).get("error")
        if isinstance(inner, FlowError):
            yield from inner.faults
            continue
        path = details["loc"]
        index, action_id, action_type = _action_at(fields, path)
        kind, model = ("an action", Action) if index is not None else ("a flow", Flow)
        problem = sentence(details, kind, list(model.model_fields), earlier=earlier)
        yield Fault(str(name), index, action_id, action_type, path, problem)


def _action_at(fields: Mapping[Any, Any], path: tuple[str | int, ...]) -> tuple[int | None, str, str]:
    if len(path) < 2 or path[0] != "actions" or not isinstance(path[1], int):
        return None, "", ""
    action = fields["actions"][path[1]]
    if not isinstance(action, Mapping):
        return path[1], "", ""
    return path[1], str(action.get("id") or ""), str(action.get("type") or "")
