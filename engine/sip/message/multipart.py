"""Bodies of several parts (RFC 5621, RFC 2046 §5.1): the session description among them is what a message says, and the
other parts stand beside it."""

from typing import TYPE_CHECKING, Final

from engine.sip.message.grammar import ParseError
from engine.sip.message.message import BodyPart, Request, Response

if TYPE_CHECKING:
    from email.message import Message as Part

SDP: Final = "application/sdp"
DESCRIBING: Final = frozenset(("INVITE", "ACK", "PRACK", "UPDATE"))
"""The methods whose messages may hold a session description."""
MOST_PARTS: Final = 16


def open_body(message: Request | Response) -> None:
    """Make the session description in a multipart body the body of its message, and keep the other parts beside it.
    Nothing where the body is of one part. Raises ParseError where it cannot be taken apart."""
    kind = message.first.get("Content-Type", "")
    if kind[:10].lower() != "multipart/" or message.cseq_method not in DESCRIBING:
        return
    # The library's parser leaves the bytes of a part as they are. It brings much along, and is for the few who need it.
    from email import message_from_bytes

    whole = message_from_bytes(b"Content-Type: " + kind.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + message.body)
    if not whole.is_multipart() or whole.defects:
        raise ParseError("a multipart body that cannot be taken apart: its boundary is missing, or not said")
    found = [part for part in whole.walk() if not part.is_multipart()]
    if len(found) > MOST_PARTS:
        raise ParseError(f"a body of more than {MOST_PARTS} parts", 413)
    described = [part for part in found if part.get_content_type() == SDP and not _is_aside(part)]
    # RFC 2046 §5.1.4: of alternatives the last one that is understood is the best.
    best = (described[-1] if kind[10:21].lower() == "alternative" else described[0]) if described else None
    message.parts = tuple(_read(part) for part in found if part is not best)
    message.body = b"" if best is None else _whole_lines(_bytes(best))
    if best is None:
        message.first.pop("Content-Type", None)
    else:
        message.first["Content-Type"] = SDP


def _is_aside(part: "Part") -> bool:
    """Whether a description is not the session's (RFC 3261 §20.11)."""
    return (part.get_content_disposition() or "session") not in ("session", "early-session")


def _read(part: "Part") -> BodyPart:
    handling = str(part.get_param("handling", "", "content-disposition")).strip().lower()
    return BodyPart(
        content_type=part.get_content_type(),
        content_id=str(part.get("Content-ID", "")).strip().strip("<>"),
        required=handling == "required",
        lines=tuple((name, str(value)) for name, value in part.items()),
        body=_bytes(part),
    )


def _bytes(part: "Part") -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _whole_lines(body: bytes) -> bytes:
    """The line break before a boundary belongs to that (RFC 2046 §5.1.1); a description ends with one of its own."""
    return body if not body or body.endswith(b"\n") else body + b"\r\n"
