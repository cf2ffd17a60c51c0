"""The directory that an engine with this configuration has, for commands that run without one."""

from pathlib import Path
from uuid import UUID

from sqlalchemy.engine import make_url

from config.loading import Configuration
from routing.directory.directory import Directory
from service.storage import store_url
from store.directory.loading import flow_rows, load
from store.store import Store


async def known_directory(configuration: Configuration) -> tuple[Directory, dict[UUID, str]]:
    """What the store holds and the file declares, and the names of the flows by id. A store that is not there yet holds
    nothing, and none is made. Raises StoreError."""
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
    return directory, names | {flow.id: flow.name for flow in configuration.flows}


def _there(url: str) -> bool:
    if url == ":memory:":
        return False
    parsed = make_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").exists()
