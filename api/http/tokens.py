"""Tokens of logins (JWT, RFC 7519) and access keys: made here, and recognised here."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import jwt

LIFETIME = timedelta(days=7)
KEY_BEGINNING = "tk_"
_ALGORITHM = "HS256"
# A key, or a token: three parts in base64url, the first of which begins with `{"`.
_SECRETS = re.compile(rf"{KEY_BEGINNING}[\w-]*|eyJ[\w-]*(\.[\w-]*)*")


class TokenClaims(NamedTuple):
    """Who a token was given to. `password_mark` is of the password's hash: with another password it is void."""

    agent_id: UUID
    password_mark: str


class InvalidTokenError(Exception):
    """It is none of ours, or too old. The message is a sentence."""


class Tokens:
    """Signs with a secret that the store keeps, so that tokens outlive a restart and count on every node."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def make(self, agent_id: UUID, password_hash: str, now: datetime) -> str:
        """A token for seven days."""
        claims = {"sub": str(agent_id), "pwd": password_mark(password_hash), "iat": now, "exp": now + LIFETIME}
        return jwt.encode(claims, self._secret, _ALGORITHM)

    def read(self, token: str) -> TokenClaims:
        """Raises InvalidTokenError."""
        try:
            # Only the one algorithm, whatever the token's header asks for (RFC 8725 §3.1).
            claims = jwt.decode(token, self._secret, [_ALGORITHM], options={"require": ["sub", "exp", "pwd"]})
            return TokenClaims(UUID(claims["sub"]), str(claims["pwd"]))
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError("the token is older than seven days; log in again") from None
        except (jwt.InvalidTokenError, ValueError):
            raise InvalidTokenError("the token is none of ours; log in again") from None


def password_mark(password_hash: str) -> str:
    """A few characters that change with the password."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]


def make_key() -> str:
    """A new access key: 256 random bits."""
    return KEY_BEGINNING + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """What is kept of a key. It is random and long: a slow hash would protect nothing more."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_prefix(key: str) -> str:
    """What a list shows of a key."""
    return key[:8]


def without_keys(text: str) -> str:
    """The text of somebody who may have put a key or a token where it does not belong, without it."""
    return _SECRETS.sub("(hidden)", text)
