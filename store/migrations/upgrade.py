"""Brings a database up to the newest revision, whatever it was before."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError

from store.database.engines import Engines, reason
from store.database.errors import StoreError

# Two nodes that start at the same time on PostgreSQL migrate one after the other.
_MIGRATION_LOCK = 0x6D696772  # "migr"


def configuration() -> Config:
    """Alembic's, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def revisions() -> list[str]:
    """Every revision, oldest first."""
    script = ScriptDirectory.from_config(configuration())
    return [found.revision for found in script.walk_revisions()][::-1]


def upgrade_on(connection: sa.Connection, revision: str = "head") -> None:
    """Run what is missing on an open connection."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def upgrade(engines: Engines, revision: str = "head") -> None:
    """Bring the database up to `revision`. Raises StoreError when it cannot be used or is of a later version."""
    try:
        async with engines.migrate() as connection:
            if engines.dialect == "postgresql":
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            await connection.run_sync(upgrade_on, revision)
            await connection.commit()
    except CommandError as error:
        problem = "it was made by a later version of Trunkline; run that one, or name another store"
        raise StoreError(f"{engines.shown_url} cannot be used: {problem} ({error})") from None
    except (DBAPIError, OSError) as error:
        raise StoreError(f"{engines.shown_url} cannot be used: {reason(error)}") from error
