"""The options of what comes before and at the answer, and of the hangup."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from flows.calls.address import PLACEHOLDER
from flows.options.model import Options
from flows.options.values import Line, Reference, one_line
from routing.hunt.hangup import HangupReason

_CONTACT = re.compile(r"(?:sips?|tel):[^\s<>\"]+", re.IGNORECASE)


def _contact(text: str) -> str:
    if PLACEHOLDER not in text and not _CONTACT.fullmatch(text):
        raise ValueError("is no SIP or tel URI; write it like sip:alice@example.com")
    return one_line(text)


class ProgressOptions(Options):
    """`progress`: 183 with the engine's own media (`early_media`), or only the sign that the call goes on."""

    early_media: bool = True


class RejectOptions(Options):
    """`reject`: the final response before the answer, and its reason phrase ("" takes the code's own)."""

    code: int = Field(default=603, ge=400, le=699)
    reason: Line = ""


class RedirectOptions(Options):
    """`redirect`: where the caller is sent with 302 (RFC 3261 §21.3.3)."""

    contacts: list[Annotated[str, AfterValidator(_contact), Field(max_length=1024)]] = Field(
        min_length=1, max_length=10
    )


class HangupOptions(Options):
    """`hangup`: why; with `reference_id` the reason that the call with this id ended with is taken, if it is known."""

    reason: HangupReason = "normal"
    reference_id: Reference = ""
