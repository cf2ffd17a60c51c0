"""SIP messages read off the wire (RFC 3261 §7).

A message that is written as usual is read in one pass; any other is looked at closely. What is found is typed as far as
every message needs it, to be matched; what is left as text is read when something asks for it.
"""

import re
from operator import methodcaller

from engine.sip.message.grammar import COMMON_HOST, COMMON_PORT, TOKEN, TOKEN_CHARS, ParseError
from engine.sip.message.header_names import ONCE, USUAL, canonical
from engine.sip.message.message import METHODS, Field, Message, Request, Response
from engine.sip.message.name_addr import PLAIN_ADDRESS, NameAddr
from engine.sip.message.uri import Uri, parse_uri

MAX_MESSAGE = 65_535  # bytes: the largest datagram, and the largest message taken from a stream
MAX_HEADERS = 256  # header field lines
MAX_CSEQ = 2**31  # RFC 3261 §8.1.1.5: less than 2**31
MAX_HEAD_LINE = 32_768  # characters in one header field

_KNOWN_METHODS = frozenset(METHODS)
_name_and_value = methodcaller("split", ": ", 1)
_LINE_END = re.compile(r"(\r+\n|\r|\n)")
_VIA_LINE = re.compile(r"(?:via|v)[ \t]*:", re.IGNORECASE)
_FOLD = re.compile(r"\r\n[ \t]+")
_CSEQ = re.compile(rf"([0-9]{{1,20}})[ \t]+([{TOKEN_CHARS}]+)")
# The usual shape of the topmost Via: group 1 is sent-by, 3 the branch. All else goes to the careful parser.
_PLAIN_VIA = re.compile(
    rf"SIP/2\.0/(?:UDP|TCP|TLS|WSS?) ({COMMON_HOST}(?::{COMMON_PORT})?)"
    rf"(;rport)?;branch=([{TOKEN_CHARS}]+)(;rport)?"
)
# Within a dialog From and To are only matched by their tags; nothing else of them is used.
_TAGGED = re.compile(rf'(?:"[^"\\]*+"|[^"<>])*<[^"<>]*>;tag=([{TOKEN_CHARS}]+)')
# They bring no Contact that we would use, and are for a dialog or a transaction whatever their Request-URI says.
_ONLY_TAGS = frozenset({"ACK", "BYE", "CANCEL", "PRACK", "INFO"})


class BadMessage(ParseError):
    """A message that cannot be taken; `partial` is what could be read of it, where an answer can be built from that."""

    partial: Request | None

    def __init__(self, message: str, status: int = 400, partial: Request | None = None) -> None:
        super().__init__(message, status)
        self.partial = partial


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


def parse_whole(data: bytes) -> Request | Response:
    """As `parse`, of what is one message and nothing else, as in a WebSocket frame (RFC 7118 §4.2): its Content-Length
    may be missing, and is an error where it is another than the body's."""
    message = parse(data)
    behind = len(data) - data.index(b"\r\n\r\n") - 4 - len(message.body)
    if behind:
        length = len(message.body)
        partial = message if isinstance(message, Request) else None
        raise BadMessage(f"Content-Length {length}, but the body has {length + behind} bytes", 400, partial)
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
    # What is left of CR, LF and NUL stands inside a value: relayed, it would inject a header.
    # A NUL may stand in quotes behind a backslash (RFC 4475 §3.1.1.2).
    ends = text.count("\r\n")
    if text.count("\n") != ends or text.count("\r") != ends or text.count("\0") != text.count("\\\0"):
        fault, status = "bare CR, LF or NUL in the header", 400
        text = _lines_apart(text)
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    if " \r\n" in text or "\t\r\n" in text or text[-1:] in (" ", "\t"):
        text = _trimmed(text)
    close, fields, first = _look_closely(text)
    fault = fault or close
    try:
        message = _start(text.partition("\r\n")[0], first, fields, data[end + 4 :])
    except BadMessage as error:
        raise BadMessage(fault or str(error), status if fault else error.status, error.partial) from None
    try:
        if fault:
            raise ParseError(fault, status)
        _type(message)
    except ParseError as error:
        partial = message if isinstance(message, Request) else None
        raise BadMessage(str(error), error.status, partial) from None
    return message


def _lines_apart(text: str) -> str:
    """The header of a message with bare CR, LF or NUL, as an answer may be made of it: each of them ends a line, and a
    NUL is a question mark. Raises BadMessage where one stands in a Via: it says nothing of where the answer goes."""
    lines: list[str] = []
    ends = ["\r\n", *_LINE_END.findall(text)]
    mixed, vias = "\r\n" in text, 0
    for line, end in zip(_LINE_END.split(text)[::2], ends, strict=True):
        if not line:
            break
        if _VIA_LINE.match(line) is not None:
            if "\0" in line:
                raise BadMessage("NUL in Via")
            vias += 1
            if mixed and vias > 1 and end != "\r\n":
                continue  # put behind a line by somebody else: nothing is sent there
        lines.append(line.replace("\0", "?"))
    return "\r\n".join(lines)


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
    fields: list[Field] = []
    first: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or TOKEN.fullmatch(name) is None or len(value) > MAX_HEAD_LINE:
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
        response.fill(first, fields, body)
        return response
    parts = line.split(" ")
    if (
        len(parts) == 3
        and parts[2] == "SIP/2.0"
        and parts[1]
        and (parts[0] in _KNOWN_METHODS or TOKEN.fullmatch(parts[0]))
    ):
        request = Request.__new__(Request)
        request.method, request.uri_text, request._uri = parts[0], parts[1], None
        request.fill(first, fields, body)
        return request
    # Enough of it may be there to say what is wrong (RFC 3261 §21.5.6, RFC 4475 §3.1.2.8).
    parts = line.rstrip(" \t").split(" ")
    method = parts[0] if TOKEN.fullmatch(parts[0]) else ""
    if not method or not parts[-1].upper().startswith("SIP/") or method == "ACK":
        raise BadMessage("malformed start line")
    request = Request.__new__(Request)
    request.method, request.uri_text, request._uri = method, parts[1], None
    request.fill(first, fields, body)
    if len(parts) == 3 and parts[2].upper() != "SIP/2.0":
        raise BadMessage(f"version {parts[2][:20]!r} is not SIP/2.0", 505, request)
    raise BadMessage("malformed request line", 400, request)


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
_uris: dict[str, Uri] = {}  # Request-URIs of late: all phones of a domain have one, and a number has many calls


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


def _read_uri(text: str) -> Uri:
    uri = parse_uri(text)
    if len(text) <= 64:
        if len(_uris) >= 1024:
            _uris.clear()
        _uris[text] = uri
    return uri


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
    if not request.from_tag.strip('" \t'):
        # §8.1.1.3. Without it what we send in the dialog has no To tag (§12.2.1.1), and is a new call for who gets it.
        raise ParseError("From has no tag")
    uri = request.uri_text
    if uri[0] == "<" or uri[-1] == ">":
        raise ParseError("the Request-URI stands in <>")
    if first.get("Max-Forwards", "70") != "70":
        _number("Max-Forwards", first["Max-Forwards"], 255)
    if "Expires" in first and method != "REGISTER":  # there what is no number has a meaning (§10.2.1.1)
        _number("Expires", first["Expires"], 2**32 - 1)
    if method in _ONLY_TAGS:
        return
    request._uri = _uris.get(uri) or _read_uri(uri)  # it is needed all the same (§8.2.2.1); RFC 5118 §4.2
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
