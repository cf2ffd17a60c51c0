"""pydantic's errors of a configuration file as sentences: what is wrong, and what to do about it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from flows import faults as flow_faults


def sentence(error: ErrorDetails, known: Sequence[str]) -> str:
    """What one pydantic error says, in words; `known` are the field names where an unknown one was found.

    Values are repeated only where they are short and plain, and the caller hides secrets (`Secrets.hide`).
    """
    kind = error["type"]
    if kind == "extra_forbidden":
        return unknown(str(error["loc"][-1]), known)
    if kind.isupper():  # routing's own errors: the type is the API's reason, the message a sentence
        return error["msg"]
    if error.get("input") is None and kind != "missing":
        return "has no value; write one or remove the line"
    if "ctx" in error:
        error = error | {"ctx": {key: _plain(value) for key, value in error["ctx"].items()}}
    return flow_faults.sentence(error, "it", known)


def unknown(name: str, known: Sequence[str]) -> str:
    """What to say about a setting that does not exist, given those that do."""
    key, colon, _ = name.partition(":")
    if colon and key in known:  # {name:alice} is one key to YAML
        return f"a space is missing behind {key}:; put one there"
    close = get_close_matches(name, known, n=1)
    if close:
        return f"unknown setting; did you mean {close[0]}?"
    return f"unknown setting; remove it, or use one of: {', '.join(known)}" if known else "unknown setting; remove it"


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


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
