"""Who may subscribe and publish: phones of extensions, for extensions of their own customer."""

from collections.abc import Callable
from uuid import UUID

from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.sip.message.uri import SipUri
from engine.sip.stateless import Refusal
from engine.sip.subscription import Resource
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.mailboxes import MailboxKey
from service.logins import Logins

MESSAGE_SUMMARY = "message-summary"
_SHOWN = 128  # characters of a Call-ID in the log


class PhonePolicy:
    """See `EventPolicy` and `PublicationPolicy`. Who it is, is told by `identity`."""

    def __init__(
        self,
        directory: Directory,
        logins: Logins,
        phone_at: Callable[[Request, Flow], ExtensionRow | None] = lambda request, source: None,
    ) -> None:
        """`phone_at`: the extension whose phone a request is from that need not log in."""
        self._directory = directory
        self._logins = logins
        self._phone_at = phone_at

    def watcher(self, request: Request, source: Flow) -> str | Refusal:
        """The extension that has logged in, as for a REGISTER."""
        judged = self._logins.judge(request, source.host, request.call_id[:_SHOWN])
        phone = self._logins.phone(judged) or (self._phone_at(request, source) if judged.reason == "missing" else None)
        if phone is not None:
            return identity(phone.name, phone.id)
        if not self._logins.may_try(judged):
            return Refusal(status=403)
        asked = self._logins.challenges(request, source.host, judged)
        return Refusal(status=401, headers="".join(f"{name}: {value}\r\n" for name, value in asked))

    def resource(self, watcher: str, package: str, uri: SipUri) -> Resource | None:
        """An extension of the same customer; of mailboxes, the extension's own. What belongs to others, and what does
        not exist, cannot be told apart."""
        mine, name = self._known(watcher), uri.user_text
        if mine is None or not mine.active:
            return None
        address = _plain(uri)
        if package == MESSAGE_SUMMARY:
            key = MailboxKey.of(mine)
            return Resource(key, address) if name in (mine.name, key.name) else None
        found = self._directory.extension(name)
        if found is None or not found.active or found.customer_id != mine.customer_id:
            return None
        return Resource(found.name, address)

    def publishes(self, publisher: str, uri: SipUri) -> bool:
        """Its own presence."""
        mine = self._known(publisher)
        return mine is not None and uri.user_text == mine.name

    def _known(self, watcher: str) -> ExtensionRow | None:
        """The extension that has shown itself as this one; None where it is gone, whoever has its name now."""
        found = self._directory.extension(name_in(watcher))
        return found if found is not None and identity(found.name, found.id) == watcher else None


def identity(name: str, extension_id: UUID) -> str:
    """What tells an extension from all others: a name alone may be somebody else's tomorrow."""
    return f"{extension_id}/{name}"


def name_in(identified: str) -> str:
    """The name in an `identity`."""
    return identified.partition("/")[2]


def _plain(uri: SipUri) -> str:
    """A URI without parameters and header fields."""
    port = f":{uri.port}" if uri.port is not None else ""
    return f"{uri.scheme}:{uri.user}@{uri.host}{port}"
