"""The event package `message-summary`: whether there are messages in a mailbox (RFC 3842)."""

from engine.sip.subscription import Resource
from routing.mailboxes import Mailboxes, MailboxKey


class MessageSummary:
    """See `EventPackage`. The key of a resource is that of its mailbox."""

    content_type = "application/simple-message-summary"

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes

    def document(self, resource: Resource, version: int) -> bytes:
        """The count of voice messages (RFC 3842 §5.2). Urgent ones are not told apart."""
        key = resource.key
        assert isinstance(key, MailboxKey)
        count = self._mailboxes.count(key)
        waiting = "yes" if count.new else "no"
        return (
            f"Messages-Waiting: {waiting}\r\nMessage-Account: {resource.uri}\r\n"
            f"Voice-Message: {count.new}/{count.old} (0/0)\r\n"
        ).encode("utf-8", "replace")
