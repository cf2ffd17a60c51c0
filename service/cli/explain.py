"""What a number leads to, for people: a table in a terminal, plain lines in a pipe."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from config.logs import escape
from routing.hunt.explanation import ExplainedEntry, Explanation

_SOURCES = {"trunk": "from a trunk", "client": "from a client", "guest": "from a guest"}
_NAMED_BY = {
    "operator": "as a destination of the platform, for itself",
    "platform": "as a destination of the platform, on a customer's call",
    "customer": "as a destination of a customer",
}
_HEADINGS = ("order", "provider", "route", "request URI", "tried or skipped, and why")


def show(explanation: Explanation, flows: Mapping[UUID, str], console: Console | None = None) -> None:
    """Print an explanation. `flows` are the names of the flows by id."""
    console = console or Console(highlight=False)
    for line in sentences(explanation, flows):
        console.out(line, highlight=False)
    if not explanation.entries:
        return
    rows = [_row(entry) for entry in explanation.entries]
    if console.is_terminal:
        table = Table(*(Column(heading, overflow="fold") for heading in _HEADINGS))
        for entry, row in zip(explanation.entries, rows, strict=True):
            table.add_row(*map(Text, row), style="" if entry.tried else "dim")
        console.print(table)
        return
    widths = [max(len(row[column]) for row in (_HEADINGS, *rows)) for column in range(len(_HEADINGS))]
    for row in (_HEADINGS, *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        console.out("  ".join(cells).rstrip(), highlight=False)


def sentences(explanation: Explanation, flows: Mapping[UUID, str]) -> Iterator[str]:
    """The verdict, and what each kind of caller gets."""
    yield _named(explanation.reason, flows)
    for verdict in explanation.verdicts:
        yield f"  {_SOURCES[verdict.source]}: {_named(verdict.reason, flows)}"
    for named, reason in explanation.named.items():
        yield f"  {_NAMED_BY[named]}: {_named(reason, flows)}"


def _named(text: str, flows: Mapping[UUID, str]) -> str:
    """Ids of flows, which routing knows, as the names that the configuration knows."""
    for identifier, name in flows.items():
        text = text.replace(str(identifier), name)
    return escape(text)


def _row(entry: ExplainedEntry) -> tuple[str, ...]:
    route = entry.target if entry.route_id is None else f"{entry.target} (priority {entry.priority})"
    order = str(entry.position) if entry.tried else "-"
    return order, escape(entry.provider_name), route, escape(entry.request_uri), escape(entry.reason)
