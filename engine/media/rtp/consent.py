"""Consent to send media: to whom it may go, and for how long without a sign that it is wanted there.

Whoever writes somebody else's address into a session description would have us flood it (RFC 3261 §26.1.5, RFC 5245
§18.5.1; a packet of signalling is an hour of sound). So a stranger's media is bounded until it has shown that it
receives, and that is counted host by host:

    host                                              is sent
    any, of a machine of the operator's               everything
    one in no nearer network, of another known peer   everything
        (a phone that has logged in)
    the signalling's own, before the peer has shown   `TRIAL`, then nothing
        that it receives (ACK, PRACK, digest, TCP)
    another one named before the call is set up       nothing, and everything once the peer has shown it
    another one named later                           `TRIAL`, then nothing
    any that media or RTCP has come from              everything
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final, Protocol, Self

from engine.sip.peers import EVERYBODY, Peers

TRIAL: Final = 1.0
"""Seconds that a host is sent media without having shown anything: less than an answer takes that was lost once."""

MOST_HOSTS: Final = 16
"""Hosts of one peer that are told apart; what it names beyond is sent nothing before it is heard."""

_LOOPBACK, _LINK, _PRIVATE, _GLOBAL = range(4)
_PRIVATE_NETWORKS: Final = tuple(
    ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)


class Signalling(Protocol):
    """What the dialog with a peer shows of it."""

    @property
    def receives(self) -> bool:
        """The peer has shown that it gets what is sent to it: it came over a connection, or has answered with what it
        can know from us alone."""

    @property
    def opening(self) -> bool:
        """The dialog is being set up: its INVITE has no ACK yet."""

    @property
    def peer_host(self) -> str:
        """The numeric address that the peer's signalling comes from; "" while none has come."""

    @property
    def party(self) -> str:
        """Who that is, as `Peers` is asked."""


class Consent:
    """What one peer has consented to. It is asked where media has no proven way yet, and not for every packet."""

    __slots__ = ("_clock", "_heard", "_peers", "_signalling", "_trials", "_vouched")

    def __init__(self, signalling: Signalling, peers: Peers, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._signalling = signalling
        self._peers = peers
        self._clock = clock
        self._vouched: frozenset[str] = frozenset()  # hosts that an ACK stands for
        self._heard: frozenset[str] = frozenset()
        self._trials: dict[str, float] = {}  # when the first packet went to an unproven host

    @classmethod
    def of_known(cls) -> Self:
        """That of a known peer, whose signalling is somebody else's affair."""
        return cls(_GONE, EVERYBODY, float)

    def adopt(self, signalling: Signalling) -> None:
        """Whoever this peer is from now on: another one's signalling vouches for what it describes."""
        if signalling is not self._signalling:
            self._signalling = signalling
            self._vouched = self._heard = frozenset()

    def close(self) -> None:
        """The media is over: nothing is sent any more, and no circle is left."""
        self.adopt(_GONE)

    @property
    def host(self) -> str:
        """Where the peer's signalling comes from, spelt as a socket spells it."""
        return self._signalling.peer_host.partition("%")[0]

    @property
    def plausible(self) -> str:
        """The host whose media is the peer's although no description names it (a NAT); "" where there is none yet."""
        return self.host if self._signalling.receives or self._known() else ""

    def hides(self, host: str) -> bool:
        """Whether a description's `host` is evidently not where the peer is seen: private, and not its signalling's."""
        return _scope(host) != _GLOBAL and host != self.host

    def describe(self, hosts: Iterable[str]) -> None:
        """A description of the peer names these."""
        if self._signalling.opening or not self._vouched:
            both = self._vouched.union(hosts)
            if len(both) <= MOST_HOSTS:
                self._vouched = both

    def hear(self, host: str) -> None:
        """Media or RTCP has come from the peer's `host`."""
        if host not in self._heard and len(self._heard) < MOST_HOSTS:
            self._heard |= {host}

    def proven(self, host: str) -> bool:
        """Whether everything may be sent to `host`."""
        if host in self._heard or self._peers.declared(self._signalling.party):
            return True
        own = self.host
        if _scope(host) < _scope(own):
            return False
        return self._known() or (self._signalling.receives and (host == own or host in self._vouched))

    def allows(self, host: str) -> bool:
        """Whether a packet may go to `host` now."""
        if self.proven(host):
            return True
        own = self.host
        if _scope(host) < _scope(own) or (host != own and not self._signalling.receives):
            return False
        now = self._clock()
        begun = self._trials.get(host)
        if begun is None:
            if len(self._trials) >= MOST_HOSTS:
                return False
            begun = self._trials[host] = now
        return now - begun < TRIAL

    def _known(self) -> bool:
        return self._peers.known(self._signalling.party)


class _NoSignalling:
    """A peer whose signalling is not seen here."""

    receives, opening, peer_host, party = False, False, "", ""


_GONE: Final = _NoSignalling()


@lru_cache(maxsize=1024)
def _scope(host: str) -> int:
    """How far `host` can be meant: the address of a peer further away is not to lead into our own network."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return _GLOBAL
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return _LOOPBACK
    if address.is_link_local:
        return _LINK
    return _PRIVATE if any(address in network for network in _PRIVATE_NETWORKS) else _GLOBAL
