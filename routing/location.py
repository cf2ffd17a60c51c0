"""Location: where the phones of each extension are registered (RFC 3261 §10, RFC 5626)."""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Literal, NamedTuple

from engine.sip.binding import NEVER, Binding
from engine.sip.flow import Connection
from engine.sip.registrar import Change

BindingEvent = Literal["registered", "refreshed", "unregistered", "expired"]
"""What has become of a binding. `expired`: nobody said goodbye: its time was over, its connection was lost, or it did
not answer."""
COMPACT_FROM = 1_000
"""Entries of bindings that are gone, before those of all ends are looked through."""


class LocationChange(NamedTuple):
    """News of a binding.

    Attributes:
        name: The extension's.
        binding: As it is now, or was.
        event: What has become of it.
        replaced: The binding that a registered one took the place of.
        cause: Why it ended, in words, where that needs some.
    """

    name: str
    binding: Binding
    event: BindingEvent
    replaced: Binding | None = None
    cause: str = ""


class Location:
    """The bindings of all extensions. There are no more than extensions may have, which whoever adds sees to.

    Attributes:
        observers: Told of each change, after it.
        transports: How many bindings there are, by the name of their transport.
    """

    __slots__ = ("_bindings", "_count", "_ends", "_entries", "_seconds", "_streams", "observers", "transports")

    def __init__(self) -> None:
        self._bindings: dict[str, tuple[Binding, ...]] = {}
        self._count = 0
        # What is looked at in each second, when it may have been renewed; and a heap of those seconds.
        self._ends: dict[int, list[Binding]] = {}
        self._seconds: list[int] = []
        self._entries = 0
        self._streams: dict[Connection, dict[Binding, str]] = {}  # bindings that end with their connection, their names
        self.observers: list[Callable[[LocationChange], None]] = []
        self.transports: dict[str, int] = {}

    def __len__(self) -> int:
        """How many bindings there are."""
        return self._count

    def bindings(self, name: str) -> Sequence[Binding]:
        """Those of an extension, the oldest first; to be read only."""
        return self._bindings.get(name, ())

    def names(self) -> list[str]:
        """The extensions that have any."""
        return list(self._bindings)

    def find(self, name: str, binding_id: str) -> Binding | None:
        """The binding of an extension with this id."""
        return next((binding for binding in self._bindings.get(name, ()) if binding.id == binding_id), None)

    def of_instance(self, name: str, instance: str) -> list[Binding]:
        """The bindings of one device (`+sip.instance`), over whatever flows, the newest first."""
        known = [one for one in self._bindings.get(name, ()) if one.instance.lower() == instance.lower()]
        return sorted(known, key=lambda binding: binding.registered_at, reverse=True)

    def add(self, name: str, binding: Binding, *, replaces: Binding | None = None) -> None:
        """A new binding, in place of an old one where it `replaces` one."""
        known = self._bindings.get(name, ())
        if replaces is not None and replaces in known:
            self._bindings[name] = tuple(binding if one is replaces else one for one in known)
            self._left(replaces)
        else:
            replaces = None
            self._bindings[name] = (*known, binding)
        self._entered(name, binding)
        self._tell(LocationChange(name, binding, "registered", replaces))

    def restore(self, name: str, binding: Binding) -> None:
        """One of before this start, which nobody is told of."""
        self._bindings[name] = (*self._bindings.get(name, ()), binding)
        self._entered(name, binding)

    def refreshed(self, name: str, binding: Binding, newer: Binding | None = None) -> None:
        """A binding holds on: what it is as from now on is `newer`, or has been written to it."""
        if newer is None or _same_way(binding, newer):
            if newer is not None:
                binding.renew(newer)
            if binding.expires_at < binding.due:
                self._look_at(binding)
        else:
            self._left(binding, gone=False)
            binding.renew(newer)
            self._entered(name, binding)
        self._tell(LocationChange(name, binding, "refreshed"))

    def remove(self, name: str, binding: Binding, event: BindingEvent = "unregistered", cause: str = "") -> bool:
        """Take one out; False where it is gone already."""
        known = self._bindings.get(name, ())
        if binding not in known:
            return False
        left = tuple(one for one in known if one is not binding)
        if left:
            self._bindings[name] = left
        else:
            del self._bindings[name]
        self._left(binding)
        self._tell(LocationChange(name, binding, event, None, cause))
        return True

    def apply(self, name: str, changes: Sequence[Change]) -> None:
        """Do what a REGISTER has led to."""
        for event, present, newer in changes:
            if newer is None:
                if present is not None:
                    self.remove(name, present)
            elif event == "refreshed" and present is not None:
                self.refreshed(name, present, newer)
            else:
                self.add(name, newer, replaces=present)

    # ---- ends

    def expire(self, now: float, most: int = 1_000) -> bool:
        """Take out what is over, as a rule within a second, at most `most` at a time; whether that was all."""
        while self._seconds and self._seconds[0] <= now:
            second = self._seconds[0]
            bucket = self._ends[second]
            while bucket:
                if not most:
                    return False
                most -= 1
                self._entries -= 1
                binding = bucket.pop()
                if binding.due != second:
                    continue  # gone, or there is another entry for it
                if binding.expires_at <= now:
                    self.remove(binding.extension, binding, "expired", "not refreshed")
                else:
                    self._look_at(binding)
            if second in self._ends:  # a removal may have left it out
                heappop(self._seconds)
                del self._ends[second]
        return True

    def expire_of(self, name: str, now: float) -> None:
        """Take out what is over of one extension, to the moment."""
        for binding in [one for one in self._bindings.get(name, ()) if one.expires_at <= now]:
            self.remove(name, binding, "expired", "not refreshed")

    def connection_lost(self, connection: Connection) -> None:
        """What came by this connection, and is not reached through a proxy, is gone with it."""
        for binding, name in list(self._streams.get(connection, {}).items()):
            self.remove(name, binding, "expired", "connection lost")

    # ---- what is kept beside

    def _entered(self, name: str, binding: Binding) -> None:
        self._count += 1
        binding.extension = name
        transport = binding.transport
        self.transports[transport] = self.transports.get(transport, 0) + 1
        connection = _stream_of(binding)
        if connection is not None:
            on_stream = self._streams.setdefault(connection, {})
            if not on_stream:
                connection.keep()
            on_stream[binding] = name
        if binding.expires_at < binding.due:
            self._look_at(binding)

    def _left(self, binding: Binding, *, gone: bool = True) -> None:
        self._count -= 1
        if gone:
            binding.due = NEVER
            if self._entries > COMPACT_FROM + 2 * self._count:
                self._compact()
        transport = binding.transport
        self.transports[transport] -= 1
        connection = _stream_of(binding)
        if connection is not None and connection in self._streams:
            on_stream = self._streams[connection]
            on_stream.pop(binding, None)
            if not on_stream:
                del self._streams[connection]
                connection.keep(False)

    def _look_at(self, binding: Binding) -> None:
        second = ceil(binding.expires_at)
        due: float = second
        bucket = self._ends.get(second)
        if bucket is None:
            bucket = self._ends[second] = []
            heappush(self._seconds, second)
        elif bucket and bucket[-1].due == second:
            due = bucket[-1].due  # one number for all of them
        binding.due = due
        bucket.append(binding)
        self._entries += 1

    def _compact(self) -> None:
        """Leave out what is gone."""
        for second, bucket in list(self._ends.items()):
            bucket[:] = [binding for binding in bucket if binding.due == second]
            if not bucket:
                del self._ends[second]
        self._seconds = list(self._ends)
        heapify(self._seconds)
        self._entries = sum(map(len, self._ends.values()))

    def _tell(self, change: LocationChange) -> None:
        for tell in self.observers:
            tell(change)


def _same_way(one: Binding, other: Binding) -> bool:
    """Whether both are reached by the same connection of the same listener, or by the same proxy, as nearly always
    before and after a refresh: then nothing is kept elsewhere that changes."""
    flow, there = one.flow, other.flow
    if flow is there:
        return one.path == other.path
    return (
        flow is not None
        and there is not None
        and flow.transport is there.transport
        and flow.connection is there.connection
        and one.path == other.path
    )


def _stream_of(binding: Binding) -> Connection | None:
    """The connection that it ends with; None where it outlives it."""
    return None if binding.lasts or binding.flow is None else binding.flow.connection
