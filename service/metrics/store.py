"""Metrics of the store: calls written, the change feed, and what waits to be sent."""

import asyncio
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from service.metrics.registry import Metrics, Sources
from store.database.errors import StoreError
from store.resources import deliveries

READ_WITHIN: Final = 2.0
"""Seconds that the store has for the one number that it is asked for."""


def register(metrics: Metrics, sources: Sources) -> None:
    """Read off what writes to the store and reads from it."""
    call_records, feed, webhooks = sources.call_records, sources.feed, sources.webhooks
    waiting = 0

    async def read_waiting() -> None:
        nonlocal waiting
        # Whoever looks while the store is away has to see just that: the one number asked of it stays as it was.
        with suppress(StoreError, SQLAlchemyError, OSError):
            async with asyncio.timeout(READ_WITHIN):
                waiting = await deliveries.waiting(sources.store)

    metrics.before_reading.append(read_waiting)
    metrics.gauge_of("store_calls_waiting", "Calls with something not stored yet.", lambda: call_records.waiting)
    metrics.counter_of("store_calls_written", "Rows of calls stored.", lambda: call_records.written)
    metrics.counter_of("store_calls_lost", "Calls that could not be stored.", lambda: call_records.dropped)
    metrics.gauge_of("feed_lag_seconds", "How old what calls go by can be.", lambda: feed.lag)
    metrics.counter_of("feed_changes", "Changes taken over.", lambda: feed.applied)
    metrics.counter_of("feed_resynchronisations", "Full ones.", lambda: feed.resynchronisations)
    metrics.gauge_of("messages_waiting", "Destinations of text messages that wait.", lambda: sources.messages.waiting)
    metrics.gauge_of("webhooks_waiting", "Deliveries that wait.", lambda: waiting)
    metrics.counter_of("webhooks_delivered", "Deliveries taken.", lambda: webhooks.delivered)
    metrics.counter_of("webhooks_failed", "Deliveries given up.", lambda: webhooks.failed)
