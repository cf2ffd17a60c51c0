"""Metrics of the process: how long the API takes, and how late the event loop is."""

from typing import Final

from service.metrics.registry import Metrics, Sources

REQUEST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
LAG: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1)


def register(metrics: Metrics, _sources: Sources) -> None:
    """Told by the API and by the watch on the loop."""
    requests = metrics.histogram("api_request_seconds", "Requests to the API.", REQUEST, "method", "route", "status")
    lag = metrics.histogram("loop_lag_seconds", "How late the event loop is.", LAG)

    def request(method: str, route: str, status: int, seconds: float) -> None:
        requests.labels(method, route, str(status)).observe(seconds)

    metrics.on_request.append(request)
    metrics.on_lag.append(lag.observe)
