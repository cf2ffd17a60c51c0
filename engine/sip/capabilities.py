"""What this endpoint serves, as it says in Allow, Supported and Accept."""

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY"
SERVED = frozenset(ALLOW.split(", "))
SUPPORTED = frozenset({"100rel", "timer", "norefersub", "replaces"})
# Known to the registry of methods but not served: 405. All others: 501 (RFC 3261 §21.4.6, §21.5.2).
KNOWN_METHODS = SERVED | {"REGISTER", "SUBSCRIBE", "PUBLISH"}

SDP_TYPE = "Content-Type: application/sdp\r\n"
ALLOW_LINE = f"Allow: {ALLOW}\r\n"
SUPPORTED_LINE = "Supported: 100rel, timer, norefersub, replaces\r\n"
# The answer to OPTIONS (RFC 3261 §11.2).
CAPABILITIES = (
    f"{ALLOW_LINE}Accept: application/sdp, text/plain, message/cpim, message/sipfrag\r\nAccept-Encoding: identity\r\n"
    f"Accept-Language: en\r\n{SUPPORTED_LINE}"
)
