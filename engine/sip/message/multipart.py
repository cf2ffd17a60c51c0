"""Bodies of several parts (RFC 5621, RFC 2046 §5.1): the session description among them is what a message says, and the
other parts stand beside it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from engine.sip.message.grammar import ParseError
from engine.sip.message.message import BodyPart, Request, Response

if TYPE_CHECKING:
    from email.message import Message as Part

SDP: Final = "application/sdp"
DESCRIBING: Final = frozenset(("INVITE", "ACK", "PRACK", "UPDATE"))
"""The methods whose messages may hold a session description."""
UNREFUSED: Final = frozenset(("ACK", "PRACK"))
"""Those of them that are answered by nothing, or always taken (RFC 3262 §3)."""
MOST_PARTS: Final = 16
LOCATION: Final = "application/pidf+xml"
_CONTENT: Final = ("Content-Type", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-ID")
"""What a part says of itself; the transfer encoding is undone."""
_LONGEST_LINE: Final = 512


def open_body(message: Request | Response) -> None:
    """Make the session description in a multipart body the body of its message, and keep the other parts beside it.
    A body of one part that is no description stands beside it as well. Raises ParseError where it cannot be taken
    apart."""
    kind = message.first.get("Content-Type", "")
    if message.cseq_method not in DESCRIBING:
        return
    if kind[:10].lower() != "multipart/":
        _set_aside(message, kind.partition(";")[0].strip().lower())
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


def _set_aside(message: Request | Response, kind: str) -> None:
    """A body of one part, where it is no description: it has to be understood unless it says otherwise (RFC 3261
    §20.11). What has no type is left, for whoever refuses it."""
    if not kind or kind == SDP:
        return
    first = message.first
    lines = tuple((name, first[name]) for name in _CONTENT if name in first)
    optional = "handling=optional" in first.get("Content-Disposition", "").replace(" ", "").lower()
    content_id = first.get("Content-ID", "").strip().strip("<>")
    part = BodyPart(content_type=kind, content_id=content_id, required=not optional, lines=lines, body=message.body)
    message.parts, message.body = (part,), b""
    del first["Content-Type"]


def named_by(parts: Sequence[BodyPart], references: Sequence[str]) -> list[BodyPart]:
    """Those of the parts that header values name by `<cid:...>` (RFC 2392)."""
    named = {unquote(value.partition("<cid:")[2].partition(">")[0]) for value in references if "<cid:" in value}
    return [part for part in parts if part.content_id and part.content_id in named]


def composed(body: bytes, parts: Sequence[BodyPart], boundary: str) -> tuple[str, bytes]:
    """The header lines and the body of a message that says `body`, a session description or nothing, and has `parts`
    beside it (RFC 5621 §3). `boundary` occurs in none of them."""
    pieces = [(f"Content-Type: {SDP}\r\n", body)] if body else []
    pieces += [("".join(f"{name}: {value}\r\n" for name, value in part.lines), part.body) for part in parts]
    whole = b"".join(
        f"--{boundary}\r\n{lines}\r\n".encode("utf-8", "replace") + content + b"\r\n" for lines, content in pieces
    )
    headers = f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;boundary={boundary}\r\n"
    return headers, whole + f"--{boundary}--\r\n".encode()


def _is_aside(part: "Part") -> bool:
    """Whether a description is not the session's (RFC 3261 §20.11)."""
    return (part.get_content_disposition() or "session") not in ("session", "early-session")


def _read(part: "Part") -> BodyPart:
    handling = str(part.get_param("handling", "", "content-disposition")).strip().lower()
    return BodyPart(
        content_type=part.get_content_type(),
        content_id=str(part.get("Content-ID", "")).strip().strip("<>"),
        required=handling == "required",
        lines=tuple((name, text) for name in _CONTENT if (text := _line(str(part.get(name, ""))))),
        body=_bytes(part),
    )


def _line(text: str) -> str:
    """A header value on one line, whatever folds and bytes it came with."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:_LONGEST_LINE]


def _bytes(part: "Part") -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _whole_lines(body: bytes) -> bytes:
    """The line break before a boundary belongs to that (RFC 2046 §5.1.1); a description ends with one of its own."""
    return body if not body or body.endswith(b"\n") else body + b"\r\n"
