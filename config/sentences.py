"""pydantic's errors in the user's words: what is wrong, and what to do about it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

# By the error's type; the values of pydantic's context are filled in by name.
_SENTENCES = {
    "missing": "is missing; add it",
    "greater_than": "must be more than {gt}; write a larger number",
    "greater_than_equal": "must be at least {ge}; write a larger number",
    "less_than": "must be less than {lt}; write a smaller number",
    "less_than_equal": "must be at most {le}; write a smaller number",
    "string_too_short": "must not be empty; write a value",
    "string_too_long": "must not be longer than {max_length} characters; shorten it",
    "too_short": "must not be empty; add an entry",
    "too_long": "must not hold more than {max_length} entries; remove some",
}
# By the beginning of the error's type: what the field wants, and how to write it.
_WANTED = (
    ("string_type", "text", "put it in quotes"),
    ("int_", "a whole number", "write digits only"),
    ("float_", "a number", "write digits only"),
    ("finite_number", "a number", "write digits only"),
    ("bool_", "true or false", "write one of the two"),
    ("list_type", "a list", "write [one, two] or one line with a dash for each entry"),
    ("dict_type", "a mapping", "write one line of name: value for each entry"),
    ("model_", "a mapping", "write one line of name: value for each entry"),
    ("uuid_", "a UUID", "write it as 8-4-4-4-12 hexadecimal digits"),
)


def sentence(error: ErrorDetails, known: Sequence[str]) -> str:
    """What one pydantic error says, in words; `known` are the field names where an unknown one was found.

    Values are repeated only where they are short and plain, and the caller hides secrets (`Secrets.hide`).
    """
    kind = error["type"]
    value = error.get("input")
    if kind == "extra_forbidden":
        return unknown(str(error["loc"][-1]), known)
    if kind in ("value_error", "assertion_error"):
        return error["msg"].partition(", ")[2] or error["msg"]
    if kind in ("literal_error", "enum"):
        return f"{_described(value)} is not known here; use {error['ctx']['expected']}"
    if kind in _SENTENCES:
        return _SENTENCES[kind].format_map({key: _plain(limit) for key, limit in error.get("ctx", {}).items()})
    if value is None:
        return "has no value; write one or remove the line"
    for beginning, wanted, advice in _WANTED:
        if kind.startswith(beginning):
            return f"must be {wanted}, not {_described(value)}; {advice}"
    message = error["msg"]
    return f"{message[:1].lower()}{message[1:]}; correct it"


def unknown(name: str, known: Sequence[str]) -> str:
    """What to say about a name that does not exist, given those that do."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"unknown setting; did you mean {close[0]}?"
    return f"unknown setting; remove it, or use one of {', '.join(known)}" if known else "unknown setting; remove it"


def fields_at(model: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """The field names of the model that holds `location`'s last key; [] where that is no model."""
    current: Any = model
    for key in list(location)[:-1]:
        current = _member(current, key)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _member(annotation: Any, key: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        info = annotation.model_fields.get(str(key))
        return _bare(info.annotation) if info else None
    if get_origin(annotation) in (list, tuple, dict):
        return _bare(get_args(annotation)[-1])
    return None


def _bare(annotation: Any) -> Any:
    """The annotation without Annotated and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _bare(members[0]) if len(members) == 1 else None
    return annotation


def _described(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return repr(value) if len(value) <= 80 else f"a text of {len(value)} characters"
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else "this"


def _plain(limit: object) -> object:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit
