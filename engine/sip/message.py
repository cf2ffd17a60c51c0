"""SIP messages: parse and serialise (RFC 3261 §7).

A message is read in one pass: header values are kept as text, in order, under their one spelling; only what every
message needs to be matched (top Via, tags, Call-ID, CSeq) is typed at once, everything else when something asks for it.
"""

import re
from collections.abc import Iterator

from engine.sip.grammar import ParseError, split_list
from engine.sip.header_names import canonical
from engine.sip.name_addr import NameAddr
from engine.sip.status import reason_phrase
from engine.sip.via import Via

MAX_MESSAGE = 65_535  # bytes: the largest datagram, and the largest message taken from a stream
MAX_HEADERS = 256  # header field lines
MAX_CSEQ = 2**31  # RFC 3261 §8.1.1.5: less than 2**31
MAX_HEAD_LINE = 32_768  # characters in one header field

Headers = dict[str, list[str]]

_FOLD = re.compile(r"\r\n[ \t]+")
_CSEQ = re.compile(r"([0-9]{1,20})[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)")
_METHOD = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([0-9]{3}) (.*)", re.DOTALL)
_CALL_ID = re.compile(r"[^\s@,;]+(?:@[^\s@,;]+)?")
# The usual shape of From and To. What it matches is valid, and group 1 is the tag; all else goes to NameAddr.
_PLAIN_ADDRESS = re.compile(
    r'(?:"[^"\\<>\x00-\x1f]*"[ ]?|[A-Za-z0-9\-.!%*_+`\'~ ]*)<sips?:'
    r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/%]+@)?(?:[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:;[A-Za-z0-9\-]+(?:=[A-Za-z0-9\-_.]+)?)*>(?:;tag=([A-Za-z0-9\-.!%*_+`'~]+))?"
)
_ONCE = ("From", "To", "Call-ID", "CSeq")
_ONCE_IF_THERE = (
    "Max-Forwards",
    "Content-Length",
    "Content-Type",
    "Expires",
    "Date",
    "RSeq",
    "RAck",
    "Session-Expires",
)


class BadMessage(ParseError):
    """A message that cannot be taken; `partial` holds what could be read of it, where an answer can be built from that."""

    partial: "Request | None"

    def __init__(self, message: str, status: int = 400, partial: "Request | None" = None) -> None:
        super().__init__(message, status)
        self.partial = partial


class Message:
    """What requests and responses share: header fields, body, and the typed values by which they are matched."""

    __slots__ = ("body", "branch", "call_id", "cseq", "cseq_method", "from_tag", "headers", "to_tag", "via")

    headers: Headers
    body: bytes
    via: Via  # the topmost
    branch: str  # of the topmost Via, "" when it has none
    call_id: str
    cseq: int
    cseq_method: str
    from_tag: str
    to_tag: str

    def get(self, name: str, default: str = "") -> str:
        """The first value of a header field by its usual spelling ("Call-ID"), or `default`."""
        values = self.headers.get(name)
        return values[0] if values else default

    def values(self, name: str) -> list[str]:
        """All values of a list header (Via, Route, Contact, Supported …), comma lists taken apart. Raises ParseError."""
        lines = self.headers.get(name)
        if not lines:
            return []
        if len(lines) == 1 and "," not in lines[0]:
            return [lines[0]] if lines[0] else []
        return [value for line in lines if line for value in split_list(line)]

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
        for name, values in self.headers.items():
            for value in values:
                yield name, value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message) or type(other) is not type(self):
            return NotImplemented
        mine = {name: values for name, values in self.headers.items() if name != "Content-Length"}
        theirs = {name: values for name, values in other.headers.items() if name != "Content-Length"}
        return self.start_line() == other.start_line() and mine == theirs and self.body == other.body

    __hash__ = None  # type: ignore[assignment]  # equal by content and mutable: not for sets

    def __repr__(self) -> str:
        return f"<{self.start_line()!r} {self.get('Call-ID')!r}>"


class Request(Message):
    """A request; `uri_text` is the Request-URI as written."""

    __slots__ = ("method", "uri_text")

    def __init__(self, method: str, uri_text: str, headers: Headers, body: bytes = b"") -> None:
        self.method = method
        self.uri_text = uri_text
        self.headers = headers
        self.body = body

    def start_line(self) -> str:
        return f"{self.method} {self.uri_text} SIP/2.0"


class Response(Message):
    """A response with its status code and reason phrase."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"


def parse(data: bytes) -> Request | Response:
    """Read one message; bytes behind Content-Length are ignored (RFC 3261 §18.3). Raises BadMessage, nothing else."""
    message = _split(data)
    try:
        _type(message)
    except ParseError as error:
        partial = message if isinstance(message, Request) else None
        raise BadMessage(str(error), error.status, partial) from None
    return message


def _split(data: bytes) -> Request | Response:
    """Start line, header fields and body, untyped."""
    if data.startswith(b"\r\n"):
        data = data.lstrip(b"\r\n")  # RFC 3261 §7.5: empty lines before the start line
    if len(data) > MAX_MESSAGE:
        raise BadMessage(f"message of {len(data)} bytes, at most {MAX_MESSAGE} are taken", 513)
    end = data.find(b"\r\n\r\n")
    if end < 0:
        raise BadMessage("no empty line ends the header")
    text = str(data[:end], "utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    lines = text.split("\r\n")
    if len(lines) > MAX_HEADERS + 1:
        raise BadMessage(f"more than {MAX_HEADERS} header fields")
    # What is left of CR, LF and NUL stands inside a value: relayed, it would become a header of somebody else's making.
    stray = text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text
    headers: Headers = {}
    fault = "bare CR, LF or NUL in the header" if stray else ""
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or len(value) > MAX_HEAD_LINE:
            fault = fault or "header field without a colon, without a name or over-long"
            continue
        name = canonical(name)
        if name in headers:
            headers[name].append(value.strip(" \t"))
        else:
            headers[name] = [value.strip(" \t")]
    message = _start(lines[0], headers, data[end + 4 :])
    if fault:
        raise BadMessage(fault, 400, message if isinstance(message, Request) and not stray else None)
    return message


def _start(line: str, headers: Headers, body: bytes) -> Request | Response:
    if line.startswith("SIP/"):
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            raise BadMessage("malformed status line")
        status = int(found[1])
        if not 100 <= status <= 699:
            raise BadMessage(f"status code {status}")
        return Response(status, found[2], headers, body)
    parts = line.split(" ")
    if len(parts) == 3 and parts[2] == "SIP/2.0" and _METHOD.fullmatch(parts[0]) and parts[1]:
        return Request(parts[0], parts[1], headers, body)
    # Enough of it may be there to say what is wrong (RFC 3261 §21.5.6, RFC 4475 §3.1.2.8).
    method = parts[0] if _METHOD.fullmatch(parts[0]) else ""
    if not method or not parts[-1].upper().startswith("SIP/") or method == "ACK":
        raise BadMessage("malformed start line")
    partial = Request(method, parts[1], headers, body)
    if len(parts) == 3 and parts[2].upper() != "SIP/2.0":
        raise BadMessage(f"version {parts[2][:20]} is not SIP/2.0", 505, partial)
    raise BadMessage("malformed request line", 400, partial)


def _type(message: Request | Response) -> None:
    """Type what every message is matched by, and refuse what contradicts itself. Raises ParseError."""
    headers = message.headers
    for name in _ONCE:
        values = headers.get(name)
        if values is None:
            raise ParseError(f"{name} is missing")
        if len(values) != 1:
            raise ParseError(f"more than one {name}")
    for name in _ONCE_IF_THERE:
        if name in headers and len(headers[name]) != 1:
            raise ParseError(f"more than one {name}")
    vias = headers.get("Via")
    if not vias:
        raise ParseError("Via is missing")
    message.via = Via.first(vias[0])
    message.branch = message.via.branch
    call_id = headers["Call-ID"][0]
    if _CALL_ID.fullmatch(call_id) is None:
        raise ParseError("malformed Call-ID")
    message.call_id = call_id
    message.from_tag = _tag("From", headers["From"][0])
    message.to_tag = _tag("To", headers["To"][0])
    cseq = _CSEQ.fullmatch(headers["CSeq"][0])
    if cseq is None:
        raise ParseError("malformed CSeq")
    message.cseq = int(cseq[1])
    message.cseq_method = cseq[2]
    if message.cseq >= MAX_CSEQ:
        raise ParseError(f"CSeq {message.cseq} is not below 2**31")
    _cut_body(message)
    if isinstance(message, Request):
        _type_request(message)


def _tag(name: str, value: str) -> str:
    found = _PLAIN_ADDRESS.fullmatch(value)
    if found is not None:
        return found[1] or ""
    try:
        return NameAddr.parse(value).tag
    except ParseError as error:
        raise ParseError(f"{name}: {error}", error.status) from None


def _cut_body(message: Message) -> None:
    """RFC 3261 §18.3: a body shorter than Content-Length is an error, what follows it is not part of the message."""
    declared = message.headers.get("Content-Length")
    if declared is None:
        return
    text = declared[0]
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ParseError(f"Content-Length {text[:20]!r} is no length")
    length = int(text)
    if length > len(message.body):
        raise ParseError(f"Content-Length {length}, but the body has {len(message.body)} bytes")
    if length < len(message.body):
        message.body = message.body[:length]


def _type_request(request: Request) -> None:
    if request.cseq_method != request.method:
        raise ParseError(f"CSeq is of {request.cseq_method[:32]}, the request is {request.method[:32]}")
    uri = request.uri_text
    if uri[0] == "<" or uri[-1] == ">":
        raise ParseError("the Request-URI stands in <>")
    headers = request.headers
    if "Max-Forwards" in headers:
        _number("Max-Forwards", headers["Max-Forwards"][0], 255)
    if "Expires" in headers:
        _number("Expires", headers["Expires"][0], 2**32 - 1)
    contacts = headers.get("Contact")
    if contacts is not None and contacts != ["*"]:
        for contact in request.values("Contact"):
            if _PLAIN_ADDRESS.fullmatch(contact) is None:
                NameAddr.parse(contact)


def _number(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > most:
        raise ParseError(f"{name} {text[:32]!r} is no number up to {most}")
    return int(text)


def response_to(request: Request, status: int, reason: str = "", to_tag: str = "", headers: str = "") -> bytes:
    """A response without a transaction, made from the request's own fields (RFC 3261 §8.2.6, §8.2.7).

    `headers` are complete further lines, each ended by CRLF. Used for what was too broken or too much to be kept.
    """
    have = request.headers
    lines = [f"SIP/2.0 {status} {reason or reason_phrase(status)}"]
    lines += [f"Via: {via}" for via in have.get("Via", ())]
    for name in ("From", "To", "Call-ID", "CSeq"):
        for value in have.get(name, ())[:1]:
            tagged = name == "To" and to_tag and ";tag=" not in value.replace(" ", "").lower()
            lines.append(f"{name}: {value};tag={to_tag}" if tagged else f"{name}: {value}")
    text = "\r\n".join(lines) + f"\r\n{headers}Content-Length: 0\r\n\r\n"
    return text.encode("utf-8", "surrogateescape")
