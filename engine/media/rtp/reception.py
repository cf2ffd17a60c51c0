"""Reception statistics of one source (RFC 3550 A.1, A.3 and A.8): counts, losses and jitter."""

from typing import Final

from engine.media.rtp.rtcp import ReportBlock, SenderReport

MAX_DROPOUT: Final = 3000
"""Packets that may be missing at once; a wider gap is a source that began anew (RFC 3550 A.1)."""

MAX_MISORDER: Final = 100
"""Packets that one may be late by."""

_CYCLE: Final = 1 << 16


class Reception:
    """The statistics of one source. They go on over a change of the SSRC; each source is counted for itself."""

    __slots__ = (
        "_bad",
        "_base",
        "_before",
        "_clock",
        "_expected_then",
        "_here",
        "_last_report",
        "_last_report_at",
        "_received_then",
        "_transit",
        "highest",
        "jitter",
        "largest_jitter",
        "received",
        "ssrc",
    )

    def __init__(self, clock: int) -> None:
        """`clock` is that of the RTP timestamps, in Hz."""
        self._clock = clock
        self.ssrc: int | None = None
        """The source; None before its first packet."""
        self.received = 0
        """Packets since the beginning, of all sources, duplicates among them."""
        self.jitter = 0.0
        """Interarrival jitter in seconds, smoothed (RFC 3550 A.8)."""
        self.largest_jitter = 0.0
        """The largest that it ever was."""
        self.highest = 0
        """Highest sequence number of the source, its cycles counted in the upper bits."""
        self._before = 0  # packets expected of earlier sources, and of this one before it began anew
        self._base = 0
        self._here = 0  # packets received since _base
        self._bad = -1
        self._transit: float | None = None
        self._expected_then = 0
        self._received_then = 0
        self._last_report = 0
        self._last_report_at = 0.0

    @property
    def expected(self) -> int:
        """Packets that should have come, by their sequence numbers."""
        return self._before + (self.highest - self._base + 1 if self.ssrc is not None else 0)

    @property
    def lost(self) -> int:
        """Packets that have not come; negative where duplicates outnumber them."""
        return self.expected - self.received

    def receive(self, ssrc: int, sequence: int, timestamp: int, now: float) -> bool:
        """Counts one packet that came at `now` (seconds of any steady clock). False for one that is far from all
        others: the second in a row is a source that began anew (RFC 3550 A.1)."""
        if ssrc != self.ssrc:
            self._restart(ssrc, sequence)
        else:
            ahead = (sequence - self.highest) & 0xFFFF
            if ahead < MAX_DROPOUT:
                self.highest += ahead
                self._bad = -1
            elif ahead <= _CYCLE - MAX_MISORDER:
                if sequence != self._bad:
                    self._bad = (sequence + 1) & 0xFFFF
                    return False
                self._restart(ssrc, sequence)
            elif self.highest - (_CYCLE - ahead) < self._base:  # reordered around the very first packet
                self._base = self.highest - (_CYCLE - ahead)
        self._here += 1
        self.received += 1
        self._measure(timestamp, now)
        return True

    def _restart(self, ssrc: int, sequence: int) -> None:
        # What is lost of a source that has ended stays lost; duplicates of one do not make up for losses of another.
        self._before = max(self.expected, self.received) if self.ssrc is not None else 0
        self.ssrc = ssrc
        self._base = self.highest = sequence + _CYCLE
        self._here = 0
        self._bad = -1
        self._transit = None
        self._last_report = 0

    def _measure(self, timestamp: int, now: float) -> None:
        # Only how transit times change matters: where the timestamps begin does not.
        transit = now - timestamp / self._clock
        if self._transit is not None:
            change = abs(transit - self._transit)
            if change < 1:  # a source that was silent or jumped, or a timestamp that wrapped, says nothing of the way
                self.jitter += (change - self.jitter) / 16
                self.largest_jitter = max(self.largest_jitter, self.jitter)
        self._transit = transit

    def on_sender_report(self, report: SenderReport, now: float) -> None:
        """A sender report of the peer that came at `now`, for the peer to measure the round trip with."""
        if report.ssrc == self.ssrc:
            self._last_report = report.ntp >> 16 & 0xFFFFFFFF
            self._last_report_at = now

    def report(self, now: float) -> ReportBlock | None:
        """What to tell the source now, the fraction counted from the last such report; None before its first packet."""
        if self.ssrc is None:
            return None
        expected, received = self.expected - self._expected_then, self.received - self._received_then
        self._expected_then += expected
        self._received_then += received
        fraction = min((expected - received) * 256 // expected, 255) if expected > received else 0
        here_lost = self.highest - self._base + 1 - self._here
        delay = min(int((now - self._last_report_at) * 65536), 0xFFFFFFFF) if self._last_report else 0
        jitter = int(self.jitter * self._clock)
        highest = (self.highest - _CYCLE) & 0xFFFFFFFF
        return ReportBlock(self.ssrc, fraction, here_lost, highest, jitter, self._last_report, max(delay, 0))
