"""SRTP (RFC 3711) with keys from the session description (RFC 4568)."""

from typing import NamedTuple


class Crypto(NamedTuple):
    """One `a=crypto` line."""

    tag: int
    suite: str
    key: bytes


class Keys(NamedTuple):
    """What both directions of one stream are protected with."""

    ours: Crypto
    """Of what we send."""
    theirs: Crypto
    """Of what the peer sends."""
