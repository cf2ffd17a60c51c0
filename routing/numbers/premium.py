"""Which numbers are of premium cost: by their plan, long and short ones."""

from functools import lru_cache

import phonenumbers

from routing.numbers.short_numbers import cost_of_short
from routing.settings import RoutingSettings


def is_premium(number: str, settings: RoutingSettings) -> bool:
    """Whether a number in normal form, or a short one as it is dialled, costs more than its distance."""
    return _is_premium(number) if number[:1] == "+" else cost_of_short(number, settings) == "premium"


@lru_cache(maxsize=8192)
def _is_premium(number: str) -> bool:
    try:
        kind = phonenumbers.number_type(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False
    return bool(kind == phonenumbers.PhoneNumberType.PREMIUM_RATE)
