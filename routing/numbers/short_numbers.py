"""Short numbers, which are dialled as they stand: emergency calls, directory enquiries, helplines, test calls."""

from functools import lru_cache
from typing import Final, Literal

import phonenumbers

from routing.numbers.numbering import without_separators
from routing.settings import RoutingSettings

LONGEST_SHORT: Final = 8
"""Digits."""
ShortCost = Literal["", "toll_free", "standard", "premium"]
"""What a call to a short number costs, as far as its plan tells; "" where it does not."""

_ANYWHERE: Final = ("112", "911")
_LONGEST_EMERGENCY: Final = 6


_COSTS: Final[dict[int, ShortCost]] = {
    phonenumbers.ShortNumberCost.TOLL_FREE: "toll_free",
    phonenumbers.ShortNumberCost.STANDARD_RATE: "standard",
    phonenumbers.ShortNumberCost.PREMIUM_RATE: "premium",
}


def short_digits(text: str) -> str:
    """The digits of what was dialled, where they are as few as those of a short number: without separators, parameters
    and the key that ends dialling; "" where they are more, or none."""
    if text.isascii() and text.isdigit():
        return text if len(text) <= LONGEST_SHORT else ""
    digits = without_separators(text.partition(";")[0]).removesuffix("#")
    return digits if len(digits) <= LONGEST_SHORT and digits.isascii() and digits.isdigit() else ""


def is_emergency(text: str, settings: RoutingSettings) -> bool:
    """Whether what was dialled is an emergency number: of the default country, or, where none is given, 112 or 911."""
    if len(text) > _LONGEST_EMERGENCY or not (text.isascii() and text.isdigit()):
        return False
    country = settings.default_country
    return _is_emergency(text, country) if country else text in _ANYWHERE


def emergency_name(name: str, settings: RoutingSettings) -> str:
    """What is wrong with a name of an extension that is an emergency number; "" where it is none."""
    if not is_emergency(name, settings):
        return ""
    return f"{name} is an emergency number: who dials it does not reach this extension; choose another name"


def is_short(text: str, settings: RoutingSettings) -> bool:
    """Whether what was dialled goes out as it stands: an emergency number, one that the settings list, or one of the
    default country's plan."""
    if len(text) > LONGEST_SHORT or not (text.isascii() and text.isdigit()):
        return False
    return text in settings.short_numbers or is_emergency(text, settings) or _in_plan(text, settings.default_country)


def cost_of_short(text: str, settings: RoutingSettings) -> ShortCost:
    """What a call to a short number costs. One that the settings alone list is in no plan, and costs whatever its route
    says."""
    return _cost(text, settings.default_country) if is_short(text, settings) else ""


@lru_cache(maxsize=1024)
def _cost(text: str, country: str) -> ShortCost:
    if not country:
        return ""
    return _COSTS.get(phonenumbers.expected_cost_for_region(phonenumbers.parse(text, country), country), "")


@lru_cache(maxsize=1024)
def _is_emergency(text: str, country: str) -> bool:
    return phonenumbers.is_emergency_number(text, country)


@lru_cache(maxsize=1024)
def _in_plan(text: str, country: str) -> bool:
    if not country:
        return False
    try:
        return phonenumbers.is_valid_short_number_for_region(phonenumbers.parse(text, country), country)
    except phonenumbers.NumberParseException:
        return False
