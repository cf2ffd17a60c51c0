"""Metrics of media: RTP ports, datagrams refused, anchored legs, and the rtpengines."""

from engine.media.rtp.counters import REFUSED
from engine.media.rtpengine.pool import Rtpengines
from service.metrics.registry import Metrics, Readings, Sources


def register(metrics: Metrics, sources: Sources) -> None:
    """Read off the user agent."""
    agent = sources.agent

    def anchored() -> Readings:
        yield "engine", len(agent.relays.relays)
        if isinstance(agent.anchors, Rtpengines):
            yield from ((instance.where, instance.calls) for instance in agent.anchors.instances)

    def up() -> Readings:
        if isinstance(agent.anchors, Rtpengines):
            yield from ((instance.where, instance.alive) for instance in agent.anchors.instances)

    def refused() -> Readings:
        return [(why, agent.plane.refused[why]) for why in REFUSED]

    metrics.counters_of("rtp_refused", "Datagrams that calls' media refused.", "why", refused)
    metrics.gauges_of("anchored_legs", "Legs whose media is anchored.", "anchor", anchored)
    metrics.gauges_of("rtpengine_up", "1: answers.", "rtpengine", up)
    metrics.gauge_of("rtp_ports_in_use", "RTP ports that calls hold.", lambda: agent.ports.in_use)
    metrics.gauge_of("rtp_ports_idle", "RTP ports kept open for the next calls.", lambda: agent.ports.idle)
