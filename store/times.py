"""Moments as APIs write them."""

from datetime import UTC, datetime


def api_time(moment: datetime | None) -> str | None:
    """`YYYY-MM-DDTHH:MM:SS.ffffffZ`, always with six digits; None stays None. `moment` is aware."""
    if moment is None:
        return None
    # A quarter of strftime's time; "+00:00" at the end is what "Z" stands for.
    return (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat(timespec="microseconds")[:-6] + "Z"
