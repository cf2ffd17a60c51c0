"""The options of every action, with their defaults. What is not named here is refused when a flow is saved.

Durations of actions are milliseconds; ring timeouts are seconds, as they are for providers.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from flows.address import PLACEHOLDER, Address
from flows.faults import FieldPath
from flows.variables import check_key, plain_name
from routing.hangup import HangupReason
from routing.identity import Anonymous

NIL = "00000000-0000-0000-0000-000000000000"
"""The nil UUID, which stands for "none" wherever an id may be left out."""
DAY_MS = 86_400_000
RUNNING = {"running": True}
"""The validation context of options whose variables have been filled in."""
Comparison = Literal["==", "!=", ">", ">=", "<", "<="]


_LINE_BREAKER = re.compile(r"[\x00-\x1f\x7f]")
_CONTACT = re.compile(r"(?:sips?|tel):[^\s<>\"]+", re.IGNORECASE)
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def _no_nil(text: str) -> str:
    return "" if text == NIL else text


def _one_line(text: str) -> str:
    if _LINE_BREAKER.search(text):
        raise ValueError("holds control characters or line breaks; remove them")
    return text


def _contact(text: str) -> str:
    if PLACEHOLDER not in text and not _CONTACT.fullmatch(text):
        raise ValueError("is no SIP or tel URI; write it like sip:alice@example.com")
    return _one_line(text)


Reference = Annotated[str, AfterValidator(_no_nil), Field(max_length=255)]
"""The id of an action, or the id or name of a flow; "" and the nil UUID mean none."""
Line = Annotated[str, AfterValidator(_one_line), Field(max_length=1024)]
"""Text that goes into a header: no line breaks."""


class Options(BaseModel):
    """What an action may be told. Types are strict: a number in quotes is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        """The actions that this one may jump to: the option's field, and the id."""
        return ()

    @property
    def falls_through(self) -> bool:
        """Whether the flow may go on with the next action."""
        return True


class _Condition(Options):
    """True goes on, false jumps."""

    false_target_id: Reference = Field(min_length=1)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        return ((("false_target_id",), self.false_target_id),)


class NoOptions(Options):
    """For actions that take none."""


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


class SleepOptions(Options):
    """`sleep`: milliseconds."""

    duration: int = Field(ge=0, le=DAY_MS)


class EchoOptions(Options):
    """`echo`: milliseconds; 0 lasts until the hangup."""

    duration: int = Field(default=0, ge=0, le=DAY_MS)


class GotoOptions(Options):
    """`goto`: after `loop_count` jumps it falls through once and counts anew; 0 always jumps."""

    target_id: Reference = Field(min_length=1)
    loop_count: int = Field(default=0, ge=0)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        return ((("target_id",), self.target_id),)

    @property
    def falls_through(self) -> bool:
        return self.loop_count > 0


VariableName = Annotated[str, AfterValidator(plain_name), Field(min_length=1, max_length=255)]


class BranchOptions(Options):
    """`branch`: goes to the action whose value the variable has; to the default, or on, where none fits."""

    variable: VariableName = "call.digits"
    target_ids: dict[str, Reference] = Field(min_length=1, max_length=1000)
    default_target_id: Reference = ""

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        targets: list[tuple[FieldPath, str]] = [(("target_ids", value), id_) for value, id_ in self.target_ids.items()]
        if self.default_target_id:
            targets.append((("default_target_id",), self.default_target_id))
        return targets

    @property
    def falls_through(self) -> bool:
        return not self.default_target_id


class VariableConditionOptions(_Condition):
    """`condition_variable`: compared as text, as numbers, or the variable's length with a number."""

    condition: Comparison = "=="
    variable: VariableName
    value_type: Literal["string", "number", "length"] = "string"
    value: str | int | float = ""

    @model_validator(mode="after")
    def _numeric_value(self, info: ValidationInfo) -> Self:
        # What a variable turns out to hold while the flow runs is compared, and found to be no number.
        if (
            self.value_type != "string"
            and info.context != RUNNING
            and not (isinstance(self.value, str) and PLACEHOLDER in self.value)
        ):
            try:
                number = float(self.value)
            except (ValueError, OverflowError):
                number = float("nan")
            if number != number:  # NaN: it would make every comparison false
                raise ValueError(f"value must be a number where value_type is {self.value_type}; write digits only")
        return self


class DatetimeConditionOptions(_Condition):
    """`condition_datetime`: now, compared with the point in time that the given fields make of now."""

    condition: Comparison = "=="
    minute: int | None = Field(default=None, ge=0, le=59)
    hour: int | None = Field(default=None, ge=0, le=23)
    day: int | None = Field(default=None, ge=1, le=31)
    month: int | None = Field(default=None, ge=1, le=12)
    weekdays: list[str | int] = Field(default=[], max_length=7)
    timezone: str = "UTC"

    @field_validator("weekdays")
    @classmethod
    def _days(cls, days: list[str | int]) -> list[str | int]:
        numbers: list[str | int] = []
        for day in days:
            text = str(day).lower()
            found = [n for n, name in enumerate(_WEEKDAYS) if text in (str(n), name, name[:3])]
            if not found:
                raise ValueError(f"{text[:20]!r} is no weekday; write monday to sunday, or 0 (Sunday) to 6")
            numbers += found
        return numbers

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        # An unknown key is a KeyError, an ill-formed one a ValueError, a folder's name an OSError.
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{name[:40]!r} is no time zone; write its name like Europe/Berlin, or UTC") from None
        return name

    @model_validator(mode="after")
    def _something_asked(self) -> Self:
        if not self.weekdays and all(part is None for part in (self.minute, self.hour, self.day, self.month)):
            raise ValueError("asks for nothing; give one of minute, hour, day, month or weekdays")
        return self


class CallerConditionOptions(_Condition):
    """`condition_caller`: true for the listed numbers, for those that begin so, and for callers who withhold theirs."""

    prefixes: list[Line] = Field(default=[], max_length=1000)
    numbers: list[Line] = Field(default=[], max_length=10_000)
    anonymous: bool | None = None

    @model_validator(mode="after")
    def _something_asked(self) -> Self:
        if not self.prefixes and not self.numbers and self.anonymous is None:
            raise ValueError("asks for nothing; give one of prefixes, numbers or anonymous")
        if "" in self.prefixes or "" in self.numbers:
            raise ValueError("prefixes and numbers must not hold an empty entry; remove it")
        return self


class VariableSetOptions(Options):
    """`variable_set`: `${name}` in the value is expanded."""

    key: str = Field(min_length=1, max_length=255)
    value: str | int | float | bool

    @field_validator("key")
    @classmethod
    def _key(cls, key: str) -> str:
        return key if PLACEHOLDER in key else check_key(key)


class ConnectOptions(Options):
    """`connect`: who is dialled, how, for how long (`ring_timeout` seconds; 0 leaves it to the provider)."""

    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=20)
    ring_method: Literal["ring_all", "linear"] = "ring_all"
    ring_timeout: int = Field(default=0, ge=0, le=3600)
    early_media: bool = True
    relay_reason: bool = False
    anonymous: Anonymous = "auto"


class CallOptions(Options):
    """`call`: calls of their own; `flow_id` or `actions` run on each when it is answered."""

    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=20)
    flow_id: Reference = ""
    actions: list[Any] = Field(default=[], max_length=1000)
    chained: bool = False
    anonymous: Anonymous = "auto"

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.flow_id and self.actions:
            raise ValueError("flow_id and actions are both given; keep one of them")
        return self


class WebhookOptions(Options):
    """`webhook_send`: text is sent as it is, the rest as JSON; `sync` waits and takes variables from the answer."""

    uri: str = Field(min_length=1, max_length=2048)
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    data: str | dict[str, Any] | list[Any] = ""
    sync: bool = False

    @field_validator("uri")
    @classmethod
    def _http(cls, uri: str) -> str:
        if PLACEHOLDER not in uri:
            try:
                parts = urlsplit(uri)
                usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
            except ValueError:
                usable = False
            if not usable or _LINE_BREAKER.search(uri):
                raise ValueError("is no web address; write it like https://example.com/path")
        return uri


class FetchFlowOptions(Options):
    """`fetch_flow`: the actions of another flow, run in place."""

    flow_id: Reference = Field(min_length=1)
