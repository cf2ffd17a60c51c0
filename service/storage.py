"""The store of a node: opened, told what the file declares, read into memory, and followed from then on."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from config.loading import Configuration
from engine.log import Log
from flows.language.library import FlowLibrary
from flows.language.program import Program
from routing.directory.directory import Directory
from routing.identifiers import named_id
from service import file_modes
from service.node_settings import extension_rows
from service.workers.flow_sync import FlowSync
from store.cluster.engine_lock import EngineLock
from store.cluster.heartbeat import NodeHeartbeat
from store.cluster.notifications import PostgresNotifications, RedisNotifications
from store.database.engines import parse_url, reason
from store.database.errors import StoreError
from store.database.file import database_files, database_path, make_private
from store.directory.number_source import StoredNumbers
from store.directory.reconcile import Declarations, Merge, merge
from store.directory.sync import DirectorySync
from store.feed import ChangeFeed
from store.maintenance.declared_files import declaring_files
from store.maintenance.encryption import unlock
from store.resources.events import EventSignal
from store.store import Store

SETTLED_WITHIN = 60.0  # s that a reload waits until calls go by what it has written


class Storage:
    """A store and everything that follows it. Made by `open`; `close` ends it.

    Attributes:
        store: The database.
        feed: Its changes; `subscribe` to hear of one kind.
        life: This node's row: `life.id` is what calls and reservations of this start are marked with.
        numbers: Numbers that are not in memory.
        new_events: Set when there are new events, of other processes too.
        notices: What hears other processes; empty where a look every second does.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        directory: Directory,
        library: FlowLibrary,
        log: Log,
        lock: EngineLock | None = None,
    ) -> None:
        self._directory = directory
        self._lock = lock
        self._log = log
        self._flow_sync = FlowSync(library, log)
        self.store = store
        self.feed = ChangeFeed(store, DirectorySync(store, directory, self._flow_sync, log), log)
        self.life = NodeHeartbeat(store, name, log=log)
        self.numbers = StoredNumbers(store, directory)
        self.new_events = EventSignal(store)
        self.notices: list[PostgresNotifications | RedisNotifications] = []

    @classmethod
    async def open(
        cls, configuration: Configuration, name: str, directory: Directory, library: FlowLibrary, log: Log
    ) -> "Storage":
        """Open the store and bring its tables up to date. Raises StoreError, a sentence for the user."""
        url = store_url(configuration)
        absent = absent_file(url)
        file = database_path(parse_url(url))
        lock = None
        if file is not None:
            make_private(file)
            lock = EngineLock.take(file)
        store = None
        try:
            store = await Store.open(url)
            await _unlock(store, configuration.settings.secret_key, log)
        except BaseException:
            if store is not None:
                await store.close()
            if lock is not None:
                lock.close()
            raise
        if absent is not None:
            _tell_of_new_file(configuration, absent, log)
        if file is not None:
            file_modes.tell(file_modes.loose(database_files(file)), log)
            if lock is None:
                hint = "its file system has no locks: let no other engine use it"
                log.warning("store not locked", file=str(file), hint=hint)
        storage = cls(store, name, directory, library, log, lock)
        heard = {"changes": storage.feed.look, "events": storage.new_events.notify}
        if store.dialect == "postgresql":
            storage.notices.append(PostgresNotifications(store, heard, log))
        if configuration.settings.redis and store.shared:
            storage.notices.append(RedisNotifications(configuration.settings.redis, store, heard, log))
        return storage

    async def start(self, configuration: Configuration, python: Mapping[str, Program]) -> Merge:
        """Write what the file declares, read everything, and begin to follow. Raises StoreError."""
        try:
            await self.life.start(given=bool(configuration.settings.node_name))
            merged = await self._merge(configuration)
            await self._tell_of_other_files(configuration)
            self._flow_sync.use_python(python)
            await self.feed.start()
        except SQLAlchemyError as error:
            raise self.unusable(error) from error
        for notices in self.notices:
            notices.start()
        return merged

    async def reload(self, configuration: Configuration, python: Mapping[str, Program]) -> Merge:
        """Write what the file declares now, and wait until calls go by it. Raises StoreError; nothing has changed
        then."""
        merged = await self._merge(configuration)
        await self.feed.settled(SETTLED_WITHIN)
        try:
            await self._flow_sync.replace_python(python, self.store)
        except SQLAlchemyError as error:
            raise StoreError(f"{self.store.url} cannot be read: {reason(error)}") from error
        return merged

    async def close(self) -> None:
        """End everything, the store last."""
        for notices in self.notices:
            await notices.close()
        await self.feed.close()
        await self.numbers.close()
        self.new_events.close()
        await self.life.close()
        await self.store.close()
        if self._lock is not None:
            self._lock.close()

    def unusable(self, error: SQLAlchemyError) -> StoreError:
        """What the user is told of an error at the start."""
        return StoreError(f"{self.store.url} cannot be used: {reason(error)}")

    async def _merge(self, configuration: Configuration) -> Merge:
        try:
            merged = await merge(self.store, declarations(configuration))
        except IntegrityError as error:
            problem = f"what {configuration.path} declares does not go with what is there: {reason(error)}"
            raise StoreError(f"{self.store.url}: {problem}") from error
        except SQLAlchemyError as error:
            raise self.unusable(error) from error
        for file, taken in merged.taken.items():
            self._log.warning("declarations taken over", file=file, **taken)
        return merged

    async def _tell_of_other_files(self, configuration: Configuration) -> None:
        """Say whose the rest is: where no other node reads those files, nobody could change or delete it."""
        async with self.store.read() as connection:
            files = await declaring_files(connection)
        files.pop(str(configuration.path.absolute()), None)
        if not files:
            return
        say = self._log.warning if await self.life.alone() else self._log.info
        for file, counts in files.items():
            hint = f"where no engine reads it any more: trunkline admin release {file}"
            say("declared in a file that this node does not read", file=file, **counts, hint=hint)


async def _unlock(store: Store, keys: Sequence[str], log: Log) -> None:
    try:
        written = await unlock(store, keys)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"{store.url} cannot be used: {reason(error)}") from error
    if written:
        log.info("secrets encrypted with the first key", rows=written)


def store_url(configuration: Configuration) -> str:
    """The URL of the store; a relative path of SQLite counts from the configuration file, as all of its paths do."""
    return _from(configuration.path.absolute().parent, configuration.settings.store)


def _from(directory: Path, url: str) -> str:
    if not url.startswith("sqlite:"):
        return url
    parsed = make_url(url)
    name = parsed.database or ":memory:"
    if name == ":memory:" or name.startswith("file:"):
        return url
    # Without `.` and `..`, as it is shown; links stay what they are.
    return parsed.set(database=os.path.normpath(directory / name)).render_as_string()


def absent_file(url: str) -> Path | None:
    """The file of an SQLite store that is not there yet; `url` as `store_url` makes it."""
    name = url.partition("?")[0].removeprefix("sqlite:///")
    path = Path(name)
    return path if url.startswith("sqlite:///") and path.is_absolute() and not path.exists() else None


def _tell_of_new_file(configuration: Configuration, made: Path, log: Log) -> None:
    """Whoever has had a store before wants to know that this is not it."""
    log.info("made a new store", file=str(made))
    before = Path(_from(Path.cwd(), configuration.settings.store).removeprefix("sqlite:///"))
    if before != made and before.exists():
        hint = "a relative path counts from the configuration file: stop the engine and move it there, if it is the one"
        log.warning("store in the start directory not used", file=str(before), hint=hint)


def declarations(configuration: Configuration) -> Declarations:
    """What a file declares, as the store takes it: with ids where the file has names. Flows in Python stay outside of
    it."""
    flow_ids = {flow.name: str(flow.id) for flow in configuration.flows if flow.name}
    flows: list[dict[str, Any]] = [
        {
            "id": flow.id,
            "customer_id": flow.customer_id,
            "name": flow.name,
            "detail": flow.detail,
            "actions": [action.model_dump(mode="json") for action in flow.actions],
            "on_complete_flow_id": _flow_id(flow.on_complete_flow_id, flow_ids),
            "media": flow.media,
        }
        for flow in configuration.flows
    ]
    return Declarations(
        source=str(configuration.path.absolute()),
        providers=configuration.providers,
        routes=configuration.routes,
        numbers=configuration.numbers,
        flows=flows,
        extensions=extension_rows(configuration),
        agents=[agent.row() for agent in configuration.agents],
        queues=[queue.row() for queue in configuration.queues],
        conferences=[conference.row() for conference in configuration.conferences],
    )


def _flow_id(reference: str, flow_ids: Mapping[str, str]) -> str:
    """The id of the flow that is called so; what is none of the file's, and no id, is one in Python."""
    with suppress(ValueError):
        return reference and str(UUID(reference))
    return flow_ids.get(reference) or str(named_id("flow", reference))
