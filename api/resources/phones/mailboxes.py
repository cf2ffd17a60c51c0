"""Mailboxes of extensions: how many messages wait, which phones show (RFC 3842)."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.services import Use
from api.models.changes import changes, takes_back
from api.models.fields import Body, absent
from api.openapi.schema import documented
from api.resources.phones.extensions import EXTENSIONS
from routing.mailboxes import MOST_MESSAGES, MailboxKey
from store.resources import mailboxes
from store.store import Executor

router = router_for("extensions")

Messages = Annotated[int, Field(ge=0, le=MOST_MESSAGES)]


@documented(example={"name": "alice", "new": 2, "old": 5})
class Mailbox(BaseModel):
    """How many messages wait, `new` and `old`, and what the mailbox is called: as the extension's `mailbox`, which
    others may share, else as the extension."""

    name: str
    new: int
    old: int


@takes_back(Mailbox)
class MailboxUpdate(Body):
    """How many messages there are now; what is left out stays as it is."""

    new: Messages = absent()
    old: Messages = absent()


@router.get(
    "/extensions/{extension_id}/mailbox",
    summary="How many messages wait",
    response_model=Mailbox,
    **guarded("customer_agent"),
)
async def get_mailbox(services: Use, caller: Who, extension_id: UUID) -> Any:
    """The messages that wait for an extension; none where nobody has said so."""
    key = _key(await EXTENSIONS.get(services, caller, extension_id))
    async with services.store.read() as connection:
        return await _shown(connection, key)


@router.put(
    "/extensions/{extension_id}/mailbox",
    summary="Tell how many messages wait",
    response_model=Mailbox,
    **guarded("customer_manager", examples={"Two new messages": {"new": 2, "old": 5}}),
)
async def update_mailbox(services: Use, caller: Who, extension_id: UUID, body: MailboxUpdate) -> Any:
    """Set how many messages wait for an extension: its phones show it, and those of all extensions with its
    mailbox."""
    async with services.store.write() as transaction:
        key = _key(await EXTENSIONS.find(transaction, caller, extension_id))
        shown = await _shown(transaction, key)
        shown |= changes(body, shown, Mailbox, {})
        await mailboxes.write(transaction, key.customer_id, key.name, shown["new"], shown["old"])
    return shown


async def _shown(executor: Executor, key: MailboxKey) -> dict[str, Any]:
    found = await mailboxes.read(executor, key.customer_id, key.name)
    new, old = (found[0]["new"], found[0]["old"]) if found else (0, 0)
    return {"name": key.name, "new": new, "old": old}


def _key(row: Mapping[str, Any]) -> MailboxKey:
    return MailboxKey.named(row["customer_id"], row["mailbox"] or row["name"])
