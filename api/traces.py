"""The SIP ladder of a call: every message that was sent or received for it, as JSON or as a drawing."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse

from api.auth import Caller, Who, guarded
from api.bodies import router_for
from api.calls import CALLS
from api.fields import Timestamp
from api.services import Services, Use
from engine.ladder import draw, entries_of
from engine.sip.escape import escape
from engine.trace import LONGEST, Traced
from engine.transport.addresses import bracketed
from store.rows import Row

router = router_for("calls")

WIDTH: Final = 120  # cells of the drawing
US: Final = "trunkline"
HIDDEN: Final = "(hidden)"
# With the answer to a provider's challenge somebody could try passwords at leisure.
_SECRET: Final = ("Authorization", "Proxy-Authorization")


class TracedMessage(BaseModel):
    """One message on the wire. `ms` counts from the first one; `text` is all of it, but for credentials; `truncated`
    ones are longer than what is kept."""

    tm: Timestamp
    ms: float
    direction: Literal["sent", "received"]
    transport: str
    source: str
    destination: str
    start_line: str
    text: str
    truncated: bool


class TraceAnswer(BaseModel):
    """The messages of a call's legs, oldest first. Where not all of them are there, `complete` is false and `note` says
    why: they are kept in memory, by the node of the call, until newer ones need the room."""

    call_id: UUID
    complete: bool
    note: str
    messages: list[TracedMessage]


_GUARDED = guarded("customer_agent")
_DRAWING = {"schema": {"type": "string"}, "example": "      ms 127.0.0.1:5070   trunkline   127.0.0.2:5080"}
_GUARDED["responses"][200] = {"content": {"text/plain": _DRAWING}}


@router.get("/calls/{call_id}/trace", response_model=TraceAnswer, **_GUARDED)
async def get_trace(
    request: Request,
    services: Use,
    caller: Who,
    call_id: UUID,
    format: Annotated[  # noqa: A002  # the parameter's name
        Literal["json", "text"] | None, Query(description="In place of the header Accept.")
    ] = None,
) -> Any:
    """The SIP messages of a call: as JSON, or as a drawing (`format=text`, or `Accept: text/plain`)."""
    row = await CALLS.get(services, caller, call_id)
    messages, note = _messages(services, row), _missing(services, row)
    if (format or _asked(request)) == "text":
        drawing = draw(entries_of(messages, US), WIDTH) or "no messages"
        return PlainTextResponse("\n".join([drawing, *([note] if note else [])]) + "\n")
    return {"call_id": call_id, "complete": not note, "note": note, "messages": _shown(services, caller, messages)}


def _asked(request: Request) -> str:
    accept = request.headers.get("accept", "").lower()
    return "text" if "text/plain" in accept and "json" not in accept else "json"


def _messages(services: Services, row: Row) -> list[Traced]:
    record = services.env.calls.get(str(row["id"]))
    call_ids = row["sip_call_ids"] if record is None else record.sip_call_ids
    return [] if services.trace is None else services.trace.of_calls(set(call_ids))


def _missing(services: Services, row: Row) -> str:
    """Why messages may be missing; "" where none are."""
    trace = services.trace
    if trace is None:
        return "no messages are kept here"
    if row["node_id"] != services.node_id:
        return "the call was on another node, or on this one before its last start: its messages are not here"
    since = trace.since
    if since is not None and row["tm_create"] < _moment(services, since):
        return "the oldest messages of this call have made room for newer ones of others"
    return ""


def _moment(services: Services, at: float) -> datetime:
    """A time on the engine's clock, in UTC."""
    env = services.env
    return datetime.fromtimestamp(env.wall() - (env.clock() - at), UTC)


def _shown(services: Services, caller: Caller, messages: Sequence[Traced]) -> list[dict[str, Any]]:
    hide = _pattern(services, caller)
    shown = []
    for traced in messages:
        hop = traced.hop
        peer, own = f"{bracketed(hop.host)}:{hop.port}", hop.transport.sent_by(hop.host)
        # What is no UTF-8 cannot be JSON.
        text = traced.data.decode("utf-8", "replace")
        shown.append(
            {
                "tm": _moment(services, traced.time),
                "ms": round((traced.time - messages[0].time) * 1000, 1),
                "direction": "received" if traced.inbound else "sent",
                "transport": hop.transport.name,
                "source": peer if traced.inbound else own,
                "destination": own if traced.inbound else peer,
                "start_line": escape(text.partition("\r\n")[0]),
                "text": hide.sub(rf"\1 {HIDDEN}", text),
                "truncated": len(traced.data) == LONGEST,
            }
        )
    return shown


def _pattern(services: Services, caller: Caller) -> re.Pattern[str]:
    """The header fields whose values are not shown: credentials, and to customers also what the platform's providers
    are told by headers of their own (account numbers, tokens)."""
    names: set[str] = set(_SECRET)
    if not caller.is_super:
        names.update(name for provider in services.env.directory.providers for name in provider.tech_headers)
    return header_pattern(names)


def header_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Finds header fields by name, folded ones whole; group 1 is the name with its colon."""
    alternatives = "|".join(re.escape(name) for name in sorted(names))
    return re.compile(rf"^((?:{alternatives})[ \t]*:)[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*", re.IGNORECASE | re.MULTILINE)
