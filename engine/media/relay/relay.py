"""Embedded relay: packets of an anchored call pass sockets of this process, as they are.

The caller's side is one for all legs that are dialled for it: whatever failover does, and whoever sends early media,
the caller keeps sending to the same ports. What it sends goes to the leg whose answer it was given last.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from engine.media.anchor import CALLEE, CALLER, AnchorError, MediaAddress, Rewritten, Shared
from engine.media.periodic import INTERVAL
from engine.media.plane import Plane
from engine.media.port_pool import NoPortError, PortPool
from engine.media.relay.side import RelaySide
from engine.sip.message.grammar import ParseError
from engine.sip.sdp import description as sdp

if TYPE_CHECKING:
    from engine.media.audio import AudioSink
    from engine.media.relay.tap import RelayTap

FLOOD: Final = 5_000
"""Packets a second of one side, ten times those of the best video call, above which it is no call any more: two that
describe themselves as our own ports would have us send to ourselves for ever."""


class Relay:
    """The media of one leg and its caller."""

    __slots__ = (
        "_agreed",
        "_alive",
        "_closed",
        "_counted",
        "_looked",
        "_offers",
        "_overhearing",
        "_relays",
        "_report",
        "far",
        "near",
        "on_fault",
    )

    def __init__(self, relays: "Relays", near: "NearSide", far: MediaAddress) -> None:
        self.near = near
        self.far = RelaySide(relays.pool, far)
        self._relays = relays
        self._offers: list[sdp.SessionDescription | None] = [None, None]  # of each side, the last
        self._agreed: tuple[sdp.SessionDescription, ...] = ()  # the last answer, and its offer
        self._overhearing: RelayTap | None = None
        self._alive = [relays.plane.clock()] * 2  # when each side was heard last, or need not have been
        self._counted = [0, 0]
        self._looked = relays.plane.clock()
        self.on_fault: Callable[[int, str], None] | None = None
        """Told of a side that should send and has sent nothing for `Plane.rtp_timeout` (""), again after as long; and
        of one that sends more than `FLOOD`, with words for it."""
        self._report: dict[str, Any] = {}
        self._closed = False

    def _sides(self, side: int) -> tuple[RelaySide, RelaySide]:
        return (self.near, self.far) if side == CALLER else (self.far, self.near)

    def offer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `Anchor.offer`."""
        try:
            description = self._read(body)
            text = self._describe(side, description)
        except AnchorError as error:
            rewritten(b"", error)
            return
        self._offers[side] = description
        rewritten(text, None)

    def answer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `Anchor.answer`."""
        try:
            description = self._read(body)
            text = self._describe(side, description)
            self._agree(side, description)
        except AnchorError as error:
            rewritten(b"", error)
            return
        rewritten(text, None)

    def refused(self, side: int) -> None:
        """See `Anchor.refused`."""
        self._offers[side] = None

    def _read(self, body: bytes) -> sdp.SessionDescription:
        if self._closed:
            raise AnchorError("the media of this leg is closed", 487)
        try:
            return sdp.parse(body)
        except ParseError as error:
            raise AnchorError(str(error), error.status) from error

    def _describe(self, side: int, description: sdp.SessionDescription) -> bytes:
        """What the other side is told; both get their ports, so that an answer cannot fail for want of one."""
        own, other = self._sides(side)
        try:
            text = other.describe(description)
            own.prepare(description)
        except (NoPortError, ValueError) as error:
            raise AnchorError(str(error), getattr(error, "status", 488)) from error
        return text

    def _agree(self, side: int, answer: sdp.SessionDescription) -> None:
        own, other = self._sides(side)
        offer = self._offers[1 - side]
        try:
            if offer is not None:
                other.aim(offer)
            own.aim(answer)
        except ParseError as error:
            raise AnchorError(str(error), error.status) from error
        for index, media in enumerate(answer.media):
            if not media.port:
                self.far.drop(index)
                self.near.drop_unshared(index)
        self._agreed = (answer,) if offer is None else (answer, offer)
        self._couple()
        self._relays.plane.periodic.add(self)

    def _couple(self) -> None:
        if self.near.chosen not in (None, self):
            return
        for near, far in zip(self.near.streams, self.far.streams, strict=False):
            if near is not None and far is not None:
                near.couple(far, self._relays.loop)
        self._listen()

    def chosen(self) -> None:
        """See `Anchor.chosen`."""
        self.near.chosen = self
        self._couple()

    def check(self, now: float) -> None:
        """See `Watched`."""
        limit = self._relays.plane.rtp_timeout
        talking = self._talking()
        most = FLOOD * max(now - self._looked, INTERVAL)
        self._looked = now
        for side in (CALLER, CALLEE):
            own = self._sides(side)[0]
            own.tell_refused(self._relays.plane.refused)
            packets = own.packets
            came, self._counted[side] = packets - self._counted[side], packets
            if came > most:
                self._tell(side, "media flood")
            elif came or not talking:
                self._alive[side] = now
            elif now - self._alive[side] >= limit > 0:
                self._alive[side] = now
                self._tell(side, "")

    def _tell(self, side: int, flood: str) -> None:
        if self.on_fault is not None:
            self.on_fault(side, flood)

    def _talking(self) -> bool:
        """Whether both sides send: with a hold, either may be silent."""
        both = self._agreed
        return len(both) == 2 and all(
            description.direction_of(media) == "sendrecv"
            for description in both
            for media in description.media
            if media.port and media.kind.lower() == "audio"
        )

    def overhear(self, caller: "AudioSink", callee: "AudioSink") -> None:
        """Tell `caller` what the caller says from now on, and `callee` what the callee does, until the end."""
        from engine.media.relay.tap import RelayTap  # numpy, for those who record

        if not self._closed and self._overhearing is None:
            self._overhearing = RelayTap(self._relays.plane, caller, callee)
            self._listen()

    def _listen(self) -> None:
        """To the first stream of sound."""
        if self._overhearing is None or not self._agreed:
            return
        for index, media in enumerate(self._agreed[0].media):
            near, far = self.near.stream(index), self.far.stream(index)
            if media.kind.lower() == "audio" and near is not None and far is not None:
                described = [description.media[index] for description in self._agreed]
                self._overhearing.listen(near.ports[0], far.ports[0], described)
                return

    def report(self) -> dict[str, Any]:
        """See `Anchor.report`."""
        if self._closed:
            return self._report
        return {"anchor": "embedded", "caller": self.near.report(), "callee": self.far.report()}

    async def settled(self) -> None:
        """See `Anchor.settled`: nobody else is asked."""

    def close(self) -> None:
        """See `Anchor.close`."""
        if self._closed:
            return
        self._report = self.report()
        self._closed = True
        for own in (self.near, self.far):
            own.tell_refused(self._relays.plane.refused)
        if self._overhearing is not None:
            self._overhearing.close()
        self.far.close()
        self.near.leave(self)
        self._relays.relays.discard(self)
        self._relays.plane.periodic.remove(self)
        self.on_fault = None


class NearSide(RelaySide):
    """The caller's side. It is over when the caller is, and none of its legs has it any more."""

    __slots__ = ("_kept", "_users", "chosen")

    def __init__(self, pool: PortPool, place: MediaAddress) -> None:
        super().__init__(pool, place)
        self._kept = True
        self._users = 0
        self.chosen: Relay | None = None
        """The leg that the caller talks with; None: the one that has answered last."""

    def enter(self) -> None:
        """One more leg uses it."""
        self._users += 1

    def leave(self, relay: Relay) -> None:
        """A leg does not use it any more."""
        self._users -= 1
        if self.chosen is relay:
            self.chosen = None
        self._close_unused()

    def drop_unshared(self, index: int) -> None:
        """A stream that the only leg does not want."""
        if self._users == 1:
            self.drop(index)

    def close(self) -> None:
        """The caller is over."""
        self._kept = False
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._kept and self._users <= 0:
            super().close()


class Relays:
    """All relays of an engine, on one range of ports."""

    def __init__(self, pool: PortPool, loop: asyncio.AbstractEventLoop, plane: Plane) -> None:
        self.pool = pool
        self.plane = plane
        self.loop = loop
        self.relays: set[Relay] = set()
        """Those that are open."""

    def shared(self, near: MediaAddress) -> Shared | None:
        """See `Anchors.shared`."""
        return NearSide(self.pool, near)

    def open(self, near: MediaAddress, far: MediaAddress, shared: Shared | None) -> Relay:
        """See `Anchors.open`."""
        side = shared if isinstance(shared, NearSide) else NearSide(self.pool, near)
        relay = Relay(self, side, far)
        side.enter()
        if side is not shared:
            side.close()  # nobody else keeps it
        self.relays.add(relay)
        return relay
