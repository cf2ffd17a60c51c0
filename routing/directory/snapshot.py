"""A snapshot of the directory, built aside and put in place whole."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from routing.addresses import AddressTable
from routing.directory.customers import CustomerTerms
from routing.directory.extensions import ExtensionRow, ExtensionTable, Unlock
from routing.directory.route_table import RouteTable
from routing.directory.row_factory import RowFactory
from routing.directory.rows import NumberRow, RouteRow
from routing.directory.trunk import Trunk
from routing.hostnames import parse_host_port
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route


class Snapshot:
    """Tables that belong together. Made by `SnapshotBuilder`, changed only through `Directory`.

    Attributes:
        numbers: By normalised number.
        trunks: By the provider's id as an integer.
        names: Trunks by the provider's name.
        hosts: Trunks by the host in their hostname, in lower case.
        resolved: Addresses of hostnames as they were told, by provider id as an integer.
        sources: Which trunk a source address is.
        certified: Which trunk a name in a peer's certificate is, written as `engine.sip.flow.identity_of` says.
        bodies: The types of the parts that some trunk takes beside a session description.
        routes: Routes by prefix.
        customers: Their terms, by the customer's id as an integer.
        extensions: By name.
        complete: Whether every number there is stands in `numbers`.
    """

    __slots__ = (
        "bodies",
        "certified",
        "complete",
        "customers",
        "extensions",
        "hosts",
        "names",
        "numbers",
        "resolved",
        "routes",
        "sources",
        "trunks",
    )

    def __init__(self) -> None:
        self.numbers: dict[str, NumberRow] = {}
        self.trunks: dict[int, Trunk] = {}
        self.names: dict[str, Trunk] = {}
        self.hosts: dict[str, Trunk] = {}
        self.resolved: dict[int, tuple[str, ...]] = {}
        self.sources: AddressTable[Trunk] = AddressTable()
        self.certified: dict[str, Trunk] = {}
        self.routes = RouteTable()
        self.customers: dict[int, CustomerTerms] = {}
        self.bodies: set[str] = set()
        self.extensions = ExtensionTable()
        self.complete = True

    def index_trunks(self) -> None:
        """Work out names and source addresses anew. Cheap: there are few trunks."""
        self.names = {trunk.name: trunk for trunk in self.trunks.values()}
        self.hosts = {parse_host_port(t.provider.hostname).host.lower().rstrip("."): t for t in self.trunks.values()}
        sources: AddressTable[Trunk] = AddressTable()
        # What is configured goes before what a name happens to resolve to.
        for trunk in self.trunks.values():
            for address in trunk.provider.inbound_addresses:
                sources.add(address, trunk)
        for trunk in self.trunks.values():
            for address in (trunk.address, *self.resolved.get(trunk.key, ())):
                if address:
                    sources.add(address, trunk)
        self.sources = sources
        self.bodies = {kind for trunk in self.trunks.values() for kind in trunk.provider.pass_bodies}
        self.certified = {f"server:{host}": trunk for host, trunk in self.hosts.items()}
        for trunk in self.trunks.values():
            for name in trunk.certified:
                self.certified.setdefault(name, trunk)

    def discard(self, limit: int = 10_000) -> bool:
        """Throw away up to `limit` numbers, as many routes, customers and extensions; True while some are left.

        For content that was replaced: a million objects freed in one go hold the interpreter for a fifth of a second.
        """
        for _ in range(min(limit, len(self.numbers))):
            self.numbers.popitem()
        for _ in range(min(limit, len(self.customers))):
            self.customers.popitem()
        routes_left = self.routes.discard(limit)
        extensions_left = self.extensions.discard(limit)
        return bool(self.numbers) or bool(self.customers) or routes_left or extensions_left


class SnapshotBuilder:
    """Fills new content, in a thread or in slices between other work.

    A fault (a number twice, a route to no provider) is not looked for here: `routing.models.declared.resolve` does.
    """

    def __init__(self) -> None:
        self._content = Snapshot()
        self._maker = RowFactory()

    def numbers(self, numbers: Iterable[Number | NumberRow]) -> None:
        """Add numbers; the last of two that are equal counts."""
        table, make = self._content.numbers, self._maker.number
        for number in numbers:
            table[number.number] = number if isinstance(number, NumberRow) else make(number)

    def numbers_from(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add numbers as a store has them: the values of `row_factory.NUMBER_COLUMNS`, one sequence a number."""
        table, make = self._content.numbers, self._maker.number_from
        for columns in rows:
            row = make(columns)
            table[row.number] = row

    def providers(self, providers: Iterable[Provider]) -> None:
        """Add providers."""
        for provider in providers:
            trunk = Trunk.of(provider)
            self._content.trunks[trunk.key] = trunk

    def routes(self, routes: Iterable[Route | RouteRow]) -> None:
        """Add routes."""
        put, make = self._content.routes.put, self._maker.route
        for route in routes:
            put(route if isinstance(route, RouteRow) else make(route))

    def routes_from(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add routes as a store has them: the values of `row_factory.ROUTE_COLUMNS`, one sequence a route."""
        put, make = self._content.routes.put, self._maker.route_from
        for columns in rows:
            put(make(columns))

    def customers(self, customers: Iterable[CustomerTerms]) -> None:
        """Add customers' terms."""
        table = self._content.customers
        for terms in customers:
            table[terms.key] = terms

    def extensions(self, extensions: Iterable[ExtensionRow]) -> None:
        """Add extensions; the last of two with one name counts."""
        put = self._content.extensions.put
        for extension in extensions:
            put(extension)

    def extensions_from(self, rows: Iterable[Sequence[Any]], unlock: Unlock) -> None:
        """Add extensions as a store has them: the values of `row_factory.EXTENSION_COLUMNS`, one sequence an
        extension."""
        put, make = self._content.extensions.put, self._maker.extension_from
        for columns in rows:
            put(make(columns, unlock))

    def finish(self, resolved: Mapping[int, tuple[str, ...]] | None = None, *, complete: bool = True) -> Snapshot:
        """The content, ready for `Directory.swap`. `complete` is False where the store has more numbers than were
        added."""
        content = self._content
        content.complete = complete
        if resolved:
            content.resolved = {key: addresses for key, addresses in resolved.items() if key in content.trunks}
        content.index_trunks()
        return content
