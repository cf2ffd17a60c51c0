"""The kinds of values that options of several actions take."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from engine.media.rtp.telephone_event import KEYS
from flows.calls.address import PLACEHOLDER
from flows.language.variables import plain_name

NIL = "00000000-0000-0000-0000-000000000000"
"""The nil UUID, which stands for "none" wherever an id may be left out."""
DAY_MS = 86_400_000

LINE_BREAKER = re.compile(r"[\x00-\x1f\x7f]")


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
