"""How often a customer and an address may ask."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from api.http.tokens import key_hash
from engine.rate_limit import RateLimit
from engine.sip.peers import counted_source

_DOUBTS: Final = 10
"""How many times the burst of an address may still be looked up when it is used up."""
MOST_KNOWN: Final = 10_000


class RequestLimits:
    """Token buckets: one for each customer, at its own rate where it has one, and one for each address, for what it
    asks without good credentials. Rates are requests a second, 0 for no limit.

    What a request claims does not count, only what became of it: `wait` says before, `count` tells after. When the
    bucket of an address is empty, credentials from there may yet be good, as many people may share it: those that were
    good before are looked up, and of others so many that looking them up takes nothing away from anybody.
    """

    def __init__(self, customers: RateLimit, addresses: RateLimit, clock: Callable[[], float]) -> None:
        self._customers = customers
        self._own_rates: dict[int, RateLimit] = {}
        self._addresses = addresses
        self._doubts = RateLimit(addresses.rate, addresses.burst * _DOUBTS)
        self._known: dict[str, None] = {}  # hashes of what was good
        self._clock = clock

    def customer(self, customer_id: UUID, own_rate: int) -> float:
        """Count a request; the seconds to wait where it is one too many, else 0. `own_rate`: the customer's, 0 for the
        one that all have; twice that may come at once."""
        limit = self._customers
        if own_rate:
            limit = self._own_rates.get(own_rate) or RateLimit(own_rate, 2 * own_rate)
            self._own_rates[own_rate] = limit
        return 0.0 if limit.allows(str(customer_id), self._clock()) else 1 / limit.rate

    def wait(self, address: str) -> float:
        """The seconds until this address may ask without good credentials; 0 while it may."""
        return self._addresses.wait(counted_source(address), self._clock())

    def count(self, address: str) -> float:
        """Count a request without good credentials; the seconds to wait where it is one too many, else 0."""
        source, now = counted_source(address), self._clock()
        return 0.0 if self._addresses.allows(source, now) else self._addresses.wait(source, now)

    def take_back(self, address: str) -> None:
        """What was counted was good after all."""
        self._addresses.give_back(counted_source(address))

    def looks_up(self, address: str, shown: str) -> bool:
        """Whether these credentials of an address that has to wait are looked up."""
        return self.knows(shown) or self._doubts.allows(counted_source(address), self._clock())

    def knows(self, shown: str) -> bool:
        """Whether these credentials were good before."""
        return key_hash(shown) in self._known

    def remember(self, shown: str) -> None:
        """These credentials are good."""
        hashed = key_hash(shown)
        if hashed in self._known:
            return
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[hashed] = None
