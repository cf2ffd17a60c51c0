"""Latching (symmetric RTP, RFC 4961): where a peer's packets really come from, decided without I/O.

A peer behind a NAT cannot know the address that its packets leave from, so media goes back to where it comes from.
But not to anybody: a source is plausible where the signalling makes it so, and all others are strangers whose packets
are neither heard nor answered (RFC 7362 §4, §5), in whatever order and number they come.

    source                                   becomes the peer's
    the address of the SDP                   at its first packet, at any time
    its host, another port                   at its first packet, where there is none yet
    the host of the signalling, once the     the same, where the SDP's address is a private one or none; else after
    peer has shown that it receives there    `CHANCE` packets, while nothing has come from the SDP's host
    another                                  never

Of two that are as plausible the first has it until one of them is settled, by a run of packets or by the SDP. So
somebody who guesses the port can neither take over the media of a peer nor keep it out with a packet that came before
its first.
"""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from engine.media.rtp.consent import Consent

Address = tuple[str, int]
"""Numeric host (IPv6 without brackets) and port."""

_UNKNOWN, _SIGNALLING, _HOST, _EXACT = range(4)
"""How well a source fits: not at all, the signalling's host, the host of the SDP, its host and port."""

PROOF: Final = 5
"""Packets of one stream that make a run: 0.1 s of sound, and what the shortest key has (RFC 4733)."""

CHANCE: Final = 25
"""Packets that the signalling's host has to send before it is taken in place of an SDP's address that has sent none and
could: half a second of sound."""

CANDIDATES: Final = 8
"""Other sources whose runs are counted at a time."""

_GAP: Final = 16
"""Packets that may be missing within a run, or be late by: what a bad line loses is no proof against a peer."""

Mark = tuple[int, int]
"""What tells whether packets are of one stream: its SSRC, and a sequence number of 16 bits."""


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


def spelt(host: str) -> str:
    """A host of a description as sockets spell it, so that sources can be compared with it; a name is left as it is."""
    if ":" not in host:
        return host
    try:
        return str(ip_address(host))
    except ValueError:
        return host


class _Run(NamedTuple):
    """Packets of one stream, one after the other."""

    stream: int
    sequence: int
    length: int

    def then(self, mark: Mark) -> "_Run":
        """The run with one more packet, or the one that begins with it. A doubled or late packet is no more of it."""
        stream, sequence = mark
        ahead = (sequence - self.sequence) & 0xFFFF
        if stream != self.stream or _GAP < ahead < 0x10000 - _GAP:
            return _Run(stream, sequence, 1)
        return _Run(stream, sequence, self.length + 1) if 0 < ahead <= _GAP else self


class Latch:
    """The source of one stream.

    Attributes:
        source: Where packets are taken from and sent to, None before the first.
        settled: The source is the peer's as far as that can be told. Keys count only then.
        proof: Packets that make a run; 1 where each packet is proof itself (SRTP).
    """

    __slots__ = ("_consent", "_fit", "_run", "_sdp", "others", "proof", "settled", "source")

    def __init__(self, consent: Consent, sdp: Address | None = None, proof: int = PROOF) -> None:
        """`consent` knows the peer's signalling; `sdp` is where its description wants media, None while there is
        none."""
        self._consent = consent
        self._sdp = sdp
        self.proof = proof
        self.forget()

    def forget(self) -> None:
        """Nothing is latched."""
        self._fit = _UNKNOWN
        self._run: _Run | None = None  # the source's own
        self.others: dict[Address, _Run] = {}
        self.settled = False
        self.source: Address | None = None

    def retarget(self, sdp: Address | None) -> None:
        """A new description. A changed address starts afresh; the same one (hold, resume) keeps what was latched."""
        if sdp != self._sdp:
            self._sdp = sdp
            self.forget()

    def accepts(self, source: Address, mark: Mark | None = None) -> bool:
        """True when a packet from `source` is the peer's; latches it where its turn has come. `mark` is None for what
        has no number (RTCP), and so is no part of a run."""
        if source == self.source:
            if mark is not None and not self.settled:
                self._run = self._run.then(mark) if self._run is not None else _Run(*mark, 1)
                self._settle()
            return True
        fit = self._fit_of(source)
        if fit > self._fit and (fit != _SIGNALLING or mark is None or self._needed(fit) <= 1):
            self._take(source, fit, None if mark is None else _Run(*mark, 1))
            return True
        if fit == _UNKNOWN or fit < self._fit or self.settled or mark is None:
            return False
        before = self.others.get(source)
        run = before.then(mark) if before is not None else _Run(*mark, 1)
        if run.length >= self._needed(fit):
            self._take(source, fit, run)
            return True
        if before is None and len(self.others) >= CANDIDATES:
            del self.others[min(self.others, key=lambda other: self.others[other].length)]
        self.others[source] = run
        return False

    def _fit_of(self, source: Address) -> int:
        host = source[0]
        if self._sdp is not None and host == self._sdp[0]:
            return _EXACT if source[1] == self._sdp[1] else _HOST
        return _SIGNALLING if host == self._consent.plausible else _UNKNOWN

    def _needed(self, fit: int) -> int:
        """How long the run of a source that fits so has to be to become the peer's."""
        if fit != _SIGNALLING or self.proof == 1 or self._sdp is None or self._consent.hides(self._sdp[0]):
            return self.proof if self.source is not None else 1
        return CHANCE

    def _take(self, source: Address, fit: int, run: _Run | None) -> None:
        self.source, self._fit, self._run = source, fit, run
        self.settled = False
        self._settle()

    def _settle(self) -> None:
        if self._fit == _EXACT or (self._run is not None and self._run.length >= self.proof):
            self.settled = True
            self._run = None
            self.others = {}
