"""`kill -9` amid REGISTERs: a phone that was told that it is registered, or that it is not any more, is so after the
restart."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from store.database import tables
from tests.network import reserved_port
from tests.peers.engine import Engine, write_config
from tests.service.test_kill_nine import all_rows
from tests.service.test_registrar_store import Registering

PHONES = 60
ENOUGH = 200  # 200s before the kill


def configuration(url: str, port: int) -> dict[str, Any]:
    return {
        "sip": {"listen": [f"udp://127.0.0.1:{port}"], "invite_rate": {"rate": 0}},
        "store": url,
        "log": {"level": "warning"},
        "extensions": [{"name": f"phone{number}", "password": "s3cret"} for number in range(PHONES)],
    }


class Flood:
    """Phones that register and take their leave without a pause."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._engine = SimpleNamespace(at=lambda _transport: f"127.0.0.1:{port}")
        self._chance = chance
        self.known: dict[str, bool | None] = {}  # what each was told last; None while it waits for an answer
        self.told = 0
        self.enough = asyncio.Event()

    async def phone(self, number: int) -> None:
        name = f"phone{number}"
        phone = Registering(SimpleNamespace(at_end=lambda _close: None), self._engine, name=name)
        try:
            await phone.connect()
            await phone.register()
            while True:
                here = self._chance.random() < 0.7
                self.known[name] = None
                response = await phone.register(3600 if here else 0)
                if response.status != 200:
                    continue
                self.known[name] = here
                self.told += 1
                if self.told >= ENOUGH:
                    self.enough.set()
                await asyncio.sleep(self._chance.random())
        finally:
            await phone.close()


@pytest.mark.parametrize("seed", range(3))
async def test_what_a_phone_was_told_is_so_after_a_kill_nine(tmp_path: Path, seed: int) -> None:
    chance, port = random.Random(seed), reserved_port()
    url = f"sqlite:///{tmp_path}/killed.db"
    with Engine.start(write_config(tmp_path, configuration(url, port))) as engine:
        flood = Flood(port, chance)
        phones = [asyncio.ensure_future(flood.phone(number)) for number in range(PHONES)]
        try:
            async with asyncio.timeout(60):
                await flood.enough.wait()
            await asyncio.sleep(chance.random() * 0.4)  # anywhere in a turn of the writer
            os.kill(engine.pid, signal.SIGKILL)
            told = dict(flood.known)
        finally:
            for phone in phones:
                phone.cancel()
            for phone in phones:
                with suppress(asyncio.CancelledError, OSError, TimeoutError):
                    await phone
    kept = {row["extension"] for row in await all_rows(url, tables.bindings)}
    sure = {name: here for name, here in told.items() if here is not None}
    assert sure
    assert {name: name in kept for name in sure} == sure, f"seed {seed}"
