"""The stream of events (server-sent events, WHATWG HTML §9.2): what happens, as it happens, and what was missed."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import Field
from sqlalchemy.exc import DBAPIError
from starlette.responses import StreamingResponse

from api.http.auth import Caller, Who, guarded, still_valid
from api.http.bodies import router_for
from api.http.errors import ApiError
from api.http.services import Services, Use
from api.models.carriers import Carriers
from store.database.errors import StoreError
from store.event_types import EventType
from store.resources import events as stored
from store.resources.events import event_document
from store.store import Event

router = router_for("events", "What happens, as it happens.")

MOST_STREAMS = 200
MOST_OF_ONE = 50
"""Streams of one customer: whoever opens many leaves room for the others."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent, as proxies close what is silent; and seconds between two looks at
the credentials."""
READ_AT_ONCE = 50
"""Events that a stream holds in memory, however many wait: its client may not be reading."""
# Event ids are counted in 64 bits.
EventId = Annotated[int, Field(ge=0, le=2**63 - 1)]


def _stream_of_text() -> dict[str, Any]:
    options = guarded("customer_agent")
    options["responses"] |= {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
    return options


@router.get("/events", summary="Follow events as they happen", response_class=StreamingResponse, **_stream_of_text())
async def stream_events(
    services: Use,
    caller: Who,
    since: Annotated[
        EventId | None, Query(description="Begin after this event's id; left out: with what happens from now on.")
    ] = None,
    types: Annotated[list[EventType] | None, Query(description="Types to be sent; none for all.")] = None,
    last_event_id: Annotated[EventId | None, Header(description="As browsers send it; goes before `since`.")] = None,
) -> Any:
    """Events as they happen, `text/event-stream`: `id` to go on from, `event` the type, `data` as webhooks get it.
    A client that was away sends the last `id` as Last-Event-ID or `since` and is told what it missed; that something
    is no longer kept is told by an event `missed`."""
    if services.streams.total() >= MOST_STREAMS:
        raise ApiError("SERVICE_UNAVAILABLE", "too many event streams are open; try again later", retry_after=30)
    if _has_its_share(services, caller):
        problem = f"{MOST_OF_ONE} event streams of this customer are open, which is all that it may have; close one"
        raise ApiError("RATE_LIMIT_EXCEEDED", problem, retry_after=30)
    position = since if last_event_id is None else last_event_id
    if position is None:
        position = await stored.newest(services.store)
    return StreamingResponse(
        _stream(services, caller, position, types or ()),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(services: Services, caller: Caller, position: int, types: Sequence[str]) -> AsyncIterator[bytes]:
    clock = services.clock
    # Many that are asked for at once are let in together; those that are too many end as they begin.
    if _has_its_share(services, caller) or services.streams.total() >= MOST_STREAMS:
        return
    services.streams[caller.customer_id] += 1
    try:
        # At once, so that the client knows that it listens.
        yield b"retry: 2000\n\n"
        spoke = checked = clock()
        looked = position == 0
        while not services.draining():
            woken = services.new_events.next_signal()
            found: Sequence[Event] = ()
            try:
                if clock() - checked >= KEEP_ALIVE:
                    # A key that was revoked meanwhile is told nothing more, however much happens.
                    if not await still_valid(services, caller):
                        return
                    checked = clock()
                if not looked:
                    first = await stored.oldest(services.store)
                    looked = True
                    if position < first - 1:
                        yield _format(position, "missed", {"after": position, "before": first})
                found = await _read_on(services, caller, position, types)
            except (StoreError, DBAPIError, OSError):
                # Whoever is told goes on here when the store is back: ended, it would come again at once.
                pass
            for event in found:
                data = (
                    event.data
                    if caller.is_super
                    else Carriers(services.flows.calls.directory).event(event.type, event.data)
                )
                yield _format(event.id, event.type, event_document(event.id, event.type, data, event.tm))
                position = event.id
            if found:
                spoke = clock()
                continue
            if clock() - spoke >= KEEP_ALIVE:
                yield b":\n\n"
                spoke = clock()
            await woken()
    finally:
        services.streams[caller.customer_id] -= 1
        if not services.streams[caller.customer_id]:
            del services.streams[caller.customer_id]


def _has_its_share(services: Services, caller: Caller) -> bool:
    return services.streams[caller.customer_id] >= MOST_OF_ONE


async def _read_on(services: Services, caller: Caller, position: int, types: Sequence[str]) -> Sequence[Event]:
    whose = None if caller.is_super else [caller.customer_id]
    async with services.stream_reads:
        return await stored.after(services.store, position, customers=whose, types=types, limit=READ_AT_ONCE)


def _format(number: int, kind: str, data: Any) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {number}\nevent: {kind}\ndata: {text}\n\n".encode()
