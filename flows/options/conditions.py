"""The options of conditions: on variables, on date and time, on who calls."""

from collections.abc import Sequence
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator, model_validator

from flows.calls.address import PLACEHOLDER
from flows.language.faults import FieldPath
from flows.options.model import RUNNING, Options
from flows.options.values import Line, Reference, VariableName

Comparison = Literal["==", "!=", ">", ">=", "<", "<="]
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


class _Condition(Options):
    """True goes on, false jumps."""

    false_target_id: Reference = Field(min_length=1)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        return ((("false_target_id",), self.false_target_id),)


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
