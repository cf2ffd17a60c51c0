"""Moments as APIs write them."""

from datetime import UTC, datetime


def api_time(moment: datetime | None) -> str | None:
    """`YYYY-MM-DDTHH:MM:SS.ffffffZ`, always with six digits; None stays None. `moment` is aware."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
