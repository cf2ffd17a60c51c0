"""`kill -9` amid a recording: what was said until then is a whole file after the restart, and listed."""

import asyncio
import json
import os
import signal
import urllib.request
import wave
from pathlib import Path
from typing import Any

import pytest

from tests.network import reserved_port
from tests.peers.engine import Engine, write_config
from tests.service.conftest import Phone, until
from tests.service.test_kill_nine import api_of

KEY = "a-key-for-the-admin-of-this-test"
OURS = "+15551234567"


def parts(folder: Path) -> list[Path]:
    return list(folder.glob("recordings/*/*.part"))


def recordings(engine: Engine) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{api_of(engine)}/v1.0/recordings", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["result"]
    return found


@pytest.mark.long
async def test_a_recording_that_a_kill_has_cut_off_is_kept(tmp_path: Path) -> None:
    record = [{"type": "recording_start"}, {"type": "block"}]
    config = {
        "sip": {"listen": [f"udp://127.0.0.1:{reserved_port()}"]},
        "api": {"listen": "127.0.0.1:0", "admin_key": KEY},
        "store": f"sqlite:///{tmp_path}/t.db",
        "numbers": [{"number": OURS, "call_flow": "box"}],
        "flows": [{"name": "box", "actions": record}],
    }
    path = write_config(tmp_path, config)
    address = config["sip"]["listen"][0].removeprefix("udp://")  # type: ignore[index]
    phone = Phone()
    await phone.start("127.0.0.11")
    engine = await asyncio.to_thread(Engine.start, path)
    try:
        leg, outcome = await phone.call(address, OURS)
        assert outcome.kind == "answered"
        await leg.listen()
        await until(lambda: any(part.stat().st_size > 30_000 for part in parts(tmp_path)), "two seconds of sound")
        os.kill(engine.pid, signal.SIGKILL)
        engine.stop()
        await phone.agent.stop()
        engine = await asyncio.to_thread(Engine.start, path)
        (found,) = await asyncio.to_thread(recordings, engine)
        assert (found["status"], found["ended_by"]) == ("ended", "crash")
        assert found["duration"] >= 1500
        with wave.open(str(tmp_path / "recordings" / found["filename"])) as file:
            assert round(file.getnframes() / file.getframerate() * 1000) == found["duration"]
        assert parts(tmp_path) == []
    finally:
        engine.stop()
