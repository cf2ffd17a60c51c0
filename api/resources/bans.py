"""Bans: addresses that this engine does not listen to, because of what came from them."""

from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import Path
from pydantic import BaseModel

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import fault_in, not_found
from api.http.listing import Listing, Pages
from api.http.services import Services, Use
from api.models.fields import Timestamp
from engine.sip.peers import Misdeed
from routing.access.bans import Ban as Found
from routing.addresses import parse_network
from store.rows import Cursor

router = router_for("bans", "Addresses that are shut out after too many wrong passwords, and how to let them in again.")


class Ban(BaseModel):
    """An address, of IPv6 its /64, that nothing is taken from until `tm_expire`: its `score` was 10 or more within ten
    minutes, and `reason` says what the last of it was for. With `web_pages` it is only what comes over WebSocket."""

    id: UUID
    address: str
    score: int
    reason: Misdeed
    web_pages: bool
    tm_create: Timestamp
    tm_expire: Timestamp


@router.get(
    "/bans", summary="List the addresses that are banned", response_model=Listing[Ban], **guarded("project_super_admin")
)
async def list_bans(services: Use, paging: Pages) -> Any:
    """The bans of this node, newest first. Those of `sip.deny_file` stand in that file."""
    after = Cursor.parse(paging.token) if paging.token else None
    bans = [(_cursor(services, ban), ban) for ban in services.bans.bans()]
    bans.sort(key=lambda pair: pair[0], reverse=True)
    page = [pair for pair in bans if after is None or pair[0] < after]
    more = len(page) > paging.size
    return {
        "result": [_shown(services, ban) for _, ban in page[: paging.size]],
        "next_page_token": page[paging.size - 1][0].token() if more else "",
    }


@router.delete(
    "/bans/{address:path}",
    summary="Let a banned address in again",
    response_model=Ban,
    **guarded("project_super_admin"),
)
async def delete_ban(
    services: Use,
    caller: Who,
    address: Annotated[
        str,
        Path(
            max_length=64,
            description="An address, or a /64 of IPv6 (its / as it is, or as %2F).",
            json_schema_extra={"format": "ip-network", "minLength": 1},
        ),
    ],
) -> Any:
    """End a ban, and begin to count anew. An address of `sip.deny_file` stays banned until the file has changed."""
    try:
        network = parse_network(address)
    except ValueError as error:
        raise fault_in("address", "INVALID_REQUEST_PARAMETER", str(error)) from None
    single = network.prefixlen == network.max_prefixlen
    whole = network.version == 6 and network.prefixlen == 64
    ban = services.bans.lift(str(network.network_address)) if single or whole else None
    if ban is None:
        raise not_found("ban", address)
    services.flows.calls.log.info("ban lifted", address=ban.shown, agent=str(caller.agent_id))
    return _shown(services, ban)


def _cursor(services: Services, ban: Found) -> Cursor:
    return Cursor(services.moment(ban.since), uuid5(NAMESPACE_URL, f"{ban.address} {ban.since}"))


def _shown(services: Services, ban: Found) -> dict[str, Any]:
    since, identifier = _cursor(services, ban)
    return {
        "id": identifier,
        "address": ban.shown,
        "score": ban.score,
        "reason": ban.reason,
        "web_pages": ban.web_pages,
        "tm_create": since,
        "tm_expire": services.moment(ban.until),
    }
