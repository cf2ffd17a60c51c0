"""Branches (RFC 3261 §8.1.1.7, §16.6 step 8): ours are recognised when they come back, without any memory.

A branch holds a token that is unique, what is to be known of the request when it comes back (`Mark`), and a keyed
digest over both, which no one else can make. That makes loops and spirals visible (§16.3 step 4, RFC 5393 §4.2).
"""

from hashlib import blake2s
from hmac import compare_digest
from typing import Final, NamedTuple

from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.via import Via

MAGIC_COOKIE: Final = "z9hG4bK"  # RFC 3261 §8.1.1.7
DEEPEST: Final = 255
_DIGEST: Final = 8  # bytes of the keyed digest
_SAID: Final = 2 + 8  # characters of depth and dialled
_REST: Final = _SAID + 2 * _DIGEST  # all that stands behind the token
MOST_VIAS: Final = 70  # that are looked at: as many as Max-Forwards lets there be


class Mark(NamedTuple):
    """What our branch says of its request when it comes back.

    Attributes:
        depth: How many calls led to the one that it was sent for.
        dialled: Stands for the number whose call it was sent for (`Branches.stands_for`); zeros for none.
    """

    depth: int = 0
    dialled: str = "00000000"


PLAIN: Final = Mark()


class Branches:
    """Makes branches and recognises them. `secret` is this node's own."""

    __slots__ = ("_key", "_plain")

    def __init__(self, secret: str) -> None:
        self._key = blake2s(secret.encode()).digest()
        self._plain = _written(PLAIN)

    def make(self, token: str, mark: Mark = PLAIN) -> str:
        """A new one; `token` has to be unique."""
        text = f"{token}.{self._plain if mark is PLAIN else _written(mark)}"
        return f"{MAGIC_COOKIE}{text}{self._digest(text)}"

    def read(self, branch: str) -> Mark | None:
        """The mark of a branch; None where it is not ours."""
        if len(branch) < _REST + 8 or branch[-_REST - 1] != "." or not branch.isascii():
            return None
        text, shown = branch[len(MAGIC_COOKIE) : -2 * _DIGEST], branch[-2 * _DIGEST :]
        if not compare_digest(self._digest(text), shown):
            return None
        return Mark(int(text[-_SAID:-8], 16), text[-8:])

    def mark(self, depth: int, dialled: str) -> Mark:
        """For requests sent for a call to `dialled`, "" for none."""
        return Mark(depth, self.stands_for(dialled) if dialled else PLAIN.dialled)

    def stands_for(self, dialled: str) -> str:
        """What a mark says of a number."""
        return blake2s(dialled.encode("utf-8", "surrogateescape"), key=self._key, digest_size=4).hexdigest()

    def among(self, request: Request) -> tuple[Mark, ...]:
        """Our marks in the Vias of a request, the one that was sent last first."""
        if request.single_via:
            mark = self.read(request.branch)
            return () if mark is None else (mark,)
        try:
            found = [self.read(Via.parse(value).branch) for value in request.values("Via")[:MOST_VIAS]]
        except ParseError:
            return ()
        return tuple(mark for mark in found if mark is not None)

    def _digest(self, text: str) -> str:
        return blake2s(text.encode(), key=self._key, digest_size=_DIGEST).hexdigest()


def _written(mark: Mark) -> str:
    return f"{min(mark.depth, DEEPEST):02x}{mark.dialled}"
