"""Validation of a flow as a whole: actions that exist, with valid options; jumps that lead to one; none out of reach.

Works on plain parts, so that the model and the compiler share it. Finds all faults in one go.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import ValidationError

from flows.faults import SUGGESTING, Fault, FieldPath, printable, sentence
from flows.language.options import NO_OPTIONS, Options
from flows.language.program import Medium
from flows.language.registry import Actions, ActionType

_MAX_DEPTH = 64


class Part(NamedTuple):
    """An action before its options are checked."""

    id: str
    next_id: str
    type: str
    option: dict[str, Any]


class _Check:
    __slots__ = ("actions", "faults", "flow", "parts")

    def __init__(self, actions: Actions, flow: str, parts: Sequence[Part]) -> None:
        self.actions = actions
        self.flow = flow
        self.parts = parts
        self.faults: list[Fault] = []

    def fault(self, index: int, path: FieldPath, problem: str) -> None:
        part = self.parts[index]
        self.faults.append(Fault(self.flow, index, part.id, part.type, ("actions", index, *path), problem))


def check_actions(
    actions: Actions,
    flow: str,
    parts: Sequence[Part],
    *,
    medium: Medium = "call",
    known_flows: Container[str] | None = None,
    known_others: Mapping[str, Container[str]] | None = None,
) -> tuple[list[Options], list[Fault]]:
    """The options of each action, and what is wrong with the flow called `flow`, which may have the `actions` of the
    table. `known_others`: what the fields of
    options may refer to, by their names (`queue_id`, `conference_id`)."""
    check = _Check(actions, flow, parts)
    places = _places(check)
    options = [_options(check, index, medium) for index in range(len(parts))]
    _jumps(check, options, places)
    if not check.faults:
        _reach(check, options, places)
    known = dict(known_others or {})
    if known_flows is not None:
        known["flow_id"] = known_flows
    for field, there in known.items():
        _references(check, options, field, there)
    return options, check.faults


def needs_a_call(actions: Actions, types: Iterable[str]) -> str:
    """Which of the actions of these types cannot run on a message, in words; "" where all of them can."""
    found = [
        f'action {place} ("{name}")'
        for place, name in enumerate(types, 1)
        if name in actions and "message" not in actions[name].media
    ]
    if not found:
        return ""
    return f"{', '.join(found[:3])}{' and others' * (len(found) > 3)} cannot run on a message; give it another flow"


def _places(check: _Check) -> dict[str, int]:
    places: dict[str, int] = {}
    for index, part in enumerate(check.parts):
        if part.id in places:
            check.fault(index, ("id",), f"is the id of action {places[part.id] + 1} too; give each action its own")
        else:
            places[part.id] = index
    return places


def _options(check: _Check, index: int, medium: Medium) -> Options:
    part = check.parts[index]
    kind = check.actions.get(part.type)
    if kind is None:
        advice = _meant(check, part.type, check.actions) or f"use one of: {', '.join(check.actions)}"
        check.fault(index, ("type",), f'"{printable(part.type)}" is no action; {advice}')
        return NO_OPTIONS
    if medium not in kind.media:
        check.fault(index, ("type",), f'"{part.type}" needs a call and cannot run on a {medium}; remove it')
    if _depth(part.option) > _MAX_DEPTH:
        check.fault(index, ("option",), "is nested too deeply; write it flatter")
        return NO_OPTIONS
    try:
        return kind.options.model_validate(part.option)
    except ValidationError as error:
        for details in error.errors():
            known = _known_fields(kind.options, details["loc"])
            problem = sentence(details, part.type, known, earlier=len(check.faults))
            check.fault(index, ("option", *details["loc"]), problem)
        return NO_OPTIONS


def _meant(check: _Check, name: str, known: Iterable[str]) -> str:
    """The question whether something with a like name was meant; "" where there is none, or there are faults enough."""
    close = get_close_matches(name, known, n=1) if len(check.faults) < SUGGESTING else []
    return f"did you mean {close[0]}?" if close else ""


def _depth(value: Any) -> int:
    deepest = 0
    waiting = [(value, 1)]
    while waiting and deepest <= _MAX_DEPTH:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict | list):
            waiting += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest


def _known_fields(model: type[Options], location: FieldPath) -> list[str]:
    if len(location) == 1:
        return list(model.model_fields)
    from_address = ["type", "target", "target_name", "name", "detail"]
    return from_address if location[:1] in (("source",), ("destinations",), ("target",)) else []


def _jumps(check: _Check, options: Sequence[Options], places: dict[str, int]) -> None:
    for index, part in enumerate(check.parts):
        targets = [(("option", *path), target) for path, target in options[index].jumps()]
        if part.next_id:
            targets.append((("next_id",), part.next_id))
        for path, target in targets:
            if target not in places:
                problem = f"there is no action with the id '{printable(target)}'; write one of this flow's ids"
                check.fault(index, path, problem)


def _reach(check: _Check, options: Sequence[Options], places: dict[str, int]) -> None:
    """Follows every way from the first action; what may not be reached, or not run there, is a fault.

    Of every action: whether on all ways to it the call has been answered, and whether on any early media was begun,
    in which sound is heard without an answer.
    """
    states: list[tuple[bool, bool] | None] = [None] * len(check.parts)
    waiting = [(0, (False, False))]
    while waiting:
        index, state = waiting.pop()
        before = states[index]
        merged = state if before is None else (before[0] and state[0], before[1] or state[1])
        if merged == before:
            continue
        states[index] = merged
        answered, early = merged
        kind = check.actions[check.parts[index].type]
        answered = answered or kind.answers or (kind.sounds and not early)
        early = early or kind.early
        waiting += [(following, (answered, early)) for following in _following(check, options, places, index, kind)]
    for index, found in enumerate(states):
        if found is None:
            check.fault(index, (), "is never reached; remove it, or jump to it from another action")
        elif found[0] and check.actions[check.parts[index].type].before_answer:
            problem = "cannot run here, because the call has been answered before; use hangup instead"
            check.fault(index, ("type",), problem)


def _following(
    check: _Check, options: Sequence[Options], places: dict[str, int], index: int, kind: ActionType
) -> Iterable[int]:
    part = check.parts[index]
    for _, target in options[index].jumps():
        yield places[target]
    if kind.ends or not options[index].falls_through:
        return
    if part.next_id:
        yield places[part.next_id]
    elif index + 1 < len(check.parts):
        yield index + 1


def _references(check: _Check, options: Sequence[Options], field: str, known: Container[str]) -> None:
    what = field.removesuffix("_id")
    for index, option in enumerate(options):
        reference = getattr(option, field, "")
        if reference and "${" not in reference and reference not in known:
            problem = f"there is no {what} '{printable(reference)}'; write the id or the name of a {what}"
            check.fault(index, ("option", field), problem)
