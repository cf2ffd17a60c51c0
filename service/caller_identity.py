"""Caller identity: the numbers and names that a request gives for who sends it (RFC 3323, RFC 3325, RFC 5806)."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple
from unicodedata import normalize

from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.name_addr import NameAddr, parse_name_addrs
from engine.sip.message.uri import SipUri, TelUri
from routing.access.admission import Source
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.hunt.identity import NOT_FORWARDED, Forwarded
from routing.numbers.normalise import normalise_dialled
from routing.settings import RoutingSettings

_DIGITS = re.compile(r"\d(?:[\W_]*\d){3}")

NOBODY: Final = frozenset(("anonymous", "restricted", "unavailable", "unknown", "private", "withheld"))
"""Words in the place of a number: who calls does not want to be known, or is not known."""
_HIDING: Final = frozenset(("id", "user", "header", "session", "critical"))
_MOST_FORWARDED: Final = 10
_LONGEST_FORWARDED: Final = 512  # characters of one value


class Caller(NamedTuple):
    """Who sends a request.

    Attributes:
        number: What is believed of it: what is asserted of a trunk's or a trusted peer's call (RFC 3325 §5), what a
            guest says itself. "" for nobody's.
        name: As `number`; "" for none.
        private: Whether it wants to stay unknown.
        shown: The number that it presents in From, where that is not `number`; "" where it is.
        shown_name: The name that goes with that.
        forwarded: Who has forwarded the call before.
    """

    number: str = ""
    name: str = ""
    private: bool = False
    shown: str = ""
    shown_name: str = ""
    forwarded: Forwarded = NOT_FORWARDED

    def on_record(self) -> dict[str, Any]:
        """The fields of a call's record that this fills."""
        return {
            "source": self.number,
            "source_name": self.name,
            "anonymous": self.private,
            "shown": self.shown,
            "shown_name": self.shown_name,
            "forwarded": self.forwarded,
        }


def caller_of(request: Request, source: Source, routing: RoutingSettings, directory: Directory) -> Caller:
    """Who calls or texts. What a trunk and a client assert is believed, what they would like to have asserted too (RFC
    3325 §5, §9.2), and Remote-Party-ID of older ones; of a guest From is all there is."""
    if source.provider is not None:
        routing = routing.in_country(source.provider.country)
    asked = hides(request)
    private = bool(asked)
    shown = name = ""
    with suppress(ParseError):
        address = request.address("From")
        if _is_anonymous(address):
            private = asked is not False
        else:
            shown, name = _number(address, routing, directory), address.display
    if source.kind == "guest":
        return Caller(shown, name, private or not shown)
    forwarded = forwarded_of(request)
    for address in _asserted(request):
        number = _number(address, routing, directory)
        private = private or (asked is None and _asks_for_privacy(address))
        if number and number != shown and shown:
            return Caller(number, address.display, private, shown, name, forwarded)
        if number:
            return Caller(number, name or address.display, private, forwarded=forwarded)
    return Caller(shown, name, private or not shown, forwarded=forwarded)


def phone_of(request: Request, phone: ExtensionRow, routing: RoutingSettings, directory: Directory) -> Caller:
    """As `caller_of`, for a phone that has logged in: the number that it shows, "" where it has none. What it asks for
    in From and P-Preferred-Identity (RFC 3325 §9.2) is its wish, and what it asserts itself is nothing (§5)."""
    private = hides(request)
    wishes, name = [], ""
    for header in ("From", "P-Preferred-Identity"):
        with suppress(ParseError):
            if header in request.first:
                address = request.address(header)
                wishes.append(_number(address, routing, directory))
                name = name or address.display
                if header == "From" and private is None:
                    private = _is_anonymous(address)
    # A number in the name would be shown as well as one in its place.
    # Digits of every script, circled, in small and so on: who reads them takes them for a number.
    name = "" if _DIGITS.search(normalize("NFKC", name)) else name
    shown = phone.shows(*wishes)
    return Caller(shown or phone.name, name, bool(private), shown)


def hides(request: Request) -> bool | None:
    """What its Privacy header fields ask for: True hides the caller, False (`none`) does not, None where there are
    none (RFC 3323 §4.2)."""
    if "Privacy" not in request.first:
        return None
    asked = {word.strip() for line in request.lines("Privacy") for word in re.split("[;,]", line.lower())}
    if asked & _HIDING:
        return True
    return False if "none" in asked else None


def forwarded_of(request: Request) -> Forwarded:
    """Who has forwarded a call, the last one first, as far as its headers say."""
    first = request.first
    if "Diversion" not in first and "History-Info" not in first:
        return NOT_FORWARDED
    return Forwarded(_values(request, "Diversion"), _values(request, "History-Info"))


def _values(request: Request, header: str) -> tuple[str, ...]:
    try:
        values = request.values(header)
    except ParseError:
        return ()
    return tuple(value for value in values if len(value) <= _LONGEST_FORWARDED)[:_MOST_FORWARDED]


def _asserted(request: Request) -> Iterator[NameAddr]:
    """The addresses of the headers that assert somebody, the one that goes first at the beginning."""
    for header in ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"):
        if header in request.first:
            with suppress(ParseError):
                for address in parse_name_addrs(request.lines(header)):
                    if (address.params.get("party") or "calling").lower() == "calling":
                        yield address


def _asks_for_privacy(address: NameAddr) -> bool:
    """The `privacy` of a Remote-Party-ID."""
    asked = (address.params.get("privacy") or "off").lower().strip('"').split("-")[0]
    return asked in ("full", "name", "uri")


def _is_anonymous(address: NameAddr) -> bool:
    """Whether it is nobody's name and number (RFC 3323 §4.1.1.3)."""
    uri = address.uri
    if isinstance(uri, SipUri):
        return uri.user_text.lower() in NOBODY or uri.host.lower() == "anonymous.invalid"
    return isinstance(uri, TelUri) and uri.number.lower() in NOBODY


def _number(address: NameAddr, routing: RoutingSettings, directory: Directory) -> str:
    uri = address.uri
    if not isinstance(uri, SipUri | TelUri) or _is_anonymous(address):
        return ""
    named = normalise_dialled(uri, routing, directory.numbers)
    if named.kind == "number":
        return named.number
    return uri.user_text if isinstance(uri, SipUri) else uri.number
