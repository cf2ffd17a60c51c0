"""SIP messages: requests and responses, their header fields and how they are written (RFC 3261 §7).

Header values are kept as text, in order, under their one spelling; only what every message needs to be matched (top
Via, tags, Call-ID, CSeq) is typed at once, by `engine.sip.message.parsing`, everything else when something asks for it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError, split_list
from engine.sip.message.name_addr import NameAddr
from engine.sip.message.status import reason_phrase
from engine.sip.message.uri import Uri, parse_uri
from engine.sip.message.via import Via

METHODS = (
    *("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "PRACK", "UPDATE", "INFO", "MESSAGE", "REFER", "NOTIFY"),
    *("REGISTER", "SUBSCRIBE", "PUBLISH"),
)
"""The methods that IANA has registered, in the order in which Allow names them."""

EXPLAINING = ("Reason", "Retry-After", "Warning", "Call-Info", "Error-Info")
"""What a refusal may say beside its status: RFC 6432, RFC 3261 §20.33, §20.43, RFC 8688 §3.2.2, RFC 3261 §20.18."""
LONGEST_EXPLANATION = 4096
LONGEST_REASON = 1024
"""Characters of that, and of Reason values, that are handed on; what would be more is left out."""
# Challenges and redirections are between us and who has made them, and a 503 speaks of one server alone (§16.7 step 6).
_OUR_OWN_AFFAIR = frozenset({*range(300, 400), 401, 407, 503})

Headers = dict[str, list[str]]
Field = tuple[str, str]


class BodyPart(NamedTuple):
    """A part of a body that is no session description.

    Attributes:
        content_type: In lower case, without parameters.
        content_id: What a header field names it by (RFC 2392), without <>; "" for none.
        required: Whoever does not understand it must refuse the message: its handling is said to be required.
        lines: What it says of itself, as (name, value).
        body: As it came, without a transfer encoding.
    """

    content_type: str
    content_id: str
    required: bool
    lines: tuple[tuple[str, str], ...]
    body: bytes


class Message:
    """What requests and responses share: header fields, body, and the typed values by which they are matched."""

    __slots__ = (
        "_lines",
        "_parts",
        "_via",
        "body",
        "branch",
        "call_id",
        "cseq",
        "cseq_method",
        "first",
        "from_tag",
        "sent_by",
        "source",
        "to_tag",
        "top_via",
    )

    first: dict[str, str]  # the first line of each
    body: bytes
    top_via: str  # the first Via line, with what we noted in it
    branch: str  # of the topmost Via, "" when it has none
    sent_by: str  # of the topmost Via, in lower case
    call_id: str
    cseq: int
    cseq_method: str
    from_tag: str
    to_tag: str
    source: Flow | None  # where it came from, of one that the network brought

    def fill(self, first: dict[str, str], fields: list[Field] | None, body: bytes) -> None:
        """Header fields and body of a new message: the first line of each field, and all lines in order, or None where
        no field has a second one."""
        self.first = first
        self._lines = fields
        self.body = body
        self.top_via = first.get("Via", "")
        self._via: Via | None = None
        self.source = None

    def _fill_with(self, headers: Headers, body: bytes) -> None:
        fields = [(name, value) for name, values in headers.items() for value in values]
        self.fill({name: values[0] for name, values in headers.items() if values}, fields, body)

    @property
    def via(self) -> Via:
        """The topmost Via. Raises ParseError."""
        if self._via is None:
            self._via = Via.first(self.get("Via"))
        return self._via

    @property
    def parts(self) -> tuple[BodyPart, ...]:
        """Beside the session description, what else its body has brought (`engine.sip.message.multipart`)."""
        try:
            return self._parts
        except AttributeError:
            return ()

    @parts.setter
    def parts(self, parts: tuple[BodyPart, ...]) -> None:
        self._parts = parts

    @property
    def fields(self) -> list[Field]:
        """Every header field line, in order, names in their one spelling."""
        return list(self.first.items()) if self._lines is None else self._lines

    @property
    def unrepeated(self) -> bool:
        """No header field has a second line (cheap; may be False where it could be True)."""
        return self._lines is None

    @property
    def single_via(self) -> bool:
        """Whether it came straight from its sender, over no proxy."""
        return "," not in self.top_via and (self._lines is None or len(self.lines("Via")) == 1)

    @property
    def plain_via(self) -> bool:
        """The topmost Via line is one value with nothing but a branch and perhaps an rport without a value."""
        return self._via is None

    @property
    def headers(self) -> Headers:
        """All header fields by name, as a new dictionary: for looking at all of them, not for every packet."""
        headers: Headers = {}
        for name, value in self.fields:
            headers.setdefault(name, []).append(value)
        if self.top_via:
            headers["Via"][0] = self.top_via
        return headers

    def lines(self, name: str) -> list[str]:
        """The lines of a header field, comma lists as they came."""
        if name not in self.first:
            return []
        if self._lines is None:
            return [self.first[name] if name != "Via" else self.top_via]
        if name == "Via":
            return [self.top_via, *[value for other, value in self.fields if other == name][1:]]
        return [value for other, value in self.fields if other == name]

    def get(self, name: str, default: str = "") -> str:
        """The first value of a header field by its usual spelling ("Call-ID"), or `default`."""
        return self.first.get(name, default)

    def values(self, name: str) -> list[str]:
        """All values of a list header (Via, Route, Contact …), comma lists taken apart. Raises ParseError."""
        if name not in self.first:
            return []
        lines = self.lines(name)
        if len(lines) == 1 and "," not in lines[0]:
            return [lines[0]] if lines[0] else []
        return [value for line in lines if line for value in split_list(line)]

    @property
    def reasons(self) -> str:
        """The Reason values, one for each protocol (RFC 3326 §2), as the value of one line; "" for none. Those that
        would make it longer than LONGEST_REASON are left out."""
        if "Reason" not in self.first:
            return ""
        whole = ""
        for line in self.lines("Reason"):
            longer = f"{whole}, {line}" if whole and line else whole or line
            if len(longer) <= LONGEST_REASON:
                whole = longer
        return whole

    def tokens(self, name: str) -> set[str]:
        """The values of a token list (Require, Supported, Allow) in lower case; a malformed one is empty."""
        try:
            return {value.lower() for value in self.values(name)}
        except ParseError:
            return set()

    def address(self, name: str) -> NameAddr:
        """The first value of an address header (From, To, Contact, P-Asserted-Identity). Raises ParseError."""
        values = self.values(name)
        if not values:
            raise ParseError(f"{name} is missing")
        return NameAddr.parse(values[0])

    def start_line(self) -> str:
        raise NotImplementedError

    def __bytes__(self) -> bytes:
        """The message on the wire; Content-Length is always that of the body."""
        lines = [self.start_line()]
        lines += (f"{name}: {value}" for name, value in self._fields() if name != "Content-Length")
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body

    def _fields(self) -> Iterator[tuple[str, str]]:
        top = self.top_via
        for name, value in self.fields:
            if top and name == "Via":
                value, top = top, ""
            yield name, value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message) or type(other) is not type(self):
            return NotImplemented
        mine, theirs = self.headers, other.headers
        mine.pop("Content-Length", None)
        theirs.pop("Content-Length", None)
        return self.start_line() == other.start_line() and mine == theirs and self.body == other.body

    __hash__ = None  # type: ignore[assignment]  # equal by content and mutable: not for sets

    def __repr__(self) -> str:
        return f"<{self.start_line()!r} {self.get('Call-ID')!r}>"


class Request(Message):
    """A request; `uri_text` is the Request-URI as written."""

    __slots__ = ("_uri", "method", "uri_text")

    def __init__(self, method: str, uri_text: str, headers: Headers, body: bytes = b"") -> None:
        self.method = method
        self.uri_text = uri_text
        self._uri: Uri | None = None
        self._fill_with(headers, body)

    @property
    def uri(self) -> Uri:
        """The Request-URI, read when first asked for. Raises ParseError."""
        if self._uri is None:
            self._uri = parse_uri(self.uri_text)
        return self._uri

    def start_line(self) -> str:
        return f"{self.method} {self.uri_text} SIP/2.0"


class Response(Message):
    """A response with its status code and reason phrase."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self._fill_with(headers, body)

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    @property
    def retry_after(self) -> int:
        """The seconds that Retry-After says (RFC 3261 §20.33); 0 without it, and where it is malformed."""
        digits = self.get("Retry-After").split("(", 1)[0].split(";", 1)[0].strip()
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0

    @property
    def explanation(self) -> tuple[Field, ...]:
        """The header fields, all their lines, with which a refusal is handed on."""
        first = self.first
        if self.status < 400 or self.status in _OUR_OWN_AFFAIR or not any(name in first for name in EXPLAINING):
            return ()
        found: list[Field] = []
        room = LONGEST_EXPLANATION
        for name in EXPLAINING:
            for line in self.lines(name):
                room -= len(name) + len(line)
                if room >= 0:
                    found.append((name, line))
        return tuple(found)


_ECHOED = frozenset({"Via", "From", "To", "Call-ID", "CSeq"})


def _has_tag(to: str) -> bool:
    return ";tag=" in to.replace(" ", "").lower()


def response_to(request: Request, status: int, reason: str = "", to_tag: str = "", headers: str = "") -> bytes:
    """A response without a transaction, made from the request's own fields (RFC 3261 §8.2.6, §8.2.7).

    `headers` are complete further lines, each ended by CRLF. Used for what was too broken or too much to be kept.
    """
    first = request.first
    if request.unrepeated and len(first.keys() & _ECHOED) == len(_ECHOED):
        to = first["To"]
        tag = f";tag={to_tag}" if to_tag and not (";" in to and _has_tag(to)) else ""
        text = (
            f"SIP/2.0 {status} {reason or reason_phrase(status)}\r\nVia: {request.top_via}\r\nFrom: {first['From']}\r\n"
            f"To: {to}{tag}\r\nCall-ID: {first['Call-ID']}\r\nCSeq: {first['CSeq']}\r\n{headers}"
            "Content-Length: 0\r\n\r\n"
        )
        return text.encode("utf-8", "surrogateescape")
    lines = [f"SIP/2.0 {status} {reason or reason_phrase(status)}"]
    lines += [f"Via: {via}" for via in request.lines("Via")]
    for name in ("From", "To", "Call-ID", "CSeq"):
        for value in request.lines(name)[:1]:
            tagged = name == "To" and to_tag and not _has_tag(value)
            lines.append(f"{name}: {value};tag={to_tag}" if tagged else f"{name}: {value}")
    text = "\r\n".join(lines) + f"\r\n{headers}Content-Length: 0\r\n\r\n"
    return text.encode("utf-8", "surrogateescape")
