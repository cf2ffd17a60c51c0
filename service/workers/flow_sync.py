"""Flow sync: rows of flows become programs in the library, at the start and when they change."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from engine.log import Log
from flows.actions import ACTIONS
from flows.faults import FlowError
from flows.language.library import FlowLibrary
from flows.language.model import Flow, read_flow
from flows.language.program import Program
from store.directory.loading import flow_rows
from store.directory.mapping import Row, flow_document
from store.store import Store

COMPILED_AT_ONCE = 20  # flows between two looks at the network


class FlowSync:
    """Fills a flow library with the flows of the store, beside those in Python. The `FlowSink` of a DirectorySync."""

    def __init__(self, library: FlowLibrary, log: Log) -> None:
        self._library = library
        self._log = log
        self._python: Mapping[str, Program] = {}
        self._one_at_a_time = asyncio.Lock()
        # Changes that come while another library is being filled: that one has to have them, too.
        self._late: list[Callable[[FlowLibrary], Any]] | None = None

    async def replace(self, rows: Sequence[Row]) -> None:
        """These flows, those in Python, and no others."""
        async with self._one_at_a_time:
            self._late = []
            await self._fill(rows)

    async def replace_python(self, python: Mapping[str, Program], store: Store) -> None:
        """Take other flows in Python. Raises StoreError, or SQLAlchemy's DBAPIError."""
        async with self._one_at_a_time:
            self._late = []
            rows = await flow_rows(store)
            self._python = python
            await self._fill(rows)

    def use_python(self, python: Mapping[str, Program]) -> None:
        """The flows in Python from the next `replace` on."""
        self._python = python

    def put(self, row: Row) -> None:
        """This flow is new or has changed."""
        flow = self._read(row)
        if flow is not None:
            self._change(lambda library: library.put(flow))
        else:
            self.remove(row["id"])

    def remove(self, flow_id: UUID) -> None:
        """This flow is gone."""
        self._change(lambda library: library.remove(flow_id))

    def _change(self, change: Callable[[FlowLibrary], Any]) -> None:
        change(self._library)
        if self._late is not None:
            self._late.append(change)

    async def _fill(self, rows: Sequence[Row]) -> None:
        filled = FlowLibrary(ACTIONS, (), self._python)
        try:
            for place, row in enumerate(rows):
                flow = self._read(row)
                if flow is not None:
                    filled.put(flow)
                if place % COMPILED_AT_ONCE == 0:
                    await asyncio.sleep(0)
            for change in self._late or ():
                change(filled)
        finally:
            self._late = None
        self._library.replace(filled)

    def _read(self, row: Row) -> Flow | None:
        try:
            return read_flow(flow_document(row), ACTIONS)
        except FlowError as error:
            # It was in order when it was saved: this version sees it otherwise.
            self._log.error(
                "a flow of the store cannot be used: correct or delete it",
                id=str(row["id"]),
                name=row["name"],
                fault="; ".join(str(fault) for fault in error.faults)[:500],
            )
            return None
