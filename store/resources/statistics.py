"""How well a provider does: what became of the attempts that were made with it.

The figures' names and meanings are those of the trade. Answer-seizure ratio and network effectiveness ratio: ITU-T
E.425. The ratio of effectiveness counts what the network did right, whatever the people did: answers, user busy, ring
no answer and terminal rejection. Post-dial delay: the session request delay of RFC 6076 §4.3.1, from the INVITE to the
first response that says how the call is doing, so not 100 (Trying).
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from store.database.tables import attempts, message_attempts
from store.store import Store

WINDOW: Final = timedelta(hours=24)

# A final response that is the callee's doing (RFC 3398 §7.2.4.1 has the causes of the telephone network): 17 user busy,
# 18 no user responding, 19 no answer, 21 call rejected; 607 is one who does not want this caller (RFC 8197).
EFFECTIVE_STATUS: Final = frozenset({408, 480, 486, 600, 603, 607})
# Ends without such a response. Who was cancelled after it rang did its part.
EFFECTIVE_KINDS: Final = frozenset({"answered", "ring_timeout"})


@dataclass(slots=True)
class MessageStatistics:
    """One provider's attempts at text messages in a window of time; messages count from when they were made, and once
    they are over.

    Attributes:
        answered: Attempts that the far end took (2xx): it has the message, or will deliver it.
        answered_ratio: Those among all, 0 to 1; None without an attempt.
        codes, outcomes, skipped: As those of calls.
    """

    attempts: int = 0
    answered: int = 0
    answered_ratio: float | None = None
    codes: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class ProviderStatistics:
    """One provider's attempts in a window of time; calls count from when they began, and once they are over.

    Attributes:
        answer_seizure_ratio: Answered attempts among all, 0 to 1; None without an attempt.
        network_effectiveness_ratio: Attempts that the network carried out, however the people at its end took them.
        average_call_duration: Seconds from answer to hangup; None where nothing was answered.
        post_dial_delay: Milliseconds at 50, 95 and 99 percent (the nearest rank: a delay that was measured).
        codes: Final SIP status -> how often.
        outcomes: How attempts ended -> how often: answered, refused, no_reply, and so on.
        skipped: Why the provider was passed over -> how often. Those are no attempts.
        messages: Of text messages, which all the others do not count.
    """

    provider_id: UUID
    since: datetime
    until: datetime
    attempts: int = 0
    answered: int = 0
    answer_seizure_ratio: float | None = None
    network_effectiveness_ratio: float | None = None
    average_call_duration: float | None = None
    post_dial_delay: dict[str, int | None] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    messages: MessageStatistics = field(default_factory=MessageStatistics)


async def provider_statistics(
    store: Store, provider_id: UUID, since: datetime | None = None, until: datetime | None = None
) -> ProviderStatistics:
    """The figures of `since` <= beginning of the call < `until`; without them, of the last day."""
    until = until or store.clock()
    since = since or until - WINDOW
    found = ProviderStatistics(provider_id=provider_id, since=since, until=until)
    columns = attempts.c
    window = (columns.provider_id == provider_id, columns.tm_create >= since, columns.tm_create < until)
    delay = columns.first_reply_ms - columns.start_ms
    # Every row is read once, by the database. Delays are whole milliseconds, so that there are few different ones: from
    # how often each came, the percentiles are exact, and the same on both databases (SQLite has none of its own).
    query = (
        sa.select(
            columns.kind,
            columns.status,
            columns.skipped,
            delay.label("delay"),
            sa.func.count().label("count"),
            sa.func.sum(columns.talk_ms).label("talk_ms"),
        )
        .where(*window)
        .group_by(columns.kind, columns.status, columns.skipped, delay)
    )
    delays: Counter[int] = Counter()
    codes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    effective = talk_ms = 0
    async with store.read() as connection:
        rows: Any = (await connection.execute(query)).all()
    for kind, status, cause, delay_ms, count, talked in rows:
        if cause:
            skipped[cause] += count
            continue
        found.attempts += count
        outcomes[kind] += count
        if status:
            codes[str(status)] += count
        if delay_ms is not None:
            delays[delay_ms] += count
        if kind == "answered":
            found.answered += count
            talk_ms += int(talked or 0)
        if _effective(kind, status, delay_ms):
            effective += count
    if found.attempts:
        found.answer_seizure_ratio = found.answered / found.attempts
        found.network_effectiveness_ratio = effective / found.attempts
    if found.answered:
        found.average_call_duration = talk_ms / found.answered / 1000
    found.post_dial_delay = {f"p{percent}": percentile(delays, percent) for percent in (50, 95, 99)}
    found.codes = dict(sorted(codes.items()))
    found.outcomes = dict(sorted(outcomes.items()))
    found.skipped = dict(sorted(skipped.items()))
    found.messages = await _of_messages(store, provider_id, since, until)
    return found


async def _of_messages(store: Store, provider_id: UUID, since: datetime, until: datetime) -> MessageStatistics:
    columns = message_attempts.c
    query = (
        sa.select(columns.kind, columns.status, columns.skipped, sa.func.count())
        .where(columns.provider_id == provider_id, columns.tm_create >= since, columns.tm_create < until)
        .group_by(columns.kind, columns.status, columns.skipped)
    )
    found = MessageStatistics()
    codes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    async with store.read() as connection:
        rows: Any = (await connection.execute(query)).all()
    for kind, status, cause, count in rows:
        if cause:
            skipped[cause] += count
            continue
        found.attempts += count
        found.answered += count if kind == "answered" else 0
        outcomes[kind] += count
        if status:
            codes[str(status)] += count
    if found.attempts:
        found.answered_ratio = found.answered / found.attempts
    found.codes, found.outcomes, found.skipped = (dict(sorted(each.items())) for each in (codes, outcomes, skipped))
    return found


def _effective(kind: str, status: int, delay_ms: int | None) -> bool:
    if kind == "refused":
        return status in EFFECTIVE_STATUS
    return kind in EFFECTIVE_KINDS or (kind == "cancelled" and delay_ms is not None)


def percentile(counts: Counter[int], percent: int) -> int | None:
    """The smallest value that at least `percent` of all do not exceed; None where there is none."""
    rank = -(-counts.total() * percent // 100)
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    return None
