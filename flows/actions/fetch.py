"""The action `fetch`: runs the actions that a web server answers with."""

import json
from typing import Any, Literal
from urllib.parse import urlencode

from flows.actions import action
from flows.faults import ActionError, FlowError, printable
from flows.language.options import Options
from flows.language.program import Program
from flows.language.registry import ANY
from flows.language.run import Run
from flows.values import WebAddress
from flows.web import exchange, send, url_text

IN_QUERY = ("call.id", "call.source.number", "call.destination.number", "call.digits")
"""The query parameters of a GET."""


class FetchOptions(Options):
    """`fetch`: the actions that a web server answers with, run in place."""

    web_addresses = ("event_url",)

    event_url: WebAddress
    event_method: Literal["POST", "GET"] = "POST"


@action(
    FetchOptions,
    media=ANY,
    early=True,
    connects=True,
    describe=lambda run, option: f"{option.event_method} {option.event_url} (not asked)",
)
async def fetch(run: Run, option: FetchOptions) -> Program | None:
    """Asks, and runs the answer's actions; the flow goes on behind them. What the server is told: with POST the call
    and all variables as JSON, with GET who calls whom and the digits, as parameters."""
    if option.event_method == "POST":
        answer = await send(run.services.web, "POST", option.event_url, document(run))
    else:
        known = urlencode({name: run.variables.get(name) for name in IN_QUERY})
        uri = option.event_url + ("&" if "?" in option.event_url else "?") + known
        status, answer = await exchange(run.services.web, "GET", uri, b"", {})
        if not 200 <= status < 300:
            raise ActionError(f"{url_text(option.event_url)} answered {status}")
    return program_of(run, option.event_url, answer)


def document(run: Run) -> dict[str, Any]:
    """The body of the request: the call and its variables."""
    get = run.variables.get
    return {
        "call": {
            "id": get("call.id"),
            "direction": get("call.direction"),
            "status": get("call.status"),
            "source": {"number": get("call.source.number"), "name": get("call.source.name")},
            "destination": {"number": get("call.destination.number")},
            "digits": get("call.digits"),
        },
        "number": get("number.number"),
        "flow": run.program.title,
        "variables": run.variables.known(),
    }


def program_of(run: Run, uri: str, answer: bytes) -> Program | None:
    """The program of an answer, None for one without actions. Raises ActionError with every fault."""
    where = url_text(uri)
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        raise ActionError(f"{where} answered no JSON; answer with a list of actions") from None
    if isinstance(found, dict):
        if others := found.keys() - {"actions"}:
            unknown = ", ".join(sorted(printable(name) for name in others)[:5])
            raise ActionError(f"{where} answered with {unknown}, which is not known here; answer with actions alone")
        found = found.get("actions")
    if not isinstance(found, list):
        raise ActionError(f"{where} answered no list of actions")
    if not found:
        return None
    try:
        program = run.services.library.compile(found, run.medium, where)
    except FlowError as error:
        raise ActionError("; ".join(str(fault) for fault in error.faults[:5])) from None
    program.name = f"fetched by {run.program.title}"
    program.belongs_to(run.program.customer_id)
    return program
