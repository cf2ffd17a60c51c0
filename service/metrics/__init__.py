"""The engine's metrics, one file a subject: a new metric is written into one of these files, and nowhere else."""

from importlib import import_module
from pkgutil import iter_modules

from service.metrics.registry import Metrics, Sources


def all_metrics(sources: Sources) -> Metrics:
    """The metrics of every file of this folder that has a function `register(metrics, sources)`."""
    metrics = Metrics()
    for found in iter_modules(__path__, f"{__name__}."):
        register = getattr(import_module(found.name), "register", None)
        if register is not None:
            register(metrics, sources)
    return metrics
