"""SIP messages: parse and serialise (RFC 3261 §7).

A message is read in one pass: header values are kept as text, in order, under their one spelling; only what every
message needs to be matched (top Via, tags, Call-ID, CSeq) is typed at once, everything else when something asks for it.
"""

import re
from collections.abc import Iterator
from operator import methodcaller
from typing import TypeVar

from engine.sip.capabilities import KNOWN_METHODS
from engine.sip.grammar import COMMON_HOST, COMMON_PORT, ParseError, split_list
from engine.sip.header_names import canonical
from engine.sip.name_addr import NameAddr
from engine.sip.status import reason_phrase
from engine.sip.uri import Uri, parse_uri
from engine.sip.via import Via

MAX_MESSAGE = 65_535  # bytes: the largest datagram, and the largest message taken from a stream
MAX_HEADERS = 256  # header field lines
MAX_CSEQ = 2**31  # RFC 3261 §8.1.1.5: less than 2**31
MAX_HEAD_LINE = 32_768  # characters in one header field

Headers = dict[str, list[str]]
Field = tuple[str, str]

_name_and_value = methodcaller("split", ": ", 1)
_FOLD = re.compile(r"\r\n[ \t]+")
_CSEQ = re.compile(r"([0-9]{1,20})[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)")
_METHOD = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
# The usual shape of the topmost Via: group 1 is sent-by, 3 the branch. All else goes to the careful parser.
_PLAIN_VIA = re.compile(
    rf"SIP/2\.0/(?:UDP|TCP|TLS|WSS?) ({COMMON_HOST}(?::{COMMON_PORT})?)"
    rf"(;rport)?;branch=({_TOKEN})(;rport)?"
)
# The usual shape of From, To and Contact. What it matches is valid: 1 is the URI, 2 the tag; all else goes to NameAddr.
PLAIN_ADDRESS = re.compile(
    r'(?:"[^"\\<>\x00-\x1f]*"[ ]?|[A-Za-z0-9\-.!%*_+`\'~ ]*)<(sips?:'
    rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]+@)?{COMMON_HOST}(?::{COMMON_PORT})?"
    rf"(?:;[A-Za-z0-9\-]+(?:=[A-Za-z0-9\-_.]+)?)*)>(?:;tag=({_TOKEN}))?"
)
# Within a dialog From and To are only matched by their tags; nothing else of them is used.
_TAGGED = re.compile(rf'(?:"[^"\\]*"|[^"<>])*<[^"<>]*>;tag=({_TOKEN})')
# They bring no Contact that we would use, and are for a dialog or a transaction whatever their Request-URI says.
_ONLY_TAGS = frozenset({"ACK", "BYE", "CANCEL", "PRACK", "INFO"})
ONCE = frozenset(
    {
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Max-Forwards",
        "Content-Length",
        "Content-Type",
        "Expires",
        "Date",
        "RSeq",
        "RAck",
        "Session-Expires",
    }
)
# The usual spellings: a message that uses no other needs no look at its names.
# fmt: off
USUAL = frozenset((
    "Accept", "Accept-Encoding", "Accept-Language", "Allow", "Allow-Events", "Authorization", "Call-ID",
    "Contact", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Type", "CSeq", "Date",
    "Diversion", "Event", "Expires", "From", "History-Info", "Max-Forwards", "Min-SE", "P-Access-Network-Info",
    "P-Asserted-Identity", "P-Charging-Vector", "P-Early-Media", "P-Preferred-Identity", "Privacy",
    "Proxy-Authenticate", "Proxy-Authorization", "RAck", "Reason", "Record-Route", "Remote-Party-ID",
    "Require", "Retry-After", "Route", "RSeq", "Server", "Session-Expires", "Subject", "Supported",
    "Timestamp", "To", "Unsupported", "User-Agent", "Via", "Warning", "WWW-Authenticate",
))
# fmt: on


class BadMessage(ParseError):
    """A message that cannot be taken; `partial` is what could be read of it, where an answer can be built from that."""

    partial: "Request | None"

    def __init__(self, message: str, status: int = 400, partial: "Request | None" = None) -> None:
        super().__init__(message, status)
        self.partial = partial


class Message:
    """What requests and responses share: header fields, body, and the typed values by which they are matched."""

    __slots__ = (
        "_lines",
        "_via",
        "body",
        "branch",
        "call_id",
        "cseq",
        "cseq_method",
        "first",
        "from_tag",
        "sent_by",
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

    def _fill(self, headers: Headers, body: bytes) -> None:
        self._lines: list[Field] | None = [(name, value) for name, values in headers.items() for value in values]
        self.first = {name: values[0] for name, values in headers.items() if values}
        self.body = body
        self.top_via = self.first.get("Via", "")
        self._via: Via | None = None

    @property
    def via(self) -> Via:
        """The topmost Via. Raises ParseError."""
        if self._via is None:
            self._via = Via.first(self.get("Via"))
        return self._via

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
        self._fill(headers, body)

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
        self._fill(headers, body)

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"


def parse(data: bytes) -> Request | Response:
    """Read one message; bytes behind Content-Length are ignored (RFC 3261 §18.3). Raises BadMessage, nothing else."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or len(data) > MAX_MESSAGE or data[0] <= 32:
        return _parse_closely(data)
    text = str(data[:end], "utf-8", "surrogateescape")
    lines = text.split("\r\n")
    count = len(lines) - 1
    try:
        first = dict(map(_name_and_value, lines[1:]))
    except ValueError:
        return _parse_closely(data)
    # "Name: value" in every line, names as they are usually spelled and none twice, no CR, LF or NUL but at the ends of
    # lines: nothing is left to do.
    if (
        len(first) != count
        or not first.keys() <= USUAL
        or "\t" in text
        or "\0" in text
        or text.count("\n") != count
        or text.count("\r") != count
    ):
        return _parse_closely(data)
    if ":  " in text or " \r\n" in text or text[-1] == " ":
        first = {name: value.strip(" ") for name, value in first.items()}
    message = _start(lines[0], first, None, data[end + 4 :])
    try:
        _type(message)
    except ParseError as error:
        partial = message if isinstance(message, Request) else None
        raise BadMessage(str(error), error.status, partial) from None
    return message


def _parse_closely(data: bytes) -> Request | Response:
    """A message that is not written as usual: folded, abbreviated, cut off, with a header field twice, or malformed."""
    data = data.lstrip(b"\r\n")  # RFC 3261 §7.5: empty lines before the start line
    fault, status = "", 400
    if len(data) > MAX_MESSAGE:
        fault, status = f"message of {len(data)} bytes, at most {MAX_MESSAGE} are taken", 513
        data = data[:MAX_MESSAGE]
    end = data.find(b"\r\n\r\n")
    if end < 0:
        # Cut short, as RFC 4475 §3.1.2.15 comes. What is there of a request still says whom to tell.
        fault = fault or "no empty line ends the header"
        data = data.rstrip(b"\r\n")
        end = len(data)
    text = str(data[:end], "utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    if " \r\n" in text or "\t\r\n" in text or text[-1:] in (" ", "\t"):
        text = _trimmed(text)
    close, fields, first = _look_closely(text)
    fault = fault or close
    message = _start(text.partition("\r\n")[0], first, fields, data[end + 4 :])
    try:
        if fault:
            raise ParseError(fault, status)
        _type(message)
    except ParseError as error:
        partial = message if isinstance(message, Request) else None
        raise BadMessage(str(error), error.status, partial) from None
    return message


def _trimmed(text: str) -> str:
    """White space at the end of header lines is no part of a value; at the end of the start line it is an error."""
    start, *lines = text.split("\r\n")
    return "\r\n".join([start, *[line.rstrip(" \t") for line in lines]])


def _look_closely(text: str) -> tuple[str, list[Field], dict[str, str]]:
    """Header fields of a message that is not written as usual: what is wrong with it if anything is, and the fields."""
    lines = text.split("\r\n")
    fault = ""
    if len(lines) > MAX_HEADERS + 1:
        fault = f"more than {MAX_HEADERS} header fields"
        lines = lines[: MAX_HEADERS + 1]
    # What is left of CR, LF and NUL stands inside a value: relayed, it would become a header of somebody else's making.
    # A NUL may stand in quotes behind a backslash (RFC 4475 §3.1.1.2).
    ends, nuls = text.count("\r\n"), text.count("\0")
    if text.count("\n") != ends or text.count("\r") != ends or nuls != text.count("\\\0"):
        raise BadMessage("bare CR, LF or NUL in the header")
    fields: list[Field] = []
    first: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or _METHOD.fullmatch(name) is None or len(value) > MAX_HEAD_LINE:
            fault = fault or "header field without a colon, without a name or over-long"
            continue
        name = canonical(name)
        value = value.strip(" \t")
        fields.append((name, value))
        if name not in first:
            first[name] = value
        elif name in ONCE:
            fault = fault or f"more than one {name}"
    return fault, fields, first


def _start(line: str, first: dict[str, str], fields: list[Field] | None, body: bytes) -> Request | Response:
    if line.startswith("SIP/"):
        code = line[8:11]
        if line[:8] != "SIP/2.0 " or line[11:12] != " " or not (code.isascii() and code.isdigit()):
            raise BadMessage("malformed status line")
        response = Response.__new__(Response)
        response.status, response.reason = int(code), line[12:]
        if not 100 <= response.status <= 699:
            raise BadMessage(f"status code {response.status}")
        return _with(response, first, fields, body)
    parts = line.split(" ")
    if (
        len(parts) == 3
        and parts[2] == "SIP/2.0"
        and parts[1]
        and (parts[0] in KNOWN_METHODS or _METHOD.fullmatch(parts[0]))
    ):
        request = Request.__new__(Request)
        request.method, request.uri_text, request._uri = parts[0], parts[1], None
        return _with(request, first, fields, body)
    # Enough of it may be there to say what is wrong (RFC 3261 §21.5.6, RFC 4475 §3.1.2.8).
    parts = line.rstrip(" \t").split(" ")
    method = parts[0] if _METHOD.fullmatch(parts[0]) else ""
    if not method or not parts[-1].upper().startswith("SIP/") or method == "ACK":
        raise BadMessage("malformed start line")
    request = Request.__new__(Request)
    request.method, request.uri_text, request._uri = method, parts[1], None
    partial = _with(request, first, fields, body)
    if len(parts) == 3 and parts[2].upper() != "SIP/2.0":
        raise BadMessage(f"version {parts[2][:20]!r} is not SIP/2.0", 505, partial)
    raise BadMessage("malformed request line", 400, partial)


M = TypeVar("M", "Request", "Response")


def _with(message: M, first: dict[str, str], fields: list[Field] | None, body: bytes) -> M:
    message.first = first
    message._lines = fields
    message.body = body
    message.top_via = first.get("Via", "")
    message._via = None
    return message


def _type(message: Request | Response) -> None:
    """Type what every message is matched by, and refuse what contradicts itself. Raises ParseError."""
    first = message.first
    try:
        via, from_, to = first["Via"], first["From"], first["To"]
        call_id, cseq = first["Call-ID"], first["CSeq"]
    except KeyError as missing:
        raise ParseError(f"{missing.args[0]} is missing") from None
    plain = _PLAIN_VIA.fullmatch(via)
    if plain is not None:
        message.sent_by, message.branch = plain[1], plain[3]
    else:
        message.sent_by, message.branch = message.via.sent_by, message.via.branch
    if " " in call_id or "," in call_id or not call_id:
        raise ParseError("malformed Call-ID")
    message.call_id = call_id
    tagged = _TAGGED.fullmatch(to)
    if tagged is not None:
        message.to_tag = tagged[1]
        tagged = _TAGGED.fullmatch(from_)
        message.from_tag = tagged[1] if tagged is not None else _tag("From", from_)
    else:
        message.to_tag = _tag("To", to)
        message.from_tag = _tag("From", from_)
    known = _cseqs.get(cseq)
    message.cseq, message.cseq_method = known if known is not None else _read_cseq(cseq)
    length = first.get("Content-Length")
    if length is not None and length != str(len(message.body)):
        _cut_body(message, length)
    if isinstance(message, Request):
        _type_request(message)


_cseqs: dict[str, tuple[int, str]] = {}


def _read_cseq(text: str) -> tuple[int, str]:
    found = _CSEQ.fullmatch(text)
    if found is None:
        raise ParseError("malformed CSeq")
    number = int(found[1])
    if number >= MAX_CSEQ:
        raise ParseError(f"CSeq {number} is not below 2**31")
    if len(text) <= 32:
        if len(_cseqs) >= 1024:
            _cseqs.clear()
        _cseqs[text] = (number, found[2])
    return number, found[2]


def _tag(name: str, value: str) -> str:
    found = PLAIN_ADDRESS.fullmatch(value)
    if found is not None:
        return found[2] or ""
    try:
        return NameAddr.parse(value).tag
    except ParseError as error:
        raise ParseError(f"{name}: {error}", error.status) from None


def _cut_body(message: Message, text: str) -> None:
    """RFC 3261 §18.3: a body shorter than Content-Length is an error, what follows it is not part of the message."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ParseError(f"Content-Length {text[:20]!r} is no length")
    length = int(text)
    if length > len(message.body):
        raise ParseError(f"Content-Length {length}, but the body has {len(message.body)} bytes")
    message.body = message.body[:length]


def _type_request(request: Request) -> None:
    method, first = request.method, request.first
    if request.cseq_method != method:
        raise ParseError(f"CSeq is of {request.cseq_method[:32]}, the request is {method[:32]}")
    uri = request.uri_text
    if uri[0] == "<" or uri[-1] == ">":
        raise ParseError("the Request-URI stands in <>")
    if first.get("Max-Forwards", "70") != "70":
        _number("Max-Forwards", first["Max-Forwards"], 255)
    if "Expires" in first:
        _number("Expires", first["Expires"], 2**32 - 1)
    if method in _ONLY_TAGS:
        return
    request._uri = parse_uri(uri)  # it is needed all the same (§8.2.2.1); RFC 5118 §4.2
    contact = first.get("Contact", "*")
    if contact != "*":
        if PLAIN_ADDRESS.fullmatch(contact) is not None and request.unrepeated:
            return
        for value in request.values("Contact"):
            if PLAIN_ADDRESS.fullmatch(value) is None:
                NameAddr.parse(value)


def _number(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > most:
        raise ParseError(f"{name} {text[:32]!r} is no number up to {most}")
    return int(text)


def response_to(request: Request, status: int, reason: str = "", to_tag: str = "", headers: str = "") -> bytes:
    """A response without a transaction, made from the request's own fields (RFC 3261 §8.2.6, §8.2.7).

    `headers` are complete further lines, each ended by CRLF. Used for what was too broken or too much to be kept.
    """
    lines = [f"SIP/2.0 {status} {reason or reason_phrase(status)}"]
    lines += [f"Via: {via}" for via in request.lines("Via")]
    for name in ("From", "To", "Call-ID", "CSeq"):
        for value in request.lines(name)[:1]:
            tagged = name == "To" and to_tag and ";tag=" not in value.replace(" ", "").lower()
            lines.append(f"{name}: {value};tag={to_tag}" if tagged else f"{name}: {value}")
    text = "\r\n".join(lines) + f"\r\n{headers}Content-Length: 0\r\n\r\n"
    return text.encode("utf-8", "surrogateescape")
