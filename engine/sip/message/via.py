"""Via: where a request came from and where its response goes back to (RFC 3261 §18.2, §20.42, RFC 3581)."""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from engine.sip.message.grammar import (
    HOST,
    PORT,
    SIMPLE_PARAMS,
    TOKEN_CHARS,
    ParseError,
    check_host,
    check_port,
    excerpt,
    format_params,
    host_address,
    parse_params,
    split_list,
    split_params,
)

_LWS = r"[ \t]*+"
_SENT_PROTOCOL_AND_BY = re.compile(
    rf"{_LWS}[sS][iI][pP]{_LWS}/{_LWS}2\.0{_LWS}/{_LWS}([{TOKEN_CHARS}]++)[ \t]++"
    rf"({HOST})(?:{_LWS}:{_LWS}({PORT}))?{_LWS}"
)
# What follows the first ";" of nearly every Via: no white space, no quotes, the branch first or just after rport.
_COMMON_PARAMS = re.compile(rf"(rport;|)branch=([{TOKEN_CHARS}]++)({SIMPLE_PARAMS})")
_LONGEST_REMEMBERED = 80


@dataclass(slots=True)
class Via:
    """One Via value.

    Attributes:
        transport: In upper case: "UDP", "TCP", "TLS", "WS", ... or one that is unknown here.
        host: Of sent-by, in lower case; IPv6 in brackets.
        port: Of sent-by; None where none is written.
        params: Names in lower case, values as written.
    """

    transport: str
    host: str
    port: int | None = None
    params: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Via":
        """A single value. ParseError(400) where it is malformed, or where there are several."""
        head, semicolon, rest = text.partition(";")
        # Peers are few and their messages many: the part that repeats is read once.
        transport, host, port = _remembered(head) if len(head) <= _LONGEST_REMEMBERED else _protocol_and_sent_by(head)
        if not semicolon:
            return cls(transport, host, port)
        match = _COMMON_PARAMS.fullmatch(rest)
        if match is None:
            return cls(transport, host, port, parse_params(text[len(head) :]))
        rport, branch, others = match.groups()
        if others:
            return cls(transport, host, port, split_params(f";{rest}"))
        return cls(transport, host, port, {"rport": None, "branch": branch} if rport else {"branch": branch})

    @classmethod
    def first(cls, text: str) -> "Via":
        """The first value of a field that may hold several. ParseError(400) when it, or the list, is malformed."""
        if "," in text:
            text = (split_list(text) or [text])[0]
        return cls.parse(text)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {self.host}{port}{format_params(self.params)}"

    @property
    def branch(self) -> str:
        """The `branch` parameter; "" where an RFC 2543 peer sent none."""
        return self.params.get("branch") or ""

    @property
    def has_cookie(self) -> bool:
        """Whether `branch` identifies the transaction by itself: the magic cookie and something after it
        (RFC 3261 §8.1.1.7, RFC 4475 §3.2.1)."""
        branch = self.params.get("branch") or ""
        return len(branch) > 7 and branch[:7].lower() == "z9hg4bk"

    @property
    def received(self) -> str:
        """The address that the request came from, as the next hop saw it, without brackets; "" where not noted.

        RFC 5118 §4.5: it is read with and without brackets.
        """
        return host_address(self.params.get("received") or "")

    @property
    def wants_rport(self) -> bool:
        """Whether the sender asks for the response to come to the port that the request came from (RFC 3581 §3)."""
        return "rport" in self.params

    @property
    def rport(self) -> int | None:
        """The port that the request came from, as noted by the next hop (RFC 3581 §4); None where not noted."""
        text = self.params.get("rport")
        if not text or len(text) > 5 or not (text.isascii() and text.isdigit()):
            return None
        port = int(text)
        return port if port < 65536 else None

    @property
    def sent_by(self) -> str:
        """`host` or `host:port`, in lower case: half of a transaction's identity (RFC 3261 §17.2.3)."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


def _protocol_and_sent_by(head: str) -> tuple[str, str, int | None]:
    match = _SENT_PROTOCOL_AND_BY.fullmatch(head)
    if match is None:
        raise ParseError(f"malformed Via: {excerpt(head)}")
    transport, host, port = match.groups()
    return transport.upper(), check_host(host), None if port is None else check_port(port)


_remembered = lru_cache(maxsize=4096)(_protocol_and_sent_by)
