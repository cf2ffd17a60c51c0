"""The model of a route, which says what provider serves a range of numbers."""

import re
from typing import Final, Self
from uuid import UUID

from pydantic import Field, ValidationInfo, field_validator, model_validator

from routing.identifiers import NIL, route_id
from routing.models.fields import Codes, Resource, Timer, numbering_of, refusal
from routing.models.route_lookup import RouteLookup
from routing.numbers.numbering import beginning_in_plan, behind_prefix, is_virtual, without_separators
from routing.numbers.short_numbers import LONGEST_SHORT, is_emergency, is_short
from routing.settings import RoutingSettings

HIGHEST_RATE = 10**12
"""Micro-units a minute: a million currency units, far above any real price and far within 64 bits."""

EMERGENCY: Final = "emergency"
"""The target of routes for all emergency numbers."""
_TARGET = re.compile(rf"\+[1-9][0-9]{{0,14}}|[0-9]{{3,{LONGEST_SHORT}}}|{EMERGENCY}")


def is_target(text: str) -> bool:
    """Whether a route may have this target: what the store holds is checked no further than that."""
    return text == "all" or _TARGET.fullmatch(text) is not None


def read_target(written: str, settings: RoutingSettings) -> str:
    """A target as numbers in normal form begin, which it is compared with; what is none stays as it is."""
    if is_target(written) and (written[:1].isalpha() or is_short(written, settings)):
        return written
    target = without_separators(written.strip().removeprefix("tel:"))
    abroad = behind_prefix(target, settings.default_country, settings.international_prefixes)
    if abroad and target.isdigit():
        target = f"+{abroad}"
    if target[:1] == "+" and is_target(target):
        return beginning_in_plan(target)
    # What begins with 0 and is no short number would be a national form, of which nobody knows how long it is.
    return written if target[:1] == "0" else target


def prefixes_of_short(number: str, settings: RoutingSettings) -> tuple[str, ...]:
    """`Route.prefix` of the routes that serve a short number, those first that go first."""
    return (number, EMERGENCY, "") if is_emergency(number, settings) else (number, "")


class Route(Resource):
    """Which provider serves a range of numbers. What is None is left to the provider."""

    id: UUID = NIL
    """Derived from customer, target, provider and priority where none is given."""
    customer_id: UUID = NIL
    """Whose calls it serves; nil: everybody's (the platform's route)."""
    provider_id: UUID
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    """Lower is tried earlier, among targets of equal length."""
    weight: int = Field(default=1, ge=0, le=1_000_000)
    """Share among equals; 0 comes after all that have one."""
    target: str = "all"
    """`all`, `+` and the first digits of the numbers, a short number, or `emergency`."""
    enabled: bool = True
    rate: int = Field(default=0, ge=0, le=HIGHEST_RATE)
    """What a minute costs the caller's customer, in millionths of the currency unit; 0 is free."""
    message_rate: int = Field(default=0, ge=0, le=HIGHEST_RATE)
    """What a text message costs the sender's customer, in millionths of the currency unit; 0 is free."""
    short_prefix: bool = False
    """Whether the provider's `tech_prefix` goes before short numbers too, emergency numbers included."""
    lookup: RouteLookup | None = None
    """Who is asked first for the attempts of its calls; the routes are for when it does not say."""
    failover_codes: Codes | None = None
    stop_codes: Codes | None = None
    no_reply_timeout: Timer | None = None
    no_progress_timeout: Timer | None = None
    ring_timeout: Timer | None = None

    @field_validator("target")
    @classmethod
    def _prefix(cls, written: str, info: ValidationInfo) -> str:
        target = read_target(written, numbering_of(info))
        if not is_target(target) or (target[:1] == "0" and not is_short(target, numbering_of(info))):
            problem = (
                f"{written!r} is no target; write all, + and the first digits of the numbers, such as +44, "
                f"a short number such as 911, or {EMERGENCY}"
            )
            raise refusal("INVALID_REQUEST_PARAMETER", problem)
        if is_virtual(target):
            problem = f"{target!r} is virtual: such numbers never leave for a provider; remove this route"
            raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return target

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.provider_id == NIL:
            raise refusal("PROVIDER_NOT_FOUND", "the route names no provider; write the provider that it leads to")
        if self.id == NIL:
            self.__dict__["id"] = route_id(self.customer_id, self.target, self.provider_id, self.priority)
        return self

    @property
    def prefix(self) -> str:
        """The target as a string that numbers begin with; "" for all."""
        return "" if self.target == "all" else self.target
