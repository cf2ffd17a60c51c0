"""New calls per source: a token bucket for each address, so that one peer cannot take the engine for itself."""

MOST_SOURCES = 65_536


class RateLimit:
    """`rate` new calls a second and source, with a burst of `burst`. A rate of 0 lets everything pass."""

    __slots__ = ("_buckets", "burst", "rate", "refused")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = max(burst, 1)
        self.refused = 0
        self._buckets: dict[str, tuple[float, float]] = {}  # source -> tokens, time of the last call

    def allows(self, source: str, now: float) -> bool:
        """Whether one more call of `source` may come in at `now` (s, monotonic)."""
        if not self.rate:
            return True
        tokens, since = self._buckets.get(source, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - since) * self.rate)
        if len(self._buckets) >= MOST_SOURCES and source not in self._buckets:
            self._forget_full(now)
        allowed = tokens >= 1
        self._buckets[source] = (tokens - 1 if allowed else tokens, now)
        self.refused += not allowed
        return allowed

    def wait(self, source: str, now: float) -> float:
        """Seconds until one more call of `source` may come in; nothing is counted."""
        if not self.rate:
            return 0.0
        tokens, since = self._buckets.get(source, (float(self.burst), now))
        return max(0.0, (1 - tokens) / self.rate - (now - since))

    def give_back(self, source: str) -> None:
        """The last call of `source` that was let in does not count."""
        if source in self._buckets:
            tokens, since = self._buckets[source]
            self._buckets[source] = (min(float(self.burst), tokens + 1), since)

    def _forget_full(self, now: float) -> None:
        """A bucket that has filled up again says nothing; sources without end are forgotten altogether."""
        self._buckets = {
            source: (tokens, since)
            for source, (tokens, since) in self._buckets.items()
            if tokens + (now - since) * self.rate < self.burst
        }
        if len(self._buckets) >= MOST_SOURCES:
            self._buckets.clear()
