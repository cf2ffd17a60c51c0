"""AudioSource and AudioSink: what is played to a peer, and who hears what it says."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engine.media.codec.codec import Codec, Samples


class AudioSource(Protocol):
    """Sound for one peer, 20 ms at a time."""

    def next(self, codec: "Codec") -> bytes | None:
        """The payload of the next 20 ms, encoded for `codec`. b"" sends nothing this time; None is the end.

        It is asked once every 20 ms by the one pacer of all calls, so it has to be quick, and it must not raise.
        Nothing is asked while the peer holds the call.
        """
        ...


class AudioSink(Protocol):
    """Somebody who hears a peer."""

    def hear(self, samples: "Samples", rate: int) -> None:
        """20 ms of what the peer said, at every tick and in order; zeros where nothing came. `rate` in Hz.

        It is told by the pacer: quick, and without raising. The samples are shared, so that they are not to be changed.
        """
        ...
