"""What a customer's tier allows."""

from typing import Literal

from routing.errors import RoutingError

Tier = Literal["free", "basic", "professional", "unlimited"]

# How many virtual numbers a customer may have at once, active or suspended; None is no limit.
VIRTUAL_NUMBER_LIMITS: dict[Tier, int | None] = {
    "free": 5,
    "basic": 50,
    "professional": 500,
    "unlimited": None,
}


def check_virtual_number_limit(tier: Tier, held: int) -> None:
    """Whether a customer that holds so many virtual numbers may have one more. Raises RoutingError
    VIRTUAL_NUMBER_LIMIT where it may not."""
    limit = VIRTUAL_NUMBER_LIMITS[tier]
    if limit is not None and held >= limit:
        problem = f"the tier {tier} has {limit} virtual numbers and all are in use; delete one or move to a higher tier"
        raise RoutingError("VIRTUAL_NUMBER_LIMIT", problem)
