"""Header field names: one spelling for each, and which of them stand alone (RFC 3261 §7.3.3, §20; the compact forms of
the IANA registry)."""

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
    "Content-ID",
    "MIME-Version",
    "RAck",
    "RSeq",
    "WWW-Authenticate",
    "Min-SE",
    "P-Called-Party-ID",
    "Remote-Party-ID",
    "SIP-ETag",
    "SIP-If-Match",
    "Session-ID",
    "User-to-User",
)

_KNOWN = {name.lower(): name for name in _SPELLED} | COMPACT

# fmt: off
USUAL = frozenset((
    "Accept", "Accept-Encoding", "Accept-Language", "Allow", "Allow-Events", "Authorization", "Call-ID",
    "Contact", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Type", "CSeq", "Date",
    "Diversion", "Event", "Expires", "From", "History-Info", "Max-Breadth", "Max-Forwards", "Min-SE",
    "P-Access-Network-Info", "P-Called-Party-ID",
    "P-Asserted-Identity", "P-Charging-Vector", "P-Early-Media", "P-Preferred-Identity", "Path", "Privacy",
    "Proxy-Authenticate", "Proxy-Authorization", "RAck", "Reason", "Record-Route", "Remote-Party-ID",
    "Require", "Retry-After", "Route", "RSeq", "Server", "Session-Expires", "Subject", "Supported",
    "Timestamp", "To", "Unsupported", "User-Agent", "Via", "Warning", "WWW-Authenticate",
))
"""The usual spellings: a message that uses no other needs no look at its names."""

ONCE = frozenset((
    "From", "To", "Call-ID", "CSeq", "Max-Breadth", "Max-Forwards", "Content-Length", "Content-Type", "Expires", "Date",
    "RSeq", "RAck", "Session-Expires",
))
"""Header fields that no message repeats: two would contradict each other."""
# fmt: on

MEMO_LIMIT = 2048
"""Entries of `memo`, which is cleared where it is full."""
_MEMO_LONGEST = 64  # characters
memo: dict[str, str] = {}
"""The spelling of each name that has been met."""


def canonical(name: str) -> str:
    """The one spelling of a header field name, whatever its case or compact form: "v" and "VIA" are "Via"."""
    known = memo.get(name)
    if known is None:
        if not name.isascii():
            return name  # not a token; Unicode's rules of case would not lead back to it
        lowered = name.strip(" \t").lower()
        known = _KNOWN.get(lowered) or "-".join(word.capitalize() for word in lowered.split("-"))
        # A peer may invent names without end; the memo may not grow with them.
        if len(name) <= _MEMO_LONGEST:
            if len(memo) >= MEMO_LIMIT:
                memo.clear()
            memo[name] = known
    return known
