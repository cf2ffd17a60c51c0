"""Symmetric RTP: where a peer's packets really come from (RFC 4961), decided without I/O.

A peer behind a NAT cannot know the address that its packets leave from, so media goes back to where it comes from,
whatever the SDP said. The first packet decides. Afterwards only a source that fits the SDP better than the one latched
may take its place, so that somebody who guesses the port can neither take over the media of a peer that the SDP
names rightly, nor take it away from a peer that was there first.
"""

from functools import lru_cache
from ipaddress import ip_address

Address = tuple[str, int]
"""Numeric host (IPv6 without brackets) and port."""

_UNKNOWN, _HOST, _EXACT = 0, 1, 2
"""How well a source fits the SDP: not at all, its host, host and port."""


@lru_cache(maxsize=1024)
def usable(address: Address, ours: str) -> Address | None:
    """`address`, where packets can be sent to it from our address `ours`: a number (a name would be looked up, and
    everybody would wait), of our family, and one peer's (RFC 3264 §5.1 has no multicast in a call). Else None."""
    host, port = address
    try:
        number = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    fits = number.version == (6 if ":" in ours else 4) and 0 < port < 65536
    return address if fits and not number.is_multicast and not number.is_unspecified else None


class Latch:
    """The source of one stream."""

    __slots__ = ("_fit", "_sdp", "source")

    def __init__(self, sdp: Address | None = None) -> None:
        """`sdp` is where the peer's description wants media, None while there is none."""
        self._sdp = sdp
        self._fit = _UNKNOWN
        self.source: Address | None = None
        """Where packets are taken from and sent to, None before the first."""

    def retarget(self, sdp: Address | None) -> None:
        """A new description. A changed address starts afresh; the same one (hold, resume) keeps what was latched."""
        if sdp != self._sdp:
            self._sdp = sdp
            self._fit = _UNKNOWN
            self.source = None

    def accepts(self, source: Address) -> bool:
        """True when a packet from `source` is the peer's; latches it where it is the first, or fits better."""
        if source == self.source:
            return True
        fit = _UNKNOWN
        if self._sdp is not None and source[0] == self._sdp[0]:
            fit = _EXACT if source[1] == self._sdp[1] else _HOST
        if self.source is not None and fit <= self._fit:
            return False
        self.source = source
        self._fit = fit
        return True
