"""Metrics of SIP: messages, transactions, and what was refused or not read."""

from service.metrics.registry import Metrics, Readings, Sources


def register(metrics: Metrics, sources: Sources) -> None:
    """Read off the user agent and its endpoint."""
    agent = sources.agent

    def transactions() -> Readings:
        yield "client", len(agent.endpoint.transactions.clients)
        yield "server", len(agent.endpoint.transactions.servers)

    def messages() -> Readings:
        yield "received", agent.endpoint.counters.received
        yield "sent", agent.sent

    def refused() -> Readings:
        counters = agent.endpoint.counters
        return [(why, getattr(counters, why)) for why in ("malformed", "stray", "refused", "overload")]

    def unread() -> Readings:
        return [(why, getattr(agent.endpoint.counters, why)) for why in ("banned", "scanners")]

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
    metrics.gauge_of("bans", "Addresses that are banned.", lambda: len(sources.bans.bans()))
