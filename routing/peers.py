"""Known peers and strangers: providers, trusted networks, edges of our own, and where a phone logged in."""

from collections.abc import Callable
from typing import Literal

from routing.directory import Directory
from routing.settings import RoutingSettings

PeerKind = Literal["provider", "trusted", "proxy", "phone", "stranger"]

REMEMBERED = 3600.0
"""Seconds that an address stays known where a phone logged in."""
MOST_PHONES = 65_536


class KnownPeers:
    """`engine.sip.peers.Peers` for a directory and settings. `clock`: monotonic seconds.

    `settings` is replaced when the configuration is reloaded.
    """

    __slots__ = ("_clock", "_directory", "_phones", "settings")

    def __init__(self, directory: Directory, settings: RoutingSettings, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._phones: dict[str, float] = {}  # where a phone logged in, and when; the one that came first goes first
        self.settings = settings

    def kind(self, host: str) -> PeerKind:
        """Who the numeric address `host` is. A provider is one before anything else (`routing.admission.identify`)."""
        if self._directory.trunk_at(host) is not None:
            return "provider"
        if self.settings.trusted.find(host):
            return "trusted"
        if self.settings.edges.find(host):
            return "proxy"
        since = self._phones.get(host)
        return "phone" if since is not None and self._clock() - since < REMEMBERED else "stranger"

    def known(self, host: str) -> bool:
        """See `engine.sip.peers.Peers`."""
        return self.kind(host) != "stranger"

    def reserved(self, host: str, source: str) -> bool:
        """See `engine.sip.peers.Peers`: a provider's address, on any port, for everybody but that provider."""
        provider = self._directory.trunk_at(host)
        if provider is None:
            return False
        other = self._directory.trunk_at(source)
        return other is None or other.id != provider.id

    def phone_at(self, host: str) -> None:
        """A phone has logged in from here."""
        self._phones.pop(host, None)
        if len(self._phones) >= MOST_PHONES:
            del self._phones[next(iter(self._phones))]
        self._phones[host] = self._clock()

    def forget(self, host: str) -> None:
        """This address has been banned: that a phone was there counts no more."""
        self._phones.pop(host, None)
