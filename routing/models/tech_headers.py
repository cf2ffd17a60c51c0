"""Checks of the headers that a provider adds to its INVITEs."""

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")

# The headers that the dialog and the transaction live by, with their compact forms (RFC 3261 §7.3.3, §20).
_PROTECTED = {
    "via": "Via",
    "v": "Via",
    "from": "From",
    "f": "From",
    "to": "To",
    "t": "To",
    "call-id": "Call-ID",
    "i": "Call-ID",
    "cseq": "CSeq",
    "contact": "Contact",
    "m": "Contact",
    "max-forwards": "Max-Forwards",
    "route": "Route",
    "record-route": "Record-Route",
    "content-length": "Content-Length",
    "l": "Content-Length",
    "content-type": "Content-Type",
    "c": "Content-Type",
    "require": "Require",
}
_FORBIDDEN = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL"}
_LONGEST_NAME = 128
_LONGEST_VALUE = 4096


def check_tech_headers(headers: Mapping[str, str]) -> None:
    """Raises ValueError that names the header and what is wrong with it."""
    for name, value in headers.items():
        if not name:
            raise ValueError("a header without a name cannot be sent; give it a name such as X-Account")
        if not _TOKEN.fullmatch(name) or len(name) > _LONGEST_NAME:
            raise ValueError(
                f"{name!r} is no header name (RFC 3261 section 25.1: token); use letters, digits and hyphens"
            )
        protected = _PROTECTED.get(name.lower())
        if protected is not None:
            meant = "" if protected.lower() == name.lower() else f", the short form of {protected},"
            raise ValueError(f"header {name!r}{meant} belongs to the dialog and cannot be set; remove it")
        for character, word in _FORBIDDEN.items():
            if character in value:
                raise ValueError(f"the value of header {name!r} holds {word}; write it on one line")
        if len(value) > _LONGEST_VALUE:
            raise ValueError(f"the value of header {name!r} has more than {_LONGEST_VALUE} characters; shorten it")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"the value of header {name!r} cannot be written as UTF-8; replace the broken character"
            ) from None
