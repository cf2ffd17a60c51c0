"""The directory: numbers, providers, routes, extensions and customers' terms in memory; look-ups never wait."""

import threading
from collections.abc import Callable, Iterable
from itertools import islice
from uuid import UUID
from weakref import WeakValueDictionary

from engine.sip.flow import address_of
from routing.directory.customers import CustomerTerms
from routing.directory.extensions import ExtensionRow, ExtensionTable
from routing.directory.number_source import AbsentNumbers, NumberFetch
from routing.directory.route_table import RouteTable
from routing.directory.row_factory import RowFactory
from routing.directory.rows import NumberRow, RouteRow
from routing.directory.snapshot import Snapshot, SnapshotBuilder
from routing.directory.trunk import Trunk
from routing.errors import RoutingError
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route


class Directory:
    """What there is to call, and through whom.

    Look-ups read one reference and then plain dicts, so that they can go on while another thread builds the next
    content. Changes one by one come from a store's feed.

    With more numbers than `limit` it holds a part of them and is not `complete`; `number_source` tells how the rest is
    reached. Without a store to ask, there is no rest: give such a directory the limit 0.

    Attributes:
        limit: Numbers held at most once they come one by one; 0 is no limit.
        misses: Numbers that the store was asked for and did not have.
        refused: How many calls were refused, by cause; for metrics.
    """

    __slots__ = ("_content", "_fetches", "_lock", "limit", "misses", "refused")

    def __init__(self, limit: int = 1_000_000) -> None:
        self._content = Snapshot()
        self._lock = threading.Lock()
        # Weak: a fetch that failed is forgotten with whoever began it.
        self._fetches: WeakValueDictionary[str, NumberFetch] = WeakValueDictionary()
        self.limit = limit
        self.misses = AbsentNumbers()
        self.refused: dict[str, int] = {}

    # Look-ups

    @property
    def numbers(self) -> dict[str, NumberRow]:
        """Every number in memory by its normal form; to be read only."""
        return self._content.numbers

    @property
    def complete(self) -> bool:
        """Whether every number that exists is in memory: one that is not found then does not exist."""
        return self._content.complete

    def number(self, e164: str) -> NumberRow | None:
        """The number in normal form (`+` and digits), whatever its status."""
        return self._content.numbers.get(e164)

    def own(self, e164: str) -> bool:
        """Whether calls to this number are dealt with here and never sent to a provider (active or suspended)."""
        row = self._content.numbers.get(e164)
        return row is not None and row.ours

    def provider(self, provider_id: UUID) -> Provider | None:
        """The provider with this id."""
        trunk = self._content.trunks.get(provider_id.int)
        return None if trunk is None else trunk.provider

    def provider_named(self, name: str) -> Provider | None:
        """The provider with this name."""
        trunk = self._content.names.get(name)
        return None if trunk is None else trunk.provider

    def trunk(self, key: int) -> Trunk | None:
        """The provider made ready for calls, by its id as an integer."""
        return self._content.trunks.get(key)

    def passes_body(self, content_type: str) -> bool:
        """Whether some provider gets parts of bodies of this type (`pass_bodies`)."""
        return content_type in self._content.bodies

    def provider_at(self, party: str) -> Provider | None:
        """The provider that a numeric address belongs to, or a peer with a certificate (`engine.sip.flow.Flow.party`);
        whose certificate says nothing here is who is at its address."""
        if "@" in party:
            trunk = self._with_certificate(party)
            if trunk is None:
                trunk = self._content.sources.find(address_of(party))
        else:
            trunk = self._content.sources.find(party)
        return None if trunk is None else trunk.provider

    def provider_of(self, party: str) -> Provider | None:
        """The provider that a request is from. As `provider_at`, but whoever is to show a certificate, and has no
        `inbound_addresses`, is not known by an address that its name leads to."""
        trunk = self._with_certificate(party) if "@" in party else None
        if trunk is None:
            trunk = self._content.sources.find(address_of(party))
            if trunk is not None and trunk.certified and not trunk.provider.inbound_addresses:
                return None
        return None if trunk is None else trunk.provider

    def _with_certificate(self, party: str) -> Trunk | None:
        certified = self._content.certified
        for name in party.rpartition("@")[0].split("|"):
            trunk = certified.get(name)
            if trunk is not None:
                return trunk
        return None

    def provider_with_hostname(self, host: str) -> Provider | None:
        """The provider whose hostname is this name, in lower case."""
        trunk = self._content.hosts.get(host)
        return None if trunk is None else trunk.provider

    @property
    def providers(self) -> list[Provider]:
        """All providers in the order in which they were added."""
        return [trunk.provider for trunk in self._content.trunks.values()]

    @property
    def routes(self) -> RouteTable:
        """All routes; to be read only."""
        return self._content.routes

    def customer(self, key: int) -> CustomerTerms | None:
        """The terms of a customer by its id as an integer; None where there are none, which forbids nothing."""
        return self._content.customers.get(key)

    def extension(self, name: str) -> ExtensionRow | None:
        """The extension with this name (a user part, RFC 3261 §19.1.4: case counts), active or not."""
        return self._content.extensions.by_name.get(name)

    @property
    def extensions(self) -> ExtensionTable:
        """All extensions; to be read only."""
        return self._content.extensions

    def count_refusal(self, cause: str) -> None:
        """A call was refused for this reason, a stable word."""
        self.refused[cause] = self.refused.get(cause, 0) + 1

    # Everything at once

    def replace(
        self,
        numbers: Iterable[Number | NumberRow],
        providers: Iterable[Provider],
        routes: Iterable[Route | RouteRow],
        customers: Iterable[CustomerTerms] = (),
        extensions: Iterable[ExtensionRow] = (),
    ) -> Snapshot:
        """Put new content in place of the old, which is returned. Atomic for whoever looks up.

        With many numbers, run it in a thread, or use `SnapshotBuilder` in slices and then `swap`.
        """
        builder = SnapshotBuilder()
        builder.providers(providers)
        builder.numbers(numbers)
        builder.routes(routes)
        builder.customers(customers)
        builder.extensions(extensions)
        return self.swap(builder.finish(self._content.resolved))

    def swap(self, content: Snapshot) -> Snapshot:
        """Put content in place that was built aside. The old one is returned: keep calling its `discard` now and then
        until it is empty, so that freeing it holds up no call. It may hold more numbers than `limit`: what does not fit
        goes when the next number comes."""
        with self._lock:
            old, self._content = self._content, content
            self.misses.clear()
            for fetch in list(self._fetches.values()):
                fetch.overtaken = True
            self._fetches.clear()
        return old

    # Numbers one by one

    def put_number(self, number: Number | NumberRow) -> NumberRow:
        """Add or change a number. Beyond `limit` the numbers that came first are dropped and the directory is no longer
        complete; a number that is changed keeps its place in that order."""
        row = number if isinstance(number, NumberRow) else RowFactory().number(number)
        with self._lock:
            self._settle(row.number)
            self._content.numbers[row.number] = row
            self._evict()
        return row

    def change_number(self, e164: str, change: Callable[[NumberRow | None], NumberRow]) -> NumberRow:
        """Put what `change` makes of the number (None: there is none in memory) in its place; nobody gets in between.
        What `change` raises leaves everything as it was. Rows are replaced and not written to: calls may hold the old
        one.
        """
        with self._lock:
            numbers = self._content.numbers
            row = numbers[e164] = change(numbers.get(e164))
            self._settle(e164)
            self._evict()
        return row

    def remove_number(self, e164: str) -> bool:
        """Take a number out: it does not exist any more. False when there is none in memory."""
        with self._lock:
            self._settle(e164)
            return self._content.numbers.pop(e164, None) is not None

    def _settle(self, e164: str) -> None:
        """News of a number: what was known or is being asked about it is out of date."""
        self.misses.forget(e164)
        if self._fetches:
            fetch = self._fetches.pop(e164, None)
            if fetch is not None:
                fetch.overtaken = True

    def _evict(self) -> None:
        content, limit = self._content, self.limit
        numbers = content.numbers
        if not limit or len(numbers) <= limit:
            return
        content.complete = False
        # A thousandth at a time: to find its first entry, a dict passes by all the places that were emptied before it.
        excess = len(numbers) - limit + limit // 1000
        for e164 in list(islice(numbers, excess)):
            del numbers[e164]

    # Numbers that are not in memory

    def known_absent(self, e164: str, now: float) -> bool:
        """Whether this number surely does not exist, so that the store need not be asked. `now` is monotonic."""
        content = self._content
        return e164 not in content.numbers and (content.complete or self.misses.known(e164, now))

    def remember_absent(self, e164: str, now: float) -> None:
        """The store does not have this number: for five seconds it is not asked again, unless the number comes."""
        with self._lock:
            if e164 not in self._content.numbers:
                self.misses.remember(e164, now)

    def clear_misses(self) -> None:
        """Ask the store again for everything: news may have been lost."""
        with self._lock:
            self.misses.clear()

    def begin_fetch(self, e164: str) -> NumberFetch:
        """The store is about to be asked for a number. Hold on to what this returns until `end_fetch`; several may
        fetch the same number at once. A fetch that fails is just let go."""
        with self._lock:
            fetch = self._fetches.get(e164)
            if fetch is None:
                fetch = self._fetches[e164] = NumberFetch(e164)
        return fetch

    def end_fetch(self, fetch: NumberFetch, row: NumberRow | None, now: float) -> bool:
        """The store has answered, None for a number that it does not have. False where the number was changed
        meanwhile: what the store said then is not taken, and it is to be asked again unless the number is here."""
        with self._lock:
            if fetch.overtaken:
                return False
            e164 = fetch.number
            numbers = self._content.numbers
            if row is not None:
                self.misses.forget(e164)
                numbers.setdefault(e164, row)
                self._evict()
            elif e164 not in numbers:
                self.misses.remember(e164, now)
        return True

    # Providers, routes, customers and extensions one by one

    def put_provider(self, provider: Provider) -> None:
        """Add or change a provider."""
        trunk = Trunk.of(provider)
        with self._lock:
            content = self._content
            old = content.trunks.get(trunk.key)
            if old is not None and old.provider.hostname != provider.hostname:
                content.resolved.pop(trunk.key, None)
            content.trunks[trunk.key] = trunk
            content.index_trunks()

    def remove_provider(self, provider_id: UUID) -> bool:
        """Take a provider out. False when there is none. RoutingError PROVIDER_IN_USE while routes lead to it."""
        key = provider_id.int
        with self._lock:
            content = self._content
            trunk = content.trunks.get(key)
            if trunk is None:
                return False
            used = sum(1 for row in content.routes if row.provider == key)
            if used:
                problem = f"{used} routes lead to provider {trunk.name}; remove or change them first"
                raise RoutingError("PROVIDER_IN_USE", problem)
            del content.trunks[key]
            content.resolved.pop(key, None)
            content.index_trunks()
        return True

    def put_route(self, route: Route | RouteRow) -> None:
        """Add or change a route."""
        row = route if isinstance(route, RouteRow) else RowFactory().route(route)
        with self._lock:
            self._content.routes.put(row)

    def remove_route(self, route_id: UUID) -> bool:
        """Take a route out. False when there is none."""
        with self._lock:
            return self._content.routes.remove(route_id.int)

    def put_customer(self, terms: CustomerTerms) -> None:
        """Add or change a customer's terms."""
        with self._lock:
            self._content.customers[terms.key] = terms

    def remove_customer(self, key: int) -> bool:
        """Take a customer's terms out, by its id as an integer. False when there are none."""
        with self._lock:
            return self._content.customers.pop(key, None) is not None

    def put_extension(self, extension: ExtensionRow) -> None:
        """Add or change an extension."""
        with self._lock:
            self._content.extensions.put(extension)

    def remove_extension(self, extension_id: UUID) -> ExtensionRow | None:
        """Take an extension out, and return it; None where there is none."""
        with self._lock:
            return self._content.extensions.remove(extension_id)

    def resolved_addresses(self, provider_id: UUID) -> tuple[str, ...]:
        """What `set_resolved_addresses` was told last for this provider."""
        return self._content.resolved.get(provider_id.int, ())

    def set_resolved_addresses(self, provider_id: UUID, addresses: Iterable[str]) -> None:
        """Tell what a provider's hostname resolves to: calls from there are this trunk's. Raises ValueError for what is
        no address; nothing happens for an unknown provider."""
        with self._lock:
            content = self._content
            if provider_id.int in content.trunks:
                told = tuple(addresses)
                if content.resolved.get(provider_id.int, ()) != told:
                    before = dict(content.resolved)
                    content.resolved[provider_id.int] = told
                    try:
                        content.index_trunks()
                    except ValueError:
                        content.resolved = before
                        raise
