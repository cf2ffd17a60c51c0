"""Metrics of the engine: SIP messages and transactions, RTP ports, anchored media."""

from engine.media.rtp.counters import REFUSED
from service.metrics.registry import Metrics, Readings, Sources

# Counters of the listeners (`TcpTransport`, `TlsTransport`, `WsTransport`), by what the metric says.
_CLOSED = {
    "refused": "refused",
    "handshake": "handshakes_failed",
    "handshake_slow": "handshakes_slow",
    "upgrade": "upgrades_refused",
    "upgrade_slow": "upgrades_slow",
    "slow": "timed_out",
    "framing": "framing_errors",
    "displaced": "displaced",
}


def register(metrics: Metrics, sources: Sources) -> None:
    """Read off the user agent, its endpoint, and its media."""
    _register_sip(metrics, sources)
    _register_media(metrics, sources)


def _register_sip(metrics: Metrics, sources: Sources) -> None:
    """Messages, transactions, and what was refused or not read."""
    agent = sources.agent

    def transactions() -> Readings:
        yield "client", len(agent.endpoint.transactions.clients)
        yield "server", len(agent.endpoint.transactions.servers)

    def messages() -> Readings:
        yield "received", agent.endpoint.counters.received
        yield "sent", agent.intake.messages_sent

    def refused() -> Readings:
        counters = agent.endpoint.counters
        return [(why, getattr(counters, why)) for why in ("malformed", "stray", "refused", "overload")]

    def unread() -> Readings:
        return [(why, getattr(agent.endpoint.counters, why)) for why in ("banned", "scanners")]

    def closed() -> Readings:
        for why, counter in _CLOSED.items():
            yield why, sum(getattr(transport, counter, 0) for transport in agent.listeners)

    metrics.counters_of("connections_closed", "Connections closed for what their peers did.", "why", closed)
    metrics.gauges_of("sip_transactions", "Transactions.", "side", transactions)
    metrics.counters_of("sip_messages", "SIP messages.", "way", messages)
    metrics.counters_of("sip_refused", "Messages that led to nothing.", "why", refused)
    metrics.counters_of("sip_unread", "Messages dropped without an answer.", "why", unread)
    metrics.counter_of(
        "sip_retransmissions",
        "Requests and responses sent again.",
        lambda: agent.endpoint.transactions.retransmissions,
    )
    metrics.counters_of(
        "strangers_refused", "Requests refused or dropped.", "cause", lambda: sorted(agent.refusals.counts.items())
    )

    def ends() -> Readings:
        for certificates in sources.certificates:
            for shown in certificates.shown:
                yield str(shown.files.certificate), shown.not_after.timestamp()

    metrics.gauges_of("tls_certificate_not_after_seconds", "When certificates end, in Unix time.", "certificate", ends)
    metrics.gauge_of(
        "tls_certificates_unread",
        "Certificates whose files cannot be used, so that the old one is shown.",
        lambda: sum(certificates.unread for certificates in sources.certificates),
    )
    metrics.gauges_of("subscriptions", "Subscriptions of phones.", "package", lambda: sources.subscriptions().items())
    metrics.gauge_of("bans", "Addresses that are banned.", lambda: len(sources.bans.bans()))


def _register_media(metrics: Metrics, sources: Sources) -> None:
    """RTP ports, datagrams refused, anchored legs, and the rtpengines."""
    agent = sources.agent
    instances = sources.rtpengines.instances if sources.rtpengines is not None else []

    def anchored() -> Readings:
        yield "engine", len(agent.relays.relays)
        yield from ((instance.where, instance.calls) for instance in instances)

    def up() -> Readings:
        return [(instance.where, instance.alive) for instance in instances]

    def refused() -> Readings:
        return [(why, agent.plane.refused[why]) for why in REFUSED]

    metrics.counters_of("rtp_refused", "Datagrams that calls' media refused.", "why", refused)
    metrics.gauges_of("anchored_legs", "Legs whose media is anchored.", "anchor", anchored)
    metrics.gauges_of("rtpengine_up", "1: answers.", "rtpengine", up)
    metrics.gauge_of("rtp_ports_in_use", "RTP ports that calls hold.", lambda: agent.ports.in_use)
    metrics.gauge_of("rtp_ports_idle", "RTP ports kept open for the next calls.", lambda: agent.ports.idle)
