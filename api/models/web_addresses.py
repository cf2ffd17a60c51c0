"""Web addresses in bodies: none within this network, unless that is allowed.

What a name leads to, and what variables will hold, is looked at whenever somebody is asked (`flows.web`).
"""

from typing import Any

from api.http.errors import MOST_FAULTS, ApiError, Violation, fault_in
from api.http.services import Services
from flows.faults import format_path, printable
from flows.web_hosts import private_host, web_addresses


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


def _problem(host: str) -> str:
    return f"leads to {printable(host)}, which is private; the engine allows it with webhook.allow_private"


__all__ = ["refuse_private", "refuse_private_in"]
