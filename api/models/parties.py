"""Who calls and who is called, as bodies and answers have them."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api.models.fields import Body, Name
from api.openapi.examples import SOURCE
from api.openapi.schema import LINE, Fields, documented, narrowed
from flows.calls.address import DIALLED, PLACEHOLDER, Address
from flows.values import ONE_LINE, or_variable

MOST_DESTINATIONS = 100

_CALLED_NUMBER = r"^\+[1-9]([ .-]?[0-9]){6,14}$"
_SIP_URI = r'^([^\s<>"$\x00-\x1f\x7f\x85]|\$+[^\s<>"${\x00-\x1f\x7f\x85])+$'
"""With or without its scheme; and without `${`, which stands for a variable."""
_SIP_TEXT = r'^[^\s<>"\x00-\x1f\x7f\x85]+$'
_NAME_OR_ID = r"^([^$\x00-\x1f\x7f]|\$+[^${\x00-\x1f\x7f])+$"

CALL_EXAMPLE: Final = {
    "source": {"type": "tel", "target": SOURCE},
    "destinations": [{"type": "tel", "target": "+442079460123"}],
}
"""What each body of a call or a message begins with, in examples."""
OWN_SOURCE: Final = "the source is an active normal number of yours"


def _party(tel: str, sip: str, other: str) -> Sequence[Fields]:
    return (
        {"type": {"const": "tel"}, "target": {"pattern": tel, "examples": ["+15551234567"]}},
        {"type": {"const": "sip"}, "target": {"pattern": sip, "examples": ["sip:alice@example.com"]}},
        {"type": {"enum": ["extension", "agent"]}, "target": {"pattern": other, "examples": ["alice"]}},
    )


documented(fields={"target_name": LINE}, shapes=_party(or_variable(DIALLED), or_variable(_SIP_TEXT), ONE_LINE))(Address)


@documented(shapes=_party(DIALLED, _SIP_URI, _NAME_OR_ID))
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


@documented(example={"type": "tel", "target": "+442079460123"})
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


_CALLED = _party(_CALLED_NUMBER, _SIP_URI, _NAME_OR_ID)
DESTINATIONS: Final = {"destinations": {"items": narrowed("Destination", Party, _CALLED)}}
NUMBER_DESTINATIONS: Final = {"destinations": {"items": narrowed("NumberDestination", Party, _CALLED[:1])}}
MESSAGE_DESTINATIONS: Final = {"destinations": {"items": narrowed("MessageDestination", Party, _CALLED[:2])}}
"""What the document says of the destinations of calls, of calls through one provider, and of messages."""
