"""A whole engine with its API on a free port, phones around it, and customers who have numbers to call from."""

from typing import Any
from uuid import UUID

import httpx

from routing.numbers.numbering import describe_number
from service.node import Node
from service.rest import api as rest_api
from store import rows
from store.database import tables
from tests.api.conftest import Api, Client, application
from tests.service.conftest import WAIT, Engine, Phone

KEY = "tk_a-key-for-the-tests-alone"
MINE = "+15550001111"
FOREIGN = "+821012345678"
ELSEWHERE = "+441632960000"
NIL = "00000000-0000-0000-0000-000000000000"
TALK: list[dict[str, Any]] = [{"type": "sleep", "option": {"duration": 60_000}}]
"""What a call does until it is hung up."""


class Exchange:
    """What a test needs. `api` makes customers, `services` is what the requests work with."""

    def __init__(self, engine: Engine, services: Any, http: httpx.AsyncClient) -> None:
        self.engine = engine
        self.node: Node = engine.node
        self.services = services
        self.store = services.store
        self.api = Api(services, http, KEY)

    @property
    def root(self) -> Client:
        return self.api.root

    async def written(self, bench: Any) -> None:
        """Waits until the store has all that is known of calls."""
        assert self.node.parts is not None
        journal = self.node.parts.call_records
        await bench.until(lambda: not journal.waiting, "the end of writing")

    async def number(self, customer_id: UUID, number: str = MINE, **values: Any) -> dict[str, Any]:
        """An active number of this customer."""
        country, kind = describe_number(number)
        row = {"customer_id": customer_id, "number": number, "type": "normal", "status": "active"}
        row |= {"origin": "provisioned", "call_flow_id": UUID(values.pop("call_flow_id", NIL))} | values
        async with self.store.write() as transaction:
            made = await rows.insert(transaction, tables.numbers, row | {"country": country, "kind": kind})
            transaction.changed("number", made["id"], number)
        return made

    async def manager(self, number: str = MINE, **customer: Any) -> Client:
        """The manager of a new customer with a number to call from."""
        client = await self.api.client("customer_manager", await self.api.customer(**customer))
        if number:
            await self.number(client.customer_id, number)
        return client


async def exchange(bench: Any, *peers: Phone, store: str = ":memory:", **sections: Any) -> Exchange:
    """An engine whose routes lead to these peers, in this order."""
    made: list[Any] = []

    def noted(services: Any, **options: Any) -> Any:
        made.append(services)
        return application(services, **options)

    bench.patch.setattr(rest_api, "make_app", noted)
    whole = {"numbers": [], "flows": []} | bench.providers(*peers) | sections
    engine = await bench.engine(api={"listen": "127.0.0.1:0", "admin_key": KEY}, store=store, **whole)
    # Certificates, which nobody shows here, would be read for every test.
    http = httpx.AsyncClient(base_url=engine.node.server.url, timeout=WAIT, verify=False)
    bench.at_end(http.aclose)
    found = Exchange(engine, made[0], http)
    await found.api.start()
    return found


async def followed(client: Client, call_id: str, status: str = "hangup") -> Any:
    """Asks for a call until it has this status, as a client would; what was answered then."""
    for _ in range(2_000):
        call = await client.get(f"/v1.0/calls/{call_id}")
        if call["status"] == status:
            return call
        assert call["status"] != "hangup", f"is over: {call}"
    raise AssertionError(f"not {status}: {call}")


def order(*destinations: str, source: str = MINE, **more: Any) -> dict[str, Any]:
    """The body of POST /calls and /groupcalls."""
    return {
        "source": {"type": "tel", "target": source},
        "destinations": [{"type": "tel", "target": target} for target in destinations or (FOREIGN,)],
    } | more


__all__ = ["ELSEWHERE", "FOREIGN", "KEY", "MINE", "NIL", "TALK", "Exchange", "exchange", "followed", "order"]
