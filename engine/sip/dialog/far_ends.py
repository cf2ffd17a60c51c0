"""Far ends of one INVITE: each that describes its media to the caller has an early dialog of its own.

In a dialog the first answer counts, and a caller may ignore later ones (RFC 3261 §13.2.1). So far ends that are tried
one after the other, or at once, are to the caller what the branches of a forking proxy are (§12.1, §16.7).
"""

from typing import NamedTuple, Protocol

from engine.sip.core import Core
from engine.sip.dialog.dialog import Dialog
from engine.sip.dialog.renegotiation import State
from engine.sip.message.message import Request
from engine.sip.transaction.server import ServerTransaction


class FarEnd(NamedTuple):
    """One that does not speak now: its early dialog, what was said in it, and how far offer and answer are."""

    dialog: Dialog
    last_body: bytes
    negotiation: State


class _Session(Protocol):
    """The one whose dialog it is, by where it came from."""

    endpoint: Core

    def came_from_peer(self, request: Request) -> bool: ...


class SilentDialog:
    """The early dialog of a far end that does not speak now (`engine.sip.core.DialogUser`). Its last reliable response
    can be acknowledged (RFC 3262 §3); beyond that there is nobody in it: 481.

    rack: The RAck value of that one; "" for none.
    """

    __slots__ = ("_session", "dialog", "rack")

    def __init__(self, session: _Session, dialog: Dialog, rack: str) -> None:
        self._session = session
        self.dialog = dialog
        self.rack = rack

    def came_from_peer(self, request: Request) -> bool:
        """See `DialogUser`."""
        return self._session.came_from_peer(request)

    def receive_ack(self, request: Request, now: float) -> None:
        """Its INVITE is not answered in this dialog."""

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """See `DialogUser`."""
        fits = request.method == "PRACK" and self.rack and " ".join(request.get("RAck").split()) == self.rack
        transaction.respond(200 if fits else 481, now, headers=self._session.endpoint.server_line)


class FarEnds:
    """Those of one INVITE that have an early dialog each, but for the one that speaks."""

    __slots__ = ("_keys", "_silent")

    def __init__(self) -> None:
        self._silent: dict[object, FarEnd] = {}
        self._keys: list[tuple[str, str, str]] = []

    def silence(self, session: _Session, name: object, end: FarEnd, rack: str, *, gone: bool) -> None:
        """Another one speaks now. `gone`: this one never will again."""
        dialog = end.dialog
        session.endpoint.dialogs[dialog.key] = SilentDialog(session, dialog, rack)
        self._keys.append(dialog.key)
        if not gone:
            self._silent[name] = end

    def take(self, name: object) -> FarEnd | None:
        """The one that speaks again; None where it has not spoken before."""
        return self._silent.pop(name, None)

    def forget(self, endpoint: Core, but: Dialog) -> None:
        """The INVITE is answered, or over."""
        for key in self._keys:
            if key != but.key:
                endpoint.dialogs.pop(key, None)
        self._keys.clear()
        self._silent.clear()
