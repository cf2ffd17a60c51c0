"""What of one leg's own goes on to the other: header fields that a provider has listed, User-to-User (RFC 7433), what
portability queries have found (RFC 4694), parts of bodies (RFC 5621) with where the caller is (RFC 6442), and who has
been reached (RFC 3325 §5, RFC 5876)."""

import re
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Final

from engine.sip.message.grammar import ParseError
from engine.sip.message.header_names import USUAL
from engine.sip.message.message import BodyPart, Request, Response
from engine.sip.message.multipart import LOCATION, named_by
from engine.sip.message.uri import SipUri, TelUri
from routing.hunt.identity import display

Fields = tuple[tuple[str, str], ...]

ALWAYS: Final = ("user-to-user",)
"""Header fields between the two ends themselves."""
NUMBER_PARAMETERS: Final = ("npdi", "rn")
"""Parameters of a number that are always kept: who gets it without them asks the portability database once more."""
OWN: Final = frozenset(
    {
        *(name.lower() for name in USUAL),
        *("identity", "identity-info", "replaces", "refer-to", "referred-by", "target-dialog", "join"),
        *("geolocation", "geolocation-routing", "geolocation-error", "content-id"),
        *("p-asserted-service", "p-called-party-id", "sip-etag", "sip-if-match", "subscription-state", "call-info"),
        *("error-info", "alert-info", "mime-version", "proxy-require", "in-reply-to", "reply-to", "organization"),
    }
)
"""Header fields that each leg has of its own, or that say something of the way it came: no list carries them."""
MOST_FIELDS: Final = 20
LONGEST_FIELDS: Final = 4096  # characters of all together
LARGEST_PARTS: Final = 32_768  # octets of all together
_LOCATED: Final = ("Geolocation", "Geolocation-Routing")
_PARAMETER = re.compile(r"(npdi|rn|cic|isup-oli)(?:=(\+?[0-9A-Fa-f.-]{1,24}))?", re.IGNORECASE)
_NUMBER = re.compile(r"\+?[0-9]{1,15}")


def fields_of(message: Request | Response) -> Fields:
    """The header fields that may be carried; few messages have any."""
    if message.first.keys() <= USUAL:
        return ()
    found: list[tuple[str, str]] = []
    room = LONGEST_FIELDS
    for name, value in message.fields:
        if name.lower() not in OWN:
            room -= len(name) + len(value)
            if room < 0 or len(found) == MOST_FIELDS:
                break
            found.append((name, value))
    return tuple(found)


def listed(fields: Fields, patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Those of them that these patterns name (`X-*`), and those that always go on."""
    if not fields:
        return []
    wanted = (*ALWAYS, *(pattern.lower() for pattern in patterns))
    return [field for field in fields if any(fnmatchcase(field[0].lower(), pattern) for pattern in wanted)]


def going_on(fields: Fields, patterns: Sequence[str], own: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """As `listed`, without those that a leg has of its `own`."""
    if not fields:
        return []
    there = {name.lower() for name, _ in own}
    return [field for field in listed(fields, patterns) if field[0].lower() not in there]


def number_parameters(request: Request) -> tuple[tuple[str, str], ...]:
    """The parameters of the number in a Request-URI (RFC 4694 §5), names in lower case; "" for one without a value."""
    uri = request.uri
    if isinstance(uri, TelUri):
        given = [f"{name}={value}" if value else name for name, value in (uri.params or {}).items()]
    elif isinstance(uri, SipUri) and ";" in uri.user_text:
        given = uri.user_text.split(";")[1:]
    else:
        return ()
    found = [match for text in given if (match := _PARAMETER.fullmatch(text)) is not None]
    return tuple((match[1].lower(), match[2] or "") for match in found)


def written(parameters: Sequence[tuple[str, str]], more: Sequence[str]) -> str:
    """Those that go on, as they stand behind the number; `more`: what a provider wants beside NUMBER_PARAMETERS."""
    if not parameters:
        return ""
    wanted = (*NUMBER_PARAMETERS, *more)
    return "".join(f";{name}={value}" if value else f";{name}" for name, value in parameters if name in wanted)


def location_of(request: Request) -> Fields:
    """The header fields that say where the caller is, or may be asked for (RFC 6442 §4)."""
    if "Geolocation" not in request.first:
        return ()
    found = [(name, line) for name in _LOCATED for line in request.lines(name) if line]
    return tuple(found) if sum(len(line) for _, line in found) <= LONGEST_FIELDS else ()


def parts_going_on(
    parts: Sequence[BodyPart], location: Fields, wanted: Sequence[str], *, emergency: bool
) -> tuple[tuple[BodyPart, ...], Fields]:
    """The parts that a provider gets, and the header fields that go with them. `wanted`: the types that it takes. Where
    somebody is who calls for help is said to everybody; to others as far as they take it."""
    if not parts and not location:
        return (), ()
    located = named_by(parts, [line for _, line in location])
    going, room = [], LARGEST_PARTS
    for part in parts:
        kind = part.content_type
        if kind in wanted or (emergency and (kind == LOCATION or part in located)):
            room -= len(part.body)
            if room >= 0:
                going.append(part)
    told = emergency or LOCATION in wanted or any(part in located for part in going)
    return tuple(going), location if told else ()


def must_be_taken(parts: Sequence[BodyPart], location: Fields, wanted: Sequence[str]) -> bool:
    """Whether there is a part that a provider has to understand (RFC 5621 §8), and does not take."""
    kinds = (*wanted, LOCATION)
    missing = [part for part in parts if part.required and part.content_type not in kinds]
    if not missing:
        return False
    located = named_by(parts, [line for _, line in location])
    return any(part not in located for part in missing)


def told_back(response: Response, patterns: Sequence[str], domain: str, *, identify: bool) -> str:
    """The header lines of a response that the caller gets too. `identify`: the caller may know who has been reached."""
    lines = [f"{name}: {value}\r\n" for name, value in listed(fields_of(response), patterns)]
    if identify and "P-Asserted-Identity" in response.first and "Privacy" not in response.first:
        with suppress(ParseError):
            address = response.address("P-Asserted-Identity")
            uri = address.uri
            number = uri.user_text if isinstance(uri, SipUri) else uri.number if isinstance(uri, TelUri) else ""
            if _NUMBER.fullmatch(number):
                lines.append(f"P-Asserted-Identity: {display(address.display)}<sip:{number}@{domain}>\r\n")
    return "".join(lines)
