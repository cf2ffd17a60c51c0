"""Dangling references of flows: legal, as the API may create what they name, and worth a note."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from config.faults import FieldPath
from config.resources import Resources
from flows.calls.address import PLACEHOLDER
from flows.faults import printable
from routing.identifiers import NIL, PLATFORM

Actions = Sequence[tuple[str, Mapping[str, Any]]]
"""The type and the options of each action. The options are sound: the flow has been checked whole."""


def dangling_references(resources: Resources) -> Iterator[tuple[FieldPath, str]]:
    """The fields that lead nowhere as far as the file goes, and what becomes of that."""
    agents = {reference for agent in resources.agents for reference in (agent.name, str(agent.id))}
    extensions = {reference: one for one in resources.extensions for reference in (one.name, str(one.id))}
    reached = {"agent": agents, "extension": extensions.keys()}
    joined = {
        "queue_id": {reference for queue in resources.queues for reference in (queue.name, str(queue.id))},
        "conference_id": {reference for room in resources.conferences for reference in (room.name, str(room.id))},
    }
    for index, flow in enumerate(resources.flows):
        actions = [(action.type, action.option) for action in flow.actions]
        yield from _unknown(actions, ("flows", index, "actions"), reached, joined)
    for index, agent in enumerate(resources.agents):
        for place, address in enumerate(agent.addresses):
            field: FieldPath = ("agents", index, "addresses", place, "type")
            if problem := _unreachable(address.model_dump(), reached):
                yield field, problem
            elif address.type == "extension" and (extension := extensions.get(address.target)):
                owners = {extension.customer_id, agent.customer_id}
                if len(owners) > 1 and owners != {NIL, PLATFORM}:
                    what = f"{address.target} is customer {extension.customer_id}'s, and the agent is another's"
                    yield field, f"{what}; until both are of one customer it is not found (404)"


def _unknown(
    actions: Actions, path: FieldPath, reached: Mapping[str, Collection[str]], joined: Mapping[str, Collection[str]]
) -> Iterator[tuple[FieldPath, str]]:
    for index, (kind, option) in enumerate(actions):
        if kind in ("connect", "call"):
            for place, destination in enumerate(option.get("destinations", ())):
                if problem := _unreachable(destination, reached):
                    yield (*path, index, "option", "destinations", place, "type"), problem
        for field, known in joined.items():
            name = option.get(field, "")
            # Without any in the file all of them are the API's.
            if kind == field.replace("_id", "_join") and known and name not in known and PLACEHOLDER not in name:
                what = f"there is no {field.removesuffix('_id')} '{printable(name)}' in this file"
                yield (*path, index, "option", field), f"{what}; unless the API makes it, this action fails"
        inner = [(action.get("type", ""), action.get("option") or {}) for action in option.get("actions", ())]
        yield from _unknown(inner, (*path, index, "option", "actions"), reached, joined)


def _unreachable(destination: Any, reached: Mapping[str, Collection[str]]) -> str:
    if not isinstance(destination, dict):
        return ""
    kind, target = destination.get("type", ""), destination.get("target", "")
    if kind in reached and target not in reached[kind] and PLACEHOLDER not in target:
        what = f"there is no {kind} '{printable(target)}' in this file"
        return f"{what}; unless the API makes it, this destination is not found (404)"
    return ""
