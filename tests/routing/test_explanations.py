"""Why a call goes where it goes."""

import random
from uuid import UUID

from routing.directory.directory import Directory
from routing.hunt.explanation import Explanation
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.identifiers import named_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.numbers.normalise import normalise_dialled
from routing.settings import RoutingSettings

FLOW = named_id("flow", "hotline")
CUSTOMER = UUID(int=9)
SETTINGS = RoutingSettings()


def provider(name: str, **values: object) -> Provider:
    return Provider.model_validate({"name": name, "hostname": f"{name}.example", **values})


class Exchange:
    def __init__(self) -> None:
        self.a, self.b, self.off = provider("a", tech_prefix="1"), provider("b"), provider("off", enabled=False)
        self.directory = Directory()
        self.board = HealthBoard()
        self.directory.replace(
            [
                Number(number="+15551234567", call_flow_id=FLOW),
                Number(number="+15551234568"),
                Number(number="+15551234569", status="suspended"),
                Number(number="+15551234570", status="available"),
                Number(number="+899100000001", call_flow_id=FLOW),
            ],
            [self.a, self.b, self.off],
            [
                Route(provider_id=self.a.id, target="all"),
                Route(provider_id=self.b.id, target="+44", weight=1),
                Route(provider_id=self.a.id, target="+44", weight=3),
                Route(provider_id=self.b.id, target="+4420", enabled=False),
                Route(provider_id=self.off.id, target="+4420", priority=5),
                Route(provider_id=self.b.id, target="+4420", priority=9, customer_id=CUSTOMER),
                Route(provider_id=UUID(int=4), target="+4420", priority=10),
            ],
        )
        self.router = Router(self.directory, self.board, SETTINGS, random.Random(1))

    def explain(self, asked: str, **values: object) -> Explanation:
        return self.router.explain(asked, 100.0, **values)  # type: ignore[arg-type]


def told(explanation: Explanation) -> list[tuple[int, str, str, str]]:
    return [(entry.position, entry.provider_name, entry.target, entry.reason) for entry in explanation.entries]


WEIGHED = " (drawn by weight, {} of 4, among 2 equals)"


def test_the_whole_list_with_a_reason_for_each_entry() -> None:
    exchange = Exchange()
    explanation = exchange.explain("00442079460123")
    assert explanation.reason == "+442079460123 is a foreign number; 2 of 6 entries would be tried, in this order"
    again = "skipped: the provider stands earlier in this list, and is tried once a call"
    assert told(explanation) == [
        (0, "b", "+4420", "skipped: the route is disabled"),
        (0, "off", "+4420", "skipped: the provider is disabled"),
        (0, str(UUID(int=4)), "+4420", "skipped: there is no such provider"),
        (1, "a", "+44", "tried first" + WEIGHED.format(3)),
        (2, "b", "+44", "tried when those before it have failed" + WEIGHED.format(1)),
        (0, "a", "all", again),
    ]
    first = explanation.entries[3]
    assert (first.request_uri, first.tried, first.weight, first.owner) == (
        "sip:1+442079460123@a.example",
        True,
        3,
        "platform",
    )
    assert first.route_id == Route(provider_id=exchange.a.id, target="+44", weight=3).id
    assert explanation.entries[2].request_uri == "" and explanation.number is None


def test_a_customers_own_routes_are_shown_to_it_alone() -> None:
    entries = Exchange().explain("+442079460123", customer_id=CUSTOMER).entries
    assert [(entry.provider_name, entry.owner) for entry in entries if entry.tried] == [
        ("b", "customer"),
        ("a", "platform"),
    ]


def test_the_moments_state_is_explained_and_left_alone() -> None:
    exchange = Exchange()
    exchange.board.cooldown(exchange.a.id, 150.0)
    explanation = exchange.explain("+33123456789")
    assert told(explanation) == [
        (0, "a", "all", "skipped: it asked to be left alone for a while (503 with Retry-After)")
    ]
    assert explanation.reason == (
        "+33123456789 is a foreign number, and every entry for it would be skipped: the caller gets 480"
    )
    fresh = Exchange()
    fresh.explain("+442079460123")
    assert fresh.board.peek(fresh.a.id.int) is None and fresh.directory.refused == {}


def test_who_comes_later_for_its_health_is_explained_in_its_place() -> None:
    exchange = Exchange()
    ill, silent = exchange.board.state(exchange.a.id.int), exchange.board.state(exchange.b.id.int)
    ill.probe_answered()
    for _ in range(3):
        ill.probe_missed()
        silent.probe_missed()
    assert told(exchange.explain("+442079460123"))[-2:] == [
        (
            1,
            "b",
            "+44",
            "tried after the others: it has never answered a health probe, nor a call lately" + WEIGHED.format(1),
        ),
        (
            2,
            "a",
            "+44",
            "tried when nobody else is left: it does not answer health probes any more" + WEIGHED.format(3),
        ),
    ]
    assert exchange.explain("+33123456789").reason == (
        "+33123456789 is a foreign number; 1 of 1 entries would be tried, in this order"
    )
    pinned = exchange.explain("+33123456789", pinned=[exchange.a.id, exchange.off.id, exchange.b.id])
    assert [(entry.position, entry.provider_name) for entry in pinned.entries] == [(0, "off"), (1, "b"), (2, "a")]


def test_pinned_providers() -> None:
    exchange = Exchange()
    explanation = exchange.explain("+33123456789", pinned=[exchange.b.id, exchange.b.id, exchange.off.id])
    assert [(entry.position, entry.provider_name, entry.target) for entry in explanation.entries] == [
        (1, "b", "pinned"),
        (0, "b", "pinned"),
        (0, "off", "pinned"),
    ]
    assert explanation.entries[0].route_id is None


def test_what_a_provider_sees_in_place_of_our_address_is_said() -> None:
    exchange = Exchange()
    exchange.directory.put_provider(exchange.b.model_copy(update={"contact_host": "sbc1.example.com"}))
    (entry,) = exchange.explain("+33123456789", pinned=[exchange.b.id]).entries
    assert entry.reason == "tried first; it sees us as sbc1.example.com"


def test_more_than_ten_are_not_reached() -> None:
    exchange = Exchange()
    many = [provider(f"m{place}") for place in range(12)]
    for place, item in enumerate(many):
        exchange.directory.put_provider(item)
        exchange.directory.put_route(Route(provider_id=item.id, target="+81", priority=place))
    entries = exchange.explain("+81312345678").entries
    assert [entry.position for entry in entries] == [*range(1, 11), 0, 0, 0]
    assert entries[10].reason == "not reached: a call makes at most 10 attempts"


def test_no_route() -> None:
    exchange = Exchange()
    exchange.directory.replace([], [exchange.a], [])
    explanation = exchange.explain("+33123456789")
    assert explanation.entries == []
    assert explanation.reason == (
        "+33123456789 is a foreign number without a route: the caller gets 480; add a route with target all"
    )


def test_our_own_numbers() -> None:
    exchange = Exchange()
    for asked, words in {
        "15551234567": f"+15551234567 is our own normal number: calls run flow {FLOW}",
        "+15551234568": "+15551234568 is our own normal number and has no call flow: calls get 480",
        "+15551234569": "+15551234569 is our own normal number and suspended: calls get 480",
        "+15551234570": "+15551234570 is in the directory and available: nobody can call it until it is provisioned",
        "+899100000001": f"+899100000001 is our own virtual number: calls run flow {FLOW}",
        "+899100000009": "+899100000009 is virtual and does not exist; no provider is asked",
    }.items():
        explanation = exchange.explain(asked)
        assert explanation.reason == words
        assert explanation.entries == []
        assert (explanation.number is None) == (asked == "+899100000009")


def test_what_each_kind_of_caller_gets() -> None:
    exchange = Exchange()

    def verdicts(asked: str) -> dict[str, str]:
        return {verdict.source: verdict.reason for verdict in exchange.explain(asked).verdicts}

    assert verdicts("+899100000001") == {
        "trunk": "404 Not Found: +899100000001 is virtual and cannot be reached through a trunk",
        "client": f"flow {FLOW} runs",
        "guest": f"flow {FLOW} runs",
    }
    assert verdicts("+33123456789") == {
        "trunk": "404 Not Found: +33123456789 is none of our numbers",
        "client": "goes out through the providers",
        "guest": "403 Forbidden: a guest dialled +33123456789, which is none of our numbers",
    }


def test_what_is_no_number() -> None:
    exchange = Exchange()
    explanation = exchange.router.explain(normalise_dialled("alice", SETTINGS), 100.0)
    assert explanation.reason == "404 Not Found: alice is neither a number nor a known extension"
    assert explanation.entries == []


def test_who_is_asked_first_is_said_without_its_key() -> None:
    exchange = Exchange()
    lookup = {"url": "https://lcr.example/x?key=hush"}
    assert exchange.explain("+821012345678").lookup == ""
    exchange.directory.put_route(
        Route.model_validate({"provider_id": exchange.b.id, "target": "+82", "lookup": lookup, "weight": 2})
    )
    said = "https://lcr.example/x is asked first{}, 0.5 s at most; what follows is for when it does not say"
    assert exchange.explain("+821012345678").lookup == said.format("")
    assert exchange.explain("+442079460123").lookup == ""
    exchange.directory.put_route(Route.model_validate({"provider_id": exchange.a.id, "target": "+82"}))
    drawn = " (where it is drawn before its equals)"
    assert exchange.explain("+821012345678").lookup == said.format(drawn)
    assert exchange.explain("+821012345678", pinned=[exchange.a.id]).lookup == ""
