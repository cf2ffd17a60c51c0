"""Opt-out keywords: STOP, START and HELP, which people text to a number to get no more messages from it, or to ask.

The words are those that carriers in North America require; a text is one of them when it is nothing else, in capitals
or not, with or without punctuation around it.
"""

import unicodedata
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from flows.calls.address import Address
from flows.messages.model import MAX_CONTACT
from routing.directory.rows import NumberRow

Kind = Literal["stop", "start", "help"]

_WORDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"), "stop"),
    **dict.fromkeys(("START", "UNSTOP", "YES"), "start"),
    **dict.fromkeys(("HELP", "INFO"), "help"),
}
_LONGEST = 40  # characters of a text that can be a keyword with what is around it

DEFAULT_TEXTS: Final[Mapping[Kind, str]] = {
    "stop": "You get no more messages from {number}. Reply START to get them again.",
    "start": "You get messages from {number} again. Reply STOP to end them.",
    "help": "Reply STOP to get no more messages from {number}, START to get them again.",
}
"""What is answered where the number's metadata (`stop_text`, `start_text`, `help_text`) says nothing else."""


class Keyword(NamedTuple):
    """One of the words, in capitals, and what it asks for."""

    kind: Kind
    word: str


def keyword(text: str) -> Keyword | None:
    """The keyword that `text` is, None where it is something else."""
    if len(text) > _LONGEST:
        return None
    word = unicodedata.normalize("NFKC", text).strip()
    while word and not word[0].isalnum():
        word = word[1:]
    while word and not word[-1].isalnum():
        word = word[:-1]
    word = word.upper()
    kind = _WORDS.get(word)
    return None if kind is None else Keyword(kind, word)


def reply_text(number: NumberRow, kind: Kind) -> str:
    """What `number` answers to such a word; "" for nothing."""
    own = number.metadata.get(f"{kind}_text")
    if own is None:
        return DEFAULT_TEXTS[kind].format(number=number.number)
    return own if isinstance(own, str) else str(own)


def contact_of(address: Address) -> str:
    """Whom an opt-out is about: a number, in normal form as messages have it, or a SIP address without what may change
    from one message to the next."""
    if address.type != "sip":
        return address.target[:MAX_CONTACT]
    scheme, _, rest = address.sip_uri.partition(":")
    user, at, host = rest.rpartition("@")
    host = host.partition(";")[0].partition("?")[0]
    return f"{scheme.lower()}:{user}{at}{host.lower()}"[:MAX_CONTACT]
