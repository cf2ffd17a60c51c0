"""`trunkline extensions`: who is registered, and from where."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from config.logs import escape
from service.cli.support.options import DEFAULT_CONFIG, ConfigFile
from service.cli.support.running import complain

POSITION = 8
_COLUMNS = ("extension", "customer", "registered from", "transport", "phone", "expires in", "node")


def extensions(
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, as JSON.")] = False,
) -> int:
    """List the extensions, and from where their phones are registered."""
    from service.administration import AdminError
    from store.database.errors import StoreError

    try:
        found = asyncio.run(_read(config))
    except (AdminError, StoreError) as error:
        complain(escape(str(error)))
        return 1
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show([*_rows(found)])
    return 0


async def _read(config: Path) -> Sequence[Mapping[str, Any]]:
    from service.administration import store_of
    from service.phones.listing import extensions_with_contacts

    def warn(told: str) -> None:
        print(escape(told), file=sys.stderr)

    async with store_of(config, lambda key: warn(f"access key of the super admin, shown this once: {key}"), warn) as it:
        return await extensions_with_contacts(it)


def _rows(found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """A line for each device, and one for each extension without any."""
    for extension in found:
        who = [extension["name"], extension["customer"]]
        if not extension["contacts"]:
            absent = "not registered" if extension["status"] == "active" else str(extension["status"])
            yield [*map(escape, who), absent, "", "", "", ""]
        for contact in extension["contacts"]:
            where = [contact["source"], contact["transport"], contact["user_agent"]]
            yield [*map(escape, who + where), f"{max(contact['expires_in'], 0)} s", escape(contact["node"])]


def _show(rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not Console().is_terminal:
        for row in rows:
            print("\t".join(row))
        return
    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
