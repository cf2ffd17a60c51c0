"""What this endpoint serves, as it says in Allow, Supported and Accept."""

from engine.sip.message.message import Request

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


def unreadable(request: Request) -> str:
    """What the 415 says to an offer that is no session description (RFC 3261 §8.2.3); "" where none is needed."""
    if not request.body:
        return ""
    kind = request.get("Content-Type")
    if kind != "application/sdp":
        kind = kind.split(";", 1)[0].strip().lower()
    # §20.11: a body may say that it need not be read.
    if kind != "application/sdp" and "handling=optional" not in _squeezed(request.get("Content-Disposition")):
        return "Accept: application/sdp\r\n"
    headers = request.first
    if "Content-Encoding" in headers and headers["Content-Encoding"].lower() != "identity":
        return "Accept-Encoding: identity\r\n"
    return ""


def _squeezed(text: str) -> str:
    return text.replace(" ", "").lower()
