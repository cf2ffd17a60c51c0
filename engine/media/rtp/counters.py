"""Counters of datagrams at a media port: taken, or refused and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

REFUSED: Final = ("garbage", "unverified", "strays", "unknown", "looped")
"""Of `Counts`: what nobody should have sent."""


class Tally:
    """How much of what somebody has refused is in the totals of all by now."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: Mapping[str, int] = {}

    def add(self, refused: Mapping[str, int], totals: Counter[str]) -> None:
        """Brings `totals` up to date with `refused`, which says why and how many up to now. Where that is less than
        before, a part of it has ended and begins anew: totals only grow."""
        for why, number in refused.items():
            if number > (told := self._told.get(why, 0)):
                totals[why] += number - told
        self._told = refused


@dataclass(slots=True)
class Counts:
    """What became of a stream's datagrams: each is in exactly one of these, `held` and `returned` aside."""

    taken: int = 0
    """The peer's, of a format that was agreed on."""
    garbage: int = 0
    """No RTP, or longer than any RTP packet of ours."""
    unverified: int = 0
    """Not protected by the key that was agreed on (SRTP), or come twice."""
    strays: int = 0
    """From somebody who is not the peer."""
    unknown: int = 0
    """A payload type that was not negotiated (RTCP and STUN included where they look like RTP)."""
    noise: int = 0
    """Comfort noise (RFC 3389): there is sound enough without it."""
    looped: int = 0
    """Our own packets come back (RFC 3550 §8.2): echoed again they would go round for ever."""
    control: int = 0
    """RTCP on the same port."""
    held: int = 0
    """Of those taken: not echoed, since the peer wants to hear nothing (RFC 3264 §8.4)."""
    returned: int = 0
    """Of those taken: echoed."""
    told: int = field(default=0, compare=False)
    """How many of the refused are in the totals."""
    tally: Tally = field(default_factory=Tally, compare=False, repr=False)

    @property
    def refused(self) -> int:
        """What nobody should have sent here: a flood, a stranger, a loop, a wrong key, or a format that was not
        agreed on."""
        return self.garbage + self.unverified + self.strays + self.unknown + self.looped

    def tell(self, totals: Counter[str]) -> None:
        """Brings `totals` up to date with what was refused."""
        if self.refused != self.told:
            self.told = self.refused
            self.tally.add({why: getattr(self, why) for why in REFUSED}, totals)
