"""Opt-outs: who has texted STOP to which of our numbers, and gets no messages from it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.listing import Listing, OfCustomer, Pages
from api.http.services import Use
from api.models.fields import Name, Times
from api.resources.numbers.numbers import asked_number
from api.resources.resource import Resource
from store.database import tables

router = router_for("messages")
OPT_OUTS = Resource(tables.opt_outs, "opt_out")


class OptOut(Times):
    """Somebody (`contact`: a number, or a SIP address) wants no messages from one of our numbers, and said so with
    `keyword`. START, texted to the number, ends it."""

    id: UUID
    customer_id: UUID
    number: str
    contact: str
    keyword: str


@router.get(
    "/opt_outs", summary="List who wants no messages", response_model=Listing[OptOut], **guarded("customer_agent")
)
async def list_opt_outs(
    services: Use,
    caller: Who,
    paging: Pages,
    customer_id: OfCustomer = None,
    number: Annotated[str | None, Query(max_length=64, description="This number, with or without its +.")] = None,
    contact: Annotated[Name | None, Query(description="A number with its +, or a SIP address.")] = None,
) -> Any:
    """The opt-outs, newest first."""
    columns = tables.opt_outs.c
    where = [] if number is None else [columns.number == asked_number(services, number)]
    if contact is not None:
        where.append(columns.contact == (asked_number(services, contact) or contact))
    return await OPT_OUTS.list(services, caller, paging, *where, customer_id=customer_id)


@router.delete(
    "/opt_outs/{opt_out_id}",
    summary="Let somebody get messages again",
    response_model=OptOut,
    **guarded("customer_manager"),
)
async def delete_opt_out(services: Use, caller: Who, opt_out_id: UUID) -> Any:
    """Delete an opt-out, for a contact that has asked for it in another way than by START."""
    return await OPT_OUTS.delete(services, caller, opt_out_id)
