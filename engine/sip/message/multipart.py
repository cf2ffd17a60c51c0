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
UNREFUSED: Final = frozenset(("ACK", "PRACK"))
"""Those of them that are answered by nothing, or always taken (RFC 3262 §3)."""
_CONTENT: Final = ("Content-Type", "Content-Disposition", "Content-ID", "Content-Encoding")
MOST_PARTS: Final = 16


def open_body(message: Request | Response) -> None:
    """Make the session description in a multipart body the body of its message, and keep the other parts beside it. A
    body of one other part, which need not be read or cannot be refused, is kept beside it too: its message describes
    nothing. Raises ParseError where a body cannot be taken apart."""
    kind = message.first.get("Content-Type", "")
    if message.cseq_method not in DESCRIBING:
        return
    if kind[:10].lower() != "multipart/":
        _put_aside(message, kind)
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


def _put_aside(message: Request | Response, kind: str) -> None:
    """Take out a body that is no description, where nobody is to be told that it cannot be read."""
    plain = kind.partition(";")[0].strip().lower()
    if plain in ("", SDP):
        return
    disposition = message.first.get("Content-Disposition", "")
    optional = "handling=optional" in disposition.replace(" ", "").lower()
    if optional or isinstance(message, Response) or message.method in UNREFUSED:
        lines = tuple((name, message.first[name]) for name in _CONTENT if name in message.first)
        message.parts = (BodyPart(content_type=plain, content_id="", required=False, lines=lines, body=message.body),)
        message.body = b""
        message.first.pop("Content-Type", None)


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
