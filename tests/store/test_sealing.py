"""Secrets in the store are encrypted under `secret_key`, on both databases: switched on, turned over, and lost."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from routing.models.provider import Provider
from service.bootstrap import token_secret
from store import rows
from store.cluster.heartbeat import NodeHeartbeat
from store.database import tables
from store.database.errors import StoreError, StoreRefused
from store.database.vault import MARK, SecretUnreadable, Vault, transform_secrets
from store.directory.loading import load
from store.directory.mapping import provider_of, provider_row
from store.directory.reconcile import Declarations, merge
from store.maintenance.encryption import unlock
from store.resources import deliveries
from store.store import Store


def key(number: int) -> str:
    return base64.urlsafe_b64encode(bytes([number]) * 32).decode()


FIRST, SECOND, THIRD = key(1), key(2), key(3)
TRUNK = {"name": "trunk", "hostname": "192.0.2.1", "username": "u"}
SECRETS = {"password": "hunter2 passw\u00f6rd", "tech_headers": {"X-B": "account-token-77", "X-A": "zone"}}
HOOK_SECRET = "sixteen or more letters"


async def fill(store: Store, name: str = "trunk") -> None:
    """A provider, a deleted one, a webhook and what signs tokens, as the API and the start write them."""
    async with store.write() as transaction:
        for gone in (None, transaction.now):
            provider = Provider.model_validate(TRUNK | SECRETS | {"name": name, "id": uuid4()})
            row = transform_secrets(tables.providers, provider_row(provider), store.vault.seal)
            await rows.insert(transaction, tables.providers, row | {"tm_delete": gone})
        hook = {"customer_id": UUID(int=7), "uri": "https://example.com/", "secret": store.vault.seal(HOOK_SECRET)}
        await rows.insert(transaction, tables.webhooks, hook)
    await token_secret(store)


async def everything(store: Store) -> str:
    """All that the tables with secrets hold, as text."""
    found = ""
    async with store.read() as connection:
        for table in (tables.providers, tables.webhooks, tables.secrets):
            kept = (await connection.execute(sa.select(table))).mappings()
            found += json.dumps([dict(row) for row in kept], default=str, ensure_ascii=False)
    return found


async def opened(store: Store, keys: Sequence[str]) -> Store:
    """The same database at the next start, with these keys."""
    again = await Store.open(store.address.render_as_string(hide_password=False))
    try:
        await unlock(again, keys)
    except BaseException:
        await again.close()
        raise
    return again


async def told(store: Store) -> tuple[Any, ...]:
    """What of the secrets arrives where it is needed."""
    skipped: list[Any] = []
    await load(store, lambda *what: skipped.append(what))
    async with store.read() as connection:
        found = (await connection.execute(sa.select(tables.providers))).mappings().all()
        (hook,) = (await connection.execute(sa.select(tables.webhooks.c.secret))).scalars().all()
    providers = [provider_of(transform_secrets(tables.providers, row, store.vault.open)) for row in map(dict, found)]
    assert not skipped
    return (
        [(provider.password, dict(provider.tech_headers)) for provider in providers],
        store.vault.open(hook),
        await token_secret(store),
    )


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    made = await Store.open(store_url)
    yield made
    await made.close()


async def test_without_a_key_everything_is_as_it_was(store: Store) -> None:
    assert await unlock(store, []) == 0
    await fill(store)
    assert "hunter2" in await everything(store) and HOOK_SECRET in await everything(store)
    assert MARK not in await everything(store)


async def test_switching_it_on_encrypts_what_is_there_and_what_comes(store: Store) -> None:
    await fill(store)
    before = await told(store)
    sealed = await opened(store, [FIRST])
    await fill(sealed, "another")
    kept = await everything(sealed)
    for secret in ("hunter2", "account-token-77", HOOK_SECRET, before[2]):
        assert secret not in kept
    assert '["X-B", "fernet:' in kept and '["X-A", "fernet:' in kept
    after = [(SECRETS["password"], SECRETS["tech_headers"])] * 4
    async with sealed.read() as connection:
        found = (await connection.execute(sa.select(tables.providers))).mappings().all()
        hooks = (await connection.execute(sa.select(tables.webhooks.c.secret))).scalars().all()
    shown = [provider_of(transform_secrets(tables.providers, row, sealed.vault.open)) for row in map(dict, found)]
    assert [(provider.password, provider.tech_headers) for provider in shown] == after
    assert {sealed.vault.open(hook) for hook in hooks} == {HOOK_SECRET}
    assert await token_secret(sealed) == before[2]
    await sealed.close()
    # The next start has nothing to do.
    again = await Store.open(store.address.render_as_string(hide_password=False))
    assert await unlock(again, [FIRST]) == 0
    await again.close()


async def test_turning_keys_over_encrypts_under_the_first(store: Store) -> None:
    await fill(store)
    before = await told(store)
    await (await opened(store, [FIRST])).close()
    async with store.read() as connection:
        sealed_rows = (await connection.execute(sa.select(sa.func.count()).select_from(tables.secrets))).scalar_one()
    both = await Store.open(store.address.render_as_string(hide_password=False))
    assert await unlock(both, [SECOND, FIRST]) == 2 + 1 + sealed_rows
    await both.close()
    alone = await opened(store, [SECOND])
    assert await told(alone) == before
    await alone.close()
    with pytest.raises(StoreRefused, match="none of the keys under secret_key opens its secrets: put the key"):
        await opened(store, [FIRST])


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ([], "its secrets are encrypted, and secret_key is not set: put the key that they were encrypted with there"),
        ([SECOND], "none of the keys under secret_key opens its secrets"),
        ([SECOND, THIRD], "none of the keys under secret_key opens its secrets"),
    ],
)
async def test_a_start_without_the_key_says_which_setting_is_missing(
    store: Store, keys: list[str], problem: str
) -> None:
    await fill(store)
    await (await opened(store, [FIRST])).close()
    before = await everything(store)
    with pytest.raises(StoreRefused, match=problem) as refused:
        await opened(store, keys)
    assert not any(given in str(refused.value) for given in (FIRST, *keys))
    assert await everything(store) == before


async def test_what_is_made_to_look_encrypted_is_text_like_any_other(store: Store) -> None:
    """A customer chooses the secret of its webhook: it must neither keep the engine from starting nor be taken for a
    secret of somebody else's."""
    looks = [MARK + "nonsense and more", MARK + Vault([SECOND]).seal("x").removeprefix(MARK), MARK]
    async with store.write() as transaction:
        for secret in looks:
            await rows.insert(transaction, tables.webhooks, {"uri": "https://example.com/", "secret": secret})
    sealed = await opened(store, [FIRST])
    async with sealed.read() as connection:
        kept = (await connection.execute(sa.select(tables.webhooks.c.secret))).scalars().all()
    assert sorted(map(sealed.vault.open, kept)) == sorted(looks)
    await sealed.close()


async def test_what_was_written_in_clear_beside_encrypted_ones_is_encrypted_at_the_next_start(store: Store) -> None:
    await (await opened(store, [FIRST])).close()
    await fill(store)  # by an engine without the key
    sealed = await opened(store, [FIRST])
    assert "hunter2" not in await everything(sealed) and HOOK_SECRET not in await everything(sealed)
    await sealed.close()


async def test_what_nobody_can_open_is_left_alone_and_reported_where_it_is_needed(store: Store) -> None:
    await fill(store)
    sealed = await opened(store, [FIRST])
    async with sealed.write() as transaction:
        values = {"secret": Vault([THIRD]).seal("lost")}
        await transaction.execute(sa.update(tables.webhooks).values(values))
        settings = provider_row(Provider.model_validate(TRUNK | SECRETS))["settings"]
        settings = transform_secrets(tables.providers, {"settings": settings}, Vault([THIRD]).seal)["settings"]
        await transaction.execute(sa.update(tables.providers).values(settings=settings))
    await sealed.close()
    again = await opened(store, [SECOND, FIRST])
    skipped: list[Any] = []
    await load(again, lambda kind, identifier, error: skipped.append((kind, str(error))))
    assert skipped == [("provider", "none of the keys under secret_key opens a secret of the store")]
    async with again.read() as connection:
        (kept,) = (await connection.execute(sa.select(tables.webhooks.c.secret))).scalars().all()
    assert Vault([THIRD]).open(kept) == "lost"
    with pytest.raises(SecretUnreadable):
        again.vault.open(kept)
    await again.close()


async def test_what_a_file_declares_is_written_once_and_encrypted(store: Store) -> None:
    """Each encryption of a text is another one: it is compared as it was."""
    sealed = await opened(store, [FIRST])
    provider = Provider.model_validate(TRUNK | SECRETS)

    def declared(one: Provider) -> Declarations:
        return Declarations(
            source="/etc/trunkline.yaml",
            providers=[one],
            routes=[],
            numbers=[],
            flows=[],
            agents=[],
            queues=[],
            conferences=[],
        )

    assert (await merge(sealed, declared(provider))).total == 1
    assert (await merge(sealed, declared(provider))).total == 0
    assert "hunter2" not in await everything(sealed)
    other = Provider.model_validate(TRUNK | SECRETS | {"password": "changed"})
    assert (await merge(sealed, declared(other))).changed["provider"] == 1
    async with sealed.read() as connection:
        (row,) = (await connection.execute(sa.select(tables.providers))).mappings().all()
    shown = provider_of(transform_secrets(tables.providers, dict(row), sealed.vault.open))
    assert (shown.password, dict(shown.tech_headers)) == ("changed", SECRETS["tech_headers"])
    await sealed.close()


@pytest.mark.peer
async def test_it_is_not_switched_on_beside_engines_that_run_without_a_key(postgres_store_url: str) -> None:
    store = await Store.open(postgres_store_url)
    life = NodeHeartbeat(store, "sip1")
    await life.start()
    await fill(store)
    with pytest.raises(StoreError, match=r"cannot be switched on while other engines run on it .*\(sip1\): end them"):
        await opened(store, [FIRST])
    assert "hunter2" in await everything(store)
    await life.close()
    await (await opened(store, [FIRST])).close()
    # Nodes that have the key start beside each other, and turn it over together.
    beside = NodeHeartbeat(store, "sip2")
    await beside.start()
    await (await opened(store, [SECOND, FIRST])).close()
    await beside.close()
    await store.close()


@pytest.mark.peer
async def test_nodes_that_start_together_encrypt_once(postgres_store_url: str) -> None:
    store = await Store.open(postgres_store_url)
    await fill(store)
    before = await told(store)
    both = await asyncio.gather(*(opened(store, [FIRST]) for _ in range(4)))
    for each in both:
        assert await told(each) == before
        await each.close()
    await store.close()


async def test_nothing_is_left_in_clear_in_the_file_and_its_log(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = await Store.open(f"sqlite:///{path}")
    await fill(store)
    async with store.write() as transaction:  # what was there before, in pages that are free now
        await transaction.execute(sa.update(tables.webhooks).values(detail="x" * 9000, secret="an older secret 0123"))
        await transaction.execute(sa.update(tables.webhooks).values(detail="", secret=HOOK_SECRET))
    signing = await token_secret(store)
    await store.close()
    secrets = [text.encode() for text in ("hunter2", "account-token-77", HOOK_SECRET, "an older secret", signing)]
    assert any(secret in path.read_bytes() for secret in secrets)
    sealed = await Store.open(f"sqlite:///{path}")
    await unlock(sealed, [FIRST])
    await fill(sealed, "more")
    for name in os.listdir(tmp_path):  # noqa: PTH208
        held = (tmp_path / name).read_bytes()
        assert not [secret for secret in secrets if secret in held], name
    earlier = {text for text in (await everything(sealed)).split('"') if text.startswith(MARK)}
    await sealed.close()
    turned = await Store.open(f"sqlite:///{path}")
    await unlock(turned, [SECOND, FIRST])
    held = b"".join((tmp_path / name).read_bytes() for name in os.listdir(tmp_path))  # noqa: PTH208
    assert earlier and not [text for text in earlier if text.encode() in held]
    await turned.close()


async def test_events_changes_and_deliveries_carry_no_secret(store: Store) -> None:
    sealed = await opened(store, [FIRST])
    await fill(sealed)
    async with sealed.write() as transaction:
        (provider, *_) = (await transaction.execute(sa.select(tables.providers.c.id))).scalars()
        transaction.changed("provider", provider)
        transaction.event("call_created", UUID(int=7), {"id": "one"})
    await deliveries.spread(sealed, UUID(int=0))
    (due,) = await deliveries.claim(sealed, 1)
    assert HOOK_SECRET not in repr(due) and sealed.vault.open(due.secret) == HOOK_SECRET
    async with sealed.read() as connection:
        for table in (tables.changes, tables.events, tables.deliveries):
            kept = str((await connection.execute(sa.select(table))).all())
            assert HOOK_SECRET not in kept and "hunter2" not in kept and MARK not in kept
    await sealed.close()


def test_a_vault_opens_what_each_key_sealed_and_seals_nothing_that_is_empty() -> None:
    first, both = Vault([FIRST]), Vault([SECOND, FIRST])
    for text in ("x", "\u00fc" * 500, json.dumps({"a": 1}), "\ud800", MARK):
        kept = first.seal(text)
        assert kept.startswith(MARK) and kept != first.seal(text)
        assert first.open(kept) == both.open(kept) == text
        renewed = both.renew(kept)
        assert Vault([SECOND]).open(renewed) == text and both.renew(renewed) == renewed
    assert (first.seal(""), first.renew(""), Vault().seal("x")) == ("", "", "x")
    with pytest.raises(SecretUnreadable, match="secret_key is not set"):
        Vault().open(first.seal("x"))
    tampered = first.seal("x")[:-6] + "AAAAA="
    with pytest.raises(SecretUnreadable):
        first.open(tampered)
