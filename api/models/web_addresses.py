"""Web addresses in bodies: none within this network, unless that is allowed.

What a name leads to, and what variables will hold, is looked at whenever somebody is asked (`flows.web`).
"""

from collections.abc import Iterator
from typing import Any

from api.http.errors import MOST_FAULTS, ApiError, Violation, fault_in
from api.http.services import Services
from flows.actions import ACTIONS
from flows.faults import FieldPath, format_path, printable
from flows.web_hosts import private_host


def refuse_private(services: Services, uri: str, field: str) -> None:
    """Raises ApiError INVALID_REQUEST_PARAMETER for the field."""
    if not services.flows.web.limits.allow_private and (host := private_host(uri)):
        raise fault_in(field, "INVALID_REQUEST_PARAMETER", _problem(host))


def refuse_private_in(services: Services, actions: list[dict[str, Any]]) -> None:
    """For every web address that actions hold. Raises ApiError INVALID_ACTION."""
    if services.flows.web.limits.allow_private:
        return
    faults = [
        Violation(field=format_path(place), reason="INVALID_ACTION", message=_problem(host))
        for place, uri in web_addresses(actions)
        if (host := private_host(uri))
    ]
    if faults:
        message = f"{faults[0].field}: {faults[0].message}"
        raise ApiError("INVALID_ACTION", message, details=faults[:MOST_FAULTS])


def web_addresses(value: Any, place: FieldPath = ("actions",)) -> Iterator[tuple[FieldPath, str]]:
    """Every web address that actions hold as it stands, and where; actions may hold actions."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from web_addresses(item, (*place, number))
    elif isinstance(value, dict):
        option, action = value.get("option"), ACTIONS.get(str(value.get("type")))
        if isinstance(option, dict) and action is not None:
            for name in action.options.web_addresses:
                yield from _texts(option.get(name), (*place, "option", name))
        for name, inner in value.items():
            yield from web_addresses(inner, (*place, name))


def _texts(value: Any, place: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*place, number))


def _problem(host: str) -> str:
    return f"leads to {printable(host)}, which is private; the engine allows it with webhook.allow_private"


__all__ = ["refuse_private", "refuse_private_in", "web_addresses"]
