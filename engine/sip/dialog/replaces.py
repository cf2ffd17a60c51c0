"""Replaces (RFC 3891), as a header of an INVITE and within a Refer-To: one call takes the place of another.

Whether the sender may do so is decided by the owner of the calls. This module finds the dialog that is meant, and the
response to an INVITE that names one which cannot be replaced.
"""

from typing import Final, NamedTuple

from engine.sip.core import Core, DialogKey
from engine.sip.dialog.dialog import CONFIRMED
from engine.sip.dialog.session import Session
from engine.sip.message.grammar import ParseError, parse_params
from engine.sip.message.message import Request

MAX_LENGTH: Final = 1024
"""Octets of the longest Replaces that is looked at."""


class Replaces(NamedTuple):
    """A dialog, as its other end names it.

    Attributes:
        call_id: Its Call-ID.
        to_tag: Our tag in it.
        from_tag: The peer's tag in it.
        early_only: It is meant only as long as nobody has answered.
    """

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @property
    def key(self) -> DialogKey:
        """Under which we keep it."""
        return (self.call_id, self.to_tag, self.from_tag)

    @classmethod
    def parse(cls, text: str) -> "Replaces":
        """The value of a Replaces (RFC 3891 §6.1). Raises ParseError."""
        call_id, semicolon, rest = text.partition(";")
        call_id = call_id.strip()
        if len(text) > MAX_LENGTH or not call_id or not call_id.isprintable() or " " in call_id or "," in call_id:
            raise ParseError("Replaces does not begin with a Call-ID")
        params = parse_params(semicolon + rest)
        to_tag, from_tag = params.get("to-tag"), params.get("from-tag")
        if not to_tag or not from_tag:
            raise ParseError("Replaces needs a to-tag and a from-tag")
        return cls(call_id, to_tag, from_tag, "early-only" in params)


def read_replaces(invite: Request) -> Replaces:
    """What an INVITE wants to replace. Raises ParseError: 400 (RFC 3891 §3, §6.1)."""
    lines = invite.lines("Replaces")
    if len(lines) != 1 or "Join" in invite.first:
        raise ParseError("an INVITE replaces one dialog, and joins none")
    return Replaces.parse(lines[0])


# (state, early-only) -> what an INVITE is answered that names such a dialog, and why; 0: it may be taken over (RFC 3891
# §3). "over": it was there a moment ago. No early dialog can be taken over: those that a peer has opened must not be,
# and what we have let ring for a caller is not picked up by others.
FITS: Final[dict[tuple[str, bool], tuple[int, str]]] = {
    ("unknown", False): (481, "no such call"),
    ("unknown", True): (481, "no such call"),
    ("over", False): (603, "that call is over"),
    ("over", True): (603, "that call is over"),
    ("early", False): (481, "that call has not been answered"),
    ("early", True): (481, "that call has not been answered"),
    ("answered", False): (0, ""),
    ("answered", True): (486, "that call has been answered"),
}


def find(endpoint: Core, replaces: Replaces) -> tuple[Session | None, str]:
    """The session that is meant, and its state as in FITS."""
    session = endpoint.dialogs.get(replaces.key)
    if not isinstance(session, Session):
        return None, "over" if replaces.key in endpoint.ended else "unknown"
    if session.ended or session.leaves:
        return None, "over"
    return session, "answered" if session.dialog.state == CONFIRMED else "early"
