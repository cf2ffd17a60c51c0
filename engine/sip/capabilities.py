"""What every endpoint understands, as it says in Supported and Accept, and which bodies it cannot read."""

from collections.abc import Callable

from engine.sip.message.message import Request, Response
from engine.sip.message.multipart import LOCATION, named_by
from engine.sip.sdp.fault import find_fault

SUPPORTED = frozenset({"100rel", "timer", "norefersub", "replaces"})
SDP_TYPE = "Content-Type: application/sdp\r\n"
SUPPORTED_LINE = "Supported: 100rel, timer, norefersub, replaces\r\n"
ACCEPT_LINES = (
    "Accept: application/sdp, multipart/mixed, text/plain, message/cpim, message/sipfrag\r\n"
    "Accept-Encoding: identity\r\nAccept-Language: en\r\n"
)


def _nowhere(content_type: str) -> bool:
    return False


def unreadable(request: Request, carried: Callable[[str], bool] = _nowhere) -> str:
    """What the 415 says to an offer that is no session description (RFC 3261 §8.2.3), or that has a part which must be
    understood and is not (RFC 5621 §8); "" where none is needed. `carried`: whether a part of this type goes on to
    whoever understands it."""
    if any(part.required for part in request.parts) and _not_understood(request, carried):
        return f"Accept: application/sdp, {LOCATION}, multipart/mixed\r\n"
    return unreadable_body(request)


def unreadable_body(request: Request) -> str:
    """As `unreadable`, of the session description itself."""
    if not request.body:
        return ""
    kind = request.get("Content-Type")
    if kind != "application/sdp" and kind.split(";", 1)[0].strip().lower() != "application/sdp":
        return f"Accept: application/sdp, {LOCATION}, multipart/mixed\r\n"
    headers = request.first
    if "Content-Encoding" in headers and headers["Content-Encoding"].lower() != "identity":
        return "Accept-Encoding: identity\r\n"
    return ""


def refused_offer(
    request: Request, carried: Callable[[str], bool] = _nowhere, urgent: Callable[[], bool] = lambda: False
) -> tuple[int, str] | None:
    """Why an INVITE or UPDATE is refused for its body: status and header lines; None where it is not. `carried`: see
    `unreadable`. `urgent`: whether somebody calls for help, who is not refused for what cannot be read."""
    if lines := unreadable(request, carried):
        if not urgent():
            return 415, lines
        if unreadable_body(request):
            request.body = b""
    fault = find_fault(request.body) if request.body else None
    return None if fault is None else (fault.status, f'Warning: 399 trunkline "{fault.words}"\r\n')


def drop_unusable(message: Request | Response) -> None:
    """Take the description out of a message that cannot be refused, where nobody could use it."""
    if message.body and find_fault(message.body) is not None:
        message.body = b""


def _not_understood(request: Request, carried: Callable[[str], bool]) -> bool:
    """Whether a part is required that nobody here understands. Where a caller is (RFC 6442) is always understood."""
    located = named_by(request.parts, request.lines("Geolocation"))
    return any(
        part.required and part.content_type != LOCATION and part not in located and not carried(part.content_type)
        for part in request.parts
    )


def allows_update(message: Request | Response) -> bool:
    """Whether the peer takes UPDATE (RFC 3311 §5.1)."""
    return "Allow" in message.first and any("UPDATE" in line for line in message.lines("Allow"))
