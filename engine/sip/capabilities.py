"""What every endpoint understands, as it says in Supported and Accept, and which bodies it cannot read."""

from engine.sip.message.message import Request, Response
from engine.sip.sdp.fault import find_fault

SUPPORTED = frozenset({"100rel", "timer", "norefersub", "replaces"})
SDP_TYPE = "Content-Type: application/sdp\r\n"
SUPPORTED_LINE = "Supported: 100rel, timer, norefersub, replaces\r\n"
ACCEPT_LINES = (
    "Accept: application/sdp, multipart/mixed, text/plain, message/cpim, message/sipfrag\r\n"
    "Accept-Encoding: identity\r\nAccept-Language: en\r\n"
)


def unreadable(request: Request) -> str:
    """What the 415 says to an offer that is no session description (RFC 3261 §8.2.3); "" where none is needed."""
    if any(part.required for part in request.parts):
        return "Accept: application/sdp, multipart/mixed\r\n"  # RFC 5621 §8
    if not request.body:
        return ""
    kind = request.get("Content-Type")
    if kind != "application/sdp":
        kind = kind.split(";", 1)[0].strip().lower()
    # §20.11: a body may say that it need not be read.
    if kind != "application/sdp" and "handling=optional" not in _squeezed(request.get("Content-Disposition")):
        return "Accept: application/sdp, multipart/mixed\r\n"
    headers = request.first
    if "Content-Encoding" in headers and headers["Content-Encoding"].lower() != "identity":
        return "Accept-Encoding: identity\r\n"
    return ""


def refused_offer(request: Request) -> tuple[int, str] | None:
    """Why an INVITE or UPDATE is refused for its body: status and header lines; None where it is not."""
    if lines := unreadable(request):
        return 415, lines
    fault = find_fault(request.body) if request.body else None
    return None if fault is None else (fault.status, f'Warning: 399 trunkline "{fault.words}"\r\n')


def drop_unusable(message: Request | Response) -> None:
    """Take the description out of a message that cannot be refused, where nobody could use it."""
    if message.body and find_fault(message.body) is not None:
        message.body = b""


def _squeezed(text: str) -> str:
    return text.replace(" ", "").lower()


def allows_update(message: Request | Response) -> bool:
    """Whether the peer takes UPDATE (RFC 3311 §5.1)."""
    return "Allow" in message.first and any("UPDATE" in line for line in message.lines("Allow"))
