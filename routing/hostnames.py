"""Host names and ports as they are configured: `host` or `host:port`."""

import ipaddress
import re
from typing import NamedTuple

# RFC 1123 §2.1 labels; RFC 3261 §25.1 knows no underscore in a host.
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_PORT = re.compile(r"[0-9]{1,5}")


class HostPort(NamedTuple):
    """A host as it stands in a SIP URI (IPv6 in brackets), and its port where one is written."""

    host: str
    port: int | None

    @property
    def address(self) -> str:
        """The numeric address without brackets, in canonical form; "" where the host is a name."""
        try:
            return str(ipaddress.ip_address(self.host.strip("[]")))
        except ValueError:
            return ""


def parse_host_port(text: str) -> HostPort:
    """The host and port in `text`. Raises ValueError with a sentence that says what to write instead."""
    if not text:
        raise ValueError("the host is empty; write host or host:port, such as sip.example.com:5060")
    if "://" in text or text.lower().startswith(("sip:", "sips:", "tel:")):
        raise ValueError(f"{text!r} is a URI; write the host alone, such as sip.example.com, and leave out the scheme")
    if any(character in text for character in ";?@/<>, \t\r\n\0"):
        raise ValueError(f"{text!r} holds more than a host; write host or host:port, without parameters or user part")
    if text.startswith("["):
        closing = text.find("]")
        if closing < 0:
            raise ValueError(f"{text!r} has no closing bracket; write IPv6 addresses as [2001:db8::1]:5060")
        host, rest = text[: closing + 1], text[closing + 1 :]
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError(f"{host!r} is no IPv6 address; write it as [2001:db8::1]") from None
        if "%" in host:
            raise ValueError(f"{host!r} has a zone, which a SIP URI may not hold (RFC 3261 section 25.1); leave it out")
        if rest and not rest.startswith(":"):
            raise ValueError(f"{text!r} has {rest!r} after the address; only :port may stand there")
        return HostPort(host, _port(text, rest[1:]) if rest else None)
    if text.count(":") > 1:
        raise ValueError(f"{text!r} looks like an IPv6 address; put it in brackets: [{text}]")
    host, colon, port = text.partition(":")
    _check_name(host)
    return HostPort(host, _port(text, port) if colon else None)


def _port(text: str, port: str) -> int:
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has no valid port; write a number from 1 to 65535 after the colon")
    return int(port)


def _check_name(host: str) -> None:
    if not host.isascii():
        raise ValueError(f"{host!r} has letters beyond ASCII; write the name in its xn-- form")
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():
        # RFC 3261 §25.1: a toplabel begins with a letter, so this can only be meant as an address.
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(f"{host!r} is no IPv4 address; write four numbers from 0 to 255, or a name") from None
    elif len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{host!r} is no host name; use letters, digits, hyphens and dots")
