"""Providers: the trunks that calls leave through and come in by. The platform's, so super admins only."""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from fastapi import Query

from api.http.auth import Who, guarded
from api.http.bodies import router_for
from api.http.errors import ApiError, fault_in
from api.http.listing import Listing, Pages
from api.http.services import Services, Use
from api.models.changes import changes, read_only, takes_back
from api.models.countries import COUNTRY_CODES
from api.models.derive import checked, defaults, derive_fields
from api.models.fields import Body, Times, Timestamp, refuse_declared
from api.openapi.schema import LINE, TEXT, Fields, documented
from api.resources.resource import Resource
from routing.models.provider import Provider
from store import rows
from store.database import tables
from store.database.vault import transform_secrets
from store.directory.mapping import provider_of, provider_row
from store.rows import IntegrityError, Row
from store.store import Transaction

router = router_for("providers", "Trunks that calls leave through and come in by; super admins only.")

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_PORT = rf"^({_LABEL}([.]{_LABEL})*[.]?|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?$"
_HOST_PORT_OR_NONE = rf"^(({_LABEL}([.]{_LABEL})*[.]?|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?)?$"
_NAME_PORT_OR_NONE = rf"^({_LABEL}([.]{_LABEL})*[.]?(:[0-9]{{1,5}})?)?$"
_POSTFIX = rf"^[^@\x00-\x1f\x7f]*(@({_LABEL}[.])*[A-Za-z]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?)?$"
_NAME = rf"({_LABEL}[.])*[A-Za-z]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?"
_PASSED = r"^[A-Za-z0-9.!%_+~-]{1,63}\*?$"
_MIME_TYPE = r"^(?![Mm][Uu][Ll][Tt][Ii][Pp][Aa][Rr][Tt]/)[A-Za-z0-9.!#$&^_+-]{1,64}/[A-Za-z0-9.!#$&^_+-]{1,64}$"
_HEADER_NAME = r"^[A-Za-z0-9.!%*_+`'~-]+$"
_HEADER_VALUE = r"^[^\x00\r\n]*$"
_CODEC_LIST = r"^([A-Za-z0-9.-]+(/[0-9]+){0,2}(, *[A-Za-z0-9.-]+(/[0-9]+){0,2})*)?$"
_STATUS_OR_CLASS = r"^[3-6]([0-9]{2}|[xX]{2})$"


def _none_of(words: Iterable[str]) -> dict[str, dict[str, str]]:
    """A schema for texts that are none of these words, in capitals or not."""
    either = (
        "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in word) for word in words
    )
    return {"not": {"pattern": f"^({'|'.join(either)})$"}}


_SECONDS = {"exclusiveMinimum": 0, "maximum": 3600}
CODES = {
    "items": {
        "anyOf": [
            {"type": "integer", "minimum": 300, "maximum": 699},
            {"type": "string", "pattern": _STATUS_OR_CLASS},
        ]
    }
}
TIMERS: Fields = {"no_reply_timeout": _SECONDS, "no_progress_timeout": _SECONDS, "ring_timeout": _SECONDS}

# Those that the dialog and the transaction live by, with their short forms (RFC 3261 §7.3.3).
_DIALOG_HEADERS = (
    *("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards", "route"),
    *("record-route", "content-length", "l", "content-type", "c", "require"),
)
_PROVIDER: Fields = {
    "name": LINE,
    "detail": TEXT,
    "hostname": {"pattern": _HOST_PORT, "format": "host-port", "examples": ["sip.example.com:5060"]},
    "from_domain": {"pattern": _HOST_PORT_OR_NONE, "format": "host-port"},
    "contact_host": {"pattern": _NAME_PORT_OR_NONE, "format": "host-port", "examples": ["sbc1.example.com:5061"]},
    "country": {"enum": ["", *COUNTRY_CODES], "examples": ["DE"]},
    "tls_client_names": {
        "items": {"type": "string", "pattern": rf"^(sip:)?{_NAME}$", "maxLength": 63},
        "examples": [["sip.example.com"]],
    },
    "redirect_hosts": {
        "items": {"type": "string", "pattern": rf"^{_NAME}$", "maxLength": 63},
        "examples": [["sip2.example.com"]],
    },
    "pass_headers": {"items": {"type": "string", "pattern": _PASSED}, "examples": [["X-*", "Session-ID"]]},
    "pass_bodies": {
        "items": {"type": "string", "pattern": _MIME_TYPE},
        "examples": [["application/pidf+xml", "application/isup"]],
    },
    "inbound_addresses": {
        "items": {"type": "string", "format": "ip-network"},
        "examples": [["192.0.2.1", "2001:db8::/32"]],
    },
    "tech_prefix": LINE,
    "tech_postfix": {"pattern": _POSTFIX},
    "tech_headers": {
        "propertyNames": {"pattern": _HEADER_NAME, "maxLength": 128} | _none_of(_DIALOG_HEADERS),
        "additionalProperties": {"type": "string", "pattern": _HEADER_VALUE, "maxLength": 4096},
    },
    "username": LINE,
    "password": LINE,
    "realm": LINE,
    "from_user": LINE,
    "codecs": {"pattern": _CODEC_LIST, "examples": ["PCMA,PCMU"]},
    "failover_codes": CODES,
    "stop_codes": CODES,
    **TIMERS,
}

PROVIDERS = Resource(tables.providers, "provider")

_MADE_HERE = {"id", "tm_create", "tm_update", "tm_delete", "health_status", "health_checked_at"}
_OWN = {"health_status", "health_checked_at", "password"}


@documented(example={"health_status": "healthy", "type": "sip"})
@derive_fields(Provider, without=_OWN | {"id", "tm_create", "tm_update", "tm_delete"})
class ProviderAnswer(Times):
    """A provider. Its password is never shown."""

    id: UUID
    health_status: str
    health_checked_at: Timestamp | None
    declared_in: str
    """The configuration file that owns it; "" for one of the API."""


@documented(fields=_PROVIDER)
@derive_fields(Provider, without=_MADE_HERE)
class ProviderCreate(Body):
    """A new provider."""


@documented(fields=_PROVIDER)
@takes_back(ProviderAnswer)
@derive_fields(Provider, without=_MADE_HERE, optional=True)
class ProviderUpdate(Body):
    """What is to change."""


_MEASURED = dict.fromkeys(("health_status", "health_checked_at"), "health_checked_at")
_CLEARED = defaults(Provider, ProviderUpdate.model_fields.keys() - read_only(ProviderUpdate))


def answer(services: Services, row: Row) -> dict[str, Any]:
    """The provider as the API shows it, with what the prober last found."""
    provider = _opened(services, row)
    healthy, checked_at = services.health(provider.id)
    return provider.model_dump() | {
        "health_status": healthy,
        "health_checked_at": checked_at,
        "declared_in": row["declared_in"],
    }


_FILES = ("ca", "certificate", "key")


def _with_whole_paths(provider: Provider) -> Provider:
    """Files are those of the engine's machine, where only super admins name any. Raises ApiError for one that would
    depend on where the engine was started."""
    for name in _FILES:
        path = getattr(provider.tls, name)
        if path and not path.startswith("/"):
            problem = f"{path!r} is no whole path; write one that begins with /, of a file on the engine's machine"
            raise fault_in(f"tls.{name}", "INVALID_REQUEST_PARAMETER", problem)
    return provider


def _sealed(services: Services, provider: Provider) -> Row:
    return transform_secrets(tables.providers, provider_row(provider), services.store.vault.seal)


def _opened(services: Services, row: Row) -> Provider:
    return provider_of(transform_secrets(tables.providers, row, services.store.vault.open))


@router.get("/providers", response_model=Listing[ProviderAnswer], **guarded("project_super_admin"))
async def list_providers(
    services: Use, caller: Who, paging: Pages, name: Annotated[str | None, Query(max_length=255)] = None
) -> Any:
    """The providers, newest first."""
    where = [] if name is None else [tables.providers.c.name == name]
    page = await PROVIDERS.list(services, caller, paging, *where)
    return page | {"result": [answer(services, row) for row in page["result"]]}


@router.post(
    "/providers",
    status_code=201,
    response_model=ProviderAnswer,
    **guarded(
        "project_super_admin",
        409,
        examples={
            "A trunk": {"name": "carrier", "hostname": "sip.example.com"},
            "A trunk with a login, a prefix and a header": {
                "name": "carrier with a login",
                "hostname": "192.0.2.10:5080",
                "username": "4711",
                "password": "a long password",
                "tech_prefix": "9",
                "tech_headers": {"X-Account": "42"},
                "inbound_addresses": ["192.0.2.0/28"],
            },
        },
    ),
)
async def create_provider(services: Use, caller: Who, body: ProviderCreate) -> Any:
    """Create a provider."""
    provider = _with_whole_paths(checked(Provider, body.model_dump(exclude_unset=True) | {"id": uuid4()}))
    try:
        row = await PROVIDERS.create(services, _sealed(services, provider) | {"customer_id": caller.customer_id})
    except IntegrityError:
        raise _name_taken(provider.name) from None
    return answer(services, row)


@router.get("/providers/{provider_id}", response_model=ProviderAnswer, **guarded("project_super_admin"))
async def get_provider(services: Use, caller: Who, provider_id: UUID) -> Any:
    """One provider."""
    return answer(services, await PROVIDERS.get(services, caller, provider_id))


@router.put(
    "/providers/{provider_id}",
    response_model=ProviderAnswer,
    **guarded("project_super_admin", 409, examples={"At most 30 calls at once": {"max_channels": 30}}),
)
async def update_provider(services: Use, caller: Who, provider_id: UUID, body: ProviderUpdate) -> Any:
    """Change a provider. Calls that are up go on with what they began with."""
    try:
        async with services.store.write() as transaction:
            before = await PROVIDERS.find(transaction, caller, provider_id)
            changed = changes(body, answer(services, before), ProviderAnswer, _CLEARED, measured=_MEASURED)
            refuse_declared(before, "provider")
            kept = _opened(services, before).model_dump(exclude=_MADE_HERE - {"id"})
            values = _sealed(services, _with_whole_paths(checked(Provider, kept | changed)))
            row = await rows.update(transaction, tables.providers, provider_id, values)
            transaction.changed("provider", provider_id)
    except IntegrityError:
        raise _name_taken(str(body.model_dump().get("name"))) from None
    assert row is not None  # it was found in this transaction
    return answer(services, row)


@router.delete("/providers/{provider_id}", response_model=ProviderAnswer, **guarded("project_super_admin", 409))
async def delete_provider(services: Use, caller: Who, provider_id: UUID) -> Any:
    """Delete a provider that no route leads to and no number arrives on."""

    async def unused(transaction: Transaction, row: Row) -> None:
        routes, numbers = tables.routes, tables.numbers
        counts = {}
        for word, table in (("route", routes), ("number", numbers)):
            query = sa.select(sa.func.count()).where(table.c.provider_id == provider_id, table.c.tm_delete.is_(None))
            counts[word] = (await transaction.execute(query)).scalar_one()
        used = " and ".join(f"{count} {word}{'s' * (count > 1)}" for word, count in counts.items() if count)
        if used:
            problem = f"provider {row['name'] or provider_id} is still used by {used}; change or delete them first"
            raise ApiError("PROVIDER_IN_USE", problem)

    return answer(services, await PROVIDERS.delete(services, caller, provider_id, unused))


def _name_taken(name: str) -> ApiError:
    return fault_in("name", "NAME_ALREADY_EXISTS", f"there is a provider named {name!r} already; choose another name")


async def require_provider(transaction: Transaction, provider_id: UUID) -> None:
    """For bodies that name a provider; it cannot be deleted until the transaction ends. Raises ApiError
    PROVIDER_NOT_FOUND as a fault of the body (400)."""
    if await rows.one(transaction, tables.providers, provider_id, hold="shared") is None:
        problem = f"there is no provider {provider_id}; list the providers to find its id"
        raise fault_in("provider_id", "PROVIDER_NOT_FOUND", problem)


__all__ = ["ProviderAnswer", "require_provider", "router"]
