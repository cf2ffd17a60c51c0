"""Ids: the nil UUID, the platform's, and those derived from names (RFC 9562 §5.5)."""

from uuid import UUID, uuid5

NIL = UUID(int=0)
"""The nil UUID: no flow, no trunk, no customer."""

# Never to be changed: ids in call records and in stores of earlier runs are derived from it.
_NAMESPACE = UUID("6f1f6a52-4a0e-5d0c-9a5b-3d1d7a2f8c41")


def named_id(kind: str, name: str) -> UUID:
    """The id of the `kind` ("provider", "flow", "number", "route") called `name`: the same at every start and on every
    node (RFC 9562 §5.5), so that a reload changes a resource instead of replacing it."""
    return uuid5(_NAMESPACE, f"{kind}:{name}")


PLATFORM = named_id("customer", "platform")
"""The customer of those who run the engine."""


def of_platform(customer_id: UUID) -> bool:
    """Whether what is this customer's is the platform's: a file's rows are nobody's, a super admin's are its own."""
    return customer_id in (NIL, PLATFORM)


def same_customer(one: UUID, other: UUID) -> bool:
    """Whether both are one customer, or the platform."""
    return one == other or (of_platform(one) and of_platform(other))


def route_id(customer_id: UUID, target: str, provider_id: UUID, priority: int) -> UUID:
    """The id of a route that is given none: two that agree in all of these are one route."""
    return named_id("route", f"{customer_id}/{target}/{provider_id}/{priority}")
