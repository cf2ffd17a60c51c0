"""The SIP ladder of a call: every message that was sent or received for it, as JSON or as a drawing."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse

from api.http.auth import Caller, Who, guarded
from api.http.bodies import router_for
from api.http.services import Services, Use
from api.models.carriers import HIDDEN, Carriers
from api.models.fields import Timestamp
from api.openapi.schema import documented
from api.resources.calls.attempts import attempts_of
from api.resources.calls.calls import CALLS
from engine.capture.ladder import draw, entries_of
from engine.capture.trace import LONGEST, Traced, call_id_of
from engine.sip.message.grammar import escape
from engine.transport.addresses import bracketed
from routing.identifiers import NIL
from store.rows import Row

router = router_for("calls")

WIDTH: Final = 120  # cells of the drawing
US: Final = "trunkline"
# With the answer to a provider's challenge somebody could try passwords at leisure.
_SECRET: Final = ("Authorization", "Proxy-Authorization")


@documented(
    example={
        "source": "192.0.2.10:5060",
        "destination": "198.51.100.7:5060",
        "start_line": "OPTIONS sip:198.51.100.7 SIP/2.0",
    }
)
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
    why: they are kept in memory, by the node of the call, until newer ones need the room; and those of the platform's
    trunks super admins alone see."""

    call_id: UUID
    complete: bool
    note: str
    messages: list[TracedMessage]


_GUARDED = guarded("customer_agent")
_DRAWING = {"schema": {"type": "string"}, "example": "      ms 127.0.0.1:5070   trunkline   127.0.0.2:5080"}
_GUARDED["responses"][200] = {"content": {"text/plain": _DRAWING}}


@router.get("/calls/{call_id}/trace", summary="Show the SIP messages of a call", response_model=TraceAnswer, **_GUARDED)
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
    async with services.store.read() as connection:
        row = await CALLS.find(connection, caller, call_id)
        attempts = [] if caller.is_super else await attempts_of(services, connection, row)
    messages, note = _messages(services, row), _missing(services, row)
    if not caller.is_super:
        own = _own_legs(Carriers(services.flows.calls.directory), row, attempts, messages)
        if len(own) < len(messages):
            note = "; ".join(filter(None, ("what goes to and comes from the platform's trunks is not shown", note)))
        messages = own
    if (format or _asked(request)) == "text":
        if not caller.is_super:
            messages = [_without_carriers(Carriers(services.flows.calls.directory), traced) for traced in messages]
        drawing = draw(entries_of(messages, US), WIDTH) or "no messages"
        return PlainTextResponse("\n".join([drawing, *([note] if note else [])]) + "\n")
    return {"call_id": call_id, "complete": not note, "note": note, "messages": _shown(services, caller, messages)}


def _asked(request: Request) -> str:
    accept = request.headers.get("accept", "").lower()
    return "text" if "text/plain" in accept and "json" not in accept else "json"


def _messages(services: Services, row: Row) -> list[Traced]:
    record = services.flows.calls.registry.get(str(row["id"]))
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


def _own_legs(carriers: Carriers, row: Row, attempts: Sequence[Row], messages: Sequence[Traced]) -> list[Traced]:
    """The messages of legs that are the customer's own: the caller's, where it did not come from a trunk, and those to
    SIP URIs. Of whatever is not known to be one of these, nothing is shown."""
    uris = {attempt["request_uri"] for attempt in attempts if attempt["provider_id"] == NIL}
    from_trunk = row["direction"] != "incoming" or row["provider_id"] != NIL
    legs: dict[bytes, bool] = {}
    for traced in messages:
        call_id = call_id_of(traced.data)
        if call_id not in legs:
            asked = traced.data.partition(b" ")[2].partition(b" ")[0].decode("utf-8", "replace")
            legs[call_id] = not from_trunk if traced.inbound else asked in uris
        if carriers.at(traced.flow.party):
            legs[call_id] = False
    return [traced for traced in messages if legs[call_id_of(traced.data)]]


# Where the other side's media comes from and goes to: often the carrier's gateway, whose answers we pass on.
_MEDIA_ADDRESS: Final = re.compile(
    rb"^((?:c=|o=[^\r\n]* |a=rtcp:[0-9]+ )IN IP[46] )[^\r\n]*|^(a=candidate:)[^\r\n]*", re.MULTILINE
)


def _without_carriers(carriers: Carriers, traced: Traced) -> Traced:
    """What we send to one side may be what the other has said."""
    data = carriers.without(traced.data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    if not traced.inbound:
        data = _MEDIA_ADDRESS.sub(lambda match: (match[1] or match[2]) + HIDDEN.encode(), data)
    return traced._replace(data=data)


def _moment(services: Services, at: float) -> datetime:
    """A time on the engine's clock, in UTC."""
    flows = services.flows
    return datetime.fromtimestamp(flows.calls.wall() - (flows.calls.clock() - at), UTC)


def _shown(services: Services, caller: Caller, messages: Sequence[Traced]) -> list[dict[str, Any]]:
    hide = _pattern(services, caller)
    shown = []
    carriers = None if caller.is_super else Carriers(services.flows.calls.directory)
    for traced in messages:
        whole = len(traced.data) != LONGEST
        if carriers is not None:
            traced = _without_carriers(carriers, traced)
        flow = traced.flow
        peer, own = f"{bracketed(flow.host)}:{flow.port}", flow.transport.sent_by(flow.host)
        # What is no UTF-8 cannot be JSON.
        text = traced.data.decode("utf-8", "replace")
        shown.append(
            {
                "tm": _moment(services, traced.time),
                "ms": round((traced.time - messages[0].time) * 1000, 1),
                "direction": "received" if traced.inbound else "sent",
                "transport": flow.transport.name,
                "source": peer if traced.inbound else own,
                "destination": own if traced.inbound else peer,
                "start_line": escape(text.partition("\r\n")[0]),
                "text": hide.sub(rf"\1 {HIDDEN}", text),
                "truncated": not whole,
            }
        )
    return shown


def _pattern(services: Services, caller: Caller) -> re.Pattern[str]:
    """The header fields whose values are not shown: credentials, and to customers also what the platform's providers
    are told by headers of their own (account numbers, tokens)."""
    names: set[str] = set(_SECRET)
    if not caller.is_super:
        names.update(name for provider in services.flows.calls.directory.providers for name in provider.tech_headers)
    return header_pattern(names)


def header_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Finds header fields by name, folded ones whole; group 1 is the name with its colon."""
    alternatives = "|".join(re.escape(name) for name in sorted(names))
    return re.compile(rf"^((?:{alternatives})[ \t]*:)[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*", re.IGNORECASE | re.MULTILINE)
