"""Whatever a test started in simulated time ends with it."""

from collections.abc import Iterator

import pytest

from tests.engine.simulated import Air


@pytest.fixture(autouse=True)
def _simulated_loops_are_closed() -> Iterator[None]:
    yield
    while Air.opened:
        Air.opened.pop().close()
