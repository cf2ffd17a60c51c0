"""Caller identity: the number and name that a request gives for who sends it (RFC 3325)."""

import re
from contextlib import suppress
from unicodedata import normalize

from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.name_addr import NameAddr
from engine.sip.message.uri import SipUri, TelUri
from routing.access.admission import Source
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.numbers.normalise import normalise_dialled
from routing.settings import RoutingSettings

_AS_GUEST = Source("guest")
_DIGITS = re.compile(r"\d(?:[\W_]*\d){3}")


def caller_of(
    request: Request, source: Source, routing: RoutingSettings, directory: Directory
) -> tuple[str, str, bool]:
    """The caller's number and name, and whether it wants to stay unknown. A trunk's and a client's P-Asserted-Identity
    is believed (RFC 3325 §5), a guest's is not."""
    headers = request.first
    private = "Privacy" in headers and "id" in (word.strip() for word in request.get("Privacy").lower().split(";"))
    address = None
    if source.kind != "guest" and "P-Asserted-Identity" in headers:
        with suppress(ParseError):
            address = request.address("P-Asserted-Identity")
    try:
        shown = request.address("From")
        anonymous = shown.uri_text[:14].lower() == "sip:anonymous@"
        private = private or anonymous
        if address is None:
            if anonymous:
                return "", "", True  # RFC 3323 §4.1.1.3: it is nobody's name or number
            address = shown
        return _number(address, routing, directory), address.display, private
    except ParseError:
        return "", "", private


def phone_of(
    request: Request, phone: ExtensionRow, routing: RoutingSettings, directory: Directory
) -> tuple[str, str, bool]:
    """As `caller_of`, for a phone that has logged in: the number that it shows, "" where it has none. What it asks for
    in From and P-Preferred-Identity (RFC 3325 §9.2) is its wish, and what it asserts itself is nothing (§5)."""
    _, _, private = caller_of(request, _AS_GUEST, routing, directory)
    wishes, name = [], ""
    for header in ("From", "P-Preferred-Identity"):
        with suppress(ParseError):
            if header in request.first:
                address = request.address(header)
                wishes.append(_number(address, routing, directory))
                name = name or address.display
    # A number in the name would be shown as well as one in its place.
    # Digits of every script, circled, in small and so on: who reads them takes them for a number.
    return phone.shows(*wishes), "" if _DIGITS.search(normalize("NFKC", name)) else name, private


def _number(address: NameAddr, routing: RoutingSettings, directory: Directory) -> str:
    uri = address.uri
    if not isinstance(uri, SipUri | TelUri):
        return ""
    named = normalise_dialled(uri, routing, directory.numbers)
    if named.kind == "number":
        return named.number
    return uri.user_text if isinstance(uri, SipUri) else uri.number
