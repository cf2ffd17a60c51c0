"""Phones of extensions that are gone, or suspended: they are registered no more."""

from typing import TYPE_CHECKING, Final
from uuid import UUID

from routing.directory.directory import Directory
from routing.location import Location, LocationChange

if TYPE_CHECKING:
    from store.store import Change

_CUT_OFF: Final = 64
"""Characters of a name that a change tells at most (`store.store.KEY_LENGTH`)."""


class Revocation:
    """Ends bindings whose extension is not there any more, is suspended, or is another one of the same name: nobody's
    phone rings for somebody who comes to have its name."""

    def __init__(self, directory: Directory, location: Location) -> None:
        self._directory = directory
        self._location = location
        self._registered: dict[str, UUID] = {}
        """The extension of each name that has bindings, where they have come since the start."""
        location.observers.append(self._changed)

    def extension_changed(self, change: "Change | None") -> None:
        """The store has another extension, or none (None: any may have changed); the directory has it already."""
        if change is None or len(change.key) >= _CUT_OFF:
            self.look()
        elif self._location.bindings(change.key):
            self._check(change.key, change.resource_id)

    def contact_ended(self, change: "Change | None") -> None:
        """The API of another node has ended a binding."""
        if change is not None:
            binding = self._location.find(change.key, str(change.resource_id))
            if binding is not None:
                self._location.remove(change.key, binding, "unregistered", "by the API")

    def look(self) -> None:
        """Go through all that are registered."""
        for name in self._location.names():
            self._check(name)

    def _check(self, name: str, changed: UUID | None = None) -> None:
        extension = self._directory.extension(name)
        if extension is not None and extension.active:
            registered = self._registered.get(name, changed)
            if registered is None or registered == extension.id:
                return
        cause = "the extension is suspended" if extension is not None else "the extension is deleted"
        for binding in list(self._location.bindings(name)):
            self._location.remove(name, binding, "unregistered", cause)

    def _changed(self, change: LocationChange) -> None:
        if change.event in ("registered", "refreshed"):
            extension = self._directory.extension(change.name)
            if extension is not None:
                self._registered.setdefault(change.name, extension.id)
        elif not self._location.bindings(change.name):
            self._registered.pop(change.name, None)
