"""Sentences for pydantic's errors, as far as configuration files, flows and the API say the same of a field.

What only one of them says is in its own module: `flows.faults`, which `config.messages` builds on, and
`api.http.messages`.
"""

from collections.abc import Mapping
from typing import Final

SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing; add it",
    "greater_than": "must be more than {gt}; write a larger number",
    "greater_than_equal": "must be at least {ge}; write a larger number",
    "less_than": "must be less than {lt}; write a smaller number",
    "less_than_equal": "must be at most {le}; write a smaller number",
}
"""By the type of pydantic's error; to be formatted with its context."""

EMPTY: Final[Mapping[str, str]] = {
    "string_too_short": "must not be empty; write a value",
    "too_short": "must not be empty; add an entry",
}
"""Where one character, or one entry, would do."""

_TYPES: Final[Mapping[str, str]] = {
    "string_": "text",
    "int_": "a whole number",
    "float_": "a number",
    "finite_": "a number",
    "bool_": "true or false",
    "list_": "a list",
    "dict_": "an object",
    "model_": "an object",
    "uuid_": "a UUID",
    "datetime_": "a time",
}


def wanted_type(error_type: str) -> tuple[str, str]:
    """The beginning of the error's type that says what the field takes ("int_"), and that in words; "" for none."""
    for beginning, words in _TYPES.items():
        if error_type.startswith(beginning):
            return beginning, words
    return "", ""
