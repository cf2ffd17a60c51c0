"""Rate limit: a token bucket for each source, so that one peer cannot take the engine for itself."""

MOST_SOURCES = 65_536


class RateLimit:
    """`rate` new calls a second and source, with a burst of `burst`. A rate of 0 lets everything pass."""

    __slots__ = ("_buckets", "burst", "rate", "refused")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = max(burst, 1)
        self.refused = 0
        # Source -> tokens, time of the last call. In the order of their last calls, so that the first one, which has
        # filled up again if any has, makes room.
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, source: str, now: float) -> bool:
        """Whether one more call of `source` may come in at `now` (s, monotonic)."""
        if not self.rate:
            return True
        tokens = self._tokens(self._buckets.pop(source, None), now)
        if len(self._buckets) >= MOST_SOURCES:
            del self._buckets[next(iter(self._buckets))]
        allowed = tokens >= 1
        self._buckets[source] = (tokens - 1 if allowed else tokens, now)
        self.refused += not allowed
        return allowed

    def has(self, source: str, now: float) -> bool:
        """Whether `allows` would say yes; nothing is counted."""
        return not self.rate or self._tokens(self._buckets.get(source), now) >= 1

    def allows_all(self, source: str, count: int, now: float) -> bool:
        """Whether `count` more calls of `source` may come in at `now`, all or none of them."""
        for taken in range(count):
            if not self.allows(source, now):
                for _ in range(taken):
                    self.give_back(source)
                return False
        return True

    def wait(self, source: str, now: float) -> float:
        """Seconds until one more call of `source` may come in; nothing is counted."""
        if not self.rate:
            return 0.0
        return max(0.0, (1 - self._tokens(self._buckets.get(source), now)) / self.rate)

    def give_back(self, source: str) -> None:
        """The last call of `source` that was let in does not count."""
        if source in self._buckets:
            tokens, since = self._buckets[source]
            self._buckets[source] = (min(float(self.burst), tokens + 1), since)

    def _tokens(self, bucket: tuple[float, float] | None, now: float) -> float:
        if bucket is None:
            return float(self.burst)
        return min(float(self.burst), bucket[0] + (now - bucket[1]) * self.rate)

    def __len__(self) -> int:
        return len(self._buckets)
