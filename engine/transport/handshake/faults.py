"""Handshakes that fail: in words, with what to do, and whether the peer is to blame."""

import re
import ssl
from typing import Final, NamedTuple

_PLAIN_SIP: Final = re.compile(rb"(?:\r\n)*(?:[A-Z]+ sips?:|SIP/2\.0 |\r\n)")
_HTTP: Final = re.compile(rb"(?:GET|POST|HEAD|PUT|CONNECT) [/*a-z]")

_CERTIFICATE_ALERTS: Final = (
    "UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_REQUIRED",
    "UNSUPPORTED_CERTIFICATE",
    "ACCESS_DENIED",
)
_NOTHING_IN_COMMON: Final = (
    "UNSUPPORTED_PROTOCOL",
    "VERSION_TOO_LOW",
    "WRONG_SSL_VERSION",
    "NO_SHARED_CIPHER",
    "NO_SHARED_GROUP",
    "NO_SUITABLE_KEY_SHARE",
    "NO_SUITABLE_SIGNATURE_ALGORITHM",
    "NO_COMMON_SIGNATURE_ALGORITHMS",
)


class HandshakeFault(NamedTuple):
    """Why a client's handshake failed, or what was wrong in one that went on.

    Attributes:
        cause: In words.
        hint: What whoever runs this can do about it; "" for nothing.
        misdeed: Whether it counts for a ban. What a phone does that is set up wrongly, or that our own certificate
            displeases, does not: it would cost everybody behind its address their calls.
        fatal: Whether the connection is closed.
    """

    cause: str
    hint: str = ""
    misdeed: bool = False
    fatal: bool = True


def not_tls(data: bytes) -> HandshakeFault:
    """The fault of a peer whose first bytes are no TLS."""
    if _PLAIN_SIP.match(data):
        return HandshakeFault("SIP without TLS at a TLS port", "set the peer's transport to TLS, or its port to 5060")
    if _HTTP.match(data):
        return HandshakeFault("HTTP without TLS at a TLS port", misdeed=True)
    return HandshakeFault("bytes that are no TLS", misdeed=True)


def of_certificate(problem: str) -> HandshakeFault:
    """The fault of a client whose certificate proves nothing, where it needs none (`client_certificates: request`)."""
    return HandshakeFault(
        f"the client's certificate is not trusted: {problem}",
        "it is taken for a stranger: give it one of a CA in sip.tls.client_ca, or add its CA there",
        fatal=False,
    )


def of_client(error: ssl.SSLError) -> HandshakeFault:
    """The fault in a handshake of a client's."""
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return HandshakeFault(
            f"the client's certificate is not trusted: {error.verify_message}",
            "give it one of a CA in sip.tls.client_ca, or add its CA there",
        )
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return HandshakeFault(
            "the client shows no certificate", "give it one, or write sip.tls.client_certificates: request"
        )
    if "ALERT" in reason:
        if any(words in reason for words in _CERTIFICATE_ALERTS):
            return HandshakeFault(
                f"the client refuses our certificate: {_words(reason)}",
                "use one of a CA that it trusts, with its chain and with the name that it is set up with; "
                "or have it trust this CA",
            )
        return HandshakeFault(f"the client gave up: {_words(reason)}")
    if reason in _NOTHING_IN_COMMON:
        return HandshakeFault(
            f"no version or cipher of TLS in common: {_words(reason)}",
            "update the client, or look at sip.tls.minimum",
        )
    return HandshakeFault(f"a handshake that is none: {_words(reason)}", misdeed=True)


def of_server(error: ssl.SSLError, name: str) -> str:
    """Why a handshake with a server failed, in words. `name`: the one that was looked up, or the address."""
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {name} is not trusted: {error.verify_message}"
    if "ALERT" in reason:
        if any(words in reason for words in _CERTIFICATE_ALERTS):
            return f"{name} refuses our certificate: {_words(reason)}"
        return f"{name} gave up the TLS handshake: {_words(reason)}"
    if reason in _NOTHING_IN_COMMON:
        return f"no version or cipher of TLS in common with {name}: {_words(reason)}"
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return f"no TLS at that port of {name}"
    return f"TLS handshake with {name} failed: {_words(reason)}"


def _words(reason: str) -> str:
    """OpenSSL's name for it as text: TLSV1_ALERT_UNKNOWN_CA is "unknown ca"."""
    return re.sub(r"^(?:TLSV?1?[0-9]?|SSLV3)_ALERT_", "", reason).replace("_", " ").lower() or "unknown"
