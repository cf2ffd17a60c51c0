"""The model of an extension: whom phones register as."""

import re
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from routing.identifiers import NIL, named_id
from routing.models.fields import Resource, Text, number_in, refusal

ExtensionStatus = Literal["active", "suspended"]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A user part that needs no escapes (RFC 3261 §25.1) and is no number in `+` form."""
MAILBOX_PATTERN = r"^([A-Za-z0-9*+][A-Za-z0-9._*+-]{0,63})?$"
MAX_CALLS = 4
MAX_CONTACTS = 10
MOST_CONTACTS = 32
MOST_CALLS = 100_000
MOST_CALLER_IDS = 100

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 128
_WORDS: Final = {"password", "passwort", "password1", "passw0rd", "trunkline", "asterisk", "changeme", "letmein1"}
_GUESSED: Final = _WORDS | {"iloveyou", "secret123", "abcd1234", "12345678", "123456789", "1234567890", "87654321"}
"""What is tried first by whoever guesses, of those that are long enough."""

_NAME = re.compile(NAME_PATTERN.replace("$", r"\Z"))
_MAILBOX = re.compile(MAILBOX_PATTERN.replace("$", r"\Z"))


def _digits(value: object) -> object:
    """`101` is a number to YAML and a name to its author; digits after a zero are text to both."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def is_name(text: str) -> bool:
    """Whether an extension may be called so."""
    return _NAME.match(text) is not None


def weak_password(name: str, password: str) -> str:
    """What makes a password easy to guess; "" where nothing does. It is not shown, and neither is the name that it may
    be."""
    lower, own = password.lower(), name.lower()
    if lower in (own, own[::-1], own * 2):
        return "is the name of the extension"
    if len(password) < SHORTEST_PASSWORD:
        return f"has less than {SHORTEST_PASSWORD} characters"
    if lower in _GUESSED or len(set(lower)) < 3:
        return "is among those that are guessed first of all"
    return ""


class Extension(Resource):
    """An extension. Its password is no part of it: what stands for it is kept beside (RFC 7616 §3.4.2)."""

    id: UUID = NIL
    """Derived from the name where none is given."""
    customer_id: UUID = NIL
    """Whose its calls are, and who pays for them; the nil UUID is the platform."""
    name: Annotated[str, BeforeValidator(_digits)]
    """What its phones register as and log in with, and what it is dialled by; unique in the installation."""
    display_name: Text = Field(default="", max_length=255)
    """The name that is shown with its number."""
    caller_id: str = ""
    """The number of its calls out, whatever the phone says itself; "" asserts none."""
    caller_ids: list[str] = Field(default=[], max_length=MOST_CALLER_IDS)
    """Further numbers that it may show in From."""
    max_contacts: int = Field(default=MAX_CONTACTS, ge=1, le=MOST_CONTACTS)
    """Devices that may be registered at once."""
    max_calls: int = Field(default=MAX_CALLS, ge=0, le=MOST_CALLS)
    """Calls out through providers that it may have at once; with 0 it may make none."""
    call_flow_id: UUID = NIL
    """What runs when it does not answer; nil: the caller is told so."""
    mailbox: str = ""
    """The name of its mailbox; "" for its own name."""
    status: ExtensionStatus = "active"
    """One that is suspended neither registers nor calls, and is not rung."""

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not _NAME.match(name):
            what = "begins with a letter or a digit and goes on with up to 63 of letters, digits and . _ -"
            raise refusal("INVALID_REQUEST_PARAMETER", f"is no name of an extension: one {what}, such as alice or 101")
        return name

    @field_validator("mailbox")
    @classmethod
    def _mailbox(cls, mailbox: str) -> str:
        if not _MAILBOX.match(mailbox):
            problem = "is no name of a mailbox; write up to 64 letters, digits and . _ - * +, such as alice or *97"
            raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return mailbox

    @field_validator("caller_id")
    @classmethod
    def _number(cls, text: str, info: ValidationInfo) -> str:
        return number_in(text, info, strict=False) if text else ""

    @field_validator("caller_ids")
    @classmethod
    def _numbers(cls, texts: list[str], info: ValidationInfo) -> list[str]:
        return list(dict.fromkeys(number_in(text, info, strict=False) for text in texts))

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.id == NIL:
            # Straight into the dict: assignment would mark the field as given.
            self.__dict__["id"] = named_id("extension", self.name)
        return self


class DeclaredExtension(Extension):
    """An extension of a configuration file, with its password, and its flow by name."""

    password: Text = Field(default="", repr=False, max_length=1024)
    """What its phones log in with; without one none can."""
    call_flow: str = ""
    _realm: str = PrivateAttr(default="")

    @property
    def realm(self) -> str:
        """Of its credentials; "" for that of the whole file."""
        return self._realm

    @classmethod
    def of_user(cls, name: str, password: str, realm: str, **more: Any) -> "DeclaredExtension":
        """One of `sip.users`: with a realm of its own, and whatever name it has always had. What it may hold is checked
        there."""
        made = cls.model_construct(
            id=named_id("extension", name), name=name, password=password, customer_id=more.pop("customer_id"), **more
        )
        made._realm = realm
        return made
