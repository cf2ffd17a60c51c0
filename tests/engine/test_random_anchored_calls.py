"""Random calls as in `test_random_calls_through`, anchored: with rewrites that take a while, and some that fail."""

import gc

import pytest

from tests.engine.anchors import SlowAnchors
from tests.engine.test_random_calls_through import ThreeNodes
from tests.simulation.agent import LoopNetwork, alive


def anchored(
    calls: int, seed: int, patch: pytest.MonkeyPatch, loss: float, delay: float, failures: float
) -> ThreeNodes:
    def slow(network: LoopNetwork) -> SlowAnchors:
        return SlowAnchors(network, lambda: world.agent.relays, delay, jitter=True, failures=failures)

    world = ThreeNodes(seed, loss, patch, slow if delay else None)
    world.flow.spec["anchor"] = "anchor"
    try:
        world.run(calls)
        world.check()
        assert not world.agent.relays.relays and not world.agent.ports.in_use
    except BaseException:
        print(f"seed {seed}")
        raise
    finally:
        world.agent.ports.close()
    return world


@pytest.mark.parametrize(
    ("seed", "loss", "delay", "failures"),
    [(1, 0.2, 0.0, 0.0), (2, 0.0, 0.2, 0.0), (3, 0.2, 0.2, 0.0), (4, 0.1, 0.5, 0.1), (5, 0.3, 0.05, 0.3)],
)
def test_random_anchored_calls_leave_nothing(
    seed: int, loss: float, delay: float, failures: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = anchored(60, seed, monkeypatch, loss, delay, failures)
    kinds = [side.outcomes[0][0] for side in world.callers]
    assert kinds.count("answered") > (10 if failures else 20)


def test_no_cycle_keeps_an_anchored_call_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    before = len(alive(gc.get_objects()))
    gc.disable()
    try:
        world = anchored(60, 9, monkeypatch, 0.1, 0.0, 0.0)
        world.callers.clear()
        world.callees.clear()
        world.flow.calls.clear()
        world.flow.legs.clear()
        assert len(alive(gc.get_objects())) - before == 0
    finally:
        gc.enable()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_thousand_random_anchored_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    anchored(2000, 20_261_121, monkeypatch, 0.2, 0.2, 0.05)
