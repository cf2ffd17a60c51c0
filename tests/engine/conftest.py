"""Whatever a test started in simulated time ends with it."""

from collections.abc import Iterator

import pytest

from tests.simulation.agent import LoopNetwork


@pytest.fixture(autouse=True)
def _simulated_loops_are_closed() -> Iterator[None]:
    yield
    while LoopNetwork.opened:
        LoopNetwork.opened.pop().close()
