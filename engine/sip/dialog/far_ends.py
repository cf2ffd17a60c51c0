"""Far ends of one INVITE: each that describes its media to the caller has an early dialog of its own.

In a dialog the first answer counts, and a caller may ignore later ones (RFC 3261 §13.2.1). So far ends that are tried
one after the other, or at once, are to the caller what the branches of a forking proxy are (§12.1, §16.7).
"""

from typing import NamedTuple, Protocol

from engine.sip.capabilities import SDP_TYPE
from engine.sip.core import Core, DialogKey
from engine.sip.dialog.dialog import Dialog
from engine.sip.dialog.renegotiation import State
from engine.sip.message.message import Request
from engine.sip.sdp.origin import declined, succeed
from engine.sip.transaction.server import ServerTransaction

_LIVELY = frozenset(("PRACK", "UPDATE", "INFO", "OPTIONS"))
"""The methods that far ends which ring at once are each asked by; a BYE ends one dialog of several (RFC 3261 §15)."""


class FarEnd(NamedTuple):
    """One that does not speak now: its early dialog, what was said in it, and how far offer and answer are."""

    dialog: Dialog
    last_body: bytes
    negotiation: State


class _Session(Protocol):
    """The one whose dialog it is, by where it came from."""

    endpoint: Core

    @property
    def answered(self) -> bool: ...
    def came_from_peer(self, request: Request) -> bool: ...
    def speak_for(self, far_end: object, now: float) -> None: ...
    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None: ...
    def acknowledged(self, transaction: ServerTransaction, request: Request, described: bool, now: float) -> None: ...


class SilentDialog:
    """The early dialog of a far end that does not speak now (`engine.sip.core.DialogUser`). What comes in it has that
    one speak again. Where it never will, its last reliable response can be acknowledged (RFC 3262 §3), and beyond that
    there is nobody in it: 481.

    far_end: Whose it is; None where that has failed.
    rack: The RAck value of that response; "" for none.
    described: It had a session description.
    """

    __slots__ = ("_session", "described", "dialog", "far_end", "rack")

    def __init__(self, session: _Session, dialog: Dialog, far_end: object, rack: str, *, described: bool) -> None:
        self._session = session
        self.dialog = dialog
        self.far_end = far_end
        self.rack = rack
        self.described = described

    def enter(self) -> None:
        """From now on the dialog is this one's."""
        self._session.endpoint.dialogs[self.dialog.key] = self

    def came_from_peer(self, request: Request) -> bool:
        """See `DialogUser`."""
        return self._session.came_from_peer(request)

    def receive_ack(self, request: Request, now: float) -> None:
        """Its INVITE is not answered in this dialog."""

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """See `DialogUser`."""
        session = self._session
        fits = request.method == "PRACK" and self.rack and " ".join(request.get("RAck").split()) == self.rack
        if self.far_end is not None and not session.answered and (fits or request.method in _LIVELY):
            session.speak_for(self.far_end, now)
            if fits:
                session.acknowledged(transaction, request, self.described, now)
            else:
                session.receive_request(transaction, request, now)
        elif fits:
            body = declined(request.body, self.dialog.described)
            body = succeed(self.dialog.described, body, session.endpoint.random) if body else b""
            transaction.respond(200, now, headers=session.endpoint.server_line + (SDP_TYPE if body else ""), body=body)
        else:
            transaction.respond(481, now, headers=session.endpoint.server_line)


class FarEnds:
    """Those of one INVITE that have an early dialog each, but for the one that speaks."""

    __slots__ = ("_keys", "_silent")

    def __init__(self) -> None:
        self._silent: dict[object, FarEnd] = {}
        self._keys: list[DialogKey] = []

    def silence(self, far_end: object, end: FarEnd, silent: SilentDialog) -> None:
        """Another one speaks now. `far_end`: who speaks no more; None where it never will again."""
        dialog = end.dialog
        silent.enter()
        self._keys.append(dialog.key)
        if far_end is not None:
            self._silent[far_end] = end

    def take(self, far_end: object) -> FarEnd | None:
        """The one that speaks again; None where it has not spoken before."""
        return self._silent.pop(far_end, None)

    def forget(self, endpoint: Core, but: Dialog) -> None:
        """The INVITE is answered, or over."""
        for key in self._keys:
            if key != but.key:
                endpoint.dialogs.pop(key, None)
        self._keys.clear()
        self._silent.clear()
