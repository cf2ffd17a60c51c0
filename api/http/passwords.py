"""Passwords: argon2id hashes, computed beside the loop, a few at a time and each source in its turn."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 8
LONGEST = 256
AT_ONCE: Final = 2
"""Each takes 64 MiB and a core for some 50 ms: a flood of logins must not take all of either."""
MOST_WAITING: Final = 32
"""Checks of one source that may wait for their turn."""
PATIENCE: Final = 5.0
"""Seconds that a check may wait."""
_REMEMBERED: Final = 10_000

_hasher = PasswordHasher()
# Verified when there is no such user, so that the answer takes as long as for one there is. Of a password that nobody
# kept; made beforehand, because making it costs every start a fifth of a second.
_nobody = "$argon2id$v=19$m=65536,t=3,p=4$XVva4Q5JLfoVPA1wE1W00Q$eyPpw4ZAo4RCPgzj+fgTE4ULz6ZhGFMhyY8PGOwS8Xo"

T = TypeVar("T")


class TooBusy(Exception):
    """A check has waited too long, or too many of its source do. `retry_after`: seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("too many passwords are being checked")
        self.retry_after = retry_after


@dataclass(slots=True, eq=False)
class _Waiting:
    source: str
    name: str
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class FairQueue:
    """What is slow, shared out: `at_once` at a time, and next is whoever has had the least of it.

    Each has a source (an address) and a name (a user's): neither a thousand guesses from one address nor guesses at one
    user from a thousand addresses keep anybody else waiting. What they have had is forgotten when nobody has
    anything any more.
    """

    def __init__(self, at_once: int = AT_ONCE, patience: float = PATIENCE) -> None:
        self._at_once = self._free = at_once
        self._patience = patience
        self._waiting: dict[_Waiting, None] = {}
        self._waiting_of: Counter[str] = Counter()
        self._running_of: Counter[str] = Counter()
        # One source alone never has all of it: somebody else's check begins at once.
        self._most_running = max(1, at_once - 1)
        self._had: Counter[tuple[str, str]] = Counter()

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], *, source: str, name: str) -> T:
        """What `work` gives, in its turn. Raises TooBusy."""
        await self._turn(source, name)
        try:
            return await work()
        finally:
            self._release(source)

    @property
    def idle(self) -> bool:
        """Nothing runs, nothing waits, and nothing is kept of anybody who has waited."""
        return self._free == self._at_once and not self._waiting and not self._waiting_of

    def _release(self, source: str) -> None:
        self._free += 1
        self._running_of[source] -= 1
        if not self._running_of[source]:
            del self._running_of[source]
        self._next()

    async def _turn(self, source: str, name: str) -> None:
        if self._waiting_of[source] >= MOST_WAITING:
            raise TooBusy(self._patience)
        mine = _Waiting(source, name)
        self._waiting[mine] = None
        self._waiting_of[source] += 1
        self._next()
        try:
            async with asyncio.timeout(self._patience):
                await mine.turn
        except BaseException as error:
            self._forget(mine)
            if mine.turn.done() and not mine.turn.cancelled():  # its turn came in the same moment
                self._release(source)
            else:
                self._next()
            if isinstance(error, TimeoutError):
                raise TooBusy(self._patience) from None
            raise

    def _next(self) -> None:
        while self._free:
            may = [one for one in self._waiting if self._running_of[one.source] < self._most_running]
            if not may:
                break
            chosen = min(may, key=self._share)
            self._forget(chosen)
            self._free -= 1
            self._running_of[chosen.source] += 1
            self._had["source", chosen.source] += 1
            self._had["name", chosen.name] += 1
            chosen.turn.set_result(None)
        if self._free == self._at_once or len(self._had) > _REMEMBERED:
            self._had.clear()

    def _share(self, waiting: _Waiting) -> int:
        """What its source and its name have had; of equals the one that came first is the minimum."""
        return self._had["source", waiting.source] + self._had["name", waiting.name]

    def _forget(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            del self._waiting[waiting]
            self._waiting_of[waiting.source] -= 1
            if not self._waiting_of[waiting.source]:
                del self._waiting_of[waiting.source]


async def hash_password(password: str) -> str:
    """A salted hash in the PHC format."""
    return await asyncio.to_thread(_hasher.hash, password)


async def hash_with(secret: str, salt: bytes) -> str:
    """The same hash for the same secret and salt (16 octets), as slow to guess at as one of a password."""
    return await asyncio.to_thread(_hasher.hash, secret, salt=salt)


async def password_fits(password: str, password_hash: str | None) -> bool:
    """Whether this is the password. None: there is no such user; "": it has no password. Both take as long to find
    out as a wrong one."""
    fits = await asyncio.to_thread(_verify, password, password_hash or _nobody)
    return fits and bool(password_hash)


def has_password(password_hash: str) -> bool:
    """Whether anybody can log in with this: "", and whatever else is no hash, fits no password."""
    try:
        extract_parameters(password_hash)
    except InvalidHashError:
        return False
    return True


def _verify(password: str, password_hash: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
