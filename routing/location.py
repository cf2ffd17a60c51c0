"""Location: where the phones of each extension are registered (RFC 3261 §10, RFC 5626)."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from engine.sip.binding import Binding

BindingEvent = Literal["registered", "refreshed", "unregistered", "expired"]
"""What has become of a binding. `expired`: nobody said goodbye: its time was over, its connection was lost, or it did
not answer."""


class LocationChange(NamedTuple):
    """News of a binding.

    Attributes:
        name: The extension's.
        binding: As it is now, or was.
        event: What has become of it.
        replaced: The binding that a registered one took the place of.
    """

    name: str
    binding: Binding
    event: BindingEvent
    replaced: Binding | None = None


class Location:
    """The bindings of all extensions.

    Attributes:
        observers: Told of each change, after it.
    """

    __slots__ = ("_bindings", "_count", "observers")

    def __init__(self) -> None:
        self._bindings: dict[str, list[Binding]] = {}
        self._count = 0
        self.observers: list[Callable[[LocationChange], None]] = []

    def __len__(self) -> int:
        """How many bindings there are."""
        return self._count

    def bindings(self, name: str) -> Sequence[Binding]:
        """Those of an extension, the oldest first; to be read only."""
        return self._bindings.get(name, ())

    def add(self, name: str, binding: Binding, *, replaces: Binding | None = None) -> None:
        """A new binding, in place of an old one where it `replaces` one."""
        known = self._bindings.setdefault(name, [])
        if replaces is not None and replaces in known:
            known[known.index(replaces)] = binding
        else:
            replaces = None
            known.append(binding)
            self._count += 1
        self._tell(LocationChange(name, binding, "registered", replaces))

    def refreshed(self, name: str, binding: Binding) -> None:
        """A binding was written to: it holds on, or is reached elsewhere."""
        self._tell(LocationChange(name, binding, "refreshed"))

    def remove(self, name: str, binding: Binding, event: BindingEvent = "unregistered") -> bool:
        """Take one out; False where it is gone already."""
        known = self._bindings.get(name)
        if known is None or binding not in known:
            return False
        known.remove(binding)
        self._count -= 1
        if not known:
            del self._bindings[name]
        self._tell(LocationChange(name, binding, event))
        return True

    def _tell(self, change: LocationChange) -> None:
        for tell in self.observers:
            tell(change)
