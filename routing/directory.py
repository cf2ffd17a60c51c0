"""Numbers, providers and routes in memory, for look-ups that never wait."""

import threading
from collections.abc import Callable, Iterable
from uuid import UUID

from routing.content import Builder, Content
from routing.errors import RoutingError
from routing.models import Number, Provider, Route
from routing.route_table import RouteTable
from routing.rows import NumberRow, RouteRow, RowMaker
from routing.trunk import Trunk


class Directory:
    """What there is to call, and through whom.

    Look-ups read one reference and then plain dicts, so that they can go on while another thread builds the next
    content. Changes one by one come from a store's feed.

    Attributes:
        refused: How many calls admission has refused, by cause; for metrics.
    """

    __slots__ = ("_content", "_lock", "refused")

    def __init__(self) -> None:
        self._content = Content()
        self._lock = threading.Lock()
        self.refused: dict[str, int] = {}

    # Look-ups

    @property
    def numbers(self) -> dict[str, NumberRow]:
        """Every number by its normal form; to be read only."""
        return self._content.numbers

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

    def trunk_at(self, host: str) -> Provider | None:
        """The provider that a numeric source address belongs to."""
        trunk = self._content.sources.find(host)
        return None if trunk is None else trunk.provider

    @property
    def providers(self) -> list[Provider]:
        """All providers in the order in which they were added."""
        return [trunk.provider for trunk in self._content.trunks.values()]

    @property
    def routes(self) -> RouteTable:
        """All routes; to be read only."""
        return self._content.routes

    # Everything at once

    def replace(
        self, numbers: Iterable[Number | NumberRow], providers: Iterable[Provider], routes: Iterable[Route | RouteRow]
    ) -> Content:
        """Put new content in place of the old, which is returned. Atomic for whoever looks up.

        With many numbers, run it in a thread, or use `Builder` in slices and then `swap`.
        """
        builder = Builder()
        builder.providers(providers)
        builder.numbers(numbers)
        builder.routes(routes)
        return self.swap(builder.finish(self._content.resolved))

    def swap(self, content: Content) -> Content:
        """Put content in place that was built aside. The old one is returned: keep calling its `discard` now and then
        until it is empty, so that freeing it holds up no call."""
        with self._lock:
            old, self._content = self._content, content
        return old

    # One by one

    def put_number(self, number: Number | NumberRow) -> NumberRow:
        """Add or change a number."""
        row = number if isinstance(number, NumberRow) else RowMaker().number(number)
        with self._lock:
            self._content.numbers[row.number] = row
        return row

    def change_number(self, e164: str, change: Callable[[NumberRow | None], NumberRow]) -> NumberRow:
        """Put what `change` makes of the number (None: there is none) in its place; nobody gets in between. What
        `change` raises leaves everything as it was. Rows are replaced and not written to: calls may hold the old one.
        """
        with self._lock:
            numbers = self._content.numbers
            row = numbers[e164] = change(numbers.get(e164))
        return row

    def remove_number(self, e164: str) -> bool:
        """Take a number out. False when there is none."""
        with self._lock:
            return self._content.numbers.pop(e164, None) is not None

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
        row = route if isinstance(route, RouteRow) else RowMaker().route(route)
        with self._lock:
            self._content.routes.put(row)

    def remove_route(self, route_id: UUID) -> bool:
        """Take a route out. False when there is none."""
        with self._lock:
            return self._content.routes.remove(route_id.int)

    def trunk_addresses(self, provider_id: UUID, addresses: Iterable[str]) -> None:
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
