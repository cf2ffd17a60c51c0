"""Conditions: true goes on, false jumps. On variables, on date and time, on who calls."""

import operator
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flows.language.run import Run
from flows.language.text_match import WRITTEN_BY_PEOPLE, folded
from flows.options import CallerConditionOptions, DatetimeConditionOptions, VariableConditionOptions

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_SEPARATORS = re.compile(r"[\s().\-/]+")


def _jump(run: Run, holds: bool, target: str) -> int | None:
    return None if holds else run.program.places[target]


def condition_variable(run: Run, option: VariableConditionOptions) -> int | None:
    """A variable against a value. A variable that holds no number is in no order with one, and is not equal to it."""
    held = run.variables.get(option.variable)
    left: str | float | None
    right: str | float | None
    if option.value_type == "string":
        left, right = held, str(option.value)
        if option.variable in WRITTEN_BY_PEOPLE:
            left, right = folded(left), folded(right)
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


def condition_datetime(run: Run, option: DatetimeConditionOptions) -> int | None:
    """Now against the point in time that the given fields make of now, to the minute, in the option's time zone."""
    now = run.env.utc_now().astimezone(ZoneInfo(option.timezone)).replace(second=0, microsecond=0, tzinfo=None)
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
