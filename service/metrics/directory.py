"""Metrics of the directory: numbers in memory, what is known of each provider, and which phones are registered."""

from service.metrics.registry import Metrics, Readings, Sources


def register(metrics: Metrics, sources: Sources) -> None:
    """Read off the directory and the health board."""
    directory, board = sources.directory, sources.board

    def channels() -> Readings:
        return [(each.name or str(each.id), board.channels(each.id)) for each in directory.providers]

    def healthy() -> Readings:
        for provider in directory.providers:
            # What is not known to be alive is not told to be.
            if (status := board.status(provider.id)) != "unknown":
                yield provider.name or str(provider.id), status == "healthy"

    metrics.gauges_of("provider_channels", "Channels in use.", "provider", channels)
    metrics.gauges_of("provider_healthy", "1: healthy, 0: unhealthy.", "provider", healthy)
    metrics.gauge_of("numbers", "Numbers in memory.", lambda: len(directory.numbers))
    metrics.gauge_of("routes", "Routes in memory.", lambda: len(directory.routes))
    metrics.counters_of("route_lookups", "Look-ups of routes, elsewhere.", "outcome", lambda: sources.lookups.items())
    _register_phones(metrics, sources)


def _register_phones(metrics: Metrics, sources: Sources) -> None:
    """Who is registered, and what became of REGISTERs."""
    location, registrar = sources.location, sources.registrar
    metrics.gauges_of("registrations", "Devices that are registered.", "transport", lambda: location.transports.items())
    metrics.counters_of("register", "REGISTERs.", "result", lambda: registrar.results.items())
    metrics.gauge_of("registered_extensions", "Extensions with a device.", lambda: len(location.names()))
