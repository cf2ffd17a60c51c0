"""Media paths: what the session descriptions of two parties pass on their way to each other (RFC 3264 from the middle).

Between a caller and the leg that is dialled for it stands one path, which the offers and answers of both sides pass:

- direct: they pass as they are, and media goes from one to the other;
- relayed: an anchor writes them anew, and media passes that (`engine.media.anchor`);
- terminated: each side agrees with an end of ours, and is told nothing of what the other has said.

Sessions, calls and bridges relay descriptions, and know nothing of what a path makes of them.
"""

from collections import deque
from typing import Final, Protocol

from engine.media.anchor import CALLER, Anchor, AnchorError, Rewritten
from engine.media.negotiation import NotAcceptable
from engine.media.port_pool import NoPortError

MOST_WAITING: Final = 32
"""Descriptions that wait for one that is being written anew; a further one is refused."""


class MediaPath(Protocol):
    """See the module. The sides are `CALLER` and `CALLEE`; `rewritten` may be called before the method returns."""

    @property
    def anchor(self) -> Anchor | None:
        """What the media passes; None where it passes nothing of ours, or ends at us."""
        ...

    @property
    def terminated(self) -> bool:
        """Whether the caller's media ends at us."""
        ...

    def offer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """`side` offers `body`; of none ("") nothing is made, in its turn."""
        ...

    def answer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """`side` answers the other's last offer with `body`, perhaps once more (early media, then the 200)."""
        ...

    def refused(self, side: int) -> None:
        """The last offer of `side` was refused: what was agreed on before goes on (RFC 3261 §14.1)."""
        ...

    def chosen(self) -> None:
        """The caller talks with this leg from now on, whatever others that are still dialled for it say."""
        ...

    def close(self) -> None:
        """The leg is over. A second time does nothing."""
        ...


class Direct:
    """Nothing of ours is in the way."""

    __slots__ = ()

    anchor = None
    terminated = False

    def offer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `MediaPath`."""
        rewritten(body, None)

    answer = offer

    def refused(self, side: int) -> None:
        """See `MediaPath`."""

    def chosen(self) -> None:
        """See `MediaPath`."""

    def close(self) -> None:
        """See `MediaPath`."""


DIRECT: Final = Direct()


class Relayed:
    """Through an anchor. That may take a while over a description (an rtpengine is asked): those that come meanwhile
    wait, in order."""

    __slots__ = ("_answered", "_busy", "_closed", "_waiting", "anchor")

    terminated = False

    def __init__(self, anchor: Anchor) -> None:
        self.anchor = anchor
        self._answered = (b"", b"")  # the last answer, and what became of it: a 200 repeats that of a 183
        self._waiting: deque[tuple[bool, int, bytes, Rewritten]] = deque()
        self._busy = False
        self._closed = False

    def offer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `MediaPath`."""
        self._in_turn(True, side, body, rewritten)

    def answer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `MediaPath`."""
        self._in_turn(False, side, body, rewritten)

    def _in_turn(self, offers: bool, side: int, body: bytes, rewritten: Rewritten) -> None:
        if not self._busy:
            self._rewrite(offers, side, body, rewritten)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting.append((offers, side, body, rewritten))
        else:
            rewritten(b"", AnchorError("too much at once", 500))

    def _rewrite(self, offers: bool, side: int, body: bytes, rewritten: Rewritten) -> None:
        if not body:
            rewritten(b"", None)
            return
        if not offers and body == self._answered[0]:
            rewritten(self._answered[1], None)
            return

        def done(text: bytes, error: AnchorError | None) -> None:
            self._busy = False
            if self._closed and error is None:
                text, error = b"", AnchorError("the leg is over", 487)
            self._answered = (b"", b"") if offers or error is not None else (body, text)
            rewritten(text, error)
            while self._waiting and not self._busy:
                self._rewrite(*self._waiting.popleft())

        self._busy = True
        (self.anchor.offer if offers else self.anchor.answer)(side, body, done)

    def refused(self, side: int) -> None:
        """See `MediaPath`."""
        self.anchor.refused(side)

    def chosen(self) -> None:
        """See `MediaPath`."""
        self.anchor.chosen()

    def close(self) -> None:
        """See `MediaPath`."""
        self._closed = True
        self.anchor.close()


class MediaEnd(Protocol):
    """An end of ours for one side's media (`engine.media.port.MediaPort`). Each method may raise NotAcceptable."""

    def offer(self) -> bytes: ...
    def answer(self, offer: bytes) -> bytes: ...
    def accept(self, answer: bytes) -> None: ...
    def close(self) -> None: ...


class Terminated:
    """Each side's media ends at us, at an end that speaks what this side speaks: WebRTC, SRTP, another codec. What one
    side offers has the other offered something by its own end, and so each answer is an answer of both."""

    __slots__ = ("_ends", "_offers")

    anchor = None
    terminated = True

    def __init__(self, near: MediaEnd, far: MediaEnd) -> None:
        """`near` is the caller's end, and stays its call's; `far` ends with the leg."""
        self._ends = (near, far)
        self._offers = [b"", b""]  # of each side the last, to be answered when the other side has answered

    def offer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `MediaPath`."""
        if not body:
            rewritten(b"", None)
            return
        self._offers[side] = body
        try:
            text = self._ends[1 - side].offer()
        except (NotAcceptable, NoPortError) as error:
            rewritten(b"", AnchorError(str(error), error.status))
        else:
            rewritten(text, None)

    def answer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `MediaPath`."""
        if not body:
            rewritten(b"", None)
            return
        try:
            self._ends[side].accept(body)
            text = self._ends[1 - side].answer(self._offers[1 - side])
        except NotAcceptable as error:
            rewritten(b"", AnchorError(str(error), error.status))
        else:
            rewritten(text, None)

    def refused(self, side: int) -> None:
        """See `MediaPath`: neither end has agreed to anything yet."""

    def chosen(self) -> None:
        """See `MediaPath`."""

    def close(self) -> None:
        """See `MediaPath`."""
        self._ends[1 - CALLER].close()
