"""Anchors that take their time, and may fail: relays of the engine behind a slow line."""

from collections.abc import Callable

from engine.media.anchor import Anchor, AnchorError, MediaAddress, Rewritten, Shared
from engine.media.relay.relay import Relays
from tests.simulation.agent import LoopNetwork


class SlowAnchor:
    """A relay that takes a while over every description, as one on another machine does."""

    def __init__(self, anchors: "SlowAnchors", relay: Anchor) -> None:
        self.anchors, self.relay = anchors, relay
        self.refused, self.chosen = relay.refused, relay.chosen
        self.close, self.report, self.settled = relay.close, relay.report, relay.settled

    def offer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        self.anchors.later(self.relay.offer, side, body, rewritten)

    def answer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        self.anchors.later(self.relay.answer, side, body, rewritten)


class SlowAnchors:
    """`delay` in seconds, at random up to twice that with `jitter`; `failures` is the share that fails."""

    def __init__(
        self,
        network: LoopNetwork,
        relays: Callable[[], Relays],
        delay: float,
        *,
        jitter: bool = False,
        failures: float = 0.0,
    ) -> None:
        """`relays` gives those of a user agent, which has them when it has started."""
        self.network, self.relays = network, relays
        self.delay, self.jitter, self.failures = delay, jitter, failures

    def shared(self, near: MediaAddress) -> Shared | None:
        return self.relays().shared(near)

    def open(self, near: MediaAddress, far: MediaAddress, shared: Shared | None) -> Anchor:
        return SlowAnchor(self, self.relays().open(near, far, shared))

    def later(self, work: object, side: int, body: bytes, rewritten: Rewritten) -> None:
        delay = self.delay * (2 * self.network.random.random() if self.jitter else 1)
        if self.network.random.random() < self.failures:
            self.network.loop.call_later(delay, rewritten, b"", AnchorError("no answer", 503))
        else:
            self.network.loop.call_later(delay, work, side, body, rewritten)  # type: ignore[arg-type]
