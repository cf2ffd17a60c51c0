"""`trunkline explain`: what a number leads to, as a table in a terminal and as plain lines in a pipe."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from config.logs import escape
from service.cli.support.options import DEFAULT_CONFIG, ConfigFile
from service.cli.support.running import DONE, FAILED, complain, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from config.loading import Configuration
    from routing.directory.directory import Directory
    from routing.hunt.explanation import ExplainedEntry, Explanation

POSITION = 3

_SOURCES = {"trunk": "from a trunk", "client": "from a client", "guest": "from a guest"}
_NAMED_BY = {
    "operator": "as a destination of the platform, for itself",
    "platform": "as a destination of the platform, on a customer's call",
    "customer": "as a destination of a customer",
}
_HEADINGS = ("order", "provider", "route", "request URI", "tried or skipped, and why")


def explain(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="What is dialled.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> int:
    """Show which flow, which phones or which providers a number or a name leads to, and why."""
    from config.loading import load
    from routing.hunt.health import HealthBoard
    from routing.hunt.router import Router
    from service.python_flows import python_flow_names
    from store.database.errors import StoreError

    configuration = load(config, python_flows=python_flow_names)
    try:
        directory, names = asyncio.run(known_directory(configuration))
    except StoreError as error:
        complain(f"store {one_line(str(error))}")
        return FAILED
    router = Router(directory, HealthBoard(configuration.transports), configuration.routing_settings())
    show(router.explain(number, time.monotonic()), names)
    return DONE


async def known_directory(configuration: "Configuration") -> "tuple[Directory, dict[UUID, str]]":
    """What the store holds and the file declares, and the names of the flows by id. A store that is not there yet holds
    nothing, and none is made. Raises StoreError."""
    from routing.directory.directory import Directory
    from service.node_settings import extensions_of
    from service.storage import store_url
    from store.directory.loading import flow_rows, load
    from store.store import Store

    directory = Directory(limit=0)
    names: dict[UUID, str] = {}
    url = store_url(configuration)
    if _there(url):
        store = await Store.open(url)
        try:
            # What this version cannot read, the engine passes over too, and says so in its log.
            directory.swap(await load(store, lambda kind, identifier, error: None))
            names = {row["id"]: row["name"] for row in await flow_rows(store)}
        finally:
            await store.close()
    for provider in configuration.providers:
        named = directory.provider_named(provider.name)
        if named is None or named.id == provider.id:
            directory.put_provider(provider)
    for number in configuration.numbers:
        directory.put_number(number)
    for route in configuration.routes:
        directory.put_route(route)
    for extension in extensions_of(configuration):
        directory.put_extension(extension)
    return directory, names | {flow.id: flow.name for flow in configuration.flows}


def _there(url: str) -> bool:
    if url == ":memory:":
        return False
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").exists()


def show(explanation: "Explanation", flows: Mapping[UUID, str], console: "Console | None" = None) -> None:
    """Print an explanation. `flows` are the names of the flows by id."""
    from rich.console import Console

    console = console or Console(highlight=False)
    for line in sentences(explanation, flows):
        console.out(line, highlight=False)
    if not explanation.entries:
        return
    rows = [_row(entry) for entry in explanation.entries]
    if console.is_terminal:
        from rich.table import Column, Table
        from rich.text import Text

        table = Table(*(Column(heading, overflow="fold") for heading in _HEADINGS))
        for entry, row in zip(explanation.entries, rows, strict=True):
            table.add_row(*map(Text, row), style="" if entry.tried else "dim")
        console.print(table)
        return
    widths = [max(len(row[column]) for row in (_HEADINGS, *rows)) for column in range(len(_HEADINGS))]
    for row in (_HEADINGS, *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        console.out("  ".join(cells).rstrip(), highlight=False)


def sentences(explanation: "Explanation", flows: Mapping[UUID, str]) -> Iterator[str]:
    """The verdict, and what each kind of caller gets."""
    yield _named(explanation.reason, flows)
    for verdict in explanation.verdicts:
        yield f"  {_SOURCES[verdict.source]}: {_named(verdict.reason, flows)}"
    if explanation.lookup:
        yield f"  {escape(explanation.lookup)}"
    for named, reason in explanation.named.items():
        yield f"  {_NAMED_BY[named]}: {_named(reason, flows)}"


def _named(text: str, flows: Mapping[UUID, str]) -> str:
    """Ids of flows, which routing knows, as the names that the configuration knows."""
    for identifier, name in flows.items():
        text = text.replace(str(identifier), name)
    return escape(text)


def _row(entry: "ExplainedEntry") -> tuple[str, ...]:
    route = entry.target if entry.route_id is None else f"{entry.target} (priority {entry.priority})"
    order = str(entry.position) if entry.tried else "-"
    return order, escape(entry.provider_name), route, escape(entry.request_uri), escape(entry.reason)
