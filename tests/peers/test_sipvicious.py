"""The tools that everybody's SIP port is tried with (SIPVicious, from PyPI): they learn nothing, and guessing is over.

As they come, they name themselves and hear nothing at all. With `-c` they leave the User-Agent out: so they are met as
any stranger is. What they send comes from 127.0.0.1, whatever they are told to bind to.
"""

import asyncio
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.peers.engine import Engine, write_config
from tests.peers.sipvicious import PLAIN, banned, outputs, tool, words
from tests.service.conftest import Phone

pytestmark = [
    pytest.mark.peer,
    pytest.mark.long,
    pytest.mark.skipif(find_spec("sipvicious") is None, reason="sipvicious is not installed: pip install sipvicious"),
]

ENGINE, PORT, PHONE, FAR = "127.0.1.10", 6060, "127.0.1.3", "127.0.1.4"
OURS, FOREIGN = "+899100000001", "+442079460123"
METHODS = ("OPTIONS", "REGISTER", "INVITE")


def config(provider: str = "") -> dict[str, object]:
    providers = [{"name": "far", "hostname": provider}] if provider else []
    return {
        "sip": {
            "listen": [f"udp://{ENGINE}:{PORT}"],
            "trusted_networks": ["127.0.1.2/32"],
            "t1": 0.05,  # the tools acknowledge nothing: what is sent to them again keeps them waiting
            "users": [{"username": "alice", "password": "secret17"}, {"username": "1000", "password": "x"}],
        },
        "log": {"level": "info", "format": "json"},
        "providers": providers,
        "routes": [{"target": "all", "provider": "far"}] if provider else [],
        "numbers": [{"number": OURS, "call_flow": "echo"}],
        "flows": [{"name": "echo", "actions": [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]}],
    }


def test_svmap_finds_nothing(tmp_path: Path) -> None:
    with Engine.start(write_config(tmp_path, config())) as engine:
        for heard in outputs("svmap", ENGINE, PORT, *(("-m", method) for method in METHODS)):
            assert "found nothing" in heard
        assert not banned(engine)  # UDP: whoever is named as the source need not have sent it


def test_svcrack_is_banned_and_a_phone_elsewhere_is_served_meanwhile(tmp_path: Path) -> None:
    guesses = words(tmp_path / "guesses", [*(f"secret{number:02}" for number in range(1, 17)), "secret17"])

    async def meanwhile(engine_path: Path) -> None:
        far, phone = Phone("echo"), Phone()
        await far.start(FAR)
        await phone.start(PHONE)
        try:
            path = write_config(engine_path, config(far.address))
            with Engine.start(path) as engine:
                cracking = tool(
                    *("svcrack", ENGINE, PORT, *PLAIN, "-m", "INVITE", f"--requesturi=sip:{FOREIGN}@{ENGINE}"),
                    *("-u", "alice", "-d", guesses, "--maximumtime=3"),
                )
                with cracking:
                    ended = asyncio.create_task(asyncio.to_thread(cracking.wait, 60))
                    calls = 0
                    while not ended.done():
                        leg, outcome = await phone.call(
                            f"{ENGINE}:{PORT}", FOREIGN, username="alice", password="secret17"
                        )
                        assert outcome.kind == "answered"
                        leg.hangup()
                        await leg.wait_ended()
                        calls += 1
                assert "found nothing" in cracking.log, cracking.log
                assert "secret17" not in cracking.log
                assert banned(engine) == ["127.0.0.1"]
                assert calls > 1
        finally:
            await phone.agent.stop()
            await far.agent.stop()

    asyncio.run(meanwhile(tmp_path / "engine"))
