"""Hashes of passwords that cost next to nothing.

The real ones take 64 MiB and some 50 ms each, as they must; what they are is tests/api/test_passwords.py's, which
takes `real_passwords`.
"""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher


@pytest.fixture(scope="session", autouse=True)
def _passwords_are_cheap() -> Iterator[dict[str, Any]]:
    passwords = sys.modules.get("api.http.passwords")
    if passwords is None:  # no test of this run imports it
        yield {}
        return
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    instead = {"_hasher": cheap, "_nobody": cheap.hash("nobody's password")}
    real = {name: getattr(passwords, name) for name in instead}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in instead.items():
            patch.setattr(passwords, name, value)
        yield real


@pytest.fixture
def real_passwords(_passwords_are_cheap: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are in production."""
    for name, value in _passwords_are_cheap.items():
        monkeypatch.setattr(f"api.http.passwords.{name}", value)
