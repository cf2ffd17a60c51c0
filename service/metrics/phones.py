"""Metrics of phones: who is registered, and what became of REGISTERs."""

from service.metrics.registry import Metrics, Sources


def register(metrics: Metrics, sources: Sources) -> None:
    """Read off the location and the registrar."""
    location, registrar = sources.location, sources.registrar
    metrics.gauges_of("registrations", "Devices that are registered.", "transport", lambda: location.transports.items())
    metrics.counters_of("register", "REGISTERs.", "result", lambda: registrar.results.items())
    metrics.gauge_of("registered_extensions", "Extensions with a device.", lambda: len(location.names()))
