"""Limits of strangers: how many calls, texts and REGISTERs a second, and how many calls at once, each unknown source
may have.

Known peers have no limits here. Strangers are counted by address, of IPv6 by /64 (`engine.sip.peers.counted_source`);
what an edge of ours sends on counts for whom the edge had it from.
"""

from typing import Protocol

from engine.rate_limit import RateLimit
from engine.sip.flow import Flow, address_of
from engine.sip.message.message import Request
from engine.sip.peers import Peers, counted_source, source_of
from engine.sip.stateless import Admission


class Shares(Protocol):
    """The settings that this needs; see `engine.settings.AgentSettings`."""

    max_calls: int
    stranger_calls: float
    invite_rate: float
    invite_burst: int


class Strangers:
    """The limits of each stranger.

    Attributes:
        calls: How many calls are up, by the source for which they are counted; of sources that have any.
    """

    __slots__ = (
        "_answers",
        "_calls_of_all",
        "_known",
        "_max_calls",
        "_most_calls",
        "_peers",
        "calls",
        "rate_limit",
        "register_limit",
    )

    def __init__(self, peers: Peers, shares: Shares) -> None:
        self._peers = peers
        # The burst is what may come at once beside a second's worth of the rate.
        self.rate_limit = RateLimit(shares.invite_rate, shares.invite_burst + int(shares.invite_rate))
        # Beyond the rate, so many get a refusal; the rest is not answered.
        self._answers = RateLimit(shares.invite_rate, max(1, int(shares.invite_rate)))
        self.register_limit = RateLimit(shares.invite_rate, shares.invite_burst + int(shares.invite_rate))
        share = shares.stranger_calls
        self._most_calls = max(1, int(share * shares.max_calls)) if share else 0
        self._max_calls = shares.max_calls
        # Many addresses with a share each are kept off the last quarter, as of all else that the network can fill.
        self._calls_of_all = shares.max_calls - (shares.max_calls // 4 if 0 < share < 1 else 0)
        self.calls: dict[str, int] = {}
        self._known: Request | None = None  # the last one of a known peer, which as a rule begins at once

    def source(self, request: Request, source: Flow) -> str:
        """Who is counted for a request from there; "": nobody, for it is a known peer's."""
        party = source_of(request, source.party, self._peers)
        return "" if self._peers.known(party) else counted_source(address_of(party))

    def full(self, request: Request, source: Flow, calls: int) -> bool:
        """Whether no further call may come in from there beside so many: the last quarter is for known peers."""
        return calls >= self._calls_of_all and (calls >= self._max_calls or bool(self.source(request, source)))

    def admit(self, request: Request, source: Flow, now: float) -> tuple[Admission, str, str]:
        """Whether one more INVITE, MESSAGE or REGISTER may come in; if not, why, as a word, and who is counted."""
        counted = self.source(request, source)
        if not counted:
            self._known = request
            return "take", "", ""
        if request.method == "REGISTER":
            # Beside calls: who floods us with the one may still call. To the rest of a flood there is nothing to say.
            return ("take", "", "") if self.register_limit.allows(counted, now) else ("drop", "register_rate", counted)
        if not self.rate_limit.allows(counted, now):
            return ("refuse" if self._answers.allows(counted, now) else "drop"), "invite_rate", counted
        if request.method == "INVITE" and self._most_calls and self.calls.get(counted, 0) >= self._most_calls:
            return "refuse", "stranger_calls", counted
        return "take", "", counted

    def exhausted(self, host: str, now: float) -> bool:
        """Whether an INVITE or MESSAGE from `host`, a stranger, would not even be answered now."""
        if not self.rate_limit.rate:
            return False
        counted = counted_source(host)
        return not self.rate_limit.has(counted, now) and not self._answers.has(counted, now)

    def registers_exhausted(self, host: str, now: float) -> bool:
        """The same of a REGISTER."""
        return not self.register_limit.has(counted_source(host), now)

    def begun(self, request: Request, source: Flow) -> str:
        """A call came in; the return value is for `ended`."""
        known, self._known = self._known, None
        counted = "" if known is request else self.source(request, source)  # a stranger may have logged in
        if counted:
            self.calls[counted] = self.calls.get(counted, 0) + 1
        return counted

    def ended(self, counted: str) -> None:
        """A call that counted for this source is over."""
        left = self.calls.get(counted, 0) - 1
        if left > 0:
            self.calls[counted] = left
        else:
            self.calls.pop(counted, None)
