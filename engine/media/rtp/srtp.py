"""SRTP (RFC 3711) with keys from the session description (RFC 4568), over libsrtp.

The two suites that everybody speaks: AES-128 in counter mode, authenticated by 80 or by 32 bits of HMAC-SHA1. Both take
16 octets of key and 14 of salt.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pylibsrtp import Session

AES_80: Final = "AES_CM_128_HMAC_SHA1_80"
AES_32: Final = "AES_CM_128_HMAC_SHA1_32"
SUITES: Final = (AES_80, AES_32)
"""In the order of our own offers."""

KEY_LENGTH: Final = 30
"""Octets of key and salt together."""

_TAGS: Final = {AES_80: 10, AES_32: 4}
"""Octets of authentication at the end of an SRTP packet (RFC 4568 §6.2); at the end of SRTCP it is always 10."""

_SRTCP_TAG: Final = 10
_SHORTEST: Final = 8
"""Octets of the smallest packet that there is, an RTCP receiver report without blocks."""

_WINDOW: Final = 512
"""Packets that one may be late by without being taken for a replay (RFC 3711 §3.3.2): ten seconds."""

_LONGEST_LINE: Final = 400

_LINE = re.compile(
    r"(?P<tag>[0-9]{1,9})[ \t]+(?P<suite>[A-Za-z0-9_]{1,40})[ \t]+inline:(?P<key>[A-Za-z0-9+/]{1,64}={0,2})"
    r"(?:\|(?:2\^[0-9]{1,2}|[0-9]{1,15}))?"  # lifetime: no call lasts for 2^48 packets
    r"(?:\|(?P<mki>[0-9]{1,40}):(?P<length>[0-9]{1,3}))?(?P<session>(?:[ \t]+[^ \t]+)*)"
)
_HARMLESS = re.compile(r"WSH=[0-9]{1,9}|-[^ \t]+", re.IGNORECASE)
"""Session parameters that change nothing for us: how far packets are reordered, and what the author lets us ignore."""


class SrtpError(ValueError):
    """A packet that is not protected as agreed (forged, repeated, broken), or keys that cannot be used."""


class Crypto(NamedTuple):
    """One `a=crypto` line (RFC 4568 §9.1) that can be used."""

    tag: int
    """Its number among the lines of one stream."""
    suite: str
    """One of `SUITES`."""
    key: bytes
    """Master key and master salt, `KEY_LENGTH` octets."""
    mki: bytes = b""
    """What stands before the authentication of every packet to name the key; most peers leave it out."""

    @classmethod
    def parse(cls, value: str) -> "Crypto | None":
        """The line `a=crypto:value`. None for one that cannot be used: malformed, another suite, a key of a wrong
        length, several keys, or session parameters that we do not follow (RFC 4568 §7.1.2 has it passed over)."""
        match = _LINE.fullmatch(value.strip()) if len(value) <= _LONGEST_LINE else None
        if match is None:
            return None
        suite = match["suite"].upper()
        if suite not in _TAGS or not all(map(_HARMLESS.fullmatch, match["session"].split())):
            return None
        try:
            text = match["key"].rstrip("=")
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(key) != KEY_LENGTH:
            return None
        mki = b""
        if match["mki"] is not None:
            length = int(match["length"])
            if not 0 < length <= 128 or int(match["mki"]) >= 1 << 8 * length:
                return None
            mki = int(match["mki"]).to_bytes(length)
        return cls(int(match["tag"]), suite, key, mki)

    def __str__(self) -> str:
        """The value of the line, as we write our own: without a lifetime and without an MKI."""
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode('ascii')}"

    def __repr__(self) -> str:
        """Without the key: it must not get into logs."""
        return f"Crypto({self.tag}, {self.suite})"


class Keys(NamedTuple):
    """What both directions of one stream are protected with."""

    ours: Crypto
    """Of what we send."""
    theirs: Crypto
    """Of what the peer sends."""


def new_key() -> bytes:
    """A master key and salt that nobody can guess."""
    return secrets.token_bytes(KEY_LENGTH)


class Srtp:
    """Both directions of one stream, RTP and RTCP."""

    __slots__ = ("_in", "_mki", "_out", "_tag", "keys")

    def __init__(self, keys: Keys) -> None:
        """Raises SrtpError where libsrtp does not take the keys."""
        self.keys = keys
        self._out = _session(keys.ours, outbound=True)
        self._listen(keys.theirs)

    def rekey(self, keys: Keys) -> None:
        """The keys that a later offer and answer agreed on. A direction whose key has not changed goes on: beginning
        anew would lose the count of its packets (RFC 3711 §3.3.1). Raises SrtpError as the first time."""
        before, self.keys = self.keys, keys
        if keys.ours[1:] != before.ours[1:]:
            self._out = _session(keys.ours, outbound=True)
        if keys.theirs[1:] != before.theirs[1:]:
            self._listen(keys.theirs)

    def _listen(self, theirs: Crypto) -> None:
        self._in = _session(theirs, outbound=False)
        self._mki = theirs.mki
        self._tag = _TAGS[theirs.suite]

    def protect(self, packet: bytes) -> bytes:
        """An RTP packet of ours as it goes out. Raises SrtpError for what is no RTP packet, or a repeated one."""
        return _do(self._out.protect, packet)

    def unprotect(self, packet: bytes) -> bytes:
        """The RTP packet in a datagram of the peer's. Raises SrtpError for a forged, repeated or broken one."""
        if self._mki:
            packet = self._without_mki(packet, self._tag)
        return _do(self._in.unprotect, packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """An RTCP packet of ours as it goes out. Raises SrtpError for what is none."""
        return _do(self._out.protect_rtcp, packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """The RTCP packet in a datagram of the peer's. Raises SrtpError as `unprotect`."""
        if self._mki:
            packet = self._without_mki(packet, _SRTCP_TAG)
        return _do(self._in.unprotect_rtcp, packet)

    def _without_mki(self, packet: bytes, tag: int) -> bytes:
        # RFC 3711 §3.1, §3.4: the MKI stands right before the authentication tag, which does not cover it.
        at = len(packet) - tag - len(self._mki)
        if at < _SHORTEST or packet[at : at + len(self._mki)] != self._mki:
            raise SrtpError("not protected by the key that was agreed on")
        return packet[:at] + packet[at + len(self._mki) :]


def _session(crypto: Crypto, *, outbound: bool) -> "Session":
    import pylibsrtp  # only where a call is protected: 5 MB

    profiles = {
        AES_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        AES_32: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    }
    if crypto.suite not in profiles or len(crypto.key) != KEY_LENGTH:
        raise SrtpError(f"{crypto.suite} with a key of {len(crypto.key)} octets cannot be used")
    policy = pylibsrtp.Policy(
        key=crypto.key,
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND if outbound else pylibsrtp.Policy.SSRC_ANY_INBOUND,
        srtp_profile=profiles[crypto.suite],
    )
    policy.window_size = _WINDOW
    try:
        return pylibsrtp.Session(policy)
    except pylibsrtp.Error as error:
        raise SrtpError(f"keys cannot be used: {error}") from None


def _do(function: Callable[[bytes], bytes], packet: bytes) -> bytes:
    # libsrtp looks at the header before it looks at the length: what has none must not get there.
    if len(packet) < _SHORTEST:
        raise SrtpError(f"{len(packet)} octets are too few for a packet")
    import pylibsrtp  # loaded already

    try:
        return function(packet)
    except (pylibsrtp.Error, ValueError) as error:
        raise SrtpError(str(error)) from None
