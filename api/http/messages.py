"""What pydantic finds, in words that say what is wanted: it speaks of patterns, inputs and types of Python."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from routing.models.sentences import EMPTY, SENTENCES, field_meant, wanted_type

_SENTENCES: Mapping[str, str] = {
    **SENTENCES,
    "extra_forbidden": "is not known here; remove it",
    "literal_error": "must be one of {expected}; choose one",
    "string_too_short": "must have {min_length} characters or more; write a longer text",
    "string_too_long": "must have {max_length} characters at most; shorten it",
    "too_short": "must have {min_length} entries or more; add some",
    "too_long": "must have {max_length} entries at most; remove some",
    "finite_number": "must be a finite number; write digits",
    "timezone_aware": "must say its time zone; write it like 2026-01-31T12:00:00Z",
}
# How to write what a field takes, by the beginning of pydantic's name for what is wrong.
_ADVICE: Mapping[str, str] = {
    "string_": "put it in quotes",
    "int_": "write digits, 19 at most",
    "float_": "write digits",
    "bool_": "write one of them",
    "list_": "write its entries in [ ]",
    "dict_": 'write it like {"name": "value"}',
    "model_": 'write it like {"name": "value"}',
    "uuid_": "write it like 4dbeabd6-f397-4375-95d2-a38411e07ed1, or copy it whole from an answer",
    "datetime_": "write it like 2026-01-31T12:00:00Z",
}


EXPLAINED: dict[str, str] = {}
"""Pattern -> what people are told of a text that is not of that form."""


def explained(pattern: str, problem: str) -> str:
    """A pattern that pydantic itself looks at, with what people are told of a text that is not of that form. Patterns
    without such a sentence stand beside code that says it better."""
    EXPLAINED[pattern] = problem
    return pattern


def sentence(error: ErrorDetails, known: Sequence[str] = ()) -> str:
    """What is wrong with a field and what to do about it; `known` are the names where there is none of this one. No
    value is repeated: it may be a secret."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden" and (meant := field_meant(str(error["loc"][-1]), known)):
        return f"is not known here; did you mean {meant}?"
    if kind.isupper():  # our own: its type is the reason, its message a sentence
        return error["msg"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return EXPLAINED.get(context["pattern"], "is not of the form that the documentation (/docs) describes")
    return _by_kind(kind, context) or "is not what the documentation (/docs) describes; correct it"


def _by_kind(kind: str, context: Mapping[str, Any]) -> str:
    template = EMPTY.get(kind) if context.get("min_length") == 1 else None
    template = template or _SENTENCES.get(kind)
    if template is not None:
        return template.format_map(context)
    beginning, what = wanted_type(kind)
    if beginning not in _ADVICE:
        return ""
    return f"must be {'a moment' if beginning == 'datetime_' else what}; {_ADVICE[beginning]}"


__all__ = ["EXPLAINED", "explained", "sentence"]
