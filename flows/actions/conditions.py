"""Conditions on variables, on date and time, and on the caller: true goes on, false jumps."""

import operator
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator, model_validator

from flows.actions import action
from flows.calls.address import PLACEHOLDER
from flows.faults import FieldPath
from flows.language.options import RUNNING, Options, VariableName, given
from flows.language.program import StepResult
from flows.language.registry import ANY, jump_outcome
from flows.language.run import Run
from flows.language.text_match import WRITTEN_BY_PEOPLE, normalise_keyword
from flows.values import Line, Reference

Comparison = Literal["==", "!=", ">", ">=", "<", "<="]
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_DECIMAL = r"^-?[0-9]+([.][0-9]+)?$"
_Entry = Annotated[Line, Field(json_schema_extra={"minLength": 1})]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_SEPARATORS = re.compile(r"[\s().\-/]+")


class _Condition(Options):
    """True goes on, false jumps."""

    false_target_id: Reference = Field(min_length=1)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        return ((("false_target_id",), self.false_target_id),)


def _outcome(run: Run, result: StepResult, keys: str) -> str:
    return f"{'true' if result is None else 'false'} {jump_outcome(run, result, keys)}"


def _jump(run: Run, holds: bool, target: str) -> int | None:
    return None if holds else run.program.places[target]


class VariableConditionOptions(_Condition):
    """`condition_variable`: compared as text, as numbers, or the variable's length with a number."""

    shapes = (
        {"value_type": {"const": "string"}},
        {
            "value_type": {"enum": ["number", "length"], "required": True},
            "value": {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _DECIMAL}], "required": True},
        },
    )

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


def _describe_variable(run: Run, option: VariableConditionOptions) -> str:
    what = "length of " if option.value_type == "length" else ""
    held = run.variables.get(option.variable)
    return f"{what}{option.variable} ({held!r}) {option.condition} {option.value}"


@action(VariableConditionOptions, media=ANY, describe=_describe_variable, outcome=_outcome)
def condition_variable(run: Run, option: VariableConditionOptions) -> int | None:
    """A variable against a value. A variable that holds no number is in no order with one, and is not equal to it."""
    held = run.variables.get(option.variable)
    left: str | float | None
    right: str | float | None
    if option.value_type == "string":
        left, right = held, str(option.value)
        if option.variable in WRITTEN_BY_PEOPLE:
            left, right = normalise_keyword(left), normalise_keyword(right)
    else:
        left = float(len(held)) if option.value_type == "length" else _number(held)
        right = _number(str(option.value))
    if left is None or right is None:
        return _jump(run, option.condition == "!=", option.false_target_id)
    return _jump(run, _COMPARE[option.condition](left, right), option.false_target_id)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if number != number else number


class DatetimeConditionOptions(_Condition):
    """`condition_datetime`: now, compared with the point in time that the given fields make of now."""

    shapes = (*given("minute", "hour", "day", "month"), *given("weekdays", minItems=1))

    condition: Comparison = "=="
    minute: int | None = Field(default=None, ge=0, le=59)
    hour: int | None = Field(default=None, ge=0, le=23)
    day: int | None = Field(default=None, ge=1, le=31)
    month: int | None = Field(default=None, ge=1, le=12)
    weekdays: list[str | int] = Field(
        default=[],
        max_length=7,
        json_schema_extra={"items": {"enum": [*_WEEKDAYS, *(day[:3] for day in _WEEKDAYS), *range(7)]}},
    )
    timezone: str = Field(default="UTC", json_schema_extra={"format": "time-zone", "examples": ["Europe/Berlin"]})

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


def _describe_datetime(run: Run, option: DatetimeConditionOptions) -> str:
    fields = option.model_dump(exclude_defaults=True, exclude={"false_target_id", "condition"})
    asked = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{run.services.utc_now():%Y-%m-%d %H:%M} UTC {option.condition} {asked}"


@action(DatetimeConditionOptions, media=ANY, describe=_describe_datetime, outcome=_outcome)
def condition_datetime(run: Run, option: DatetimeConditionOptions) -> int | None:
    """Now against the point in time that the given fields make of now, to the minute, in the option's time zone."""
    now = run.services.utc_now().astimezone(ZoneInfo(option.timezone)).replace(second=0, microsecond=0, tzinfo=None)
    # Sunday is 0, as in cron.
    if option.weekdays and now.isoweekday() % 7 not in option.weekdays:
        return _jump(run, False, option.false_target_id)
    return _jump(run, _COMPARE[option.condition](now, _laid_over(now, option)), option.false_target_id)


def _laid_over(now: datetime, option: DatetimeConditionOptions) -> datetime:
    """`now` with the option's fields in place of its own. 31 April is the day after the 30th: it lies behind every day
    of April and before 2 May, which is what a comparison with it means."""
    month = now.month if option.month is None else option.month
    day = now.day if option.day is None else option.day
    hour = now.hour if option.hour is None else option.hour
    minute = now.minute if option.minute is None else option.minute
    return datetime(now.year, month, 1, hour, minute) + timedelta(days=day - 1)


class CallerConditionOptions(_Condition):
    """`condition_caller`: true for the listed numbers, for those that begin so, and for callers who withhold theirs."""

    shapes = (*given("anonymous"), *given("prefixes", "numbers", minItems=1))

    prefixes: list[_Entry] = Field(default=[], max_length=1000)
    numbers: list[_Entry] = Field(default=[], max_length=10_000)
    anonymous: bool | None = None

    @model_validator(mode="after")
    def _something_asked(self) -> Self:
        if not self.prefixes and not self.numbers and self.anonymous is None:
            raise ValueError("asks for nothing; give one of prefixes, numbers or anonymous")
        if "" in self.prefixes or "" in self.numbers:
            raise ValueError("prefixes and numbers must not hold an empty entry; remove it")
        return self


def _describe_caller(run: Run, option: CallerConditionOptions) -> str:
    return run.record.source or "anonymous"


@action(CallerConditionOptions, media=ANY, describe=_describe_caller, outcome=_outcome)
def condition_caller(run: Run, option: CallerConditionOptions) -> int | None:
    """Whether the caller is one of those listed, or withholds its number where `anonymous` asks for that.

    With `anonymous` false, callers who withhold are none of them, and with empty lists all others are.
    """
    hidden = run.record.anonymous or not run.record.source
    if hidden and option.anonymous is not None:
        return _jump(run, option.anonymous, option.false_target_id)
    if not option.prefixes and not option.numbers:
        return _jump(run, option.anonymous is False, option.false_target_id)
    source = run.record.source
    listed = source.startswith(tuple(option.prefixes)) if option.prefixes else False
    listed = listed or any(source == number or source == _SEPARATORS.sub("", number) for number in option.numbers)
    return _jump(run, listed, option.false_target_id)
