"""Contacts of extensions: where their registered devices are reached, and which extension a known device is of."""

from collections.abc import Callable, Sequence
from uuid import UUID

from engine.sip.binding import Binding
from engine.sip.flow import Flow
from flows.calls.address import Address
from flows.calls.destinations import Contact, ContactResolver
from routing.access.admission import extension_for
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.location import Location, LocationChange


class ExtensionContacts:
    """A `ContactResolver` for extensions, and for agents by the one that it is given.

    clock: Of the bindings' expiry.
    """

    def __init__(
        self, directory: Directory, location: Location, clock: Callable[[], float], agents: ContactResolver
    ) -> None:
        self._directory = directory
        self._location = location
        self._clock = clock
        self._agents = agents
        # The extensions of each flow, and the flow of each binding, which is written to when its device moves. Behind
        # an edge many share one: it tells nothing.
        self._at: dict[Flow, tuple[str, ...]] = {}
        self._flows: dict[Binding, Flow] = {}
        location.observers.append(self._changed)

    async def resolve(self, address: Address, customer_id: UUID) -> Sequence[Contact]:
        """See `ContactResolver`."""
        if address.type != "extension":
            return await self._agents.resolve(address, customer_id)
        extension = extension_for(self._directory, address.target, customer_id)
        return () if extension is None else self.of(extension)

    def of(self, extension: ExtensionRow) -> list[Contact]:
        """The devices of an extension that can be reached, the oldest first."""
        now = self._clock()
        devices: dict[object, Binding] = {}
        for binding in self._location.bindings(extension.name):
            if now < binding.expires_at and reachable(binding):
                # Of several flows of one device the newest: it must not be asked over two (RFC 5626 §5.3).
                device = binding.instance.lower() or binding
                devices.pop(device, None)
                devices[device] = binding
        return [
            Contact(
                uri=binding.uri,
                customer_id=extension.customer_id,
                q=binding.q,
                # The way that it came itself, never what its Contact says: that may be an address of its own network.
                flow=None if binding.path else binding.flow,
                path=binding.path,
            )
            for binding in devices.values()
        ]

    def extension_at(self, source: Flow, claimed: str = "") -> ExtensionRow | None:
        """The extension whose device has registered from this flow. Of several, the one that it claims to be."""
        names = set(self._at.get(source, ()))
        name = claimed if claimed in names else next(iter(names)) if len(names) == 1 else ""
        extension = self._directory.extension(name) if name else None
        return extension if extension is not None and extension.active else None

    def _changed(self, change: LocationChange) -> None:
        if change.replaced is not None:
            self._leave(change.name, change.replaced)
        self._leave(change.name, change.binding)
        if change.event in ("registered", "refreshed"):
            self._enter(change.name, change.binding)

    def _enter(self, name: str, binding: Binding) -> None:
        flow = binding.flow
        if flow is not None and not binding.path:
            self._flows[binding] = flow
            self._at[flow] = (*self._at.get(flow, ()), name)

    def _leave(self, name: str, binding: Binding) -> None:
        flow = self._flows.pop(binding, None)
        if flow is None:
            return
        names = list(self._at.pop(flow))
        names.remove(name)
        if names:
            self._at[flow] = tuple(names)


def reachable(binding: Binding) -> bool:
    """Whether something can be sent to it: by its path, or over a flow that is still there."""
    return bool(binding.path) or (binding.flow is not None and binding.flow.connected)
