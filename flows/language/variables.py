"""The variables of one run: what the call and its number say, what actions set, and the author's own.

What the call says is looked up when it is asked for, so that a flow without variables pays nothing for them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MAX_KEYS = 100
MAX_VALUE = 32 * 1024
"""Bytes of UTF-8 that one variable may hold."""
MAX_EXPANDED = 64 * 1024
"""Bytes of UTF-8 that one text may grow to when its variables are filled in."""
ALIAS = "voipbin."

_NAME = re.compile(r"[^\s${}\x00-\x1f\x7f]{1,255}")
_REFERENCE = re.compile(r"\$\{\s*([^\s${}]{1,255})\s*\}")
# Read from the call, the number or the message; no flow may change them.
READ_ONLY = re.compile(r"(?:call\.(?:id|source\..*|destination\..*|direction|status)|number\..*|message\..*)")
# Set by actions; they come beside the author's own and do not count among the MAX_KEYS.
_OF_ACTIONS = ("call.digits", "connect.", "webhook.", "queue.", "conference.", "recording.", "transfer.")


class VariableError(ValueError):
    """A variable that may not be set so: its name, its size, or one too many."""


def plain_name(name: str) -> str:
    """The name itself, from a name or from `${name}`, without the alias prefix."""
    match = _REFERENCE.fullmatch(name)
    return (match[1] if match else name).removeprefix(ALIAS)


def check_key(key: str) -> str:
    """A name that a flow may set, without the alias prefix. Raises VariableError (a ValueError)."""
    name = plain_name(key)
    if not _NAME.fullmatch(name):
        raise VariableError("is no name of a variable; use up to 255 letters, digits, dots and dashes")
    if READ_ONLY.fullmatch(name):
        raise VariableError(f"{name} is set by the engine and cannot be changed; choose another name")
    return name


class Variables:
    """One run's variables. `source` answers for the names that are read from the call; None means it knows no such."""

    __slots__ = ("_own", "_set", "_source")

    def __init__(self, source: Callable[[str], str | None] | None = None, own: Mapping[str, str] | None = None) -> None:
        self._source = source
        self._own: dict[str, str] | None = dict(own) if own else None
        self._set: dict[str, str] | None = None

    def get(self, name: str) -> str:
        """The value, "" where there is none. Names with the prefix `voipbin.` are aliases."""
        name = name.removeprefix(ALIAS)
        if self._own is not None and (value := self._own.get(name)) is not None:
            return value
        if self._set is not None and (value := self._set.get(name)) is not None:
            return value
        return (self._source(name) if self._source else None) or ""

    def set(self, name: str, value: str) -> None:
        """One of the author's own. Raises VariableError beyond the limits, and for names that belong to the engine."""
        name = check_key(name)
        if len(value) > MAX_VALUE or len(value.encode("utf-8", "surrogatepass")) > MAX_VALUE:
            raise VariableError(f"the value of {name} is longer than {MAX_VALUE} bytes; shorten it")
        if name.startswith(_OF_ACTIONS):
            self.set_result(name, value)
            return
        if self._own is None:
            self._own = {}
        if len(self._own) >= MAX_KEYS and name not in self._own:
            raise VariableError(f"{name} would be variable {MAX_KEYS + 1}; a call has at most {MAX_KEYS}")
        self._own[name] = value

    def set_result(self, name: str, value: str) -> None:
        """What an action found out. The names are the actions' own, so this is bounded by their number."""
        if self._set is None:
            self._set = {}
        elif len(self._set) >= MAX_KEYS and name not in self._set:
            raise VariableError(f"{name} would be result {MAX_KEYS + 1}; a call has at most {MAX_KEYS}")
        self._set[name] = value

    def rebind(self, source: Callable[[str], str | None]) -> None:
        """Asks `source` from now on for what the call says."""
        self._source = source

    def release(self, owner: object) -> None:
        """`owner`, whose method answers for the call, is done: else the two would keep each other, and the call."""
        if getattr(self._source, "__self__", None) is owner:
            self._source = None

    def own(self) -> dict[str, str]:
        """A copy of the author's own variables."""
        return dict(self._own) if self._own else {}

    def known(self) -> dict[str, str]:
        """A copy of what actions and the author have set; the author's own go first."""
        return {**(self._set or {}), **(self._own or {})}

    def expand(self, text: str) -> str:
        """`text` with every `${name}` filled in, once: what a value holds is never expanded again.

        Raises VariableError when the result would be longer than MAX_EXPANDED bytes.
        """
        if "${" not in text:
            return text
        parts: list[str] = []
        size = 0
        for part in self._parts(text):
            size += len(part.encode("utf-8", "surrogatepass"))
            if size > MAX_EXPANDED:
                raise VariableError(f"the text is longer than {MAX_EXPANDED} bytes with its variables; shorten it")
            parts.append(part)
        return "".join(parts)

    def _parts(self, text: str) -> Iterator[str]:
        end = 0
        for match in _REFERENCE.finditer(text):
            yield text[end : match.start()]
            yield self.get(match[1])
            end = match.end()
        yield text[end:]

    def expand_all(self, value: Any) -> Any:
        """`expand` for every text within a JSON value; names of objects stay as they are."""
        if isinstance(value, str):
            return self.expand(value)
        if isinstance(value, dict):
            return {key: self.expand_all(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand_all(item) for item in value]
        return value


def has_reference(value: Any) -> bool:
    """Whether a JSON value holds a `${` anywhere that `expand_all` would look."""
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, dict):
        return any(has_reference(item) for item in value.values())
    return isinstance(value, list) and any(has_reference(item) for item in value)
