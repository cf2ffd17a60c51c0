"""Slots for the connections that peers open, and who gives way when all are taken.

Who has said nothing makes room for who speaks; strangers make room for known peers, and one that has much for one that
has little (RFC 4987 §3.4: the oldest that is half open goes first). Nothing here takes longer the more there are, but
where every slot is taken by a peer that has just spoken, or by known peers.
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from engine.sip.peers import counted_source
from engine.transport.listen_spec import ListenerLimits

C = TypeVar("C", bound=Hashable)


class _Source(Generic[C]):
    """A stranger's connections, by when they were opened or last spoke; the longest ago first."""

    __slots__ = ("silent", "spoken")

    def __init__(self) -> None:
        self.silent: dict[C, float] = {}  # without a whole message until now
        self.spoken: dict[C, float] = {}

    def __len__(self) -> int:
        return len(self.silent) + len(self.spoken)


class ConnectionSlots(Generic[C]):
    """The slots of one listener. `known` tells known peers; times are the event loop's."""

    __slots__ = ("_hosts", "_kept", "_known", "_limits", "_silent", "_sources", "_spoken", "_tells")

    def __init__(self, limits: ListenerLimits, known: Callable[[str], bool]) -> None:
        self._limits = limits
        self._tells = known
        self._hosts: dict[C, str] = {}  # all of them, with their hosts
        self._kept: set[C] = set()  # somebody is reached by them: no slot of the others is taken by these
        self._known: dict[C, float] = {}
        self._silent: dict[C, float] = {}
        self._spoken: dict[C, float] = {}
        self._sources: dict[str, _Source[C]] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def enter(self, connection: C, host: str, now: float) -> tuple[bool, C | None]:
        """Whether a new connection from `host` is taken; and the one that is to be closed for it, which has left."""
        known = self._tells(host)
        leaves = None if known else self._of_its_own(host, now)
        if leaves is None:
            own = 0 if known else self._count(host)
            if own >= self._limits.connections_per_source:
                return False, None
            if len(self._hosts) - len(self._kept) >= self._limits.connections:
                leaves = self._for_a_known_peer(now) if known else self._for_a_stranger(own, now)
                if leaves is None:
                    return False, None
        if leaves is not None:
            self.leave(leaves)
        self._hosts[connection] = host
        if known:
            self._known[connection] = now
        else:
            source = self._sources.setdefault(counted_source(host), _Source())
            self._silent[connection] = source.silent[connection] = now
        return True, leaves

    def spoke(self, connection: C, now: float) -> None:
        """A whole message has come."""
        host = self._hosts.get(connection)
        if host is None or connection in self._kept:
            return
        if self._known.pop(connection, None) is not None:
            self._known[connection] = now
            return
        self._silent.pop(connection, None)
        self._spoken.pop(connection, None)
        self._spoken[connection] = now
        source = self._sources[counted_source(host)]
        source.silent.pop(connection, None)
        source.spoken.pop(connection, None)
        source.spoken[connection] = now

    def keep(self, connection: C, kept: bool, now: float) -> None:
        """Whether somebody is reached by it: then it makes room for nobody, and takes no place. Of more than so many,
        it is as good as a known peer's."""
        host = self._hosts.get(connection)
        if host is None or kept == (connection in self._kept):
            return
        if kept:
            if len(self._kept) < self._limits.kept_connections:
                self._leave_slot(connection, host)
                self._kept.add(connection)
            elif connection not in self._known:
                self._leave_strangers(connection, host)
                self._known[connection] = now
            return
        self._kept.remove(connection)
        if self._tells(host):
            self._known[connection] = now
        else:
            source = self._sources.setdefault(counted_source(host), _Source())
            self._spoken[connection] = source.spoken[connection] = now

    @property
    def remembered(self) -> int:
        """How many entries there are in all, of connections and of sources: none once all have left."""
        return len(self._kept) + len(self._known) + len(self._silent) + len(self._spoken) + len(self._sources)

    def leave(self, connection: C) -> None:
        """It is closed, or about to be."""
        host = self._hosts.pop(connection, None)
        if host is None:
            return
        if connection in self._kept:
            self._kept.remove(connection)
        else:
            self._leave_slot(connection, host)

    def _leave_slot(self, connection: C, host: str) -> None:
        if self._known.pop(connection, None) is None:
            self._leave_strangers(connection, host)

    def _leave_strangers(self, connection: C, host: str) -> None:
        self._silent.pop(connection, None)
        self._spoken.pop(connection, None)
        counted = counted_source(host)
        source = self._sources[counted]
        source.silent.pop(connection, None)
        source.spoken.pop(connection, None)
        if not source:
            del self._sources[counted]

    def _count(self, host: str) -> int:
        source = self._sources.get(counted_source(host))
        return 0 if source is None else len(source)

    def _of_its_own(self, host: str, now: float) -> C | None:
        """Where a source has too many, or too many that are silent, it is one of these."""
        source, limits = self._sources.get(counted_source(host)), self._limits
        if source is None:
            return None
        if source.silent and (
            len(source.silent) >= limits.silent_per_source or len(source) >= limits.connections_per_source
        ):
            return next(iter(source.silent))
        if len(source) >= limits.connections_per_source:
            return self._first(source.spoken, now - limits.quiet_after)
        return None

    def _for_a_known_peer(self, now: float) -> C | None:
        """A stranger's, the silent ones first; where there is none, the known peer's that has been quiet longest."""
        found = self._first(self._silent, now) or self._first(self._spoken, now)
        return found or min(self._known, key=self._known.__getitem__, default=None)

    def _for_a_stranger(self, own: int, now: float) -> C | None:
        """Who has been quiet for so long; else one of who has most, where that is more than the new one has."""
        before = now - self._limits.quiet_after
        found = self._first(self._silent, before) or self._first(self._spoken, before)
        if found is not None or not self._sources:
            return found
        most = max(self._sources.values(), key=len)
        return next(iter(most.silent or most.spoken)) if len(most) > own + 1 else None

    def _first(self, table: dict[C, float], before: float) -> C | None:
        """The longest quiet one of a table, if it has been since `before`. Where a phone has logged in since it opened
        its connection, that is a known peer's by now."""
        while table:
            connection = next(iter(table))
            since = table[connection]
            if since > before:
                return None
            host = self._hosts[connection]
            if not self._tells(host):
                return connection
            self._leave_strangers(connection, host)
            self._known[connection] = since
        return None
