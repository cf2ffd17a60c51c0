"""pydantic's errors of a configuration file as sentences: what is wrong, and what to do about it."""

from collections.abc import Sequence

from pydantic_core import ErrorDetails

from flows import faults as flow_faults
from routing.models.sentences import field_meant


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
    meant = field_meant(name, known)
    if meant and name.startswith(f"{meant}:"):  # {name:alice} is one key to YAML
        return f"a space is missing behind {meant}:; put one there"
    if meant:
        return f"unknown setting; did you mean {meant}?"
    return f"unknown setting; remove it, or use one of: {', '.join(known)}" if known else "unknown setting; remove it"


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
