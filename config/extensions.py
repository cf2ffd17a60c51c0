"""The extensions of a configuration file: the list, and `sip.users` of older files, with what does not go together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

from config.faults import FieldPath
from config.settings import SipUser
from routing.identifiers import NIL, PLATFORM
from routing.models.declared import flow_problem
from routing.models.extension import DeclaredExtension, weak_password
from routing.models.number import Number

Report = Callable[[FieldPath, str], None]

Placed = tuple[FieldPath, DeclaredExtension]
"""An extension, and where in the file it stands."""


def gather(
    listed: Mapping[int, DeclaredExtension], users: Sequence[SipUser], flows: Mapping[str, UUID], fault: Report
) -> list[Placed]:
    """All of them: those of the list, by their place in it, with the ids of their flows, then `sip.users`. Tells
    `fault` of names that stand twice and of flows that do not exist."""
    placed: list[Placed] = []
    for index, extension in listed.items():
        field, given = ("call_flow", extension.call_flow), extension.call_flow_id
        if problem := flow_problem(*field, given, flows):
            fault(("extensions", index, "call_flow"), problem)
        extension.call_flow_id = flows.get(extension.call_flow, given)
        placed.append((("extensions", index), extension))
    for number, user in enumerate(users):
        values = user.model_dump(exclude={"username"})
        placed.append((("sip", "users", number), DeclaredExtension.of_user(user.username, **values)))
    first: dict[str, FieldPath] = {}
    for place, extension in placed:
        earlier = first.setdefault(extension.name, place)
        if earlier != place:
            name = "name" if place[0] == "extensions" else "username"
            entry = f"first as entry {int(earlier[-1]) + 1} of {'.'.join(map(str, earlier[:-1]))}"
            fault((*place, name), f"{extension.name} is listed twice, {entry}; keep one")
    return placed


def check_caller_ids(placed: Sequence[Placed], numbers: Sequence[Number], fault: Report) -> None:
    """Tells `fault` of numbers that are another customer's."""
    owners = {number.number: number.customer_id for number in numbers}
    for place, extension in placed:
        customer, others = extension.customer_id, extension.caller_ids
        for field, number in (("caller_id", extension.caller_id), *(("caller_ids", each) for each in others)):
            owner = owners.get(number)
            if owner is not None and owner != customer and {owner, customer} != {NIL, PLATFORM}:
                problem = f"{number} belongs to customer {owner}; write one of the extension's customer"
                fault((*place, field), problem)


def doubtful(placed: Sequence[Placed], *, providers: bool) -> Iterator[tuple[FieldPath, str]]:
    """What is legal and probably not meant. `providers`: whether there are any."""
    for place, extension in placed:
        if not extension.caller_id and extension.max_calls and providers:
            problem = f"{extension.name} has no caller_id: providers are told no number of its calls; give it one"
            yield place, problem
        if not extension.password:
            yield (*place, "password"), "there is none: no phone can log in; give it one"
        elif weakness := weak_password(extension.name, extension.password):
            what = "whoever guesses it calls at its customer's cost; make one with: openssl rand -base64 15"
            yield (*place, "password"), f"{weakness}: {what}"
