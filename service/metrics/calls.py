"""Metrics of calls: how many, how long, how they ended, and which were refused."""

from typing import Final

from flows.calls.record import CallRecord
from service.metrics.registry import Metrics, Readings, Sources

SETUP: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
DURATION: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400)


class EndedCalls:
    """An observer of calls, which counts each when it is over."""

    def __init__(self, metrics: Metrics) -> None:
        self._calls = metrics.counter("calls", "Calls that are over.", "direction", "hangup_reason")
        self._attempts = metrics.counter("attempts", "Attempts at providers, skipped ones too.", "provider", "outcome")
        self._setup = metrics.histogram("call_setup_seconds", "From INVITE to answer.", SETUP, "direction")
        self._talk = metrics.histogram("call_talk_seconds", "From answer to end.", DURATION, "direction")

    def begun(self, record: CallRecord) -> None:
        """A call began: it counts when it is over."""

    def changed(self, record: CallRecord) -> None:
        """A call rings or is answered: it counts when it is over."""

    def ended(self, record: CallRecord) -> None:
        """A call is over."""
        direction = record.direction
        self._calls.labels(direction, record.hangup_reason or "failed").inc()
        if record.answered_ms is not None:
            self._setup.labels(direction).observe(record.answered_ms / 1000)
            if record.ended_ms is not None:
                self._talk.labels(direction).observe((record.ended_ms - record.answered_ms) / 1000)
        for attempt in record.attempts:
            # A URI that was dialled without a provider has no name to count under, and there is no end of them.
            self._attempts.labels(attempt.provider_name, attempt.skipped or attempt.kind or "cancelled").inc()


def register(metrics: Metrics, sources: Sources) -> None:
    """Calls that are over, legs that are up, and what was refused."""
    agent, directory = sources.agent, sources.directory
    sources.calls.observers.append(EndedCalls(metrics))

    def legs() -> Readings:
        yield "incoming", agent.incoming
        yield "outgoing", len(agent.calls) - agent.incoming

    def denied() -> Readings:
        yield from directory.refused.items()
        counts = agent.refusals.counts
        yield "invite_rate", counts["invite_rate"] + counts["invite_rate_unread"]

    metrics.gauges_of("legs", "Call legs that are up.", "direction", legs)
    metrics.counters_of("calls_denied", "Calls refused at the door.", "cause", denied)
