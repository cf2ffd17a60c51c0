"""Contacts of extensions: where their registered devices are reached, and which extension a known device is of."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol
from uuid import UUID

from engine.sip.binding import Binding
from engine.sip.flow import Flow
from flows.calls.address import Address
from flows.calls.destinations import Contact
from routing.access.admission import extension_for
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.location import Location, LocationChange
from service.phones.moved_calls import RETURNS_WITHIN
from service.phones.returning import ReturningPhones

_LOST_MOST: Final = 10_000


class AgentFinder(Protocol):
    """Who knows agents (`service.contact_center.queue_directory.QueueDirectory`)."""

    def agent_address(self, address: Address, customer_id: UUID) -> tuple[Address, UUID] | None: ...


class DeviceObserver(Protocol):
    """Who is told of devices that move (`service.phones.moved_calls.MovedCalls`)."""

    def moved(self, old: Flow, new: Flow) -> None: ...
    def lost(self, flow: Flow) -> None: ...


class ExtensionContacts:
    """A `ContactResolver` for extensions, and for the `agents` who are called at them, or at SIP URIs.

    clock: Of the bindings' expiry.
    returning: Which phones are expected back.
    of_many: Whether many may be behind a party (`Flow.party`), such as an edge or a carrier.
    """

    def __init__(
        self,
        directory: Directory,
        location: Location,
        clock: Callable[[], float],
        agents: AgentFinder | None,
        devices: DeviceObserver | None = None,
        of_many: Callable[[str], bool] = lambda party: False,
        returning: ReturningPhones | None = None,
    ) -> None:
        self._returning = returning
        self._devices = devices
        self._of_many = of_many
        # Flows of devices that have lost their connection, and when, by extension and instance.
        self._lost: dict[tuple[str, str], tuple[Flow, float]] = {}
        self._directory = directory
        self._location = location
        self._clock = clock
        self._agents = agents
        # The extension of each flow, or how many bindings there are of each of several; and the flow of each binding,
        # which is written to when its device moves. Behind an edge many share one: it tells nothing.
        self._at: dict[Flow, str | dict[str, int]] = {}
        self._flows: dict[Binding, Flow] = {}
        # Flows that several extensions share, a gateway's: a call there may be anybody's of them.
        self._shared: set[Flow] = set()
        location.observers.append(self._changed)

    async def resolve(self, address: Address, customer_id: UUID) -> Sequence[Contact]:
        """See `ContactResolver`."""
        if address.type != "extension":
            found = None if self._agents is None else self._agents.agent_address(address, customer_id)
            if found is None:
                return ()
            address, customer_id = found
            if address.type == "sip":
                return (Contact(uri=address.sip_uri, customer_id=customer_id),)
        extension = extension_for(self._directory, address.target, customer_id)
        return () if extension is None else self.of(extension)

    async def returned(self, extension: str, at_most: float) -> bool:
        """See `ContactResolver`."""
        return self._returning is not None and await self._returning.wait(extension, at_most)

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
                flow_failed=partial(self._flow_failed, extension.name, binding) if binding.path else None,
                extension=extension.name,
            )
            for binding in devices.values()
        ]

    def _flow_failed(self, name: str, binding: Binding) -> None:
        self._location.remove(name, binding, "expired", "its proxy has lost the connection to it")

    def extension_at(self, source: Flow, claimed: str = "") -> ExtensionRow | None:
        """The extension whose device has registered from this flow. Of several, the one that it claims to be."""
        known = self._at.get(source, "")
        name = known if isinstance(known, str) else _one_of(known, claimed)
        extension = self._directory.extension(name) if name else None
        return extension if extension is not None and extension.active else None

    def _changed(self, change: LocationChange) -> None:
        name, binding = change.name, change.binding
        if change.event == "refreshed" and not binding.path and self._stays(binding):
            if self._lost and self._devices is not None:
                self._returned(name, binding, None)
            return
        replaced = None if change.replaced is None else self._leave(name, change.replaced)
        before = self._leave(name, binding) or replaced
        if change.event in ("registered", "refreshed"):
            self._enter(name, binding)
            if binding.flow is not None and not binding.path and self._devices is not None:
                self._returned(name, binding, before)
        elif change.event == "expired" and before is not None and self._devices is not None:
            self._gone(name, binding, before)

    def _returned(self, name: str, binding: Binding, before: Flow | None) -> None:
        """A device is there: by another flow than before?"""
        flow, device = binding.flow, (name, binding.instance.lower())
        lost, since = self._lost.pop(device, (None, 0.0)) if binding.instance else (None, 0.0)
        if self._clock() - since > RETURNS_WITHIN:
            lost = None
        assert flow is not None and self._devices is not None
        for old in (before, lost):
            if old is not None and old != flow and not self._of_many(old.party):
                self._devices.moved(old, flow)

    def _gone(self, name: str, binding: Binding, flow: Flow) -> None:
        assert self._devices is not None
        if not flow.transport.reliable or flow.connected or self._of_many(flow.party):
            return
        self._devices.lost(flow)
        if binding.instance:
            if len(self._lost) >= _LOST_MOST:
                del self._lost[next(iter(self._lost))]
            self._lost[name, binding.instance.lower()] = flow, self._clock()

    def _stays(self, binding: Binding) -> bool:
        """Whether a device is where it was, which is what nearly every refresh says."""
        flow, before = binding.flow, self._flows.get(binding)
        return flow is before is not None or (
            flow is not None
            and before is not None
            and flow == before
            and flow.connection is before.connection
            and flow.identity == before.identity
        )

    def _enter(self, name: str, binding: Binding) -> None:
        flow = binding.flow
        if flow is None or binding.path:
            return
        self._flows[binding] = flow
        known = self._at.get(flow)
        if known is None:
            self._at[flow] = name
            return
        if isinstance(known, str):
            known = self._at[flow] = {known: 1}
        if name not in known:
            self._shared.add(flow)
        known[name] = known.get(name, 0) + 1

    def _leave(self, name: str, binding: Binding) -> Flow | None:
        """The flow that its extension alone was known by."""
        flow = self._flows.pop(binding, None)
        if flow is None:
            return None
        shared = flow in self._shared
        known = self._at[flow]
        if not isinstance(known, str):
            known[name] -= 1
            if not known[name]:
                del known[name]
        if isinstance(known, str) or not known:
            del self._at[flow]
            self._shared.discard(flow)
        return None if shared else flow


def _one_of(names: dict[str, int], claimed: str) -> str:
    """Whose a flow is that several may share: whom it claims to be, else the only one."""
    return claimed if claimed in names else next(iter(names)) if len(names) == 1 else ""


def reachable(binding: Binding) -> bool:
    """Whether something can be sent to it: by its path, or over a flow that is still there."""
    return bool(binding.path) or (binding.flow is not None and binding.flow.connected)
