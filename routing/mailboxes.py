"""Mailboxes: how many messages wait in each. The messages themselves are kept elsewhere, by whoever sets the count."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple
from uuid import UUID

from routing.directory.extensions import ExtensionRow
from routing.identifiers import NIL, PLATFORM

MOST_MESSAGES: Final = 1_000_000


class MailboxKey(NamedTuple):
    """A mailbox: whose it is, and its name, which extensions may share."""

    customer_id: UUID
    name: str

    @classmethod
    def of(cls, extension: ExtensionRow) -> "MailboxKey":
        """The mailbox of an extension: the one that it is given, else its own."""
        return cls.named(extension.customer_id, extension.mailbox or extension.name)

    @classmethod
    def named(cls, customer_id: UUID, name: str) -> "MailboxKey":
        """The mailbox of this name. The platform goes by two ids."""
        return cls(NIL if customer_id == PLATFORM else customer_id, name)


class MessageCount(NamedTuple):
    """The messages in a mailbox."""

    new: int = 0
    old: int = 0


EMPTY: Final = MessageCount()


class Mailboxes:
    """The counts of all mailboxes.

    Attributes:
        observers: Told which mailbox has another count than before.
    """

    __slots__ = ("_counts", "observers")

    def __init__(self) -> None:
        self._counts: dict[MailboxKey, MessageCount] = {}
        self.observers: list[Callable[[MailboxKey], None]] = []

    def __len__(self) -> int:
        """How many there are with messages in them."""
        return len(self._counts)

    def count(self, key: MailboxKey) -> MessageCount:
        """The messages in a mailbox; none in one that nobody has spoken of."""
        return self._counts.get(key, EMPTY)

    def put(self, key: MailboxKey, count: MessageCount) -> None:
        """What is in a mailbox now."""
        if count == self.count(key):
            return
        if count == EMPTY:
            del self._counts[key]
        else:
            self._counts[key] = count
        for tell in self.observers:
            tell(key)

    def replace(self, counts: Iterable[tuple[MailboxKey, MessageCount]]) -> None:
        """What is in all of them: in those that are not named, nothing."""
        given = dict(counts)
        for key in [key for key in self._counts if key not in given]:
            self.put(key, EMPTY)
        for key, count in given.items():
            self.put(key, count)

    async def write(self, key: MailboxKey, count: MessageCount) -> None:
        """As `put`, for whoever may have to wait for it where a store keeps them."""
        self.put(key, count)
