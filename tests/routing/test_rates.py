"""What a minute costs, from the route to the attempt."""

import random
from uuid import UUID

import pytest
from pydantic import ValidationError

from routing.directory.directory import Directory
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.models.declared import DeclaredRoute, resolve
from routing.models.provider import Provider
from routing.models.route import Route
from routing.settings import RoutingSettings

TRUNK = Provider(name="trunk", hostname="192.0.2.1")
OTHER = Provider(name="other", hostname="192.0.2.2")
CUSTOMER = UUID(int=3)


def router(*routes: Route) -> Router:
    directory = Directory()
    directory.replace([], [TRUNK, OTHER], routes)
    return Router(directory, HealthBoard(), RoutingSettings(), random.Random(1))


@pytest.mark.parametrize("rate", [0, 1, 10**12])
def test_a_rate_is_a_whole_number_of_micro_units(rate: int) -> None:
    assert Route(provider_id=TRUNK.id, rate=rate).rate == rate


@pytest.mark.parametrize("rate", [-1, 10**12 + 1, 0.5, "much", None])
def test_what_is_no_rate_is_refused(rate: object) -> None:
    with pytest.raises(ValidationError) as error:
        Route.model_validate({"provider_id": TRUNK.id, "rate": rate})
    assert error.value.errors()[0]["loc"] == ("rate",)


def test_a_route_without_a_rate_is_free() -> None:
    assert Route(provider_id=TRUNK.id).rate == 0


def test_a_declared_rate_reaches_the_route() -> None:
    declared = DeclaredRoute.model_validate({"target": "+44", "provider": "trunk", "rate": 12_000})
    resolved = resolve([], [TRUNK], [declared], {})
    assert [route.rate for route in resolved.routes] == [12_000]


def test_each_attempt_has_the_rate_of_the_route_it_was_made_by() -> None:
    planned = router(
        Route(provider_id=TRUNK.id, target="+44", rate=20_000),
        Route(provider_id=TRUNK.id, target="all", rate=90_000),
        Route(provider_id=OTHER.id, target="all", rate=50_000),
    )
    hunt = planned.hunt("+442079460123")
    first = hunt.next(1.0)
    assert first is not None and (first.provider.name, first.rate) == ("trunk", 20_000)
    hunt.outcome(first, "refused", 500, now=1.0)
    second = hunt.next(1.0)
    assert second is not None and (second.provider.name, second.rate) == ("other", 50_000)


def test_a_pinned_call_costs_nothing() -> None:
    hunt = router(Route(provider_id=TRUNK.id, rate=20_000)).hunt("+442079460123", pinned=[TRUNK.id])
    attempt = hunt.next(1.0)
    assert attempt is not None and attempt.rate == 0


def test_an_explanation_shows_the_rates() -> None:
    planned = router(Route(provider_id=TRUNK.id, target="+44", rate=20_000), Route(provider_id=OTHER.id, rate=50_000))
    assert [entry.rate for entry in planned.explain("+442079460123", 1.0).entries] == [20_000, 50_000]
    pinned = planned.explain("+442079460123", 1.0, pinned=[TRUNK.id])
    assert [entry.rate for entry in pinned.entries] == [0]
