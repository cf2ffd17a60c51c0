"""Passwords: argon2id hashes, computed beside the loop, a few at a time."""

import asyncio

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 8
LONGEST = 256

_hasher = PasswordHasher()
# Each takes 64 MiB and a core for some 50 ms: a flood of logins must not take all of either.
_at_once = asyncio.Semaphore(2)
# Verified when there is no such user, so that the answer takes as long as for one there is. Of a password that nobody
# kept; made beforehand, because making it costs every start a fifth of a second.
_nobody = "$argon2id$v=19$m=65536,t=3,p=4$XVva4Q5JLfoVPA1wE1W00Q$eyPpw4ZAo4RCPgzj+fgTE4ULz6ZhGFMhyY8PGOwS8Xo"


async def hash_password(password: str) -> str:
    """A salted hash in the PHC format."""
    async with _at_once:
        return await asyncio.to_thread(_hasher.hash, password)


async def password_fits(password: str, password_hash: str | None) -> bool:
    """Whether this is the password. None: there is no such user; "": it has no password. Both take as long to find
    out as a wrong one."""
    async with _at_once:
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
