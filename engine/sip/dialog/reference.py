"""The contents of REFER and NOTIFY: Refer-To, Referred-By, message/sipfrag, Subscription-State (RFC 3515; RFC 3420,
3892, 4488, 6665)."""

import re
from contextlib import suppress
from typing import Final, NamedTuple

from engine.sip.message.grammar import ParseError, parse_params, unquote
from engine.sip.message.message import Request
from engine.sip.message.name_addr import NameAddr
from engine.sip.message.uri import SipUri, TelUri

MAX_FRAGMENT: Final = 8 * 1024
"""Octets of the longest message/sipfrag that is read."""

_STATUS_LINE = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])(?: ([^\r\n\0]{0,256})[^\r\n]*)?(?:\r?\n|$)")
_STATE = re.compile(r"[ \t]*(active|pending|terminated)[ \t]*(;.*)?", re.IGNORECASE | re.DOTALL)


class Reference(NamedTuple):
    """What a REFER asks for.

    Attributes:
        uri: The target to be called, without header fields.
        replaces: The value of Replaces in it, unescaped (attended transfer, RFC 3891); "" for a blind transfer.
        by: The URI in Referred-By (RFC 3892), not authenticated; "" without one.
        quiet: The peer wants no NOTIFY (RFC 4488).
    """

    uri: SipUri | TelUri
    replaces: str
    by: str
    quiet: bool


def read_reference(request: Request) -> Reference:
    """Parse a REFER. Raises ParseError with status 400, or 501 for a method other than INVITE."""
    values = request.values("Refer-To")
    if len(values) != 1:
        raise ParseError("a REFER needs exactly one Refer-To")  # RFC 3515 §2.4.2
    uri = NameAddr.parse(values[0]).uri
    if not isinstance(uri, SipUri | TelUri):
        raise ParseError("only sip, sips and tel URIs can be called", 501)
    replaces = ""
    if isinstance(uri, SipUri):
        if (uri.params.get("method") or "INVITE").upper() != "INVITE":
            raise ParseError("only calls can be transferred", 501)
        replaces = next((_unescaped(value) for name, value in _header_fields(uri) if name == "replaces"), "")
        uri = SipUri.parse(str(uri).partition("?")[0])
    by = ""
    if "Referred-By" in request.first:
        with suppress(ParseError):
            by = request.address("Referred-By").uri_text
    quiet = request.get("Refer-Sub").split(";", 1)[0].strip().lower() == "false"
    return Reference(uri=uri, replaces=replaces, by=by, quiet=quiet)


def _header_fields(uri: SipUri) -> list[tuple[str, str]]:
    pairs = (field.partition("=") for field in str(uri).partition("?")[2].split("&"))
    return [(name.lower(), value) for name, _, value in pairs]


def _unescaped(text: str) -> str:
    found = re.sub("%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)
    if not found.isprintable():
        raise ParseError("Replaces holds what is no text")
    return found


def read_fragment(request: Request) -> tuple[int, str]:
    """Status and reason phrase in the body of a NOTIFY (RFC 3515 §2.4.5). Raises ParseError with status 415 or 400."""
    kind, semicolon, rest = request.get("Content-Type").partition(";")
    version = unquote(parse_params(semicolon + rest).get("version") or "2.0")
    if kind.strip().lower() != "message/sipfrag" or version != "2.0":
        raise ParseError("a NOTIFY of a transfer holds a message/sipfrag", 415)
    found = _STATUS_LINE.match(request.body) if len(request.body) <= MAX_FRAGMENT else None
    if found is None:
        raise ParseError("a fragment without a status line")
    words = (found[2] or b"").decode("utf-8", "replace").strip()
    return int(found[1]), "".join(letter for letter in words if letter.isprintable())


def read_state(request: Request) -> str:
    """Subscription-State: "active", "pending" or "terminated". Raises ParseError without one (RFC 6665 §4.1.3)."""
    found = _STATE.fullmatch(request.get("Subscription-State"))
    if found is None:
        raise ParseError("Subscription-State is missing, or none that is known")
    return found[1].lower()
