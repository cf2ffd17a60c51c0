"""The registry of metrics for Prometheus: counted while calls run, or read off the engine when somebody asks."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.media.rtpengine.pool import Rtpengines
from engine.transport.certificates import Certificates
from engine.user_agent import UserAgent
from flows.calls.registry import CallRegistry
from flows.messages.model import MessageService
from routing.access.bans import BanTable
from routing.directory.directory import Directory
from routing.hunt.health import HealthBoard
from routing.location import Location
from service.cdr.record_writer import CallRecordWriter
from service.phones.registrar import Registrar
from service.workers.webhook_sender import WebhookSender
from store.feed import ChangeFeed
from store.store import Store

# A series beside each counter that says when it began, under the counter's own description.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the package has types for all but this one


@dataclass(slots=True, kw_only=True)
class Sources:
    """What metrics are read off.

    Attributes:
        certificates: What listeners with TLS show, SIP's and the API's.
        rtpengines: What the media of anchored calls passes; None: sockets of this process.
        subscriptions: How many phones have, by event package.
        lookups: How many look-ups of routes there were, by how they ended.
    """

    agent: UserAgent
    directory: Directory
    board: HealthBoard
    bans: BanTable
    location: Location
    registrar: Registrar
    rtpengines: Rtpengines | None
    certificates: Sequence[Certificates]
    subscriptions: Callable[[], Mapping[str, int]]
    calls: CallRegistry
    lookups: Mapping[str, int]
    messages: MessageService
    store: Store
    feed: ChangeFeed
    call_records: CallRecordWriter
    webhooks: WebhookSender


class Metrics:
    """Everything that `/metrics` shows.

    Attributes:
        on_request: Told of each request to the API: method, route, status, seconds.
        on_lag: Told how many seconds late the event loop was.
        before_reading: Awaited before the values are read.
    """

    def __init__(self) -> None:
        self.on_request: list[Callable[[str, str, int, float], None]] = []
        self.on_lag: list[Callable[[float], None]] = []
        self.before_reading: list[Callable[[], Awaitable[None]]] = []
        self._registry = CollectorRegistry()

    # ---- what is counted

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """A counter to be incremented."""
        return Counter(f"trunkline_{name}", text, labels, registry=self._registry)

    def histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        """A histogram to be told values."""
        return Histogram(f"trunkline_{name}", text, labels, registry=self._registry, buckets=buckets)

    # ---- what is read when somebody asks

    def gauge_of(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge whose value is read."""
        self._read(GaugeMetricFamily, name, text, "", lambda: [("", value())])

    def counter_of(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A counter whose value is read."""
        self._read(CounterMetricFamily, name, text, "", lambda: [("", value())])

    def gauges_of(self, name: str, text: str, label: str, values: Callable[[], "Readings"]) -> None:
        """A gauge for each value of a label."""
        self._read(GaugeMetricFamily, name, text, label, values)

    def counters_of(self, name: str, text: str, label: str, values: Callable[[], "Readings"]) -> None:
        """A counter for each value of a label."""
        self._read(CounterMetricFamily, name, text, label, values)

    def _read(
        self,
        family: type[GaugeMetricFamily | CounterMetricFamily],
        name: str,
        text: str,
        label: str,
        values: Callable[[], "Readings"],
    ) -> None:
        self._registry.register(_ReadMetric(family, f"trunkline_{name}", text, label, values))

    # ---- for the API and the loop

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """The API has answered."""
        for observe in self.on_request:
            observe(method, route, status, seconds)

    def lag(self, seconds: float) -> None:
        """The loop was so late."""
        for observe in self.on_lag:
            observe(seconds)

    async def text(self) -> bytes:
        """What Prometheus reads."""
        for read in self.before_reading:
            await read()
        return generate_latest(self._registry)


Readings = Iterable[tuple[str, float]]
"""Values of a label, and what there is of each."""


class _ReadMetric(Collector):
    def __init__(
        self,
        family: type[GaugeMetricFamily | CounterMetricFamily],
        name: str,
        text: str,
        label: str,
        values: Callable[[], Readings],
    ) -> None:
        self._family = family
        self._name = name
        self._text = text
        self._labels = [label] if label else []
        self._values = values

    def describe(self) -> Iterable[Metric]:
        """Nothing is read before the engine runs."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The values now."""
        found = self._family(self._name, self._text, labels=self._labels)
        for value, count in self._values():
            found.add_metric([value] if self._labels else [], count)
        yield found
