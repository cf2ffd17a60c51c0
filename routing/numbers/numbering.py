"""E.164, the virtual range, and the numbering plans of the countries."""

import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import phonenumbers

from routing.errors import RoutingError

NumberKind = Literal["", "local", "toll_free", "mobile", "national", "virtual"]

VIRTUAL_PREFIX = "+899"
SHORTEST_PLAIN: Final = 7
"""Digits that a number has at least, behind a prefix or without one."""
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_VIRTUAL = re.compile(r"\+899[0-9]{9}")
_SEPARATORS = re.compile(r"[\s\-.()/\u00ad\u200b-\u200f\u2010-\u2015\u202a-\u202e\u2060\u2212\ufeff~]+")
_OPTIONAL_ZERO = re.compile(r"\(0\)")


def is_virtual(number: str) -> bool:
    """Whether a normalised number lies in the range that exists nowhere but here."""
    return number.startswith(VIRTUAL_PREFIX)


def is_e164(text: str) -> bool:
    """Whether `text` is a number in normal form: `+` and 7 to 15 digits."""
    return E164.fullmatch(text) is not None


def without_separators(text: str) -> str:
    """`text` without what people write to make a number readable (RFC 3966 §5.1.1 and more), digits of any script as
    ASCII. `(0)` after a country code is for callers inside the country only."""
    if text[:1] in "+\uff0b" or text.startswith("00"):
        text = _OPTIONAL_ZERO.sub("", text)
    text = _SEPARATORS.sub("", text)
    if not text.isascii():
        text = "".join(_ascii(character) for character in text)
    return text


def _ascii(character: str) -> str:
    if character == "\uff0b":
        return "+"
    return str(int(character)) if character.isdecimal() else character


_PREFIXES = 4  # national prefixes that somebody may have written before one number
# Prefixes that a plan has given up, and how many digits followed them: people and machines write them on. The digit
# between country code and number of mobile phones in Mexico ended in 2019.
_RETIRED: Final = {"+521": ("+52", 10)}
# Countries whose national prefix is 0 and that have numbers which begin with it all the same.
_ZERO_IS_THE_NUMBERS: Final = frozenset((62, 81, 82, 250, 598))


@lru_cache(maxsize=8192)
def in_plan(number: str) -> str:
    """The one form of an international number, `+` and 7 to 15 digits: without a national prefix (+44 020… is +4420…)
    or one that is no more (+52 1 55… is +52 55…), as its numbering plan says. What no plan knows stays as it is."""
    if is_virtual(number):
        return number
    for retired, (instead, digits) in _RETIRED.items():
        if number.startswith(retired) and len(number) == len(retired) + digits:
            number = instead + number[len(retired) :]
    for _ in range(_PREFIXES):
        try:
            parsed = phonenumbers.parse(number)
        except phonenumbers.NumberParseException:
            return number
        if not _is_complete(parsed):
            return number
        written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        if written == number or not is_e164(written):
            return number
        number = written
    return number


@lru_cache(maxsize=8192)
def beginning_in_plan(prefix: str) -> str:
    """The beginning of numbers, `+` and digits, as numbers in normal form have it: +44020 is +4420. What some number in
    normal form begins with stays as it is."""
    if is_virtual(prefix):
        return prefix
    whole = in_plan(prefix) if is_e164(prefix) else prefix
    if whole != prefix:
        return whole
    for retired, (instead, _) in _RETIRED.items():
        if prefix.startswith(retired):
            return instead + prefix[len(retired) :]
    code = next((end for end in (2, 3, 4) if _regions(prefix[1:end])), 0)
    if not code or int(prefix[1:code]) in _ZERO_IS_THE_NUMBERS:
        return prefix
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(_regions(prefix[1:code])[0])
    trunk = "" if metadata is None else metadata.national_prefix or ""
    rest = prefix[code:]
    for _ in range(_PREFIXES if trunk[:1] == "0" else 0):
        rest = rest.removeprefix(trunk)
    return prefix[:code] + rest


def _regions(code: str) -> tuple[str, ...]:
    return phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code), ()) if code else ()


@lru_cache(maxsize=8192)
def read_international(digits: str, country: str, prefixes: tuple[str, ...]) -> str:
    """The number behind a prefix that stands for `+`; "" where there is no such prefix.

    The prefixes of `country`'s own plan (011, 0011, 810 …) go before the shared `prefixes`, and what comes to a number
    that somebody may have before what only could be one.
    """
    found = []
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(country) if country else None
    if metadata is not None and metadata.international_prefix:
        own = re.match(metadata.international_prefix, digits)
        if own is not None:
            found.append(digits[own.end() :])
    found += [digits[len(prefix) :] for prefix in prefixes if digits.startswith(prefix)]
    numbers = [in_plan(f"+{rest}") for rest in found if len(rest) >= SHORTEST_PLAIN and is_e164(f"+{rest}")]
    for check in (phonenumbers.is_valid_number, _is_complete):
        for number in numbers:
            try:
                if check(phonenumbers.parse(number)):
                    return number
            except phonenumbers.NumberParseException:
                continue
    return numbers[-1] if numbers else ""


def behind_prefix(digits: str, country: str, prefixes: tuple[str, ...]) -> str:
    """What follows a prefix that stands for `+`, however little that is; "" where there is no such prefix."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(country) if country else None
    if metadata is not None and metadata.international_prefix:
        own = re.match(metadata.international_prefix, digits)
        if own is not None:
            return digits[own.end() :]
    return next((digits[len(prefix) :] for prefix in prefixes if digits.startswith(prefix)), "")


def checked_number(text: str, *, strict: bool = False) -> str:
    """The number in normal form, for numbers that are to be ours.

    Raises RoutingError: INVALID_NUMBER, VIRTUAL_NUMBER_FORMAT_INVALID. `strict` asks for a number that its country has
    really given out, not only one of a possible length.
    """
    number = without_separators(text).removesuffix("#")
    if is_virtual(number):
        if not _VIRTUAL.fullmatch(number):
            problem = f"{text!r} is no virtual number; write +899 and exactly nine digits, such as +899100000001"
            raise RoutingError("VIRTUAL_NUMBER_FORMAT_INVALID", problem)
        return number
    if not is_e164(number):
        problem = f"{text!r} is no number; write + and 7 to 15 digits with the country code, such as +15551234567"
        raise RoutingError("INVALID_NUMBER", problem)
    number = in_plan(number)
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        raise RoutingError(
            "INVALID_NUMBER", f"{text!r} begins with no country code; check the digits after +"
        ) from None
    if not _is_complete(parsed):
        problem = f"{text!r} has the wrong length for country code +{parsed.country_code}; check the digits"
        raise RoutingError("INVALID_NUMBER", problem)
    if strict and not phonenumbers.is_valid_number(parsed):
        problem = f"{text!r} is not in use in country code +{parsed.country_code}; correct it or switch strict off"
        raise RoutingError("INVALID_NUMBER", problem)
    return number


def _is_complete(parsed: phonenumbers.PhoneNumber) -> bool:
    # is_possible_number is content with a number that lacks its area code, too; nobody far away can be reached so.
    return phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE


def is_in_use(number: str) -> bool:
    """Whether its country has given out numbers like this one, in normal form."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False


def is_reserved(number: str, reserved_prefix: str) -> bool:
    """Whether a virtual number is the platform's own, neither to be offered nor provisioned through the API."""
    return bool(reserved_prefix) and is_virtual(number) and number.startswith(reserved_prefix)


@lru_cache(maxsize=8192)
def national_digits(number: str) -> str:
    """A normalised number as it is dialled within its own country, its trunk prefix (a leading 0, mostly) included."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    return "".join(character for character in written if character.isdigit())


@lru_cache(maxsize=8192)
def read_digits(digits: str, country: str) -> str:
    """Digits without `+` or international prefix as a normalised number; "" where they make none.

    A national number of the default country is tried first, then a number that only lacks its `+`.
    """
    for text, region in ((digits, country), (in_plan(f"+{digits}"), "")):
        if region or text[0] == "+":
            try:
                parsed = phonenumbers.parse(text, region or None)
            except phonenumbers.NumberParseException:
                continue
            if _is_complete(parsed):
                number = in_plan(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
                if is_e164(number):
                    return number
    return ""


@lru_cache(maxsize=8192)
def read_in_context(digits: str, context: str, country: str) -> str:
    """A local number within the global `phone-context` it was given with (RFC 3966 §5.1.5); "" where they make none."""
    try:
        parsed = phonenumbers.parse(f"tel:{digits};phone-context={context}")
    except phonenumbers.NumberParseException:
        return read_digits(digits, country)
    if _is_complete(parsed):
        number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        return number if is_e164(number) else ""
    # Some senders put the country code into the number as well as into its context.
    return read_digits(digits, country)


class NumberDescription(NamedTuple):
    """Where a number is from and what it is.

    Attributes:
        country: ISO 3166 code; "" for a virtual number, and where the number belongs to no country.
        kind: As in `routing.models.number.Number`.
    """

    country: str
    kind: NumberKind


# What the numbering plan calls a number -> what we call it. All others (premium rate, shared cost, VoIP, personal,
# companies' own) have no place of their own within the country: they are national.
_KINDS: dict[int, NumberKind] = {
    phonenumbers.PhoneNumberType.FIXED_LINE: "local",
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE: "local",
    # Possible, but not given out: mostly a number for trying things, such as +1 555. People look for it among these.
    phonenumbers.PhoneNumberType.UNKNOWN: "local",
    phonenumbers.PhoneNumberType.TOLL_FREE: "toll_free",
    phonenumbers.PhoneNumberType.MOBILE: "mobile",
}


@lru_cache(maxsize=8192)
def country_of(number: str) -> str:
    """The ISO 3166 code of the country that a number in normal form belongs to; "" for none.

    Countries that share a code are told apart by the digits that follow (+1 876 is JM). Where these are not in use in
    any of them, it is the code's main country (+1 555 is US).
    """
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ""
    country = phonenumbers.region_code_for_number(parsed)
    if country is None and parsed.country_code is not None:
        country = phonenumbers.region_code_for_country_code(parsed.country_code)
    # "001" is the library's word for the codes that belong to the world, such as +800.
    return country if country is not None and country in phonenumbers.SUPPORTED_REGIONS else ""


def is_country(code: str) -> bool:
    """Whether `code` is the ISO 3166 code, in capitals, of a country with telephone numbers."""
    return code in phonenumbers.SUPPORTED_REGIONS


def describe_number(number: str) -> NumberDescription:
    """Country and kind of a number in normal form, for numbers that come without them.

    Region and city are not told: the library's place names take 100 MB of memory, and whoever offers a number knows
    where it is.
    """
    if is_virtual(number):
        return NumberDescription("", "virtual")
    try:
        kind = _KINDS.get(phonenumbers.number_type(phonenumbers.parse(number)), "national")
    except phonenumbers.NumberParseException:
        return NumberDescription("", "")
    country = country_of(number)
    return NumberDescription(country, kind if country or kind == "toll_free" else "national")
