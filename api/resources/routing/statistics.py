"""What a provider has done with the calls it was given."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import fault_in
from api.http.services import Use
from api.models.fields import Timestamp
from api.models.query_time import QueryTime
from api.resources.routing.providers import PROVIDERS
from store.resources.statistics import WINDOW, provider_statistics

router = router_for("providers")


class PostDialDelay(BaseModel):
    """Milliseconds from the INVITE until it rang (or was answered), at 50, 95 and 99 percent of the attempts."""

    p50: int | None
    p95: int | None
    p99: int | None


class MessageStatistics(BaseModel):
    """A provider's attempts at text messages. `answered`: what the far end took (2xx), `answered_ratio` its part
    of all, 0 to 1; `codes`, `outcomes` and `skipped` as those of calls."""

    attempts: int
    answered: int
    answered_ratio: float | None
    codes: dict[str, int]
    outcomes: dict[str, int]
    skipped: dict[str, int]


class Statistics(BaseModel):
    """A provider's attempts of the calls that began from `since` to `until` and are over.

    `answer_seizure_ratio`: answered among all, 0 to 1 (ITU-T E.411). `network_effectiveness_ratio`: also those that
    reached somebody who was busy, did not answer or refused (E.425). `average_call_duration`: seconds. `codes`: final
    SIP statuses, `outcomes`: how attempts ended, `skipped`: why the provider was passed over, each with how often.
    `messages` has the figures of text messages, which the others do not count.
    """

    provider_id: UUID
    since: Timestamp
    until: Timestamp
    attempts: int
    answered: int
    answer_seizure_ratio: float | None
    network_effectiveness_ratio: float | None
    average_call_duration: float | None
    post_dial_delay: PostDialDelay
    codes: dict[str, int]
    outcomes: dict[str, int]
    skipped: dict[str, int]
    messages: MessageStatistics


@router.get(
    "/providers/{provider_id}/statistics",
    summary="Show how a provider's calls went",
    response_model=Statistics,
    **guarded("project_super_admin"),
)
async def get_statistics(
    services: Use, caller: Who, provider_id: UUID, since: QueryTime = None, until: QueryTime = None
) -> Any:
    """A provider's figures; without `since` and `until`, of the last 24 hours."""
    await PROVIDERS.get(services, caller, provider_id)
    until = until or services.store.clock()
    since = since or until - min(WINDOW, until - until.min.replace(tzinfo=until.tzinfo))
    if since >= until:
        raise fault_in("since", "INVALID_REQUEST_PARAMETER", "is not before until; write an earlier time")
    return asdict(await provider_statistics(services.store, provider_id, since, until))
