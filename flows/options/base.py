"""What all options have in common: the base class, and the kinds of values that several actions take."""

import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from flows.address import PLACEHOLDER
from flows.faults import FieldPath
from flows.variables import plain_name

NIL = "00000000-0000-0000-0000-000000000000"
"""The nil UUID, which stands for "none" wherever an id may be left out."""
DAY_MS = 86_400_000
RUNNING = {"running": True}
"""The validation context of options whose variables have been filled in."""

LINE_BREAKER = re.compile(r"[\x00-\x1f\x7f]")
KEYS = "0123456789*#ABCD"
"""The keys of a telephone (RFC 4733 §3.2)."""


def _no_nil(text: str) -> str:
    return "" if text == NIL else text


def one_line(text: str) -> str:
    """Refuses what would break a line. Raises ValueError."""
    if LINE_BREAKER.search(text):
        raise ValueError("holds control characters or line breaks; remove them")
    return text


def web_address(text: str) -> str:
    """An http or https URL, or one with variables that are not filled in yet. Raises ValueError."""
    if PLACEHOLDER not in text:
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or LINE_BREAKER.search(text):
            raise ValueError("is no web address; write it like https://example.com/path")
    return text


def keys(text: str) -> str:
    """Keys of a telephone, in capitals. Raises ValueError."""
    if PLACEHOLDER in text:
        return text
    text = text.upper()
    if set(text) - set(KEYS):
        raise ValueError("holds what is no key; use 0-9, *, # and A-D")
    return text


Reference = Annotated[str, AfterValidator(_no_nil), Field(max_length=255)]
"""The id of an action, or the id or name of a flow; "" and the nil UUID mean none."""
Line = Annotated[str, AfterValidator(one_line), Field(max_length=1024)]
"""Text that goes into a header: no line breaks."""
VariableName = Annotated[str, AfterValidator(plain_name), Field(min_length=1, max_length=255)]
WebAddress = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(web_address)]
Keys = Annotated[str, Field(max_length=64), AfterValidator(keys)]


class Options(BaseModel):
    """What an action may be told. Types are strict: a number in quotes is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        """The actions that this one may jump to: the option's field, and the id."""
        return ()

    @property
    def falls_through(self) -> bool:
        """Whether the flow may go on with the next action."""
        return True


class NoOptions(Options):
    """For actions that take none."""
