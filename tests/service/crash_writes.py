"""A client of the API that writes until the engine is killed, and what it was told before.

Flows, numbers and providercalls in turn: each is a write of its own kind. A flow is one row. A number is made, or taken
from the inventory and paid for, which are three tables. A providercall is calls that must be in the store before they
are dialled, and its own record after them.
"""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID

import httpx

from store.rows import Row
from tests.service.conftest import Phone

RATE = 50.0  # writes a second
PRICE = 1_000  # of a number, in micro-units
STOCK = 200  # numbers on offer in a round, more than are bought
FEW = 6  # acknowledged writes of a resource before the engine is killed: providercalls of each kind
TURN = ("flows", "numbers", "flows", "numbers", "providercalls")
DIALLED = "+4930"
"""What only providercalls dial."""
_UP_UNTIL_KILLED = {"type": "sleep", "option": {"duration": 60_000}}


class Writing:
    """Writes of one round.

    Attributes:
        acknowledged: The documents that were answered with 201, by the resource.
        refused: Answers that were not.
        enough: Set when there are some of each resource.
    """

    def __init__(self, url: str, key: str, numbers: Iterator[int]) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._numbers = numbers
        self._stock: list[str] = []
        self._providers: list[str] = []
        self.acknowledged: dict[str, list[dict[str, Any]]] = {resource: [] for resource in TURN}
        self.refused: list[str] = []
        self.enough = asyncio.Event()

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"{self._url}/v1.0", headers=self._headers, timeout=10)

    async def prepare(self) -> None:
        """Money, and numbers on offer."""
        async with self._http() as http:
            found = (await http.get("/providers")).json()["result"]
            ids = {provider["name"]: provider["id"] for provider in found}
            self._providers = [ids["answering"], ids["answering"], ids["ringing"]]
            (account,) = (await http.get("/billing_accounts")).json()["result"]
            paid = await http.post(f"/billing_accounts/{account['id']}/top_up", json={"amount": STOCK * PRICE})
            assert paid.status_code == 200, paid.text
            self._stock = [f"+1555{2_000_000 + next(self._numbers)}" for _ in range(STOCK)]
            lines = "".join(f"{number},{PRICE}\n" for number in self._stock)
            offered = await http.post(
                "/inventory", content=f"number,price\n{lines}", headers={"Content-Type": "text/csv"}
            )
            assert offered.json()["added"] == STOCK, offered.text

    async def run(self) -> None:
        """Writes until cancelled."""
        async with self._http() as http, asyncio.TaskGroup() as writes:
            for turn in count():
                writes.create_task(self._write(http, turn))
                await asyncio.sleep(1 / RATE)

    async def _write(self, http: httpx.AsyncClient, turn: int) -> None:
        resource = TURN[turn % len(TURN)]
        try:
            answer = await http.post(f"/{resource}", json=self._body(resource, turn // len(TURN)))
        except httpx.HTTPError:
            return  # not acknowledged: killed meanwhile
        if answer.status_code == 201:
            self.acknowledged[resource].append(answer.json())
            if all(len(documents) >= FEW for documents in self.acknowledged.values()):
                self.enough.set()
        else:
            self.refused.append(f"{resource}: {answer.text}")

    def _body(self, resource: str, turn: int) -> dict[str, Any]:
        number = next(self._numbers)
        if resource == "flows":
            return {"name": f"flow {number}", "actions": [{"type": "answer"}]}
        if resource == "numbers":
            return {"number": f"+8991{number:08d}" if turn % 2 else self._stock.pop()}
        # In turn: over at once, up until the end, never answered.
        parties = [{"type": "tel", "target": f"{DIALLED}{2 * number + place:07d}"} for place in range(2)]
        order = {"provider_id": self._providers[turn % 3], "destinations": parties}
        return order | {"actions": [_UP_UNTIL_KILLED]} if turn % 3 == 1 else order

    async def look_again(self, url: str) -> None:
        """Every acknowledged document is there after the restart, and every call of a providercall is over."""
        self._url = url
        async with self._http() as http:
            for resource, documents in self.acknowledged.items():
                for document in documents:
                    found = await http.get(f"/{resource}/{document['id']}")
                    assert found.status_code == 200, f"acknowledged and lost: {resource} {document}"
                    assert found.json() == document
            for document in self.acknowledged["providercalls"]:
                assert len(document["call_ids"]) == 2
                for call_id in document["call_ids"]:
                    await _closed(http, call_id)


async def _closed(http: httpx.AsyncClient, call_id: str) -> None:
    found = await http.get(f"/calls/{call_id}")
    assert found.status_code == 200, f"a call of an acknowledged providercall is lost: {call_id}"
    call = found.json()
    assert (call["direction"], call["status"]) == ("outgoing", "hangup")
    assert call["tm_hangup"] is not None and call["hangup_reason"], call


def dialled_is_kept(providers: list[Phone], calls: list[Row]) -> None:
    """No provider was asked for a call of a providercall that the store does not know, acknowledged or not."""
    asked = {
        request.uri.user
        for phone in providers
        for request in phone.requests
        if request.method == "INVITE" and (request.uri.user or "").startswith(DIALLED)
    }
    assert asked
    assert asked <= {row["destination"] for row in calls}


def paid_once(accounts: list[Row], ledger: list[Row], numbers: list[Row]) -> None:
    """The ledger is the balance, and each number that was bought is in it once."""
    for account in accounts:
        assert account["balance"] == sum(entry["amount"] for entry in ledger if entry["account_id"] == account["id"])
    bought: list[UUID] = [entry["reference_id"] for entry in ledger if entry["kind"] == "purchase"]
    assert len(set(bought)) == len(bought)
    assert set(bought) == {row["id"] for row in numbers if row["price"] and row["status"] == "active"}
