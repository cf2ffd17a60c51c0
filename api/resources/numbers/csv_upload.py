"""Many numbers for the inventory, from one CSV file: line by line, so that one wrong line costs only itself.

The file is read between the turns of calls, for a millisecond at a time, and written some hundred lines at a time:
other writers get in between.
"""

import asyncio
import csv
import io
import time
from collections.abc import Iterator
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel

from api.http.errors import ApiError, fault_in
from api.http.services import Services
from api.models.derive import checked
from api.models.fields import ALL_TEXT, refuse_declared
from api.resources.numbers.inventory_item import InventoryCreate, inventory_row
from flows.faults import printable
from routing.directory.lifecycle import check_offerable
from routing.errors import RoutingError
from routing.identifiers import NIL
from store.database import tables
from store.feed import EVERYTHING
from store.resources import numbers
from store.rows import Row

AT_ONCE = 200
"""Lines that are written in one transaction."""
BREATH = 0.001
"""Seconds of reading after which the loop gets its turn."""
MOST_LINES = 1_000_000
MOST_ERRORS = 1_000
"""Wrong lines that the answer describes; all are counted."""
MANY = 1_000
"""With more numbers than this, directories are told to read everything again rather than each number."""

_COLUMNS = {name: name for name in InventoryCreate.model_fields if name != "provider_id"} | {
    "provider": "provider",
    "provider_id": "provider",
    "type": "kind",
}
"""The names of columns, and what is in them; the search says `type` for the kind."""


class UploadError(BaseModel):
    """A line that was not taken. Lines count from 1, the one with the names of the columns included."""

    line: int
    number: str
    reason: str
    message: str


class UploadResult(BaseModel):
    """What has become of a CSV file's lines. `unchanged` were on offer just so; `changed` were on offer with another
    provider, price, name or place. `errors` describes the first thousand of the `refused`."""

    lines: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    errors: list[UploadError] = []


class Upload:
    """One file on its way into the inventory."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._result = UploadResult(errors=[])
        self._line_of: dict[str, int] = {}
        self._providers: dict[str, UUID] = {}
        self._told = 0
        self._untold = False

    async def run(self, body: bytes) -> UploadResult:
        """Take the good lines. Raises ApiError for a file that cannot be read at all."""
        reader = csv.reader(io.StringIO(_decoded(body), newline=""), strict=True)
        columns = _header(reader)
        await self._find_providers()
        batch: list[Row] = []
        since = time.monotonic()
        for line, cells in self._lines(reader):
            row = self._read(line, columns, cells)
            if row is not None:
                batch.append(row)
            if len(batch) == AT_ONCE:
                await self._write(batch)
                batch = []
            elif time.monotonic() - since > BREATH:
                await asyncio.sleep(0)
            else:
                continue
            since = time.monotonic()
        if batch:
            await self._write(batch)
        if self._untold:
            async with self._services.store.write() as transaction:
                transaction.changes.append(EVERYTHING)
        return self._result

    def _lines(self, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        while True:
            line = self._result.lines + 2
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"this is no CSV ({error}); nothing from here on was taken"
                self._refuse(line, "", "INVALID_REQUEST_PARAMETER", problem)
                return
            if self._result.lines == MOST_LINES:
                problem = f"a file has at most {MOST_LINES} lines; send the others in another one"
                self._refuse(line, "", "INVALID_REQUEST_PARAMETER", problem)
                return
            self._result.lines += 1
            if any(cells):
                yield line, cells

    def _read(self, line: int, columns: list[str], cells: list[str]) -> Row | None:
        values = {name: text for name, cell in zip(columns, cells, strict=False) if (text := cell.strip())}
        written = values.get("number", "")
        try:
            if len(cells) > len(columns):
                problem = f"there are {len(cells)} values for {len(columns)} columns; put texts with commas in quotes"
                raise ApiError("INVALID_REQUEST_PARAMETER", problem)
            provider_id = self._provider(values.pop("provider", ""))
            row = inventory_row(
                self._services, checked(InventoryCreate, values | {"provider_id": provider_id}, ALL_TEXT)
            )
            first = self._line_of.setdefault(row["number"], line)
            if first != line:
                raise ApiError("NUMBER_ALREADY_EXISTS", f"{row['number']} is in line {first} already; keep one")
        except ApiError as error:
            self._refuse(line, written, error.reason, str(error))
            return None
        return row

    async def _find_providers(self) -> None:
        columns = tables.providers.c
        query = sa.select(columns.id, columns.name).where(columns.tm_delete.is_(None))
        async with self._services.store.read() as connection:
            for identifier, name in (await connection.execute(query)).all():
                self._providers[str(identifier)] = identifier
                if name:
                    self._providers.setdefault(name, identifier)

    def _provider(self, text: str) -> UUID:
        if not text:
            return NIL
        found = self._providers.get(text) or self._providers.get(text.lower())
        if found is None:
            raise fault_in("provider", "PROVIDER_NOT_FOUND", f"there is no provider {text[:64]!r}; create it first")
        return found

    async def _write(self, batch: list[Row]) -> None:
        result = self._result
        async with self._services.store.write() as transaction:
            done = await numbers.offer(transaction, batch)
            new = [*done.added, *done.changed]
            if self._told + len(new) <= MANY:
                for row in new:
                    transaction.changed("number", row["id"], row["number"])
                self._told += len(new)
            else:
                self._untold = True
        result.added += len(done.added)
        result.changed += len(done.changed)
        result.unchanged += len(done.unchanged)
        for row, old in done.held:
            reason, problem = _why_held(row["number"], old)
            self._refuse(self._line_of[row["number"]], row["number"], reason, problem)

    def _refuse(self, line: int, number: str, reason: str, message: str) -> None:
        result = self._result
        result.refused += 1
        if len(result.errors) < MOST_ERRORS:
            result.errors.append(UploadError(line=line, number=number[:64], reason=reason, message=message))


def _why_held(number: str, old: Row | None) -> tuple[str, str]:
    try:
        if old is not None:
            refuse_declared(old, "number")
            check_offerable(old["status"], number)
    except (ApiError, RoutingError) as error:
        return error.reason, str(error)
    return "NUMBER_ALREADY_EXISTS", f"{number} was changed at the same time; send it again"


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        problem = f"line {line} is not UTF-8; save the file with that encoding. Nothing was taken"
        raise fault_in("", "INVALID_REQUEST_PARAMETER", problem) from None


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        names = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        problem = f"the first line is no CSV ({error}); write the names of the columns, with commas between them"
        raise fault_in("", "INVALID_REQUEST_PARAMETER", problem) from None
    columns = [_COLUMNS.get(name, "") for name in names]
    known = ", ".join(_COLUMNS)
    if "number" not in columns:
        problem = f"the first line must name the columns, number among them; there are: {known}"
        raise fault_in("number", "MISSING_REQUEST_PARAMETER", problem)
    if "" in columns:
        problem = f"is not known here as a column; there are: {known}"
        raise fault_in(printable(names[columns.index("")]), "INVALID_REQUEST_PARAMETER", problem)
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise fault_in(twice, "INVALID_REQUEST_PARAMETER", "stands twice in the first line; keep one")
    return columns


__all__ = ["Upload", "UploadError", "UploadResult"]
