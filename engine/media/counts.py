"""What became of the datagrams that came to a media port."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """What became of a stream's datagrams: each is in exactly one of these."""

    taken: int = 0
    """The peer's, of a format that was agreed on."""
    garbage: int = 0
    """No RTP, not of the key that was agreed on, or longer than any RTP packet of ours."""
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

    @property
    def refused(self) -> int:
        """What nobody should have sent here: a flood, a stranger, a loop, or a format that was not agreed on."""
        return self.garbage + self.strays + self.unknown + self.looped
