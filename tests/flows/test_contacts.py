"""A destination with several contacts, as a registration has: by descending q, equal ones at once (RFC 3261 §16.6)."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from engine.sip.flow import Flow
from flows.calls.address import Address
from flows.calls.destinations import Contact, by_preference
from flows.messages.delivery import Delivery
from flows.messages.model import Target, TextMessage
from routing.identifiers import NIL

DESK, MOBILE, BROWSER = "sip:desk@192.0.2.9", "sip:mobile@192.0.2.10", "sip:k3d9@k3d9.invalid;transport=ws"
_WEBSOCKET: Any = SimpleNamespace(name="ws")
OPENED = Flow(_WEBSOCKET, "198.51.100.7", 50_000)
ANN = {"type": "extension", "target": "ann"}
CONNECT = {"type": "connect", "option": {"destinations": [ANN]}}
CALL = {"type": "call", "option": {"destinations": [ANN]}}


@pytest.fixture
def ann(world: Any) -> Any:
    """Two phones that ring together, and after them a browser, which only its own connection leads to."""
    contacts = [Contact(uri=BROWSER, q=0.2, flow=OPENED), Contact(uri=DESK, q=0.8), Contact(uri=MOBILE, q=0.8)]
    world.calls.contacts = world.fake_contacts(ann=contacts)
    return world


def rung(world: Any) -> list[str]:
    return [leg.spec.request_uri for leg in world.agent.legs]


async def started(world: Any, count: int) -> None:
    for _ in range(200):
        if len(world.agent.legs) == count and world.agent.legs[-1].waiting is not None:
            return
        await asyncio.sleep(0)
    raise AssertionError(rung(world))


def test_contacts_are_grouped_by_q() -> None:
    made = [Contact(uri=str(q), q=q) for q in (0.5, 1.0, 0.5, 0.0)]
    assert [[contact.uri for contact in group] for group in by_preference(made)] == [["1.0"], ["0.5", "0.5"], ["0.0"]]
    assert by_preference([]) == []


@pytest.mark.parametrize("first", [0, 1])
def test_equal_contacts_ring_at_once_and_the_first_that_answers_wins(ann: Any, first: int) -> None:
    ann.agent.script |= {"desk": ann.never, "mobile": ann.never}

    async def scenario() -> Any:
        running = asyncio.ensure_future(ann.run([CONNECT]))
        await started(ann, 2)
        assert rung(ann) == [DESK, MOBILE]
        assert [leg.spec.max_breadth for leg in ann.agent.legs] == [30, 30]  # RFC 5393: the caller's, in equal shares
        ann.agent.legs[first].settle(ann.answered)
        return await running

    ran = asyncio.run(scenario())
    won, lost = ann.agent.legs[first], ann.agent.legs[1 - first]
    assert ("bridge", won.spec.request_uri) in ran.orders
    assert (won.cancelled, lost.cancelled) == (0, 1)
    assert len(ann.agent.legs) == 2  # nobody asks the one behind them


def test_a_contact_with_a_lower_q_is_called_when_all_before_it_have_failed_by_its_own_flow(ann: Any) -> None:
    ann.agent.script |= {"desk": ann.never, "mobile": ann.never}

    async def scenario() -> Any:
        running = asyncio.ensure_future(ann.run([CONNECT]))
        await started(ann, 2)
        ann.agent.legs[0].settle(ann.refused(486))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(ann.agent.legs) == 2  # one of the two still rings
        ann.agent.legs[1].settle(ann.refused(480))
        return await running

    ran = asyncio.run(scenario())
    assert rung(ann) == [DESK, MOBILE, BROWSER]
    assert ("bridge", BROWSER) in ran.orders
    assert [leg.spec.flow for leg in ann.agent.legs] == [None, None, OPENED]


def test_a_decline_of_one_speaks_for_all(ann: Any) -> None:
    ann.agent.script |= {"desk": ann.refused(603), "mobile": ann.refused(486)}
    ann.go([CONNECT])
    assert rung(ann) == [DESK, MOBILE]  # RFC 3261 §16.7


def test_a_path_is_gone_by(world: Any) -> None:
    contact = Contact(uri=DESK, path=("sip:edge.example.com;lr", "sip:inner.example.com;lr"))
    world.calls.contacts = world.fake_contacts(ann=[contact])
    world.go([CONNECT])
    (leg,) = world.agent.legs
    assert (leg.spec.request_uri, leg.spec.destination) == (DESK, "sip:edge.example.com;lr")
    routes = [value for name, value in leg.spec.headers if name == "Route"]
    assert routes == ["<sip:edge.example.com;lr>", "<sip:inner.example.com;lr>"]  # RFC 3327 §5.3


def test_a_call_of_our_own_goes_through_the_contacts_one_after_another(ann: Any) -> None:
    ann.agent.script |= {"desk": ann.refused(486), "mobile": ann.refused(480)}
    ann.go([CALL])
    assert rung(ann) == [DESK, MOBILE, BROWSER]
    assert ann.agent.legs[2].spec.flow is OPENED
    (made,) = [record for record in ann.calls.registry.newest() if record.direction == "outgoing"]
    assert made.answered_ms is not None
    assert [attempt.kind for attempt in made.attempts] == ["refused", "refused", "answered"]


@pytest.mark.parametrize(
    ("outcomes", "status", "asked"),
    [
        ({"desk": 486, "mobile": 480}, "delivered", [DESK, MOBILE, BROWSER]),
        ({"desk": 486}, "delivered", [DESK, MOBILE]),
        ({"desk": 0}, "failed", [DESK]),  # it may have taken the text, and another would show it a second time
    ],
)
def test_a_text_goes_to_the_next_contact_where_one_has_refused_it(
    ann: Any, outcomes: dict[str, int], status: str, asked: list[str]
) -> None:
    sent: list[Any] = []

    async def send(spec: Any, text: str) -> Any:
        sent.append(spec)
        found = next((value for name, value in outcomes.items() if name in spec.request_uri), 200)
        if not found:
            return ann.outcome("no_reply", 0, "timeout")
        return ann.outcome("answered", 200, "OK") if found == 200 else ann.refused(found)

    target = Target(Address(**ANN))
    message = TextMessage(
        id=uuid4(),
        customer_id=NIL,
        direction="outgoing",
        source=Address(type="tel", target="+15550001111"),
        destinations=[target.destination],
        text="Your table is ready.",
        created=datetime.now(UTC),
        status="sending",
    )
    nobody: Any = None
    asyncio.run(Delivery(ann.calls, send, nobody, nobody, nobody).deliver(message, target))
    assert [spec.request_uri for spec in sent] == asked
    assert target.status == status
    assert len(target.attempts) == len(asked)
