"""The calls of extensions, as the phones that watch them see them (RFC 4235), and taking over one that rings.

For each call of an extension there is one `PhoneDialog`, however many of its devices ring. It has names of its own,
Call-ID and tags, by which another phone may ask for it (RFC 3891): no leg has them, so they are of no other use.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

Direction = Literal["initiator", "recipient"]
"""Whether the extension has made the call, or gets it."""

DialogState = Literal["trying", "early", "confirmed"]
"""RFC 4235 §3.7.1: dialled, and nothing heard but 100; it rings, or has early media (180 to 189); it was answered."""

WITHHELD: Final = "anonymous"


class Published(NamedTuple):
    """The names of a dialog, from the extension's side."""

    call_id: str
    local_tag: str
    remote_tag: str


class PhoneDialog:
    """One call of an extension.

    Attributes:
        extension: Its name.
        direction: See `Direction`.
        state: See `DialogState`.
        remote, remote_name: The number or name of the other side, and what it is shown as; "" where that is not known.
        picker: Takes the call that picks this one up; None while nobody can.
        taken: Another phone has picked it up.
    """

    __slots__ = ("direction", "extension", "names", "picker", "remote", "remote_name", "state", "taken")

    def __init__(self, extension: str, direction: Direction, state: DialogState, remote: str, remote_name: str) -> None:
        self.extension = extension
        self.direction: Direction = direction
        self.state: DialogState = state
        self.remote = remote
        self.remote_name = remote_name
        self.names: Published | None = None  # drawn when somebody is told of it
        self.picker: Callable[[Any], None] | None = None
        self.taken = False


class PhoneDialogs:
    """The running calls of all extensions.

    Attributes:
        observers: Told of the extension whose calls have changed.
    """

    __slots__ = ("_by_call_id", "_running", "observers")

    def __init__(self) -> None:
        self._running: dict[str, list[PhoneDialog]] = {}
        self._by_call_id: dict[str, PhoneDialog] = {}
        self.observers: list[Callable[[str], None]] = []

    def __len__(self) -> int:
        """How many extensions have calls."""
        return len(self._running)

    def of(self, extension: str) -> Sequence[PhoneDialog]:
        """The calls of an extension, the oldest first; to be read only."""
        return self._running.get(extension, ())

    def begin(
        self, extension: str, direction: Direction, state: DialogState, remote: str, remote_name: str = ""
    ) -> PhoneDialog:
        """An extension has one more call."""
        dialog = PhoneDialog(extension, direction, state, remote, remote_name)
        running = self._running.get(extension)
        if running is None:
            self._running[extension] = [dialog]
        else:
            running.append(dialog)
        self._tell(extension)
        return dialog

    def busy(self, extension: str) -> bool:
        """Whether an extension has calls, those aside that are still on their way to it."""
        return any(dialog.state != "trying" or dialog.direction == "initiator" for dialog in self.of(extension))

    def turn(self, dialog: PhoneDialog, state: DialogState) -> None:
        """It has come further."""
        if state != dialog.state:
            dialog.state = state
            if state == "confirmed":
                dialog.picker = None
            self._tell(dialog.extension)

    def rings(self, dialog: PhoneDialog) -> None:
        """One of those who are called rings; nothing where that is known, or it was answered."""
        if dialog.state == "trying":
            self.turn(dialog, "early")

    def pick_up(self, dialog: PhoneDialog, call: Any) -> bool:
        """Let `call`, one of the engine's, have what rings. False where it does not ring, or not here."""
        picker, dialog.picker = dialog.picker, None
        if picker is None:
            return False
        dialog.taken = True
        picker(call)
        return True

    def end(self, dialog: PhoneDialog) -> None:
        """It is over; a second time changes nothing."""
        running = self._running.get(dialog.extension)
        if running is None or dialog not in running:
            return
        running.remove(dialog)
        if not running:
            del self._running[dialog.extension]
        if dialog.names is not None:
            del self._by_call_id[dialog.names.call_id]
        dialog.picker = None
        self._tell(dialog.extension)

    def published(self, dialog: PhoneDialog) -> Published:
        """The names under which others are told of it."""
        if dialog.names is None:
            drawn = uuid4().hex
            dialog.names = Published(str(uuid4()), drawn[:16], drawn[16:])
            self._by_call_id[dialog.names.call_id] = dialog
        return dialog.names

    def find(self, call_id: str, local_tag: str, remote_tag: str) -> PhoneDialog | None:
        """The dialog that was published under these names."""
        dialog = self._by_call_id.get(call_id)
        return dialog if dialog is not None and dialog.names == (call_id, local_tag, remote_tag) else None

    def _tell(self, extension: str) -> None:
        for tell in self.observers:
            tell(extension)
