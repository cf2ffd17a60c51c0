"""Header field names: one spelling for each (RFC 3261 §7.3.3, §20; the compact forms of the IANA registry)."""

COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}

# Names whose usual spelling is not simply every word capitalised.
_SPELLED = (
    "Call-ID",
    "CSeq",
    "MIME-Version",
    "RAck",
    "RSeq",
    "WWW-Authenticate",
    "Min-SE",
    "Remote-Party-ID",
    "SIP-ETag",
    "SIP-If-Match",
)

_KNOWN = {name.lower(): name for name in _SPELLED} | COMPACT

_MEMO_LIMIT = 2048
_MEMO_LONGEST = 64  # characters
_memo: dict[str, str] = {}


def canonical(name: str) -> str:
    """The one spelling of a header field name, whatever its case or compact form: "v" and "VIA" are "Via"."""
    known = _memo.get(name)
    if known is None:
        if not name.isascii():
            return name  # not a token; Unicode's rules of case would not lead back to it
        lowered = name.strip(" \t").lower()
        known = _KNOWN.get(lowered) or "-".join(word.capitalize() for word in lowered.split("-"))
        # A peer may invent names without end; the memo may not grow with them.
        if len(name) <= _MEMO_LONGEST:
            if len(_memo) >= _MEMO_LIMIT:
                _memo.clear()
            _memo[name] = known
    return known
