"""The options of transfer."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from flows.calls.address import Address
from flows.options.model import Options


def _written_shortly(value: Any) -> Any:
    """A text is an address, too: a SIP URI with its scheme, or else a number."""
    if not isinstance(value, str):
        return value
    return {"type": "sip" if value[:5].lower().startswith(("sip:", "sips:")) else "tel", "target": value}


Shortly = Annotated[str, Field(min_length=1, max_length=1024)]


class TransferOptions(Options):
    """`transfer`: whom the caller's phone is to call. Only phones can ask before they transfer, so `mode` is blind."""

    target: Annotated[Address, BeforeValidator(_written_shortly, json_schema_input_type=Address | Shortly)]
    mode: Literal["blind"] = "blind"
