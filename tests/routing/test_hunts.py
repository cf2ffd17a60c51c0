"""A call's way through the providers: failover row by row, limits, and channels that always come back."""

import random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.directory.directory import Directory
from routing.hunt.attempt import Attempt, report
from routing.hunt.failover import MAX_ATTEMPTS, TRY_NEXT
from routing.hunt.health import HealthBoard
from routing.hunt.hunt import Hunt
from routing.hunt.identity import CallerIdentity
from routing.hunt.router import Router
from routing.identifiers import named_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.settings import RoutingSettings

TARGET = "+821012345678"
CALLER = CallerIdentity(number="+15551234567", name="Bob")
OWN, RESTING, VIRTUAL, GONE = "+15551234567", "+15551234568", "+899100000001", "+15551234569"


class Network:
    """Providers p1, p2 ... with a route to all through each, in this order."""

    def __init__(self, *providers: dict[str, Any], routes: list[dict[str, Any]] | None = None) -> None:
        self.providers = [
            Provider.model_validate({"name": f"p{place}", "hostname": f"192.0.2.{place}", **values})
            for place, values in enumerate(providers, 1)
        ]
        given_routes = routes if routes is not None else [{} for _ in providers]
        self.directory = Directory()
        self.directory.replace(
            [
                Number(number=OWN),
                Number(number=RESTING, status="suspended"),
                Number(number=VIRTUAL),
                Number(number=GONE, status="released"),
            ],
            self.providers,
            [
                Route.model_validate({"provider_id": provider.id, "priority": place, **values})
                for place, (provider, values) in enumerate(zip(self.providers, given_routes, strict=True))
            ],
        )
        self.board = HealthBoard()
        self.router = Router(self.directory, self.board, RoutingSettings(), random.Random(1))

    def hunt(self, target: str = TARGET, **values: Any) -> Hunt:
        return self.router.hunt(target, caller=CALLER, **values)

    def channels(self) -> list[int]:
        return [self.board.channels(provider.id) for provider in self.providers]


def name(attempt: Attempt | None) -> str:
    return attempt.provider.name if attempt else "-"


def fail(hunt: Hunt, now: float = 100.0, status: int = 500) -> bool:
    """The next attempt is made and refused."""
    attempt = hunt.next(now)
    assert attempt is not None
    return hunt.outcome(attempt, "refused", status, "", retry_after=0, first_reply=now, now=now)


def test_what_of_the_callers_own_goes_on_is_in_the_attempt() -> None:
    network = Network({"tech_headers": {"X-Account": "42"}, "pass_headers": ["X-*"], "number_parameters": ["cic"]})
    caller = CallerIdentity(
        number="+15551234567",
        carried=(("X-Corr", "1"), ("X-Account", "7"), ("Session-ID", "8")),
        number_parameters=(("npdi", ""), ("cic", "+10288"), ("isup-oli", "0")),
    )
    attempt = network.router.hunt(TARGET, caller=caller).next(100.0)
    assert attempt is not None
    assert attempt.request_uri == f"sip:{TARGET};npdi;cic=+10288@192.0.2.1"
    assert [field for field in attempt.headers if field[0].startswith(("X-", "Session"))] == [
        ("X-Account", "42"),
        ("X-Corr", "1"),
    ]


def test_an_emergency_call_costs_nothing_and_passes_who_is_full() -> None:
    network = Network({"max_channels": 1}, routes=[{"rate": 5000, "message_rate": 70}])
    dear = network.hunt().next(100.0)
    assert dear is not None and (dear.rate, dear.message_rate) == (5000, 70)
    assert network.hunt().next(100.0) is None
    attempt = network.hunt("911").next(100.0)
    assert attempt is not None
    assert (attempt.rate, attempt.message_rate, attempt.request_uri) == (0, 0, "sip:911@192.0.2.1")


@pytest.mark.parametrize("short_prefix", [True, False])
def test_the_prefix_goes_before_short_numbers_where_the_route_says_so(short_prefix: bool) -> None:
    network = Network({"tech_prefix": "9"}, routes=[{"short_prefix": short_prefix}])
    attempt = network.hunt("911").next(100.0)
    assert attempt is not None and attempt.request_uri == f"sip:{'9' if short_prefix else ''}911@192.0.2.1"


@pytest.mark.parametrize(
    ("target", "own", "shown"),
    [(TARGET, {}, []), ("911", {}, ["<cid:a@x>"]), ("911", {"GEOLOCATION": "ours"}, ["ours"])],
)
def test_where_the_caller_is_goes_with_an_emergency_call(target: str, own: dict[str, str], shown: list[str]) -> None:
    """RFC 6442; what the provider is given of our own goes before it."""
    network = Network({"tech_headers": own})
    caller = CallerIdentity(number="+15551234567", location=(("Geolocation", "<cid:a@x>"),))
    attempt = network.router.hunt(target, caller=caller).next(100.0)
    assert attempt is not None
    assert [value for name, value in attempt.headers if name.lower() == "geolocation"] == shown


def test_an_attempt_has_all_that_an_invite_needs() -> None:
    network = Network(
        {
            "tech_prefix": "1",
            "tech_headers": {"X-Account": "42", "X-Zone": "\u00fc"},
            "username": "u",
            "password": "p",
            "realm": "r",
            "codecs": "PCMA",
            "transport": "tcp",
            "hostname": "127.0.0.2:5080",
        }
    )
    hunt = network.hunt(from_domain="198.51.100.1")
    attempt = hunt.next(100.0)
    assert attempt is not None
    assert attempt.request_uri == "sip:1+821012345678@127.0.0.2:5080"
    assert attempt.to == "<sip:1+821012345678@127.0.0.2:5080>"
    assert attempt.destination == "sip:127.0.0.2:5080;transport=tcp"
    assert attempt.from_ == '"Bob" <sip:+15551234567@198.51.100.1>'
    assert attempt.headers == [
        ("P-Asserted-Identity", '"Bob" <sip:+15551234567@198.51.100.1>'),
        ("X-Account", "42"),
        ("X-Zone", "\u00fc"),
    ]
    wants = attempt.provider
    assert (wants.username, wants.password, wants.realm, wants.codecs) == ("u", "p", "r", "PCMA")
    terms = attempt.terms
    assert (terms.no_reply_timeout, terms.no_progress_timeout, terms.ring_timeout) == (4, 15, 60)
    assert attempt.provider is network.providers[0]
    assert attempt.record is hunt.records[0]
    assert attempt.holds_channel


def test_each_attempt_is_shaped_from_what_was_dialled() -> None:
    network = Network(
        {"tech_prefix": "1", "tech_headers": {"X-A": "1"}},
        {"tech_prefix": "2", "number_format": "plain", "tech_postfix": "@b.example"},
        {"number_format": "national", "caller_id_headers": []},
        {"tech_prefix": "1", "tech_headers": {"X-A": "1"}},
    )
    for _ in range(2):
        hunt = network.hunt("0082-10-1234-5678")
        uris, headers = [], []
        while (attempt := hunt.next(100.0)) is not None:
            uris.append(attempt.request_uri)
            headers.append([header for header, _ in attempt.headers])
            hunt.outcome(attempt, "unreachable", now=100.0)
        assert uris == [
            "sip:1+821012345678@192.0.2.1",
            "sip:2821012345678@b.example",
            "sip:01012345678@192.0.2.3",
            "sip:1+821012345678@192.0.2.4",
        ]
        assert headers == [
            ["P-Asserted-Identity", "X-A"],
            ["P-Asserted-Identity"],
            [],
            ["P-Asserted-Identity", "X-A"],
        ]


@pytest.mark.parametrize("from_domain", ["", "a>b", "a\r\nb", "x y"])
def test_a_domain_that_is_none_is_replaced(from_domain: str) -> None:
    attempt = Network({}).hunt(from_domain=from_domain).next(100.0)
    assert attempt is not None and attempt.from_ == '"Bob" <sip:+15551234567@anonymous.invalid>'


# What an outcome means

FAILOVER = [*range(300, 400), 401, 402, 403, 405, 406, 407, 408, 415, 420, 421, 423, 488, *range(500, 600)]
STOP = [status for status in range(400, 700) if status not in FAILOVER]


def goes_on(network: Network, kind: str, status: int = 0) -> bool:
    hunt = network.hunt()
    attempt = hunt.next(100.0)
    assert attempt is not None
    go_on = hunt.outcome(attempt, kind, status, now=100.5)
    following = hunt.next(100.5)
    assert (following is not None) == go_on
    assert network.channels() == [int(kind == "answered"), int(go_on)]
    hunt.close(101.0)
    assert network.channels() == [0, 0]
    return go_on


def test_every_final_status_has_its_place_in_the_table() -> None:
    assert len(FAILOVER) + len(STOP) == 400
    assert {404, 480, 484, 486, 487, 600, 603} <= set(STOP)
    network = Network({}, {})
    for status in FAILOVER:
        assert goes_on(network, "refused", status), status
    for status in STOP:
        assert not goes_on(network, "refused", status), status


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("answered", False),
        ("unreachable", True),
        ("no_reply", True),
        ("no_progress", True),
        ("ring_timeout", False),
        ("cancelled", False),
    ],
)
def test_every_kind_of_outcome(kind: str, expected: bool) -> None:
    assert goes_on(Network({}, {}), kind) is expected


@pytest.mark.parametrize(
    ("provider", "route", "goes", "stops"),
    [
        ({"failover_codes": [486]}, {}, [486], [500, 302, 404]),
        ({"stop_codes": [503, "3xx"]}, {}, [500, 488], [503, 302]),
        ({"failover_codes": ["4xx"], "stop_codes": [404]}, {}, [486, 400], [404, 500]),
        ({}, {"failover_codes": [404]}, [404], [500]),
        ({}, {"stop_codes": ["5xx"]}, [488, 302], [500]),
        ({"stop_codes": ["5xx"]}, {"stop_codes": []}, [500], [486]),
        ({"failover_codes": [404]}, {"failover_codes": []}, [], [404, 500]),
        ({"failover_codes": [600]}, {"stop_codes": [600]}, [], [600, 500]),
    ],
)
def test_codes_of_provider_and_route(
    provider: dict[str, Any], route: dict[str, Any], goes: list[int], stops: list[int]
) -> None:
    network = Network(provider, {}, routes=[route, {}])
    assert [status for status in goes if not goes_on(network, "refused", status)] == []
    assert [status for status in stops if goes_on(network, "refused", status)] == []


def test_timers_of_provider_and_route() -> None:
    network = Network({"no_reply_timeout": 2, "ring_timeout": 30}, {}, routes=[{"ring_timeout": 20.5}, {}])
    attempt = network.hunt().next(100.0)
    assert attempt is not None
    terms = attempt.terms
    assert (terms.no_reply_timeout, terms.no_progress_timeout, terms.ring_timeout) == (2, 15, 20.5)
    network = Network({}, routes=[{"no_reply_timeout": 1, "no_progress_timeout": 3}])
    attempt = network.hunt().next(100.0)
    assert attempt is not None
    terms = attempt.terms
    assert (terms.no_reply_timeout, terms.no_progress_timeout, terms.ring_timeout) == (1, 3, 60)


# What is skipped


def skipped(hunt: Hunt) -> list[tuple[str, str]]:
    return [(record.provider_name, record.skipped) for record in hunt.records if record.skipped]


def test_a_disabled_provider_is_skipped_and_recorded() -> None:
    hunt = Network({"enabled": False}, {}).hunt()
    assert name(hunt.next(100.0)) == "p2"
    record = hunt.records[0]
    assert (record.kind, record.skipped, record.reason) == ("skipped", "disabled", "the provider is disabled")
    assert (record.started, record.ended, record.status, record.request_uri) == (None, None, 0, "")


def test_a_full_provider_is_skipped_until_a_channel_is_free() -> None:
    network = Network({"max_channels": 2}, {})
    hunts = [network.hunt() for _ in range(3)]
    attempts = [hunt.next(100.0) for hunt in hunts]
    assert [name(attempt) for attempt in attempts] == ["p1", "p1", "p2"]
    assert skipped(hunts[2]) == [("p1", "max_channels")]
    first = attempts[0]
    assert first is not None
    hunts[0].outcome(first, "answered", 200, now=101.0)
    assert name(network.hunt().next(101.0)) == "p2"  # an answered call holds its channel
    hunts[0].release(first)
    hunts[0].release(first)
    assert network.channels()[0] == 1
    assert name(network.hunt().next(102.0)) == "p1"


def test_a_provider_is_not_called_more_often_than_it_may_be_in_any_second() -> None:
    network = Network({"max_cps": 2}, {})
    taken = []
    for now in (10.0, 10.6, 10.7, 10.99, 11.0, 11.3, 11.6, 12.0):
        hunt = network.hunt()
        attempt = hunt.next(now)
        taken.append(name(attempt))
        assert skipped(hunt) == ([("p1", "max_cps")] if taken[-1] == "p2" else [])
        hunt.close(now)
    assert taken == ["p1", "p1", "p2", "p2", "p1", "p2", "p1", "p1"]


@pytest.mark.parametrize(
    ("status", "retry_after", "rests"),
    [(503, 10, 10), (503, 300, 300), (503, 86400, 300), (503, 0, 0), (500, 10, 0), (486, 10, 0)],
)
def test_a_503_with_retry_after_gives_the_provider_a_rest(status: int, retry_after: int, rests: int) -> None:
    network = Network({}, {})
    hunt = network.hunt()
    attempt = hunt.next(100.0)
    assert attempt is not None
    hunt.outcome(attempt, "refused", status, "", retry_after=retry_after, first_reply=100.1, now=100.5)
    if rests:
        during = network.hunt()
        assert name(during.next(100.5 + rests - 0.01)) == "p2" and skipped(during) == [("p1", "cooldown")]
    assert name(network.hunt().next(100.5 + rests)) == "p1"


def test_a_rest_is_not_cut_short_by_a_shorter_one() -> None:
    board = HealthBoard()
    identifier = UUID(int=1)
    board.cooldown(identifier, 200.0)
    board.cooldown(identifier, 150.0)
    assert board.state(1).cooldown_until == 200.0


def test_a_provider_that_is_gone_is_skipped() -> None:
    network = Network({}, {})
    hunt = network.hunt(pinned=[UUID(int=5), network.providers[1].id])
    assert name(hunt.next(100.0)) == "p2"
    assert skipped(hunt) == [(str(UUID(int=5)), "unknown_provider")]
    network.directory.put_route(Route(provider_id=UUID(int=6), priority=-1))
    hunt = network.hunt()
    assert name(hunt.next(100.0)) == "p1" and skipped(hunt) == [(str(UUID(int=6)), "unknown_provider")]


# Order and bounds


def test_a_provider_is_tried_once_a_call() -> None:
    network = Network({}, {})
    network.directory.put_route(Route(provider_id=network.providers[0].id, target="+82", priority=9))
    network.directory.put_route(Route(provider_id=network.providers[0].id, target="+8210", priority=9))
    hunt = network.hunt()
    order = []
    while (attempt := hunt.next(100.0)) is not None:
        order.append(name(attempt))
        hunt.outcome(attempt, "unreachable", now=100.0)
    assert order == ["p1", "p2"]


def test_pinned_providers_are_used_in_their_order_and_no_route_is() -> None:
    network = Network({}, {}, {})
    one, _, three = network.providers
    network.directory.remove_route(next(iter(network.directory.routes)).id)
    hunt = network.hunt(pinned=[three.id, one.id, three.id])
    order = []
    while (attempt := hunt.next(100.0)) is not None:
        order.append(name(attempt))
        hunt.outcome(attempt, "unreachable", now=100.0)
    assert order == ["p3", "p1"]


def test_a_customers_own_route_goes_before_the_platforms() -> None:
    network = Network({}, {}, routes=[{"priority": 0}, {"priority": 0, "customer_id": str(UUID(int=9))}])
    assert name(network.hunt(customer_id=UUID(int=9)).next(100.0)) == "p2"
    assert name(network.hunt(customer_id=UUID(int=8)).next(100.0)) == "p1"
    assert name(network.hunt().next(100.0)) == "p1"


def test_a_disabled_route_is_no_route() -> None:
    assert name(Network({}, {}, routes=[{"enabled": False}, {}]).hunt().next(100.0)) == "p2"


def test_a_call_makes_ten_attempts_at_most() -> None:
    network = Network(*({"enabled": place % 4 != 0} for place in range(20)))
    hunt = network.hunt()
    made = 0
    while hunt.next(100.0) is not None:
        made += 1
        assert hunt.outcome(hunt.current, "no_reply", now=100.0)  # type: ignore[arg-type]
    assert made == MAX_ATTEMPTS == 10
    assert hunt.next(100.0) is None
    assert network.channels() == [0] * 20


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        (OWN, 480, "is one of our own numbers"),
        ("0015551234567", 480, "is one of our own numbers"),
        (RESTING, 480, "is one of our own numbers"),
        (VIRTUAL, 480, "is one of our own numbers"),
        ("+899123456789", 404, "is virtual"),
        ("+8991234", 404, "is virtual"),
        ("alice", 484, "'alice' is no number"),
        ("+1\r\nVia: x", 484, "is no number"),
        ("", 484, "is no number"),
    ],
)
@pytest.mark.parametrize("pin", [False, True])
def test_own_and_virtual_numbers_are_never_sent_to_a_provider(target: str, status: int, words: str, pin: bool) -> None:
    network = Network({})
    hunt = network.hunt(target, pinned=[network.providers[0].id] if pin else [])
    assert words in hunt.cause
    assert hunt.next(100.0) is None
    assert hunt.final()[0] == status and hunt.records == []


def test_a_number_that_is_ours_no_more_goes_out() -> None:
    assert name(Network({}).hunt(GONE).next(100.0)) == "p1"


# What the caller hears


@pytest.mark.parametrize(
    ("outcomes", "final"),
    [
        ([], (480, "Temporarily Unavailable")),
        ([("refused", 503, "Busy")], (500, "Server Internal Error")),
        ([("refused", 500, "Oops"), ("refused", 502, "Bad Gateway")], (502, "Bad Gateway")),
        ([("refused", 502, "Bad Gateway"), ("no_reply", 0, "")], (502, "Bad Gateway")),
        ([("refused", 503, ""), ("unreachable", 0, "")], (500, "Server Internal Error")),
        ([("no_reply", 0, ""), ("refused", 486, "Busy Here")], (486, "Busy Here")),
        ([("refused", 302, "Moved")], (480, "Temporarily Unavailable")),
        ([("no_reply", 0, "")], (408, "Request Timeout")),
        ([("no_progress", 0, "")], (408, "Request Timeout")),
        ([("unreachable", 0, "")], (500, "Server Internal Error")),
        ([("ring_timeout", 0, "")], (480, "Temporarily Unavailable")),
        ([("refused", 500, ""), ("ring_timeout", 0, "")], (480, "Temporarily Unavailable")),
        ([("refused", 500, ""), ("cancelled", 0, "")], (487, "Request Terminated")),
        ([("refused", 503, ""), ("answered", 200, "OK")], (200, "OK")),
        ([("refused", 603, "Decline")], (603, "Decline")),
    ],
)
def test_one_final_response(outcomes: list[tuple[str, int, str]], final: tuple[int, str]) -> None:
    hunt = Network({}, {}).hunt()
    for kind, status, reason in outcomes:
        attempt = hunt.next(100.0)
        assert attempt is not None
        hunt.outcome(attempt, kind, status, reason, now=100.0)
    assert hunt.final() == final


def test_nothing_to_try_is_480() -> None:
    hunt = Network({"enabled": False}).hunt()
    assert hunt.next(100.0) is None and hunt.final() == (480, "Temporarily Unavailable")
    assert Network().hunt().next(100.0) is None


# Records


def test_attempts_keep_their_times_and_ends() -> None:
    hunt = Network({"enabled": False}, {"tech_prefix": "2"}, {}).hunt()
    attempt = hunt.next(100.25)
    assert attempt is not None
    assert hunt.outcome(attempt, "refused", 503, "Unavailable", retry_after=0, first_reply=100.3, now=100.5)
    attempt = hunt.next(100.5)
    assert attempt is not None
    hunt.outcome(attempt, "no_reply", 0, "no response", now=104.5)
    skip, first, second = [report(record, 100.0, 1_700_000_000.0) for record in hunt.records]
    assert (skip.start, skip.start_ms, skip.end_ms, skip.skipped) == (None, None, None, "disabled")
    assert first.request_uri == "sip:2+821012345678@192.0.2.2" and first.provider_name == "p2"
    assert (first.start_ms, first.first_reply_ms, first.end_ms) == (250, 300, 500)
    assert (first.kind, first.status, first.reason) == ("refused", 503, "Unavailable")
    assert first.start is not None and first.start.isoformat() == "2023-11-14T22:13:20.250000+00:00"
    assert first.end is not None and first.end.isoformat() == "2023-11-14T22:13:20.500000+00:00"
    assert (second.first_reply, second.first_reply_ms, second.end_ms, second.kind) == (None, None, 4500, "no_reply")
    assert second.provider_id == named_id("provider", "p3")


def test_without_the_time_of_day_an_explanation_shows_milliseconds_only() -> None:
    hunt = Network({}).hunt()
    fail(hunt, 100.5)
    told = report(hunt.records[0], 100.0, 0.0)
    assert told.start is None and told.start_ms == 500


# Channels


def test_orders_out_of_turn() -> None:
    network = Network({}, {})
    hunt, other = network.hunt(), network.hunt()
    attempt = hunt.next(100.0)
    assert attempt is not None
    with pytest.raises(RuntimeError, match="tell the outcome"):
        hunt.next(100.0)
    with pytest.raises(ValueError, match="another hunt"):
        other.outcome(attempt, "refused", 500)
    with pytest.raises(ValueError, match="no such outcome: 'lost'"):
        hunt.outcome(attempt, "lost")
    assert hunt.outcome(attempt, "refused", 500, now=100.0)
    assert hunt.outcome(attempt, "answered", 200, now=100.0) is False
    assert attempt.record.status == 500
    assert network.channels() == [0, 0]
    assert set(TRY_NEXT) >= {"answered", "refused"}


def test_a_released_attempt_without_an_outcome_ends_the_hunt() -> None:
    network = Network({}, {})
    hunt = network.hunt()
    attempt = hunt.next(100.0)
    assert attempt is not None
    hunt.release(attempt)
    hunt.release(attempt)
    assert network.channels() == [0, 0]
    assert hunt.next(100.0) is None
    assert hunt.outcome(attempt, "answered", 200, now=101.0) is False
    assert network.channels() == [0, 0]
    assert (attempt.record.kind, attempt.record.ended) == ("cancelled", None)
    assert hunt.final()[0] == 487


def test_closing_frees_what_runs_and_what_talks() -> None:
    network = Network({}, {})
    hunt = network.hunt()
    hunt.next(100.0)
    hunt.close(103.0)
    hunt.close(104.0)
    assert hunt.records[0].ended == 103.0 and hunt.next(105.0) is None and network.channels() == [0, 0]
    hunt = network.hunt()
    attempt = hunt.next(100.0)
    assert attempt is not None
    hunt.outcome(attempt, "answered", 200, now=101.0)
    assert network.channels() == [1, 0]
    hunt.close(110.0)
    assert network.channels() == [0, 0] and hunt.records[0].kind == "answered"


def test_a_forgotten_attempt_gives_its_channel_back() -> None:
    network = Network({}, {})
    hunt = network.hunt()
    hunt.next(100.0)
    assert network.channels() == [1, 0]
    del hunt
    assert network.channels() == [0, 0]


def test_states_outlive_a_reload_and_go_with_their_provider() -> None:
    network = Network({}, {})
    one, two = (provider.id.int for provider in network.providers)
    attempt = network.hunt().next(100.0)
    network.board.state(two).probe_answered()
    network.board.keep({two})
    assert network.board.peek(one) is not None and network.board.status(network.providers[1].id) == "healthy"
    assert attempt is not None
    attempt.release()
    network.board.keep({two})
    assert network.board.peek(one) is None and network.board.peek(two) is not None


KINDS = st.sampled_from([*TRY_NEXT, "release", "close", "forget"])


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "max_channels": st.integers(0, 2),
                "max_cps": st.integers(0, 2),
                "enabled": st.booleans(),
            }
        ),
        min_size=1,
        max_size=14,
    ),
    st.lists(st.tuples(st.integers(0, 3), KINDS, st.integers(300, 699), st.integers(0, 400)), max_size=60),
    st.integers(0, 1000),
)
def test_whatever_happens_channels_add_up_and_hunts_stay_bounded(
    providers: list[dict[str, Any]], events: list[tuple[int, str, int, int]], seed: int
) -> None:
    network = Network(*providers)
    network.router.rng = random.Random(seed)
    hunts: list[Hunt | None] = [network.hunt() for _ in range(4)]
    now = 100.0

    def check() -> None:
        attempts = [attempt for hunt in hunts if hunt for attempt in (hunt.current, hunt.answered) if attempt]
        expected = [
            sum(attempt.holds_channel and attempt.provider.id == provider.id for attempt in attempts)
            for provider in network.providers
        ]
        assert network.channels() == expected
        for provider, used in zip(network.providers, expected, strict=True):
            assert not provider.max_channels or used <= provider.max_channels

    for which, kind, status, retry_after in events:
        now += 0.21
        hunt = hunts[which]
        if hunt is None:
            hunt = hunts[which] = network.hunt()
        attempt = hunt.current
        if kind == "forget":
            hunts[which] = hunt = attempt = None
        elif kind == "close":
            hunt.close(now)
        elif kind == "release":
            for known in (attempt, hunt.answered):
                if known is not None:
                    hunt.release(known)
        elif attempt is None:
            hunt.next(now)
        else:
            hunt.outcome(attempt, kind, status, "", retry_after=retry_after, first_reply=now, now=now)
        attempt = None
        if hunt is not None:
            tried = [record.provider_id for record in hunt.records if not record.skipped]
            assert len(tried) <= MAX_ATTEMPTS
            everybody = [record.provider_id for record in hunt.records]
            assert len(everybody) == len(set(everybody))
            assert 300 <= hunt.final()[0] <= 699 or hunt.final()[0] == 200
            assert hunt.final()[0] != 503
        hunt = None
        check()
    for hunt in hunts:
        if hunt is not None:
            hunt.close(now)
    assert network.channels() == [0] * len(providers)
