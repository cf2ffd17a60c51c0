"""How often a customer and an address may ask."""

from uuid import UUID

from engine.rate_limit import RateLimit


class Limits:
    """Token buckets: one for each customer, at its own rate where it has one, and one for each address.

    Rates are requests a second, 0 for no limit; a burst of twice the rate may come at once.
    """

    def __init__(self, customer_rate: float, address_rate: float) -> None:
        self._customer_rate = customer_rate
        self._by_rate: dict[float, RateLimit] = {}
        self._addresses = _bucket(address_rate)

    def customer(self, customer_id: UUID, own_rate: float, now: float) -> float:
        """Count a request; the seconds to wait where it is one too many, else 0."""
        rate = own_rate or self._customer_rate
        limit = self._by_rate.get(rate)
        if limit is None:
            limit = self._by_rate[rate] = _bucket(rate)
        return 0.0 if limit.allows(str(customer_id), now) else 1 / rate

    def address(self, address: str, now: float) -> float:
        """Count a request; the seconds to wait where it is one too many, else 0."""
        return 0.0 if self._addresses.allows(address, now) else 1 / self._addresses.rate


def _bucket(rate: float) -> RateLimit:
    return RateLimit(rate, max(round(2 * rate), 1))
