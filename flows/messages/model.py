"""Text messages, as flows, the API and the store see them: from whom, to whom, and what became of them."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, parse_uri
from flows.calls.address import Address
from flows.calls.tree import Branch, Tree
from routing.access.destinations import NamedBy
from routing.identifiers import NIL

TargetStatus = Literal["sending", "delivered", "accepted", "failed", "opted_out"]
MessageStatus = Literal["received", "sending", "delivered", "sent", "partly", "failed"]

MAX_TEXT = 32 * 1024
"""Bytes of UTF-8 of the longest text: what a variable may hold, and what is taken from the network."""
MAX_CONTACT = 255


class MessageNotKept(Exception):
    """The store does not take it, or cannot tell, in a sentence: what it would be needed for must not happen now."""


class MessageQueueFullError(Exception):
    """As many messages wait as may wait, or the service is stopping, in a sentence."""


class TooManyMessagesError(MessageQueueFullError):
    """A customer sends more than it may, in a sentence."""


@dataclass(slots=True, kw_only=True)
class MessageRequest:
    """A message that somebody wants to have sent.

    Attributes:
        source: The number of ours that sends, or the client that we send it for.
        via: The SIP URI where the one destination is reached, where its name does not tell; "" mostly.
        private: The source wants to be withheld.
        confirmation: It tells somebody that it gets no more messages.
        automatic: A flow wants it.
        named: Who has named its destinations.
        asserted: See `routing.hunt.identity.CallerIdentity`.
        branch: The place of what led to it in its tree; None: it is the root of one.
    """

    customer_id: UUID
    source: Address
    destinations: Sequence[Address]
    text: str
    number_id: UUID = NIL
    via: str = ""
    private: bool = False
    confirmation: bool = False
    automatic: bool = False
    named: NamedBy = "customer"
    asserted: str | None = None
    branch: Branch | None = None


@dataclass(slots=True)
class Target:
    """One destination of a message that we send.

    Attributes:
        via: A SIP URI that the request goes to whatever the destination's own says; "" mostly.
        sip_status, reason: The far end's last word; 0 and a cause where there was none.
        attempts: What was tried, as JSON: provider, Request-URI, status and reason, or why it was skipped.
    """

    destination: Address
    status: TargetStatus = "sending"
    sip_status: int = 0
    reason: str = ""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    via: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON, and as the store keeps it."""
        return {
            **party(self.destination),
            "status": self.status,
            "sip_status": self.sip_status,
            "sip_reason": self.reason,
            "attempts": self.attempts,
        }


@dataclass(slots=True, kw_only=True)
class TextMessage:
    """One message, either way.

    Attributes:
        source: None for a sender that withholds its name.
        number_id: The number of ours that it is to, or from.
        targets: Of an outgoing one: what becomes of it at each destination.
        private: The sender's name is withheld from the far end.
        via: Of an incoming one: the SIP URI where its sender is reached, where its name does not tell; "" mostly.
        confirmation: It tells somebody that it gets no more messages, and is sent all the same.
        automatic: A flow sent it, and nobody looked.
        named: Of an outgoing one: who has named its destinations.
        asserted: Of an outgoing one: see `routing.hunt.identity.CallerIdentity`.
        branch: Its place in the tree of what led to it.
        over: Set when the outcome at every destination is known.
    """

    id: UUID
    customer_id: UUID
    direction: Literal["incoming", "outgoing"]
    source: Address | None
    destinations: Sequence[Address]
    text: str
    created: datetime
    status: MessageStatus
    number_id: UUID = NIL
    targets: list[Target] = field(default_factory=list)
    private: bool = False
    via: str = ""
    confirmation: bool = False
    automatic: bool = False
    named: NamedBy = "customer"
    asserted: str | None = None
    branch: Branch = field(default_factory=lambda: Branch(Tree()))
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def settle(self) -> None:
        """The status that the targets make: `delivered` and `sent` (one or more were only accepted for delivery)
        everywhere, `partly`, or `failed` everywhere."""
        found = {target.status for target in self.targets}
        if found <= {"delivered"}:
            self.status = "delivered"
        elif found <= {"delivered", "accepted"}:
            self.status = "sent"
        else:
            self.status = "partly" if found & {"delivered", "accepted"} else "failed"


def sender_of(message: TextMessage) -> str:
    """The sender's number, or the name before the `@` of its SIP address; "" where it is withheld."""
    source = message.source
    if source is None:
        return ""
    if source.type != "sip":
        return source.target
    try:
        uri = parse_uri(source.sip_uri)
    except ParseError:
        return source.target
    return uri.user_text if isinstance(uri, SipUri) else source.target


def party(address: Address) -> dict[str, str]:
    """An address as answers show it and tables keep it."""
    return {"type": address.type, "target": address.target, "target_name": address.target_name}


def message_row(message: TextMessage) -> dict[str, Any]:
    """A message as the store keeps it, which also is what its JSON is made of."""
    return {
        "id": message.id,
        "customer_id": message.customer_id,
        "name": "",
        "detail": "",
        "direction": message.direction,
        "status": message.status,
        "source": None if message.source is None else party(message.source),
        "destinations": [party(address) for address in message.destinations],
        "text": message.text,
        "number_id": message.number_id,
        "targets": [target.document() for target in message.targets],
        "tm_create": message.created,
        "tm_update": message.created,
        "tm_delete": None,
    }


CLAIMED_FOR: Final = 90.0
"""Seconds that one that waits is its claimant's: a node that dies with it does not keep it from the others for ever."""


@dataclass(slots=True, frozen=True, kw_only=True)
class KeptMessage:
    """A message that waits for a phone of an extension to register.

    Attributes:
        extension: The name of the one that it is for.
        customer_id: The extension's.
        source: None for a sender that withholds its name.
    """

    id: UUID
    extension: str
    customer_id: UUID
    source: Address | None
    text: str
    created: datetime


@dataclass(slots=True, frozen=True)
class OptOutChange:
    """What a sender says of further messages from a number of ours: `stop` or `start`, by the word `keyword`."""

    kind: Literal["stop", "start"]
    number: str
    contact: str
    keyword: str


class MessageStore(Protocol):
    """Where messages and opt-outs are kept (`service.messages.store`). Every method raises MessageNotKept."""

    async def received(self, message: TextMessage, change: OptOutChange | None) -> bool:
        """An incoming message, and its sender's wish, committed together. True where the wish changes something."""

    async def sending(self, message: TextMessage) -> None:
        """A message that is going to be sent, committed."""

    async def ended(self, message: TextMessage) -> None:
        """What became of it, committed."""

    async def opted_out(self, number: str, contacts: Collection[str]) -> bool:
        """Whether any of these wants no messages from this number of ours."""

    async def keep(self, message: KeptMessage) -> None:
        """One that waits for a phone to register, committed."""

    async def all_kept(self) -> list[tuple[UUID, str, UUID, datetime]]:
        """Id, extension and when it was sent, of all that wait, the oldest first."""

    async def find_kept(self, message_id: UUID) -> KeptMessage | None:
        """One of them."""

    async def claim_kept(self, message_id: UUID) -> KeptMessage | Literal["elsewhere", "gone"]:
        """One of them, which no other node delivers for `CLAIMED_FOR` seconds; `elsewhere`: another does."""

    async def release_kept(self, message_id: UUID) -> None:
        """Others may deliver it, as it was not."""

    async def drop_kept(self, message_id: UUID) -> None:
        """It does not wait any more, committed."""


class MessageService(Protocol):
    """Who sends messages (`flows.messages.outbox.MessageQueue`)."""

    waiting: int

    async def send(self, order: MessageRequest) -> TextMessage:
        """Keeps a message and sends it afterwards. Raises MessageNotKept, MessageQueueFullError."""

    async def close(self) -> None:
        """Takes nothing more."""
