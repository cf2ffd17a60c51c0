"""Timestamps as texts: as SQLite keeps them, and as the API shows them."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def utc_text(moment: datetime) -> str:
    """`YYYY-MM-DD HH:MM:SS.ffffff` in UTC; `moment` is aware. Remembered, as one is written many times: the commit's
    in each of its rows, a call's in its row, its events and its attempts."""
    # A quarter of strftime's time.
    return (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat(" ", "microseconds")[:26]


def api_time(moment: datetime | None) -> str | None:
    """`YYYY-MM-DDTHH:MM:SS.ffffffZ`, always with six digits; None stays None. `moment` is aware."""
    if moment is None:
        return None
    text = utc_text(moment)
    return f"{text[:10]}T{text[11:]}Z"
