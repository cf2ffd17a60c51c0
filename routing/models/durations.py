"""Durations as an operator writes them: `4h`, `500ms`, or seconds."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

_DURATION = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>ms|s|m|h|d)")
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """`4h`, `90s` or `500ms` as seconds; a plain number is seconds already."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match["number"]) * _UNIT_SECONDS[match["unit"]]
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(r"[0-9.]+", value)):
        raise ValueError("is no duration; write seconds as a number, or a number with ms, s, m, h or d, such as 4h")
    return value


Seconds = Annotated[float, BeforeValidator(_seconds)]
