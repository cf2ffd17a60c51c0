"""The model of a number."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator

from routing.identifiers import NIL, named_id
from routing.models.fields import Resource, Text, number_in, refusal
from routing.numbers.numbering import NumberKind, is_virtual

NumberStatus = Literal["available", "active", "suspended", "released"]
NumberType = Literal["normal", "virtual"]
NumberOrigin = Literal["provisioned", "ported", "hosted"]


class Number(Resource):
    """A telephone number of ours, normal or virtual.

    The validation context may hold `numbering` (`RoutingSettings`), by which the number is read.
    """

    id: UUID = NIL
    """Derived from the number where none is given."""
    customer_id: UUID = NIL
    number: str
    type: NumberType = "normal"
    """Follows from the number; a given one must agree with it."""
    status: NumberStatus = "active"
    call_flow_id: UUID = NIL
    message_flow_id: UUID = NIL
    metadata: dict[str, JsonValue] = Field(default={})
    provider_id: UUID = NIL
    """The trunk a normal number arrives on; nil where it is not known, and for virtual numbers."""
    origin: NumberOrigin = "provisioned"
    country: Text = ""
    region: Text = ""
    city: Text = ""
    kind: NumberKind = ""
    tm_purchase: datetime | None = None

    @field_validator("number")
    @classmethod
    def _normalised(cls, text: str, info: ValidationInfo) -> str:
        return number_in(text, info)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        inferred: NumberType = "virtual" if is_virtual(self.number) else "normal"
        if "type" in self.model_fields_set and self.type != inferred:
            problem = f"{self.number} is a {inferred} number; leave type out or write {inferred}"
            raise refusal("INVALID_NUMBER", problem)
        if inferred == "virtual":
            if self.provider_id != NIL:
                problem = f"{self.number} is virtual and arrives on no trunk; leave its provider out"
                raise refusal("INVALID_NUMBER", problem)
            if self.kind not in ("", "virtual"):
                raise refusal("INVALID_NUMBER", f"{self.number} is virtual; leave kind out or write virtual")
        elif self.kind == "virtual":
            raise refusal("INVALID_NUMBER", f"{self.number} is a normal number and cannot be of the kind virtual")
        # Straight into the dict: assignment would mark the fields as given.
        self.__dict__["type"] = inferred
        if inferred == "virtual":
            self.__dict__["kind"] = "virtual"
        if self.id == NIL:
            self.__dict__["id"] = named_id("number", self.number)
        return self
