"""Who calls and who is called, as bodies and answers have them."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api.models.fields import Body, Name
from flows.calls.address import PLACEHOLDER, Address

MOST_DESTINATIONS = 100


class Party(Body):
    """A party of a call. `target` is a number for `tel`, a SIP URI for `sip`, a name or an id for `extension` and
    `agent`; `target_name` is what the other side is shown beside it."""

    type: Literal["tel", "sip", "extension", "agent"]
    target: Annotated[Name, Field(min_length=1, examples=["+15551234567"])]
    target_name: Name = ""

    @model_validator(mode="before")
    @classmethod
    def _is_an_object(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        problem = 'must be an object, such as {"type": "tel", "target": "+15551234567"}'
        raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "{problem}", {"problem": problem})

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        self.address()
        return self

    def address(self) -> Address:
        """As the engine takes it."""
        if PLACEHOLDER in self.target:
            problem = f"target: holds {PLACEHOLDER}, which stands for a variable in flows only; write it out"
            raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "{problem}", {"problem": problem})
        try:
            return Address(type=self.type, target=self.target, target_name=self.target_name)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise PydanticCustomError("INVALID_REQUEST_PARAMETER", "{problem}", {"problem": problem}) from None


class PartyAnswer(BaseModel):
    """A party of a call."""

    type: str
    target: str
    target_name: str


def shown(address: Address) -> dict[str, str]:
    """An address as answers show it, and as tables keep it."""
    return {"type": address.type, "target": address.target, "target_name": address.target_name}


def _known_anonymity(value: Any) -> Any:
    if value not in ("auto", "yes", "no"):
        raise PydanticCustomError("INVALID_ANONYMOUS_VALUE", "is not known; write auto, yes or no")
    return value


Anonymity = Annotated[Literal["auto", "yes", "no"], BeforeValidator(_known_anonymity)]
"""Whether the caller's number is withheld: `yes`, `no`, or `auto`, which is `no` where nobody asked for it."""
Destinations = Annotated[list[Party], Field(min_length=1, max_length=MOST_DESTINATIONS)]
"""One call is made for each."""

__all__ = ["Anonymity", "Destinations", "Party", "PartyAnswer", "shown"]
