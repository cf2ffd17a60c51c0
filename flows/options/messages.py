"""The options of message_send."""

from pydantic import Field

from flows.calls.address import Address
from flows.messages.model import MAX_TEXT
from flows.options.model import Options

MOST_DESTINATIONS = 100


class MessageSendOptions(Options):
    """`message_send`: the source is our number, the destination who texts or calls, where they are left out."""

    source: Address | None = None
    destinations: list[Address] = Field(default=[], max_length=MOST_DESTINATIONS)
    text: str = Field(min_length=1, max_length=MAX_TEXT)
