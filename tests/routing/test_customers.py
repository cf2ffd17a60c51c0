"""What a customer may call."""

import random
from uuid import UUID

import pytest

from routing.directory.customers import CustomerTerms, barred, destination_allowed
from routing.directory.directory import Directory
from routing.directory.snapshot import SnapshotBuilder
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.settings import RoutingSettings

CUSTOMER, NEIGHBOUR = UUID(int=9), UUID(int=10)
TRUNK = Provider(name="trunk", hostname="192.0.2.1")
KOREA, LONDON, OWN = "+821012345678", "+442079460123", "+15551234567"


def router(*terms: CustomerTerms) -> Router:
    directory = Directory()
    directory.replace([Number(number=OWN)], [TRUNK], [Route(provider_id=TRUNK.id)], terms)
    return Router(directory, HealthBoard(), RoutingSettings(), random.Random(1))


def limited(*countries: str, suspended: bool = False) -> CustomerTerms:
    return CustomerTerms.of(CUSTOMER, suspended=suspended, destination_countries=countries)


@pytest.mark.parametrize(
    ("number", "countries", "allowed"),
    [
        (KOREA, (), True),
        (KOREA, ("KR",), True),
        (KOREA, ("kr",), True),
        (KOREA, ("GB", "KR"), True),
        (KOREA, ("GB",), False),
        ("+14155552671", ("US",), True),
        (OWN, ("US",), True),  # not given out, but nobody else's
        ("+18765550100", ("US",), False),  # Jamaica
        ("+18765550100", ("JM",), True),
        ("+16475550100", ("US",), False),  # Canada
        ("+18091234567", ("US",), False),  # the Dominican Republic, whether the number is in use or not
        ("+441481256789", ("GB",), False),  # Guernsey
        ("+80012345678", ("US",), False),  # everywhere and nowhere
        ("+80012345678", (), True),
        ("+88312345678", ("US",), False),
        ("+999123456789", ("US",), False),
        ("+899100000001", ("US",), True),  # ours alone
    ],
)
def test_destinations_by_country(number: str, countries: tuple[str, ...], allowed: bool) -> None:
    assert destination_allowed(limited(*countries), number) is allowed
    assert barred(limited(*countries), number) == ("" if allowed else "destination_not_allowed")
    if number != OWN and number[:4] != "+899":
        hunt = router(limited(*countries)).hunt(number, customer_id=CUSTOMER)
        assert (hunt.next(1.0) is not None) is allowed


def test_a_suspended_customer_calls_nobody() -> None:
    assert not destination_allowed(limited("KR", suspended=True), KOREA)
    assert barred(limited(suspended=True), KOREA) == "customer_suspended"


@pytest.mark.parametrize(
    ("terms", "cause", "word"),
    [
        (
            limited("GB", "FR"),
            f"destination not allowed: {KOREA} is in KR, and customer {CUSTOMER} may call FR, GB only",
            "destination_not_allowed",
        ),
        (
            limited(suspended=True),
            f"customer {CUSTOMER} is suspended and may not call {KOREA}; reactivate it first",
            "customer_suspended",
        ),
    ],
)
@pytest.mark.parametrize("pinned", [(), (TRUNK.id,)])
def test_the_hunt_of_a_barred_call_is_empty_and_forbidden(
    terms: CustomerTerms, cause: str, word: str, pinned: tuple[UUID, ...]
) -> None:
    plan = router(terms)
    hunt = plan.hunt(KOREA, customer_id=CUSTOMER, pinned=pinned)
    assert hunt.cause == cause
    assert hunt.next(1.0) is None and hunt.records == []
    assert hunt.final() == (403, "Forbidden")
    assert plan.directory.refused == {word: 1}


def test_other_customers_and_the_platform_are_not_concerned() -> None:
    plan = router(limited(suspended=True))
    for customer in (NEIGHBOUR, UUID(int=0)):
        hunt = plan.hunt(KOREA, customer_id=customer)
        assert hunt.cause == "" and hunt.next(1.0) is not None


def test_terms_come_and_go() -> None:
    plan = router()
    directory = plan.directory
    assert directory.customer(CUSTOMER.int) is None
    directory.put_customer(limited("GB"))
    assert plan.hunt(KOREA, customer_id=CUSTOMER).cause
    directory.put_customer(limited("GB", "KR"))
    assert directory.customer(CUSTOMER.int) == limited("KR", "GB")
    assert not plan.hunt(KOREA, customer_id=CUSTOMER).cause
    assert directory.remove_customer(CUSTOMER.int) and not directory.remove_customer(CUSTOMER.int)
    assert directory.customer(CUSTOMER.int) is None


def test_terms_are_part_of_the_content() -> None:
    builder = SnapshotBuilder()
    builder.customers([limited("GB"), CustomerTerms(NEIGHBOUR.int)])
    directory = Directory()
    directory.swap(builder.finish())
    assert directory.customer(NEIGHBOUR.int) == CustomerTerms(NEIGHBOUR.int)
    old = directory.replace([], [], [])
    assert directory.customer(CUSTOMER.int) is None
    assert old.discard(1) and not old.discard(1)
    assert old.customers == {}


def test_an_explanation_says_so() -> None:
    plan = router(limited("GB"))
    explanation = plan.explain(KOREA, 1.0, customer_id=CUSTOMER)
    assert explanation.reason == (
        f"{KOREA} is a foreign number, and the caller gets 403: "
        f"destination not allowed: {KOREA} is in KR, and customer {CUSTOMER} may call GB only"
    )
    assert [(entry.position, entry.tried, entry.reason) for entry in explanation.entries] == [
        (0, False, "not reached: the customer may not make this call")
    ]
    assert plan.directory.refused == {}
    assert plan.explain(LONDON, 1.0, customer_id=CUSTOMER).entries[0].tried
    assert plan.explain(KOREA, 1.0).entries[0].tried
    assert "our own" in plan.explain(OWN, 1.0, customer_id=CUSTOMER).reason
