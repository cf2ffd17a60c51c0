"""Bans of source addresses that guess passwords or send what is no SIP.

Each misdeed counts some points against the address that it came from (of IPv6 its /64), for ten minutes; with ten of
them it is banned for an hour. What is remembered has a bound, and nobody who is banned is forgotten to make room.

What comes over WebSocket any page on the Web can have done, in the browser of who only reads it. It counts by itself,
and bans what comes from that address over WebSocket, not the phones that are there.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_network
from typing import Final, NamedTuple

from engine.sip.flow import address_of, is_web_page, web_page_at
from engine.sip.peers import Misdeed, counted_source

POINTS: Final[dict[Misdeed, int]] = {"credentials": 1, "not_sip": 3, "handshake": 3, "scanner": 3, "unacknowledged": 1}
BAN_SCORE: Final = 10
SCORE_WINDOW: Final = 600.0
"""Seconds that a point counts."""
BAN_SECONDS: Final = 3600.0
MAX_ADDRESSES: Final = 65_536
"""Addresses that are remembered, the banned among them."""


class Ban(NamedTuple):
    """An address that is banned. Times are those of the table's clock.

    Attributes:
        address: As it is counted: an IPv4 address, of IPv6 the /64; of web pages `web_page_at` there.
        score: The points that it had.
        reason: What the last of them were for.
    """

    address: str
    score: int
    reason: Misdeed
    since: float
    until: float

    @property
    def shown(self) -> str:
        """The address as people write it: 192.0.2.1, 2001:db8:0:7::/64."""
        address = address_of(self.address)
        return str(ip_network(address)) if "/" in address else address

    @property
    def web_pages(self) -> bool:
        """Whether only what comes over WebSocket from there is banned."""
        return is_web_page(self.address)


def _counted(party: str) -> str:
    address = counted_source(address_of(party))
    return web_page_at(address) if is_web_page(party) else address


class _Point(NamedTuple):
    when: float
    points: int
    mark: int


class BanTable:
    """The score of each address that has any, and those that are banned. `clock`: monotonic seconds.

    Attributes:
        banned: The bans by their sources, in the order of their ends; to be read only.
        observers: Told of each new ban.
    """

    __slots__ = ("_clock", "_most", "_ranks", "_suspects", "banned", "observers")

    def __init__(self, clock: Callable[[], float], most: int = MAX_ADDRESSES) -> None:
        self._clock = clock
        self._most = most
        self.banned: OrderedDict[str, Ban] = OrderedDict()  # in the order of their ends
        self._suspects: dict[str, list[_Point]] = {}
        # Suspects by their score, each rank in the order of the last misdeed: who goes first where room is needed.
        self._ranks: tuple[OrderedDict[str, None], ...] = tuple(OrderedDict() for _ in range(BAN_SCORE))
        self.observers: list[Callable[[Ban], None]] = []

    def __len__(self) -> int:
        return len(self.banned) + len(self._suspects)

    def find(self, host: str) -> Ban | None:
        """The ban of an address, or of the web pages there (`web_page_at`); None where it may speak."""
        if not self.banned:
            return None
        source = _counted(host)
        ban = self.banned.get(source)
        if ban is not None and self._clock() >= ban.until:
            del self.banned[source]
            return None
        return ban

    def add(self, host: str, misdeed: Misdeed, mark: int = 0) -> Ban | None:
        """Count a misdeed; the ban, where there are enough now. A `mark` other than 0 tells one from its repetitions:
        they count once."""
        now = self._clock()
        self._expire(now)
        source = _counted(host)
        if source in self.banned:
            return None  # it was on its way already
        known = [point for point in self._forget(source) if now - point.when < SCORE_WINDOW]
        if not (mark and any(point.mark == mark for point in known)):
            known.append(_Point(now, POINTS[misdeed], mark))
        score = sum(point.points for point in known)
        if len(self) >= self._most and not self._make_room(now):
            return None
        if score < BAN_SCORE:
            self._suspects[source] = known
            self._ranks[score][source] = None
            return None
        ban = self.banned[source] = Ban(address=source, score=score, reason=misdeed, since=now, until=now + BAN_SECONDS)
        for tell in self.observers:
            tell(ban)
        return ban

    def clear(self, host: str) -> None:
        """Somebody has logged in from here: what was counted until now counts no more."""
        if self._suspects:
            self._forget(_counted(host))

    def lift(self, host: str) -> Ban | None:
        """End the bans of an address and of the web pages there, and return the first; None where there is none."""
        found = [ban for ban in (self.find(host), self.find(web_page_at(host))) if ban is not None]
        for ban in found:
            del self.banned[ban.address]
        return found[0] if found else None

    def bans(self) -> list[Ban]:
        """Those that are banned, the latest first."""
        self._expire(self._clock())
        return list(reversed(self.banned.values()))

    def _forget(self, source: str) -> list[_Point]:
        known = self._suspects.pop(source, [])
        if known:
            self._ranks[sum(point.points for point in known)].pop(source)
        return known

    def _expire(self, now: float) -> None:
        while self.banned and next(iter(self.banned.values())).until <= now:
            self.banned.popitem(last=False)

    def _make_room(self, now: float) -> bool:
        """Forget one suspect: one whose points are all too old, else the least guilty, of several the oldest."""
        first = [next(iter(rank)) for rank in self._ranks if rank]
        if not first:
            return False
        old = (source for source in first if now - self._suspects[source][-1].when >= SCORE_WINDOW)
        self._forget(next(old, first[0]))
        return True
