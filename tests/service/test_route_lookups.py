"""Routes that have somebody else asked for the attempts of a call: followed where the answer is right, else the routes
decide; nobody waits for longer than the route says."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from flows.route_lookup import LARGEST_ANSWER
from routing.hunt.failover import MAX_ATTEMPTS
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import OFFER

OFFICE, ONE, TWO = "192.0.2.101", "198.51.100.1", "198.51.100.2"
FOREIGN, OWN = "+442079460123", "+15551234567"
CALLER = "P-Asserted-Identity: <sip:+15550001111@x>\r\n"
LCR = "http://10.0.0.9/lcr?key=hush"


class Elsewhere:
    """Who is asked. `answer`: what it says, or what becomes of it; `after`: seconds until then."""

    def __init__(self, world: World, answer: Any, after: float = 0.0) -> None:
        self.answer, self.after = answer, after
        self.requests: list[httpx.Request] = []
        web = world.node.flows.web
        web.http = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))
        web.resolve_host = self._resolve
        self.address = "10.0.0.9"

    async def _resolve(self, host: str, port: int) -> list[str]:
        return [self.address]

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await asyncio.sleep(self.after)
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, httpx.Response):
            return self.answer
        if isinstance(self.answer, bytes):
            return httpx.Response(200, content=self.answer)
        return httpx.Response(200, json=self.answer)

    def asked(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


class Office:
    """A world with two providers, the first of which all calls go to unless somebody says otherwise."""

    def __init__(self, patch: pytest.MonkeyPatch, answer: Any, after: float, **lookup: Any) -> None:
        routes: list[dict[str, Any]] = [
            {"target": "all", "provider": "one", "lookup": {"url": LCR} | lookup, "ring_timeout": 7},
            {"target": "all", "provider": "two", "priority": 1},
            {"target": "911", "provider": "one"},
        ]
        self.world = World(
            patch,
            configured(
                sip={"trusted_networks": [f"{OFFICE}/32"]},
                numbering={"default_country": "US"},
                providers=[{"name": "one", "hostname": ONE}, {"name": "two", "hostname": TWO}],
                routes=routes,
                numbers=[{"number": OWN}],
            ),
        )
        self.elsewhere = Elsewhere(self.world, answer, after)
        self.office, self.one, self.two = (self.world.phone(host) for host in (OFFICE, ONE, TWO))

    def dial(self, number: str = FOREIGN, wait: float = 0.3) -> tuple[list[str], list[str]]:
        """The Request-URIs that the two providers got."""
        self.branch = self.office.invite(CALLER, OFFER, uri=f"sip:{number}@{ENGINE}")
        self.world.wait(wait)
        return self.uris(self.one), self.uris(self.two)

    def uris(self, phone: Phone) -> list[str]:
        return [request.uri_text for request in phone.requests("INVITE")]

    @property
    def counts(self) -> dict[str, int]:
        lookups = self.world.node.flows.calls.lookups
        assert lookups is not None
        return dict(lookups.counts)


Made = Callable[..., Office]


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    made: list[Office] = []

    def make(answer: Any, after: float = 0.0, **lookup: Any) -> Office:
        made.append(Office(monkeypatch, answer, after, **lookup))
        return made[-1]

    yield make
    for each in made:
        each.world.close()


def test_the_attempts_are_those_that_were_answered_in_their_order(office: Made) -> None:
    answer = {"attempts": [{"provider": "two", "target": "+442079460999"}, {"provider": "one"}]}
    made = office(answer)
    assert made.dial() == ([], [f"sip:+442079460999@{TWO}"])
    made.two.answer(made.two.requests("INVITE")[-1], 503)
    made.world.wait(0.3)
    assert made.uris(made.one) == [f"sip:{FOREIGN}@{ONE}"]
    assert made.elsewhere.asked() == [{"caller": "+15550001111", "destination": FOREIGN, "customer_id": None}]
    (request,) = made.elsewhere.requests
    assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
    assert made.counts == {"answered": 1}


def test_a_provider_is_named_by_its_id_too(office: Made) -> None:
    made = office(None)
    two = made.world.node.directory.provider_named("two")
    assert two is not None
    made.elsewhere.answer = {"attempts": [{"provider": str(two.id), "target": ""}]}
    assert made.dial() == ([], [f"sip:{FOREIGN}@{TWO}"])


def test_who_knows_no_way_is_believed(office: Made) -> None:
    made = office({"attempts": []})
    assert made.dial() == ([], [])
    assert made.office.statuses("INVITE")[-1] == 480


MANY = [{"provider": "two"}] * (MAX_ATTEMPTS + 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"no JSON", b"[" * 100_000, b"[]", b"{}", b'{"attempts": {}}', b'{"attempts": [1]}', b"\xff\xfe",
        {"attempts": [{"provider": "three"}]},
        {"attempts": [{"provider": str(UUID(int=5))}]},
        {"attempts": [{"provider": "two"}, {"provider": "three"}]},
        {"attempts": [{"provider": 2}]},
        {"attempts": [{"target": FOREIGN}]},
        {"attempts": [{"provider": "two", "target": 5}]},
        {"attempts": [{"provider": "two", "target": "nowhere"}]},
        {"attempts": [{"provider": "two", "target": "911"}]},
        {"attempts": [{"provider": "two", "target": OWN}]},
        {"attempts": [{"provider": "two", "target": "+899100000001"}]},
        {"attempts": [{"provider": "two", "target": "+1" * 5000}]},
        {"attempts": [{"provider": "two", "headers": {}}]},
        {"attempts": MANY},
        b'{"attempts": [{"provider": "two"}]' + b" " * LARGEST_ANSWER + b"}",
        httpx.Response(500), httpx.Response(204),
        httpx.Response(302, headers={"Location": "http://10.0.0.10/"}),
        httpx.ConnectError("refused"), httpx.ReadError("cut"),
    ],
)  # fmt: skip
def test_on_any_fault_the_routes_decide(office: Made, answer: Any) -> None:
    made = office(answer)
    assert made.dial() == ([f"sip:{FOREIGN}@{ONE}"], [])
    made.one.answer(made.one.requests("INVITE")[-1], 503)
    made.world.wait(0.3)
    assert made.uris(made.two) == [f"sip:{FOREIGN}@{TWO}"]
    assert made.counts == {"failed": 1} and len(made.elsewhere.requests) == 1


def test_nobody_waits_for_longer_than_the_route_says(office: Made) -> None:
    made = office({"attempts": [{"provider": "two"}]}, after=60.0, timeout="400ms")
    assert made.dial(wait=0.35) == ([], [])
    made.world.wait(0.1)
    assert made.uris(made.one) == [f"sip:{FOREIGN}@{ONE}"] and made.counts == {"failed": 1}


def test_a_caller_that_is_gone_meanwhile_rings_nobody(office: Made) -> None:
    made = office({"attempts": [{"provider": "two"}]}, after=0.4)
    made.dial(wait=0.1)
    made.office.cancel(made.branch)
    made.world.wait(1.0)
    assert made.office.statuses("INVITE")[-1] == 487
    assert (made.uris(made.one), made.uris(made.two)) == ([], [])


def test_an_emergency_call_waits_for_nobody(office: Made) -> None:
    made = office({"attempts": [{"provider": "two"}]}, after=0.4)
    assert made.dial("911") == ([f"sip:911@{ONE}"], [])
    assert not made.elsewhere.requests


def test_the_same_question_is_answered_once_for_as_long_as_that_is_good(office: Made) -> None:
    made = office({"attempts": [{"provider": "two"}]}, cache="60s")
    for _ in range(3):
        made.dial()
    assert len(made.elsewhere.requests) == 1 and made.counts == {"answered": 1, "kept": 2}
    made.dial("+442079460124")
    assert len(made.elsewhere.requests) == 2
    made.world.wait(60.0)
    made.dial()
    assert len(made.elsewhere.requests) == 3


def test_a_fault_is_not_kept(office: Made) -> None:
    made = office(httpx.Response(500))
    made.dial()
    made.elsewhere.answer = {"attempts": [{"provider": "two"}]}
    made.dial()
    assert made.counts == {"failed": 1, "answered": 1}


def test_with_a_cache_of_none_everybody_asks(office: Made) -> None:
    made = office({"attempts": [{"provider": "two"}]}, cache=0)
    made.dial()
    made.dial()
    assert made.counts == {"answered": 2}


def test_what_is_kept_is_looked_at_again(office: Made) -> None:
    """A provider that is gone since makes it a fault."""
    made = office({"attempts": [{"provider": "two"}]})
    made.dial()
    directory = made.world.node.directory
    two = directory.provider_named("two")
    assert two is not None
    for row in [row for row in directory.routes if row.provider == two.id.int]:
        directory.remove_route(row.id)
    directory.remove_provider(two.id)
    made.dial()
    assert made.uris(made.one) == [f"sip:{FOREIGN}@{ONE}"] and made.counts == {"answered": 1, "failed": 1}


def test_not_more_is_kept_than_may_be(office: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.route_lookup.MOST_KEPT", 2)
    made = office({"attempts": [{"provider": "two"}]})
    for number in (FOREIGN, "+442079460124", FOREIGN, "+442079460125", FOREIGN):
        made.dial(number)
    assert made.counts == {"answered": 3, "kept": 2}
    assert made.world.node.flows.calls.lookups.kept == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(("declared", "url", "asked"), [
    (False, "https://lcr.example.com/", False),
    (False, "http://lcr.example.com/", False),
    (True, "http://lcr.example.com/", True),
])  # fmt: skip
def test_only_a_configuration_file_has_this_network_asked(office: Made, declared: bool, url: str, asked: bool) -> None:
    """The name leads to a private address, whatever the API was told."""
    made = office({"attempts": [{"provider": "two"}]}, url=url)
    for row in made.world.node.directory.routes:
        row.declared = declared
    made.dial()
    assert bool(made.elsewhere.requests) is asked


def test_an_address_of_the_open_internet_is_asked_by_https(office: Made) -> None:
    made = office({"attempts": [{"provider": "two"}]}, url="https://lcr.example.com/")
    made.elsewhere.address = "93.184.216.34"
    for row in made.world.node.directory.routes:
        row.declared = False
    assert made.dial() == ([], [f"sip:{FOREIGN}@{TWO}"])


def test_the_record_says_what_was_answered_and_keeps_the_key(office: Made) -> None:
    made = office(httpx.Response(500))
    made.dial()
    (record,) = made.world.node.flows.calls.registry.newest()
    assert record.notes == ["look-up at http://10.0.0.9/lcr: http://10.0.0.9/lcr answered 500; the routes decide"]
