"""Whatever a test started in simulated time ends with it."""

from tests.simulation.closing import simulated_networks_are_closed

__all__ = ["simulated_networks_are_closed"]
