"""`trunkline admin`: the way in when nobody has a key, on the store itself."""

import asyncio
import base64
import io
import re
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from api.http.passwords import password_fits
from api.http.tokens import key_hash
from routing.models.provider import Provider
from service.bootstrap import bootstrap, token_secret
from service.cli import commands
from store import rows
from store.cluster.engine_lock import EngineLock
from store.database import tables
from store.database.errors import StoreRefused
from store.database.vault import transform_secrets
from store.directory.mapping import provider_of, provider_row
from store.maintenance.encryption import unlock
from store.store import Store


class Admin:
    """Runs commands on a store of its own."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = f"sqlite:///{directory}/trunkline.db"
        self.config = directory / "trunkline.yaml"
        self.config.write_text(f'store: "{self.url}"\n')
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def run(self, *words: str, typed: str = "", code: int = 0) -> str:
        """What the command printed: its output, or with a code other than 0 its complaint."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        assert commands.main(["admin", words[0], "-c", str(self.config), *words[1:]]) == code
        printed = self._capsys.readouterr()
        return printed.err if code else printed.out

    def agent(self, username: str) -> Any:
        async def look() -> Any:
            store = await Store.open(self.url)
            try:
                async with store.read() as connection:
                    return (await rows.page(connection, tables.agents, tables.agents.c.username == username)).rows[0]
            finally:
                await store.close()

        return asyncio.run(look())

    def key_hashes(self) -> set[str]:
        async def look() -> set[str]:
            store = await Store.open(self.url)
            try:
                async with store.read() as connection:
                    found = (await rows.page(connection, tables.accesskeys)).rows
                    return {row["key_hash"] for row in found}
            finally:
                await store.close()

        return asyncio.run(look())


@pytest.fixture
def admin(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Admin:
    monkeypatch.delenv("TRUNKLINE_STORE", raising=False)
    return Admin(tmp_path, capsys, monkeypatch)


def test_a_new_store_shows_its_first_key_once(admin: Admin) -> None:
    first = admin.run("users")
    key = re.search(r"tk_\S+", first)
    assert key is not None and key_hash(key[0]) in admin.key_hashes()
    again = admin.run("users")
    assert "tk_" not in again
    assert again.startswith("admin\tproject_super_admin\tplatform\t")


def test_the_store_is_the_same_from_every_directory_and_a_new_one_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path in `store` counts from the configuration file."""
    monkeypatch.delenv("TRUNKLINE_STORE", raising=False)
    for name in ("etc", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "etc/trunkline.yaml").write_text("store: sqlite:///./kept.db\n")
    told = []
    for directory, config in (("elsewhere", "../etc/trunkline.yaml"), ("etc", "trunkline.yaml")):
        monkeypatch.chdir(tmp_path / directory)
        assert commands.main(["admin", "users", "-c", config]) == 0
        told.append(capsys.readouterr().err)
    assert told == [f"made a new store: {tmp_path}/etc/kept.db was not there\n", ""]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_user_is_made_and_gets_another_password(admin: Admin) -> None:
    admin.run("create-user", "alice", "--permission", "project_super_admin", typed="first password\n")
    made = admin.agent("alice")
    assert made["permission"] == "project_super_admin"
    assert asyncio.run(password_fits("first password", made["password_hash"]))
    admin.run("password", "alice", typed="second password\n")
    changed = admin.agent("alice")
    assert asyncio.run(password_fits("second password", changed["password_hash"]))
    assert not asyncio.run(password_fits("first password", changed["password_hash"]))


def test_keys_are_made_limited_and_reset(admin: Admin) -> None:
    admin.run("users")
    key = admin.run("create-key", "admin", "--permission", "customer_agent").strip()
    assert key_hash(key) in admin.key_hashes()
    fresh = admin.run("reset-keys", "admin").strip()
    assert admin.key_hashes() == {key_hash(fresh)}


@pytest.mark.parametrize(
    ("words", "typed", "complaint"),
    [
        (("password", "nobody"), "long enough\n", "there is no user 'nobody'"),
        (("create-user", "bob"), "short\n", "a password has 8 to 256 characters"),
        (("create-user", "bob", "--permission", "king"), "long enough\n", "'king' is no permission"),
        (("create-user", "bob", "--customer", "acme"), "long enough\n", "there is no customer 'acme'"),
        (("create-user", "admin"), "long enough\n", "there is a user 'admin' already"),
        (("create-key", "admin", "--permission", "king"), "", "is no permission up to project_super_admin"),
    ],
)
def test_what_cannot_be_done_is_one_line(admin: Admin, words: tuple[str, ...], typed: str, complaint: str) -> None:
    admin.run("users")
    error = admin.run(*words, typed=typed, code=1)
    assert complaint in error and error.startswith("trunkline: ") and error.count("\n") == 1


def test_a_store_in_memory_cannot_be_reached(admin: Admin) -> None:
    admin.config.write_text('store: ":memory:"\n')
    assert "no other process can reach" in admin.run("users", code=1)


async def test_a_key_of_the_configuration_is_made_good_at_every_start() -> None:
    store = await Store.open(":memory:")
    try:
        assert await bootstrap(store, "a key of sixteen and more") == ""
        assert await bootstrap(store, "a key of sixteen and more") == ""
        async with store.read() as connection:
            found = (await rows.page(connection, tables.accesskeys)).rows
        assert [row["key_hash"] for row in found] == [key_hash("a key of sixteen and more")]
        assert await bootstrap(store, "") == ""
    finally:
        await store.close()


def test_what_a_file_declared_that_is_read_no_more_is_given_to_the_api(admin: Admin) -> None:
    number = {"id": uuid4(), "number": "+15551234567", "declared_in": "/old/trunkline.yaml"}

    async def declare() -> None:
        store = await Store.open(admin.url)
        async with store.write() as transaction:
            await rows.insert(transaction, tables.numbers, number)
        await store.close()

    asyncio.run(declare())
    admin.run("users")
    assert admin.run("files") == "/old/trunkline.yaml\t1 number\n"
    assert "the files are: /old/trunkline.yaml" in admin.run("release", "/nowhere", code=1)
    assert "is the configuration itself" in admin.run("release", str(admin.config), code=1)
    assert admin.run("release", "/old/trunkline.yaml") == "the API's now: 1 number\n"
    assert admin.run("files") == ""


def test_what_a_lost_key_has_encrypted_can_be_given_up(admin: Admin) -> None:
    key, other = (base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    assert "nothing in the store is encrypted" in admin.run("forget-secrets", code=1)

    async def seal() -> None:
        store = await Store.open(admin.url)
        provider = Provider(
            name="trunk", hostname="192.0.2.1", password="hunter2", tech_headers={"X-A": "1", "X-B": ""}
        )
        async with store.write() as transaction:
            await rows.insert(transaction, tables.providers, provider_row(provider))
            await rows.insert(transaction, tables.webhooks, {"uri": "https://example.com/", "secret": "x" * 16})
        signing = await token_secret(store)
        await unlock(store, [key])
        await store.close()
        again = await Store.open(admin.url)
        with pytest.raises(StoreRefused):
            await unlock(again, [other])
        await again.close()
        assert signing

    async def look() -> tuple[Any, ...]:
        store = await Store.open(admin.url)
        try:
            await unlock(store, [other])  # an engine starts again
            async with store.read() as connection:
                (provider,) = (await connection.execute(sa.select(tables.providers))).mappings().all()
                (hook,) = (await connection.execute(sa.select(tables.webhooks))).mappings().all()
            shown = provider_of(transform_secrets(tables.providers, dict(provider), store.vault.open))
            return shown.password, dict(shown.tech_headers), hook["secret"], hook["enabled"], await token_secret(store)
        finally:
            await store.close()

    asyncio.run(seal())
    lock = EngineLock.take(admin.config.with_name("trunkline.db"))
    assert lock is not None
    assert "in use by another engine" in admin.run("forget-secrets", code=1)
    lock.close()
    assert admin.run("forget-secrets").startswith("deleted the secrets of 4 rows: ")
    *secrets, signing = asyncio.run(look())
    assert secrets == ["", {"X-B": ""}, "", False] and signing
