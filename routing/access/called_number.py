"""The called number: where a trunk writes it, and how it is read there (RFC 7315 §4.2 for P-Called-Party-ID)."""

from contextlib import suppress
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.uri import Uri
from routing.directory.directory import Directory
from routing.models.provider import Provider
from routing.numbers.normalise import DialledNumber, normalise_dialled
from routing.numbers.numbering import SHORTEST_PLAIN, without_separators
from routing.settings import RoutingSettings

# `called_number_from` -> the header fields that are asked, in order; "" for the Request-URI.
_PLACES: Final = {
    "request_uri": ("",),
    "to": ("To",),
    "p_called_party_id": ("P-Called-Party-ID",),
    "auto": ("P-Called-Party-ID", "", "To"),
}
_CODES: Final = tuple(f"+{code}" for code in COUNTRY_CODE_TO_REGION_CODE)
_LONGEST_NATIONAL: Final = 14


def called_uris(request: Request, provider: Provider | None) -> list[Uri | str]:
    """Where the number that is called may stand, the place that goes first at the beginning. `provider`: whose trunk
    the request is from; None for everybody else, whose Request-URI alone counts."""
    if provider is None:
        return [request.uri]
    place = provider.called_number_from
    found = _uris(request, _PLACES[place])
    if place == "request_uri" and not _digits(request.uri):
        # An account's or a trunk's own name: what is called is said elsewhere.
        found += _uris(request, ("P-Called-Party-ID", "To"))
    return found or [request.uri]


def _uris(request: Request, headers: tuple[str, ...]) -> list[Uri | str]:
    found: list[Uri | str] = []
    for header in headers:
        if not header:
            found.append(request.uri)
        elif header in request.first:
            with suppress(ParseError):
                found.append(request.address(header).uri)
    return found


def called_number(
    request: Request, provider: Provider | None, settings: RoutingSettings, directory: Directory
) -> DialledNumber:
    """What is called. Of several places the first that names a number of ours counts, else the first of all."""
    known = directory.numbers
    if provider is None:
        return normalise_dialled(request.uri, settings, known)
    settings = settings.in_country(provider.country)
    found = [normalise_dialled(uri, settings, known) for uri in called_uris(request, provider)]
    for number in found:
        if number.number in known:
            return number
    return (_national(found[0], provider, directory) if not provider.country else None) or found[0]


def _national(number: DialledNumber, provider: Provider, directory: Directory) -> DialledNumber | None:
    """The number of ours, arriving on this trunk, whose national form has been called, where there is only one."""
    digits = without_separators(number.text)
    if not (SHORTEST_PLAIN <= len(digits) <= _LONGEST_NATIONAL and digits.isdigit()):
        return None
    rows = [directory.number(code + digits.lstrip("0")) for code in _CODES]
    ours = [row.number for row in rows if row is not None and row.provider_id == provider.id]
    return DialledNumber("number", ours[0], number.text) if len(ours) == 1 else None


def _digits(uri: Uri | str) -> bool:
    """Whether a URI names digits, rather than a name."""
    text = without_separators(getattr(uri, "user_text", "") or getattr(uri, "number", "")).partition(";")[0]
    return text.lstrip("+")[:1].isdigit()
