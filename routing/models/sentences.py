"""Sentences for pydantic's errors, as far as configuration files, flows and the API say the same of a field.

What only one of them says is in its own module: `flows.faults`, which `config.messages` builds on, and
`api.http.messages`.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

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


_BEFORE_VALUE: Final = re.compile(r"[:=](?=.)", re.DOTALL)
_LONGEST: Final = 64  # characters of a key that are worth a comparison
_SECRETS: Final = ("password", "secret", "token", "key", "admin_key")


def shown_key(key: str) -> str:
    """A key as messages show it: a value that ran into it is left out.

    `{name: alice, password:hush}` has the key `password:hush` to YAML, and whoever reads the message may not be the one
    that the password is for. What the key is called does not matter: a misspelt one holds the same secret.
    """
    if end := _BEFORE_VALUE.search(key):
        return f"{key[: end.end()]}(hidden)"
    word, space, _ = key.partition(" ")
    secret = space and get_close_matches(word[:_LONGEST].lower(), _SECRETS, n=1, cutoff=0.8)
    return f"{word} (hidden)" if secret else key


def field_meant(key: str, known: Iterable[str]) -> str:
    """The field that a key which does not exist was probably meant to be; "" for none."""
    word = re.split(r"[\s:=]", key[:_LONGEST], maxsplit=1)[0]
    known = list(known)
    exact = [name for name in known if name == word]
    return next(iter(exact or get_close_matches(word, known, n=1)), "")


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
