"""Column types and sets of columns that many tables have, the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from routing.identifiers import NIL


class UtcTime(sa.TypeDecorator[datetime]):
    """A moment in UTC, with microseconds. Takes and gives aware datetimes; SQLite keeps them without their zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """In UTC. Raises ValueError for a time without a zone: nobody can tell when it is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = sa.JSON().with_variant(JSONB(), "postgresql")
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A growing key. SQLite counts only in columns that are declared INTEGER."""


def identity() -> sa.Column[Any]:
    """The primary key of a resource."""
    return sa.Column("id", sa.Uuid, primary_key=True)


def owner() -> sa.Column[Any]:
    """Whose it is; nil: the platform's."""
    return sa.Column("customer_id", sa.Uuid, nullable=False, default=NIL)


def naming() -> tuple[sa.Column[Any], ...]:
    """What people call a resource and say of it."""
    return (
        sa.Column("name", sa.String(255), nullable=False, default=""),
        sa.Column("detail", sa.Text, nullable=False, default=""),
    )


def times() -> tuple[sa.Column[Any], ...]:
    """When it was made, changed and deleted; what has `tm_delete` is kept and no longer shown (soft delete)."""
    return (
        sa.Column("tm_create", UtcTime, nullable=False),
        sa.Column("tm_update", UtcTime, nullable=False),
        sa.Column("tm_delete", UtcTime),
    )


def declared() -> sa.Column[Any]:
    """The configuration file that owns it; "" for what the API made."""
    return sa.Column("declared_in", sa.Text, nullable=False, default="")


def identifier(name: str) -> sa.Column[Any]:
    """A reference to another resource; nil: to none."""
    return sa.Column(name, sa.Uuid, nullable=False, default=NIL)


def text(name: str, length: int | None = None) -> sa.Column[Any]:
    """Text that is "" where there is none."""
    return sa.Column(name, sa.String(length) if length else sa.Text, nullable=False, default="")


def document(name: str, default: Any) -> sa.Column[Any]:
    """A JSON value; `default` is a callable such as `dict` or `list`."""
    return sa.Column(name, Json, nullable=False, default=default)
