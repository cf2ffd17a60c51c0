"""The operations of the OpenAPI document, and a customer who has one of everything that they work with.

What tests take from here they take from the document: a new route is in them without a word. Where a table here has to
know something about it (how is such a resource made? what is a body that could be accepted?), the test says which.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import Mock
from urllib.parse import urlencode
from uuid import UUID, uuid4

import sqlalchemy as sa
from fastapi import FastAPI

from engine.sip.binding import Binding
from engine.sip.flow import Flow
from flows.calls.recordings import Recordings
from flows.calls.tasks import OwnedTasks
from store import rows
from store.database import tables
from tests.api.conftest import Api, Client

LADDER = ("customer_agent", "customer_manager", "customer_admin", "project_super_admin")
PUBLIC = frozenset({"log_in", "healthz", "readyz", "metrics"})
"""Operations that need no credentials, or (metrics) know by themselves whose are good."""


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    name: str
    method: str
    path: str
    permission: str
    parameters: tuple[str, ...]
    filters: frozenset[str]
    needs: tuple[str, ...]
    fields: tuple[str, ...]
    read_only: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def at(self, identifiers: Mapping[str, Any]) -> str:
        """The path with these ids in it."""
        return re.sub(r"\{(\w+)\}", lambda match: str(identifiers[match[1]]), self.path)


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """All of them, in the order of the document."""
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            query = [p for p in found.get("parameters", []) if p["in"] == "query"]
            yield Operation(
                name=found["operationId"],
                method=method.upper(),
                path=path,
                permission=found.get("x-permission", ""),
                parameters=tuple(re.findall(r"\{(\w+)\}", path)),
                filters=frozenset(p["name"] for p in query),
                needs=tuple(p["name"] for p in query if p.get("required")),
                fields=tuple(_fields(_body(document, found))),
                read_only=tuple(_fields(_body(document, found), read_only=True)),
            )


def _fields(schema: Mapping[str, Any], *, read_only: bool = False) -> Iterator[str]:
    """Of one shape, or of the first of several: all have the same."""
    for name, field in schema.get("anyOf", (schema,))[0].get("properties", {}).items():
        if field.get("readOnly", False) == read_only:
            yield name


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Mapping[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    schema: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


# What required parameters of queries are given.
QUERIES: Mapping[str, str] = {"destination": "+15551234567"}

NOBODYS = "+15550000000"
"""A number that no customer has."""


def _order(source: str) -> dict[str, Any]:
    return {"source": _tel(source), "destinations": [_tel("+821012345678")]}


def _tel(number: str) -> dict[str, str]:
    return {"type": "tel", "target": number}


# Bodies that could be accepted, where {} could not; of a customer with this number to call from.
BODIES: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "create_agent": lambda _: {"username": uuid4().hex, "password": "a long password"},
    "create_calls": _order,
    "create_extension": lambda _: {"name": uuid4().hex, "password": "a long password"},
    "create_flow": lambda _: {"actions": [{"type": "answer"}]},
    "create_groupcall": _order,
    "create_message": lambda source: _order(source) | {"text": "hello"},
    "create_number": lambda _: {"number": f"+8991{uuid4().int % 10**8:08}"},
    "create_webhook": lambda _: {"uri": "https://example.com/hook"},
    "update_mailbox": lambda _: {"new": 1},
    "validate_flow": lambda _: {"actions": [{"type": "answer"}]},
}


def body_of(operation: Operation, source: str = NOBODYS) -> dict[str, Any] | None:
    """A body that this operation could accept; None where it takes none."""
    if operation.method not in ("POST", "PUT"):
        return None
    return BODIES[operation.name](source) if operation.name in BODIES else {}


class Answer(NamedTuple):
    """What came back; of a stream, the beginning."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def reason(self) -> str:
        """Of an error, else ""."""
        try:
            found: str = json.loads(self.text)["error"]["reason"]
        except (ValueError, KeyError, TypeError):
            return ""
        return found


async def ask(
    app: FastAPI,
    operation: Operation,
    path: str,
    key: str = "",
    *,
    query: Mapping[str, Any] | None = None,
    body: Any = None,
    until: str = "",
) -> Answer:
    """Ask the application itself. A stream of events is left after its first part, or after the one with `until`."""
    asked = {name: QUERIES[name] for name in operation.needs} | dict(query or {})
    headers = [(b"host", b"trunkline")]
    if key:
        headers.append((b"authorization", f"Bearer {key}".encode()))
    content = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": operation.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(asked, doseq=True).encode(),
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.1", 40000),
        "server": ("trunkline", 80),
    }
    sent: list[Any] = [{"type": "http.request", "body": content, "more_body": False}]
    got: list[Any] = []
    enough = asyncio.Event()

    async def receive() -> Any:
        if sent:
            return sent.pop()
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        got.append(message)
        if message["type"] == "http.response.body" and until in text():
            enough.set()

    def text() -> str:
        return b"".join(message.get("body", b"") for message in got).decode()

    task = asyncio.ensure_future(app(scope, receive, send))
    waiting = asyncio.ensure_future(enough.wait())
    async with asyncio.timeout(20):
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        known = {name.decode(): value.decode() for name, value in got[0]["headers"]} if got else {}
        if known.get("content-type", "").startswith("text/event-stream"):
            task.cancel()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return Answer(got[0]["status"], text(), known)


# ---- one of everything


class Belongings(NamedTuple):
    """A customer's admin, the ids of what the customer has, by the name of the path's parameter, and a number that its
    calls may come from."""

    admin: Client
    ids: dict[str, UUID]
    source: str


Maker = Callable[[Api, Client], Awaitable[Any]]


def _posted(operation: str, path: str) -> Maker:
    async def make(_api: Api, admin: Client) -> Any:
        return (await admin.post(path, BODIES[operation](NOBODYS) if operation in BODIES else {}))["id"]

    return make


def _row(table: sa.Table, **values: Any) -> Maker:
    async def make(api: Api, admin: Client) -> Any:
        async with api.store.write() as transaction:
            row = await rows.insert(transaction, table, values | {"customer_id": admin.customer_id})
        return row["id"]

    return make


async def _its_customer(_api: Api, admin: Client) -> Any:
    return admin.customer_id


async def _its_account(_api: Api, admin: Client) -> Any:
    return (await admin.get("/v1.0/billing_accounts"))["result"][0]["id"]


async def _provider(api: Api, _admin: Client) -> Any:
    return (await api.root.post("/v1.0/providers", {"hostname": "192.0.2.1", "name": uuid4().hex}))["id"]


async def _route(api: Api, admin: Client) -> Any:
    body = {"provider_id": await _provider(api, admin), "customer_id": str(admin.customer_id), "target": "+1"}
    return (await api.root.post("/v1.0/routes", body))["id"]


_FOLDER = TemporaryDirectory(prefix="recordings")


async def _recording(api: Api, admin: Client) -> Any:
    """One that is over, with its file."""
    folder = Path(_FOLDER.name)
    if api.services.flows.calls.media.recordings is None:
        log = api.services.flows.calls.log
        api.services.flows.calls.media.recordings = Recordings(folder, Mock(), OwnedTasks(), log)
    (folder / (name := f"{uuid4()}.wav")).write_bytes(b"RIFF")
    return await _row(tables.recordings, status="ended", format="wav", ended_by="stop", filename=name)(api, admin)


async def _opted_out(api: Api, admin: Client) -> Any:
    """One of a contact that nobody else has."""
    return await _row(tables.opt_outs, number="+15551234567", contact=uuid4().hex, keyword="STOP")(api, admin)


async def _nobodys(_api: Api, _admin: Client) -> Any:
    """What belongs to no customer, and is for super admins alone."""
    return uuid4()


MAKERS: Mapping[str, Maker] = {
    "accesskey_id": _posted("create_accesskey", "/v1.0/accesskeys"),
    "account_id": _its_account,
    "address": _nobodys,  # a ban's
    "agent_id": _posted("create_agent", "/v1.0/agents"),
    "call_id": _row(tables.calls, status="hangup", direction="outgoing"),
    "conference_id": _posted("create_conference", "/v1.0/conferences"),
    "contact_id": _nobodys,  # of its extension, below
    "customer_id": _its_customer,
    "extension_id": _posted("create_extension", "/v1.0/extensions"),
    "flow_id": _posted("create_flow", "/v1.0/flows"),
    "groupcall_id": _row(tables.groupcalls, status="hangup", ring_method="ring_all"),
    "message_id": _row(tables.messages, status="delivered", direction="outgoing"),
    "opt_out_id": _opted_out,
    "number_id": _posted("create_number", "/v1.0/numbers"),
    "provider_id": _provider,
    "providercall_id": _row(tables.providercalls),
    "recording_id": _recording,
    "queue_id": _posted("create_queue", "/v1.0/queues"),
    "route_id": _route,
    "webhook_id": _posted("create_webhook", "/v1.0/webhooks"),
}
"""How one of each resource is made, by the name of its parameter in paths."""


class Listener:
    """Where the phone of a contact registered."""

    name, reliable, local = "udp", False, ("127.0.0.1", 5060)


async def belongings(api: Api) -> Belongings:
    """A new customer with one of everything, also of what only comes about by itself."""
    admin = await api.client()
    made = {name: UUID(str(await make(api, admin))) for name, make in MAKERS.items()}
    made["customer_id"] = admin.customer_id
    of = {"customer_id": admin.customer_id}
    source = f"+1555{uuid4().int % 10**7:07}"
    number = {"number": source, "type": "normal", "status": "active", "origin": "provisioned", "kind": "local"}
    async with api.store.write() as transaction:
        await rows.insert(transaction, tables.numbers, of | number)
        await rows.insert(
            transaction,
            tables.deliveries,
            of | {"webhook_id": made["webhook_id"], "event_id": 1, "type": "call_hangup", "status": "delivered"},
        )
        await rows.insert(
            transaction,
            tables.ledger,
            of | {"account_id": made["account_id"], "kind": "adjustment", "amount": 0, "balance": 0},
        )
        attempt = {"call_id": made["call_id"], "place": 0, "provider_name": "a trunk", "tm_create": transaction.now}
        await transaction.execute(sa.insert(tables.attempts), attempt)
        extension = await rows.one(transaction, tables.extensions, made["extension_id"])
        assert extension is not None
        listener: Any = Listener()
        flow = Flow(listener, "198.51.100.7", 5060)
        binding = Binding(id=str(made["contact_id"]), contact="<sip:a@b>", expires_at=4e9, flow=flow)
        api.services.location.add(extension["name"], binding)
        transaction.event("call_hangup", admin.customer_id, {"id": str(made["call_id"])})
    return Belongings(admin, made, source)


async def everything_of(api: Api, customer_id: UUID) -> dict[str, Any]:
    """Every row that belongs to a customer, by table."""
    found: dict[str, Any] = {}
    async with api.store.read() as connection:
        for table in tables.metadata.sorted_tables:
            if "customer_id" in table.c:
                where = table.c.customer_id == customer_id
            elif table is tables.customers:
                where = table.c.id == customer_id
            elif table is tables.attempts:
                calls = sa.select(tables.calls.c.id).where(tables.calls.c.customer_id == customer_id)
                where = table.c.call_id.in_(calls)
            else:
                continue
            result = await connection.execute(sa.select(table).where(where).order_by(*table.primary_key.columns))
            found[table.name] = [dict(row) for row in result.mappings()]
    return found
