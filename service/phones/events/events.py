"""Events of phones: subscriptions and publications, and what sets them off."""

from collections.abc import Callable, Mapping
from uuid import UUID

from engine.sip.core import Core
from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.sip.publication import Publications
from engine.sip.subscription import EventPackage, Notifier
from engine.sip.transaction.server import ServerTransaction
from flows.calls.phone_dialogs import PhoneDialogs
from routing.directory.directory import Directory
from routing.location import Location, LocationChange
from routing.mailboxes import Mailboxes, MailboxKey
from service.phones.events.dialog_info import DialogInfo
from service.phones.events.message_summary import MessageSummary
from service.phones.events.policy import MESSAGE_SUMMARY, PhonePolicy, identity, name_in
from service.phones.events.presence import Presence, PresencePackage, read_presence

DIALOG = "dialog"
PRESENCE = "presence"


class PhoneEvents:
    """The event packages of phones, on the endpoint of one node. What nobody has subscribed to costs a look-up."""

    def __init__(
        self,
        endpoint: Callable[[], Core],
        policy: PhonePolicy,
        *,
        directory: Directory,
        location: Location,
        dialogs: PhoneDialogs,
        mailboxes: Mailboxes,
    ) -> None:
        """`endpoint`: there from the first SUBSCRIBE or PUBLISH on."""
        self._endpoint = endpoint
        self._policy = policy
        self._directory = directory
        self._packages: Mapping[str, EventPackage] = {
            MESSAGE_SUMMARY: MessageSummary(mailboxes),
            DIALOG: DialogInfo(dialogs, directory),
            PRESENCE: PresencePackage(location, dialogs, directory, self._published),
        }
        self._notifier: Notifier | None = None
        self._publications: Publications[Presence] | None = None
        location.observers.append(self._located)
        dialogs.observers.append(self._called)
        mailboxes.observers.append(self._counted)

    # ---- requests (`AgentHooks.methods`)

    def subscribe(self, transaction: ServerTransaction, request: Request, source: Flow, now: float) -> None:
        """A SUBSCRIBE outside of any dialog."""
        if self._notifier is None:
            self._notifier = Notifier(self._endpoint(), self._packages, self._policy)
        self._notifier.subscribe(transaction, request, source, now)

    def publish(self, transaction: ServerTransaction, request: Request, source: Flow, now: float) -> None:
        """A PUBLISH."""
        if self._publications is None:
            self._publications = Publications(
                self._endpoint(),
                self._policy,
                event=PRESENCE,
                content_type=PresencePackage.content_type,
                read=read_presence,
                changed=lambda publisher: self._changed(PRESENCE, name_in(publisher)),
            )
        self._publications.publish(transaction, request, source, now)

    # ---- news

    def counts(self) -> dict[str, int]:
        """How many subscriptions there are to each package."""
        return dict.fromkeys(self._packages, 0) if self._notifier is None else self._notifier.counts()

    def extension_changed(self, name: str, extension_id: UUID) -> None:
        """An extension is another one now, or gone: who watches it is told so, and what it may not watch any more it is
        told no more of."""
        if self._notifier is not None:
            self._notifier.review(identity(name, extension_id), name)
        self._changed(DIALOG, name)
        self._changed(PRESENCE, name)

    def extensions_changed(self) -> None:
        """Any of them may be another one now."""
        if self._notifier is not None:
            self._notifier.review()

    def end(self) -> None:
        """The node stops: subscribers are told to come back."""
        if self._notifier is not None:
            self._notifier.end_all()

    def _published(self, name: str) -> list[Presence]:
        extension = self._directory.extension(name)
        if self._publications is None or extension is None:
            return []
        return self._publications.states(identity(name, extension.id))

    def _changed(self, package: str, key: object) -> None:
        if self._notifier is not None:
            self._notifier.changed(package, key)

    def _called(self, name: str) -> None:
        self._changed(DIALOG, name)
        self._changed(PRESENCE, name)

    def _located(self, change: LocationChange) -> None:
        if change.event != "refreshed":
            self._changed(PRESENCE, change.name)

    def _counted(self, key: MailboxKey) -> None:
        self._changed(MESSAGE_SUMMARY, key)
