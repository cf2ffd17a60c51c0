"""The resource lists of a configuration file: providers, routes, numbers, flows, extensions, and agents, queues and
conferences, which refer to each other by name.

What a resource may hold is said by `routing` and `flows`, and so is what makes a reference right; here their faults
find the place in the file, and one mistake stays one fault.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from config.extensions import check_caller_ids, doubtful, gather
from config.faults import FieldPath
from config.messages import sentence
from config.settings import SipUser
from flows.actions import ACTIONS
from flows.faults import FlowError, described_shape
from flows.language.model import Flow, read_flow
from flows.language.validation import needs_a_call
from flows.queues.declared import DeclaredAgent, DeclaredConference, DeclaredQueue
from routing.identifiers import NIL, named_id
from routing.models.declared import DeclaredNumber, DeclaredRoute, resolve
from routing.models.extension import DeclaredExtension
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.models.sentences import fields_at
from routing.settings import RoutingSettings

LISTS = ("providers", "routes", "numbers", "flows", "extensions", "agents", "queues", "conferences")

Report = Callable[[FieldPath, str], None]
"""Takes the field and what is wrong with it."""

M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", DeclaredAgent, DeclaredQueue, DeclaredConference)


@dataclass(slots=True, kw_only=True)
class Resources:
    """The lists as models; `warnings` are fields with something legal that is probably not meant."""

    providers: list[Provider] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    extensions: list[DeclaredExtension] = field(default_factory=list)
    agents: list[DeclaredAgent] = field(default_factory=list)
    queues: list[DeclaredQueue] = field(default_factory=list)
    conferences: list[DeclaredConference] = field(default_factory=list)
    warnings: list[tuple[FieldPath, str]] = field(default_factory=list)


def read_resources(
    lists: Mapping[str, Any],
    fault: Report,
    *,
    numbering: RoutingSettings | None = None,
    python_flows: Collection[str] = (),
    users: Sequence[SipUser] = (),
) -> Resources:
    """Check the lists and resolve their references. What is wrong goes to `fault`, and the rest is read all the same.

    `numbering` says how numbers are read. `python_flows` are names of flows that may be referred to besides those of
    the file, `users` further extensions.
    """
    return _Reading(lists, fault, numbering).resources(python_flows, users)


class _Reading:
    def __init__(self, lists: Mapping[str, Any], fault: Report, numbering: RoutingSettings | None) -> None:
        self._fault = fault
        self._context = {"numbering": numbering}
        self._entries = {section: self._mappings(section, lists.get(section, [])) for section in LISTS}

    def resources(self, python_flows: Collection[str], users: Sequence[SipUser]) -> Resources:
        flow_ids = self._flow_ids(python_flows)
        flows = self._flows(flow_ids)
        providers = self._models(Provider, "providers")
        routes = self._models(DeclaredRoute, "routes")
        numbers = self._models(DeclaredNumber, "numbers")
        # A provider with a fault of its own still has its name: routes that give it are right.
        wrong = [index for index in self._entries["providers"] if index not in providers]
        named = {index: self._stand_in(index) for index in wrong} | providers
        places = {"providers": list(named), "routes": list(routes), "numbers": list(numbers)}
        resolved = resolve(list(numbers.values()), list(named.values()), list(routes.values()), flow_ids)
        for (section, position, *rest), problem in resolved.faults:
            self._fault((section, places[str(section)][int(position)], *rest), problem)
        self._message_flows(numbers, flow_ids, flows)
        warnings: list[tuple[FieldPath, str]] = []
        for index, number in numbers.items():
            if number.status == "active" and not number.call_flow and number.call_flow_id == NIL:
                problem = f"{number.number} has no call_flow and calls to it get 480; name one of the flows"
                warnings.append((("numbers", index), problem))
        extensions = gather(self._models(DeclaredExtension, "extensions"), users, flow_ids, self._fault)
        check_caller_ids(extensions, resolved.numbers, self._fault)
        warnings += doubtful(extensions, providers=bool(providers))
        agents, queues, conferences = self._rooms(flow_ids)
        return Resources(
            providers=list(providers.values()),
            routes=resolved.routes,
            numbers=resolved.numbers,
            flows=flows,
            extensions=[extension for _, extension in extensions],
            agents=agents,
            queues=queues,
            conferences=conferences,
            warnings=warnings,
        )

    def _rooms(
        self, flow_ids: Mapping[str, UUID]
    ) -> tuple[list[DeclaredAgent], list[DeclaredQueue], list[DeclaredConference]]:
        agents = self._named(DeclaredAgent, "agents")
        # An agent with a fault of its own still has its name: queues that give it are right.
        names = [entry.get("name") for entry in self._entries["agents"].values()]
        ids = {name: named_id("agent", name) for name in names if isinstance(name, str)}
        ids |= {agent.name: agent.id for agent in agents.values()}
        owners = {agent.name: agent.customer_id for agent in agents.values()}
        queues = self._named(DeclaredQueue, "queues")
        for index, queue in queues.items():
            for path, problem in queue.faults(ids, owners, flow_ids):
                self._fault(("queues", index, *path), problem)
        conferences = self._named(DeclaredConference, "conferences")
        return list(agents.values()), list(queues.values()), list(conferences.values())

    def _named(self, model: type[N], section: str) -> dict[int, N]:
        """The sound ones, by their place in the list, each with a name of its own."""
        first: dict[str, int] = {}
        found = self._models(model, section)
        for index, one in found.items():
            if (earlier := first.setdefault(one.name, index)) != index:
                problem = f"{one.name} is listed twice, first as entry {earlier + 1}; keep one"
                self._fault((section, index, "name"), problem)
        return found

    def _message_flows(
        self, numbers: Mapping[int, DeclaredNumber], ids: Mapping[str, UUID], flows: Collection[Flow]
    ) -> None:
        """A flow that runs on messages must not need a call."""
        problems = {flow.id: needs_a_call(ACTIONS, (action.type for action in flow.actions)) for flow in flows}
        for index, number in numbers.items():
            identifier = ids.get(number.message_flow, number.message_flow_id)
            if problem := problems.get(identifier):
                field = "message_flow" if number.message_flow else "message_flow_id"
                self._fault(("numbers", index, field), f"{number.message_flow or identifier}: {problem}")

    def _mappings(self, section: str, entries: Any) -> dict[int, dict[str, Any]]:
        if not isinstance(entries, list):
            self._fault((section,), f"must be a list, and is {described_shape(entries)}; begin each entry with a dash")
            return {}
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                problem = f"must be a mapping, and is {described_shape(entry)}; write it as {{name: value, …}}"
                self._fault((section, index), problem)
        return {index: entry for index, entry in enumerate(entries) if isinstance(entry, dict)}

    def _models(self, model: type[M], section: str) -> dict[int, M]:
        """The sound ones, by their place in the list."""
        found = {}
        for index, entry in self._entries[section].items():
            try:
                found[index] = model.model_validate(entry, context=self._context)
            except ValidationError as error:
                for details in error.errors():
                    problem = sentence(details, fields_at(model, details["loc"]))
                    self._fault((section, index, *details["loc"]), problem)
        return found

    def _stand_in(self, index: int) -> Provider:
        name = self._entries["providers"][index].get("name")
        # The place stands in for a missing name, so that this provider's own faults are all that is said of it.
        name = name if isinstance(name, str) and name else f"providers[{index}]"
        return Provider.model_construct(name=name, id=named_id("provider", name))

    def _flow_ids(self, python_flows: Collection[str]) -> dict[str, UUID]:
        """The ids of all flows by name, known before any flow is read, as flows refer to each other."""
        ids = {name: named_id("flow", name) for name in python_flows}
        first: dict[str, int] = {}
        for index, entry in self._entries["flows"].items():
            name = entry.get("name", "")
            place = ("flows", index, "name")
            if name == "":
                self._fault(place, "the flow has no name; give it one, so that numbers can name it")
            elif isinstance(name, str):
                if name in first:
                    self._fault(place, f"{name} is listed twice, first as entry {first[name] + 1}; keep one")
                elif name in python_flows:
                    self._fault(place, f"{name} is registered by the flows_module too; rename one of the two")
                first.setdefault(name, index)
                ids[name] = _given_id(entry) or named_id("flow", name)
        return ids

    def _flows(self, ids: Mapping[str, UUID]) -> list[Flow]:
        known = {*ids, *map(str, ids.values())}
        flows = []
        for index, entry in self._entries["flows"].items():
            try:
                flows.append(read_flow(entry, ACTIONS, flows=known))
            except FlowError as error:
                title = str(entry.get("name") or entry.get("id") or "")
                for found in error.faults:
                    if found.flow == title or not title:
                        self._fault(("flows", index, *found.path), found.problem)
                    else:  # among the actions that a `call` holds, whose places count from there
                        self._fault(("flows", index), str(found))
        return flows


def _given_id(entry: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(entry["id"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
