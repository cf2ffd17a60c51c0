"""How many virtual numbers a customer may have."""

import pytest

from routing.directory.customers import VIRTUAL_NUMBER_LIMITS, Tier, check_virtual_number_limit
from routing.errors import RoutingError


def test_the_limits() -> None:
    assert VIRTUAL_NUMBER_LIMITS == {"free": 5, "basic": 50, "professional": 500, "unlimited": None}


@pytest.mark.parametrize(("tier", "limit"), [("free", 5), ("basic", 50), ("professional", 500)])
def test_the_last_one_is_given_and_the_next_is_not(tier: Tier, limit: int) -> None:
    check_virtual_number_limit(tier, limit - 1)
    for held in (limit, limit + 1):
        with pytest.raises(RoutingError, match=f"{tier} has {limit} virtual numbers") as error:
            check_virtual_number_limit(tier, held)
        assert error.value.reason == "VIRTUAL_NUMBER_LIMIT"


def test_no_limit() -> None:
    check_virtual_number_limit("unlimited", 1_000_000)
