"""Normalisation of what was dialled: a number in E.164, an extension, or neither."""

import re
from collections.abc import Container
from typing import Literal, NamedTuple
from urllib.parse import unquote

from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, TelUri, Uri, parse_uri
from routing.errors import RoutingError
from routing.numbers.numbering import (
    SHORTEST_PLAIN,
    checked_number,
    in_plan,
    is_e164,
    is_in_use,
    is_virtual,
    read_digits,
    read_in_context,
    read_international,
    without_separators,
)
from routing.numbers.short_numbers import is_short
from routing.settings import RoutingSettings

Kind = Literal["number", "extension", "empty", "overlong", "none"]

_LONGEST_USER = 128
_MOST_DIGITS = 15
_HAS_EXTENSION = re.compile(r"(?:^|;)\s*(?:ext|isub)\s*=", re.IGNORECASE)
_EXTENSION = re.compile(r"[A-Za-z0-9_.*#+-]{1,64}")


class DialledNumber(NamedTuple):
    """What a caller asked for.

    Attributes:
        kind: "number" (E.164), "extension" (a name or short digits), "empty", "overlong", "none".
        number: `+` and digits; "" unless the kind is "number".
        text: The user part as it came, escapes undone.
    """

    kind: Kind
    number: str
    text: str


def normalise_dialled(uri: Uri | str, settings: RoutingSettings, known: Container[str] = ()) -> DialledNumber:
    """What `uri` (a URI, its text, or a user part alone) names. Never raises.

    known: Our own numbers (`Directory.numbers`). Digits that are one of them once `+` is put before them are that
        number, whatever the default country makes of them; nothing else is then asked.
    """
    if isinstance(uri, str):
        if uri in known:
            return DialledNumber("number", uri, uri)
        if not uri[:5].lower().startswith(("sip:", "tel:", "sips:")):
            return _from_text(uri, settings, known)
        text = uri
        try:
            uri = parse_uri(text)
        except ParseError:
            if text[:4].lower() == "tel:" and len(text) > 4:  # as people write one, with spaces and the like
                return _from_text(unquote(text[4:], errors="replace"), settings, known)
            return DialledNumber("none", "", text[:_LONGEST_USER])
    if isinstance(uri, SipUri):
        user = uri.user
        if not user:
            return DialledNumber("empty", "", "")
        if "%" in user:
            user = unquote(user, errors="replace")
        return _from_text(user, settings, known)
    if isinstance(uri, TelUri):
        params = uri.params
        return _from_digits(uri.number, str(params.get("phone-context") or "") if params else "", settings, known)
    return DialledNumber("none", "", str(uri)[:_LONGEST_USER])


def written_number(text: str, settings: RoutingSettings, *, strict: bool | None = None) -> str:
    """The number in normal form that somebody has written down for us to keep: in a file, a request, a list. What may
    be dialled may be written, and is the same number; only what lacks its country, or can be read in two ways, is
    refused.

    `strict`: as `checked_number`; None: as the settings have it. Raises RoutingError INVALID_NUMBER,
    VIRTUAL_NUMBER_FORMAT_INVALID.
    """
    strict = settings.strict if strict is None else strict
    bare = text.strip()
    if bare[:4].lower() == "tel:":
        bare = unquote(bare[4:], errors="replace")
    digits, _, parameters = bare.partition(";")
    digits = without_separators(digits).removesuffix("#")
    if digits[:1] == "+" and not parameters:
        return checked_number(text if bare == text.strip() else bare, strict=strict)
    if _HAS_EXTENSION.search(parameters):
        raise RoutingError("INVALID_NUMBER", f"{text!r} names a line behind the number; write the number alone")
    if not parameters and is_short(digits, settings):
        raise RoutingError(
            "INVALID_NUMBER", f"{text!r} is a short number, which is nobody's to have; write another one"
        )
    asked = normalise_dialled(bare, settings) if bare[:4].lower() not in ("sip:", "sips") else None
    if asked is None or asked.kind != "number":
        checked_number(bare, strict=strict)  # which says what is wrong
        raise RoutingError("INVALID_NUMBER", f"{text!r} is no number; write it like +15551234567")
    if digits.isdigit() and "phone-context" not in parameters.lower():
        _require_one_reading(text, digits, asked.number, settings)
    return checked_number(asked.number, strict=strict)


def _require_one_reading(text: str, digits: str, number: str, settings: RoutingSettings) -> None:
    """Raises RoutingError for digits without `+` that lack their country, or that may have it."""
    country = settings.default_country
    if is_virtual(number) or read_international(digits, country, settings.international_prefixes) == number:
        return
    if not country:
        problem = f"{text!r} begins with no country code; write + and the country code, as in {number}"
        raise RoutingError("INVALID_NUMBER", problem)
    abroad = read_digits(digits, "")
    if abroad and abroad != number and is_in_use(abroad) and not is_in_use(number):
        problem = f"{text!r} may be {number} or {abroad}; write the one that is meant"
        raise RoutingError("INVALID_NUMBER", problem)


class _LookupRecorder:
    """Our own numbers as seen by a reading that finds none of them; keeps what was asked for."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __contains__(self, text: object) -> bool:
        self.texts.append(str(text))
        return False


def numbers_to_look_up(uri: Uri | str, settings: RoutingSettings) -> list[str]:
    """The normal forms that `normalise_dialled` compares with our own numbers, and the one that it comes to otherwise.

    For a directory that does not hold all numbers: once each of these is in it or known not to exist,
    `normalise_dialled` reads
    `uri` rightly.
    """
    asked = _LookupRecorder()
    meant = normalise_dialled(uri, settings, asked)
    return list(dict.fromkeys(text for text in (*asked.texts, meant.number) if is_e164(text)))


def _from_text(text: str, settings: RoutingSettings, known: Container[str]) -> DialledNumber:
    """A user part: a name, or a telephone-subscriber with parameters of its own (RFC 3261 §19.1.6)."""
    if text in known:
        return DialledNumber("number", text, text)
    if is_e164(text):
        return DialledNumber("number", in_plan(text), text)
    context = ""
    number = text
    if ";" in text:
        number, *params = text.split(";")
        for param in params:
            name, _, value = param.partition("=")
            if name.lower() == "phone-context":
                context = value
    return _from_digits(number, context, settings, known, text)


def _from_digits(
    written: str, context: str, settings: RoutingSettings, known: Container[str], text: str | None = None
) -> DialledNumber:
    text = written if text is None else text
    if len(text) > _LONGEST_USER:
        return DialledNumber("overlong", "", text[:_LONGEST_USER])
    digits = written if written.isascii() and written.isdigit() else _dialled(written)
    if not digits:
        return DialledNumber("empty" if not written.strip() else "none", "", text)
    plain = digits[1:] if digits[0] == "+" else digits
    if not plain.isdigit():
        return DialledNumber("extension" if _EXTENSION.fullmatch(written) else "none", "", text)
    if digits[0] == "+":
        return _international(plain, text)
    # With fewer digits after it, it is no prefix: "0012" is an extension.
    for prefix in settings.international_prefixes:
        if digits.startswith(prefix) and len(digits) > len(prefix) + _MOST_DIGITS:
            return DialledNumber("overlong", "", text)
    if abroad := read_international(digits, settings.default_country, settings.international_prefixes):
        return DialledNumber("number", abroad, text)
    if f"+{digits}" in known:
        return DialledNumber("number", f"+{digits}", text)
    if len(digits) > _MOST_DIGITS + 1:
        return DialledNumber("overlong", "", text)
    number = _read_plain(digits, context, settings)
    if number:
        return DialledNumber("number", number, text)
    if len(digits) > _MOST_DIGITS:
        return DialledNumber("overlong", "", text)
    return DialledNumber("extension", "", text)


def _read_plain(digits: str, context: str, settings: RoutingSettings) -> str:
    """The number that digits without a prefix stand for, in their context or in the default country; "" for none."""
    if context.startswith("+"):
        return read_in_context(digits, without_separators(context), settings.default_country)
    if is_virtual(f"+{digits}"):
        # No country has this code; the library would only refuse it.
        return f"+{digits}" if is_e164(f"+{digits}") else ""
    if len(digits) < SHORTEST_PLAIN and not settings.default_country:
        return ""
    return read_digits(digits, settings.default_country)


def _international(digits: str, text: str) -> DialledNumber:
    if len(digits) > _MOST_DIGITS:
        return DialledNumber("overlong", "", text)
    number = f"+{digits}"
    return DialledNumber("number", in_plan(number), text) if is_e164(number) else DialledNumber("none", "", text)


def _dialled(written: str) -> str:
    """`written` without separators, and without the key that ends dialling."""
    digits = without_separators(written)
    ended = digits[:-1]
    return ended if digits[-1:] == "#" and ended.removeprefix("+").isdigit() else digits
