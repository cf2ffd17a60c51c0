"""Metrics of the directory: numbers in memory, and what is known of each provider."""

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
