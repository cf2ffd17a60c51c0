"""Media anchors: the interface of what relays the media of a call (RFC 3264 from the middle).

An anchor stands between two sides, the caller and one leg that was dialled for it. Each description that one side
makes for the other goes through the anchor, which notes where its author wants media, and writes another that leads to
the anchor in its place. What is decided in the descriptions (codecs, directions, keys of SRTP) is left to the sides.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from engine.media.rtp.consent import Consent

CALLER: Final = 0
CALLEE: Final = 1
"""The sides of an anchor. A side's number is its channel in a recording."""


class AnchorError(Exception):
    """A description that cannot be led through an anchor; `status` is the response that it deserves."""

    def __init__(self, message: str, status: int = 488) -> None:
        super().__init__(message)
        self.status = status


Rewritten = Callable[[bytes, AnchorError | None], None]
"""Told once what the other side is to be sent; b"" and why not, where it cannot be had."""


class MediaAddress(NamedTuple):
    """Where a side is reached from.

    Attributes:
        host: The local address that its signalling uses: numeric, IPv6 without brackets.
        shown: The address that it is told of, where that is another one (a NAT before us); else "".
        consent: Where it may be sent media.
    """

    host: str
    shown: str = ""
    consent: Consent = Consent.of_known()

    @property
    def address(self) -> str:
        """What stands in a description."""
        return self.shown or self.host


class Anchor(Protocol):
    """The media of one leg and its caller. `rewritten` may be called before the method returns."""

    def offer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """`side` offers `body`."""
        ...

    def answer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """`side` answers the last offer with `body`: it may do so again (early media, then the 200), and otherwise
        (another branch of a fork). The last answer counts."""
        ...

    def refused(self, side: int) -> None:
        """The last offer of `side` was refused: what was agreed on before goes on (RFC 3261 §14.1)."""
        ...

    def chosen(self) -> None:
        """The caller talks with this leg from now on, whatever others that are still dialled for it say."""
        ...

    def close(self) -> None:
        """The leg is over: nothing is left of it. A second time does nothing."""
        ...

    def report(self) -> dict[str, Any]:
        """What is known of the media that passed, for the record of the call."""
        ...

    async def settled(self) -> None:
        """After `close`: returns once the report is whole, or will not be made whole (within a second). Before it: at
        once."""
        ...


class Shared(Protocol):
    """What the legs of one caller share, so that it sees one place however many are dialled for it."""

    def close(self) -> None:
        """The caller is over."""
        ...


class Anchors(Protocol):
    """Where anchors come from."""

    def shared(self, near: MediaAddress) -> Shared | None:
        """For a caller at `near`, before its first leg is anchored. None where its legs share nothing."""
        ...

    def open(self, near: MediaAddress, far: MediaAddress, shared: Shared | None) -> Anchor:
        """An anchor for a caller at `near` and a leg at `far`. Raises AnchorError (503) when there can be none."""
        ...
