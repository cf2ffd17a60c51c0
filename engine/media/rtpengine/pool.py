"""Pool of rtpengines: new calls go to the one with the fewest, among those that answer."""

from collections.abc import Sequence

from engine.log import Log
from engine.media.anchor import MediaAddress, Shared
from engine.media.rtpengine.anchor import RtpengineAnchor
from engine.media.rtpengine.instance import Instance
from engine.media.rtpengine.ng import NgClient
from engine.transport.addresses import split_host_port


class Rtpengines:
    """Where anchors come from that are not in this process.

    Attributes:
        anchors: Those that are open.
        instances: In the order of the configuration.
    """

    def __init__(self, addresses: Sequence[str], log: Log) -> None:
        self.instances: list[Instance] = []
        self.anchors: set[RtpengineAnchor] = set()
        self._addresses = addresses
        self._log = log
        self._turn = 0

    async def start(self) -> None:
        """Open a socket for each, and begin to ask them whether they are there. Raises OSError."""
        for address in self._addresses:
            host, port = split_host_port(address)
            self.instances.append(Instance(await NgClient.open(host, port or 0, address), self._log))
        for instance in self.instances:
            instance.start()

    def choose(self, before: Instance | None, tried: set[Instance]) -> Instance | None:
        """Who is to take an offer: the one that has the call, else the one with the fewest calls; those that have been
        tried, and those that do not answer, are left out."""
        if before is not None and before.alive and before not in tried:
            return before
        self._turn += 1  # among equals, one after the other
        count = len(self.instances)
        order = [self.instances[(self._turn + place) % count] for place in range(count)]
        able = [instance for instance in order if instance.alive and instance not in tried]
        return min(able, key=lambda instance: instance.calls, default=None)

    def shared(self, near: MediaAddress) -> Shared | None:
        """See `Anchors.shared`: each leg is a call of its own, so that no answer of a dead one lives on."""
        return None

    def open(self, near: MediaAddress, far: MediaAddress, shared: Shared | None) -> RtpengineAnchor:
        """See `Anchors.open`. Which rtpengine has it shows with its first offer."""
        anchor = RtpengineAnchor(self, near, far)
        self.anchors.add(anchor)
        return anchor

    def close(self) -> None:
        """Nothing is asked any more."""
        for instance in self.instances:
            instance.close()
