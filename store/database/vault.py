"""The vault: encrypts and decrypts the secrets in rows (passwords of trunks, what stands for those of extensions, keys
that sign tokens and webhooks).

`secret_key` lists keys, as Fernet takes them (AES-128 in CBC with HMAC-SHA-256, a version and a time in each token:
https://github.com/fernet/spec): the first encrypts, each of them decrypts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from store.database.errors import StoreError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

MARK: Final = "fernet:"
"""What a sealed value begins with."""

Work = Callable[[str], str]
"""Encrypts or decrypts one secret: `Vault.seal`, `open` or `renew`."""


class SecretUnreadable(StoreError):
    """A secret that none of this engine's keys opens."""


def _fernets(keys: Sequence[str]) -> "tuple[Fernet, MultiFernet]":
    from cryptography.fernet import Fernet, MultiFernet  # 40 ms, which only a store that is sealed has to wait

    made = [Fernet(key) for key in keys]
    return made[0], MultiFernet(made)


class Vault:
    """Seals and opens. Without keys everything is kept as it is."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """`keys`: 32 octets each, in base64; `config.settings` has looked at them."""
        fernets = _fernets(keys) if keys else None
        self._first = fernets and fernets[0]
        self._all = fernets and fernets[1]

    @property
    def seals(self) -> bool:
        """Whether there is a key."""
        return self._first is not None

    def seal(self, text: str) -> str:
        """As it is kept. What is empty is no secret."""
        if self._first is None or not text:
            return text
        return MARK + self._first.encrypt(text.encode("utf-8", "surrogatepass")).decode()

    def open(self, kept: str) -> str:
        """What was sealed. Raises SecretUnreadable."""
        if not kept.startswith(MARK):
            return kept
        if self._all is None:
            raise SecretUnreadable("a secret of the store is encrypted, and secret_key is not set")
        from cryptography.fernet import InvalidToken

        try:
            return self._all.decrypt(kept.removeprefix(MARK)).decode("utf-8", "surrogatepass")
        except InvalidToken:
            raise SecretUnreadable("none of the keys under secret_key opens a secret of the store") from None

    def renew(self, kept: str) -> str:
        """Sealed with the first key, whatever it was sealed with, if it was. Raises SecretUnreadable."""
        if self._first is None or not kept:
            return kept
        if kept.startswith(MARK):
            from cryptography.fernet import InvalidToken

            try:
                self._first.decrypt(kept.removeprefix(MARK))
                return kept
            except InvalidToken:
                pass
        return self.seal(self.open(kept))


# ---- where secrets stand


def _text(value: str, work: Work) -> str:
    return work(value)


def _in_settings(value: Mapping[str, Any], work: Work) -> dict[str, Any]:
    """Of a provider: its password, and headers that may be an account's key."""
    changed = dict(value)
    if changed.get("password"):
        changed["password"] = work(changed["password"])
    headers = changed.get("tech_headers")
    if headers and isinstance(headers, list):
        done = [(name, text, work(text)) for name, text in headers]
        changed["tech_headers"] = [[name, made] for name, text, made in done if made or not text]
    return changed


SECRET_COLUMNS: Final[Mapping[str, tuple[str, Callable[[Any, Work], Any]]]] = {
    "providers": ("settings", _in_settings),
    "extensions": ("ha1", _text),
    "webhooks": ("secret", _text),
    "secrets": ("value", _text),
}
"""Table -> the column that holds secrets, and what does something to each of them."""


def transform_secrets(table: sa.Table, row: Mapping[str, Any], work: Work) -> dict[str, Any]:
    """A row with `work` done to what is secret in it. Tables that have no secrets, and rows without that column, stay
    as they are."""
    changed = dict(row)
    if table.name in SECRET_COLUMNS:
        column, each = SECRET_COLUMNS[table.name]
        if column in changed:
            changed[column] = each(changed[column], work)
    return changed
