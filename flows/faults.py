"""Faults of a flow, for its author: which flow, which action, which field, and what to do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import ErrorDetails

from routing.models.sentences import EMPTY, SENTENCES, field_meant, shown_key, wanted_type

_SENTENCES = {
    **SENTENCES,
    **EMPTY,
    "string_too_long": "must not be longer than {max_length} characters; shorten it",
    "too_long": "must not hold more than {max_length} entries; remove some",
    # Nothing but the id of an action has a pattern.
    "string_pattern_mismatch": "may hold letters, digits, dots, dashes and underscores alone; write it like greeting-2",
}
# How to write what a field takes, by the beginning of pydantic's error type.
_ADVICE = {
    "string_": "put it in quotes",
    "int_": "write digits only",
    "float_": "write digits only",
    "finite_": "write digits only",
    "bool_": "write one of the two",
    "list_": "write its entries in [ ]",
    "dict_": "write it as {name: value}",
    "model_": "write it as {name: value}",
    "uuid_": "write it as 8-4-4-4-12 hexadecimal digits",
    "datetime_": "write it as 2026-01-31T12:00:00Z",
}

_KEY_AND_VALUE = re.compile(r"[:=](?!//)")

FieldPath = tuple[str | int, ...]
SUGGESTING = 20
"""Faults of one document that are worth a look for what was meant, which takes a while."""


@dataclass(slots=True)
class Fault:
    """One thing that is wrong with a flow.

    `flow` is its name (or id), `index` the action's place in the list from 0 (None: the flow as a whole), `path` the
    place of the field within the flow's document, such as `("actions", 2, "option", "duration")`.
    """

    flow: str
    index: int | None
    action_id: str
    action_type: str
    path: FieldPath
    problem: str

    @property
    def field(self) -> str:
        """The field as the author writes it: `option.destinations[0].target`; "" where none is meant."""
        return format_path(self.path[2:] if self.index is not None else self.path)

    def __str__(self) -> str:
        where = f'flow "{printable(self.flow)}"' if self.flow else "flow"
        if self.index is not None:
            named = [printable(part) for part in (self.action_type, self.action_id and f"id {self.action_id}") if part]
            where += f", action {self.index + 1}" + (f" ({', '.join(named)})" if named else "")
        field = printable(self.field)
        return f"{where}: {field}: {self.problem}" if field else f"{where}: {self.problem}"


class FlowError(ValueError):
    """A flow cannot be used. `faults` holds every reason, in the order of the actions; `str()` is one line for each."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = list(faults)


class ActionError(Exception):
    """An action that cannot be carried out, in a sentence for the log."""


def format_path(path: Sequence[str | int]) -> str:
    """`("option", "destinations", 0, "target")` as `option.destinations[0].target`; see `shown_key`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{shown_key(key)}" if text else shown_key(key)
    return text


def printable(text: object, limit: int = 60) -> str:
    """Text of the author's for a one-line message: short, and without anything that could break the line."""
    shown = str(text)[: limit + 1]
    shown = shown if len(shown) <= limit else shown[:limit] + "…"
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def described(value: object) -> str:
    """A wrong value in the author's words."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {printable(value)}" if abs(value) < 10**15 else "a number"
    if isinstance(value, str):
        return f"'{printable(value)}'"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "something else"


def described_shape(value: object) -> str:
    """What stands where a list or an object should, in the author's words: a text may be keys with their values, all in
    one for want of a space, and is not repeated then."""
    return "a text" if isinstance(value, str) and _KEY_AND_VALUE.search(value) else described(value)


def sentence(error: ErrorDetails, kind: str, known: Sequence[str], *, earlier: int = 0) -> str:
    """One pydantic error in words. `kind` is what the fields belong to ("connect"), `known` the fields there are;
    `earlier` faults have been told already: a like name is looked for only while they are few."""
    error_type = error["type"]
    value = error.get("input")
    if error_type == "extra_forbidden":
        if earlier < SUGGESTING and (meant := field_meant(str(error["loc"][-1]), known)):
            return f"is not known to {kind}; did you mean {meant}?"
        options = f"use one of: {', '.join(known)}" if known else f"{kind} has none"
        return f"is not known to {kind}; remove it ({options})"
    if error_type == "value_error":
        return error["msg"].partition(", ")[2]
    if error_type == "literal_error":
        return f"must be one of {error['ctx']['expected']}, and is {described(value)}; choose one"
    if error_type in _SENTENCES:
        return _SENTENCES[error_type].format_map(error.get("ctx", {}))
    beginning, what = wanted_type(error_type)
    if beginning:
        found = described_shape(value) if beginning in ("list_", "dict_", "model_") else described(value)
        return f"must be {what}, and is {found}; {_ADVICE[beginning]}"
    return f"{printable(error['msg'], 200)}; correct it"
