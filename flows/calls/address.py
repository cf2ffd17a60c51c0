"""Addresses: who is called and who calls, by a type and a target."""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DIALLED = re.compile(r"(?:tel:)?\+?[0-9*#][0-9*#().\- /]*", re.IGNORECASE)
DIALLED = r"^([Tt][Ee][Ll]:)?\+?[0-9*#][0-9*#(). /-]*$"
"""The JSON schema's pattern of a number, as it may be dialled."""
_SIP = re.compile(r"(?:sips?:)?[^\s<>\"]+", re.IGNORECASE)
PLACEHOLDER = "${"


class Address(BaseModel):
    """A party of a call. `target` is a number for `tel`, a SIP URI for `sip`, a name or id for `extension` and `agent`.

    `target_name` is shown to the other side as the display name.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["tel", "sip", "extension", "agent"]
    target: str = Field(min_length=1, max_length=1024)
    target_name: str = Field(default="", max_length=255)
    name: str = Field(default="", max_length=255)
    detail: str = Field(default="", max_length=1024)

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if _CONTROL.search(self.target) or _CONTROL.search(self.target_name):
            raise ValueError("holds control characters or line breaks; remove them")
        if PLACEHOLDER in self.target:
            return self
        if self.type == "tel" and not _DIALLED.fullmatch(self.target):
            raise ValueError("the target of a tel address must be a number; write it like +15551234567")
        if self.type == "sip" and not _SIP.fullmatch(self.target):
            raise ValueError("the target of a sip address must be a URI; write it like sip:alice@example.com")
        return self

    @property
    def sip_uri(self) -> str:
        """The target of a `sip` address with its scheme."""
        return self.target if self.target[:5].lower().startswith(("sip:", "sips:")) else f"sip:{self.target}"
