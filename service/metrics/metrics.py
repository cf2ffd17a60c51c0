"""Metrics for Prometheus: counted while calls run, or read off the engine when somebody asks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.media.rtp.counters import REFUSED
from engine.media.rtpengine.pool import Rtpengines
from engine.user_agent import UserAgent
from flows.calls.record import CallRecord
from routing.directory.directory import Directory
from routing.hunt.health import HealthBoard

# A series beside each counter that says when it began, under the counter's own description.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the package has types for all but this one

_SETUP = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
_DURATION = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_LAG = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1)


@dataclass(slots=True)
class Reading:
    """A value that is read when somebody asks. `grows`: it only ever goes up."""

    name: str
    help: str
    value: Callable[[], float]
    grows: bool = False


class Metrics:
    """Everything that `/metrics` shows. It is an observer of calls and of requests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = self._counter("calls", "Calls that are over.", "direction", "hangup_reason")
        self._attempts = self._counter("attempts", "Attempts at providers, skipped ones too.", "provider", "outcome")
        self._setup = self._histogram("call_setup_seconds", "From INVITE to answer.", _SETUP, "direction")
        self._talk = self._histogram("call_talk_seconds", "From answer to end.", _DURATION, "direction")
        self._requests = self._histogram(
            "api_request_seconds", "Requests to the API.", _REQUEST, "method", "route", "status"
        )
        self._lag = self._histogram("loop_lag_seconds", "How late the event loop is.", _LAG)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"trunkline_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"trunkline_{name}", text, labels, registry=self.registry, buckets=buckets)

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)

    # ---- what is counted

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

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """The API answered."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def lag(self, seconds: float) -> None:
        """The loop was so late."""
        self._lag.observe(seconds)

    # ---- what is read off

    def read(self, readings: Iterable[Reading]) -> None:
        """Show these values too."""
        self.registry.register(_Readings(list(readings)))

    def read_engine(self, agent: UserAgent, directory: Directory, board: HealthBoard) -> None:
        """Show the engine's own numbers."""
        self.registry.register(_Engine(agent, directory, board))


class _Readings(Collector):
    def __init__(self, readings: list[Reading]) -> None:
        self._readings = readings

    def describe(self) -> Iterable[Metric]:
        """Nothing is read before the engine runs."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The values now."""
        for reading in self._readings:
            family = CounterMetricFamily if reading.grows else GaugeMetricFamily
            yield family(f"trunkline_{reading.name}", reading.help, value=reading.value())


class _Engine(Collector):
    def __init__(self, agent: UserAgent, directory: Directory, board: HealthBoard) -> None:
        self._agent = agent
        self._directory = directory
        self._board = board

    def describe(self) -> Iterable[Metric]:
        """Nothing is read before the engine runs."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The values now."""
        agent = self._agent
        endpoint = agent.endpoint
        legs = GaugeMetricFamily("trunkline_legs", "Call legs that are up.", labels=["direction"])
        legs.add_metric(["incoming"], agent.incoming)
        legs.add_metric(["outgoing"], len(agent.calls) - agent.incoming)
        yield legs
        transactions = GaugeMetricFamily("trunkline_sip_transactions", "Transactions.", labels=["side"])
        transactions.add_metric(["client"], len(endpoint.transactions.clients))
        transactions.add_metric(["server"], len(endpoint.transactions.servers))
        yield transactions
        messages = CounterMetricFamily("trunkline_sip_messages", "SIP messages.", labels=["way"])
        messages.add_metric(["received"], endpoint.counters.received)
        messages.add_metric(["sent"], agent.sent)
        yield messages
        refused = CounterMetricFamily("trunkline_sip_refused", "Messages that led to nothing.", labels=["why"])
        for why in ("malformed", "stray", "refused", "overload"):
            refused.add_metric([why], getattr(endpoint.counters, why))
        yield refused
        unread = CounterMetricFamily("trunkline_sip_unread", "Messages dropped without an answer.", labels=["why"])
        for why in ("banned", "scanners"):
            unread.add_metric([why], getattr(endpoint.counters, why))
        yield unread
        unwanted = CounterMetricFamily("trunkline_rtp_refused", "Datagrams that calls' media refused.", labels=["why"])
        for why in REFUSED:
            unwanted.add_metric([why], agent.plane.refused[why])
        yield unwanted
        resent = CounterMetricFamily("trunkline_sip_retransmissions", "Requests and responses sent again.")
        resent.add_metric([], endpoint.transactions.retransmissions)
        yield resent
        denied = CounterMetricFamily("trunkline_calls_denied", "Calls refused at the door.", labels=["cause"])
        for cause, count in self._directory.refused.items():
            denied.add_metric([cause], count)
        counts = agent.refusals.counts
        denied.add_metric(["invite_rate"], counts["invite_rate"] + counts["invite_rate_unread"])
        yield denied
        strangers = CounterMetricFamily("trunkline_strangers_refused", "Requests refused or dropped.", labels=["cause"])
        for cause, count in sorted(agent.refusals.counts.items()):
            strangers.add_metric([cause], count)
        yield strangers
        yield from self._providers()
        yield from self._anchors()
        yield GaugeMetricFamily("trunkline_numbers", "Numbers in memory.", value=len(self._directory.numbers))

    def _anchors(self) -> Iterator[Metric]:
        anchored = GaugeMetricFamily("trunkline_anchored_legs", "Legs whose media is anchored.", labels=["anchor"])
        anchored.add_metric(["engine"], len(self._agent.relays.relays))
        up = GaugeMetricFamily("trunkline_rtpengine_up", "1: answers.", labels=["rtpengine"])
        if isinstance(self._agent.anchors, Rtpengines):
            for instance in self._agent.anchors.instances:
                anchored.add_metric([instance.where], instance.calls)
                up.add_metric([instance.where], instance.alive)
        yield anchored
        yield up

    def _providers(self) -> Iterator[Metric]:
        channels = GaugeMetricFamily("trunkline_provider_channels", "Channels in use.", labels=["provider"])
        healthy = GaugeMetricFamily("trunkline_provider_healthy", "1: healthy, 0: unhealthy.", labels=["provider"])
        for provider in self._directory.providers:
            name = provider.name or str(provider.id)
            channels.add_metric([name], self._board.channels(provider.id))
            # What is not known to be alive is not told to be.
            if (status := self._board.status(provider.id)) != "unknown":
                healthy.add_metric([name], status == "healthy")
        yield channels
        yield healthy
