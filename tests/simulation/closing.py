"""A fixture for a folder's conftest.py: whatever a test started in simulated time ends with it."""

from collections.abc import Iterator

import pytest

from tests.simulation.agent import LoopNetwork


@pytest.fixture(autouse=True)
def simulated_networks_are_closed() -> Iterator[None]:
    yield
    while LoopNetwork.opened:
        LoopNetwork.opened[-1].close()
