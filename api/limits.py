"""How often a customer and an address may ask."""

from uuid import UUID

from engine.rate_limit import RateLimit


class Limits:
    """Token buckets: one for each customer, at its own rate where it has one, and one for each address that shows no
    credentials, or wrong ones. Rates are requests a second, 0 for no limit."""

    def __init__(self, customers: RateLimit, addresses: RateLimit) -> None:
        self._customers = customers
        self._own_rates: dict[int, RateLimit] = {}
        self._addresses = addresses

    def customer(self, customer_id: UUID, own_rate: int, now: float) -> float:
        """Count a request; the seconds to wait where it is one too many, else 0. `own_rate`: the customer's, 0 for the
        one that all have; twice that may come at once."""
        limit = self._customers
        if own_rate:
            limit = self._own_rates.get(own_rate) or RateLimit(own_rate, 2 * own_rate)
            self._own_rates[own_rate] = limit
        return _counted(limit, str(customer_id), now)

    def address(self, address: str, now: float) -> float:
        """Count a request without good credentials; the seconds to wait where it is one too many, else 0."""
        return _counted(self._addresses, address, now)


def _counted(limit: RateLimit, source: str, now: float) -> float:
    return 0.0 if limit.allows(source, now) else 1 / limit.rate
