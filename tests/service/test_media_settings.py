"""`media.*` of the configuration reaches the calls, and what went through them reaches their records."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from config.settings import MediaSettings
from engine.dial import DialSpec, Peer
from engine.media import periodic as upkeep
from service.sounds import sound_library
from tests.media.fake_plane import Tape
from tests.service.conftest import CLIENT, OURS, Run


def test_codecs_and_silence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "INTERVAL", 0.02)

    async def test(bench: Any) -> None:
        engine = await bench.engine(media={"codecs": ["PCMA"], "rtp_timeout": "300ms", "inband_digits": "never"})
        phone = await bench.phone(CLIENT)
        spec = DialSpec(
            request_uri=f"sip:{OURS}@{engine.address}",
            destination=f"sip:{engine.address}",
            from_="<sip:a@b.example>",
            to=f"<sip:{OURS}@b.example>",
        )
        leg = phone.agent.dial(spec)
        assert (await leg.outcome()).kind == "answered"
        await leg.play(Tape(10))
        async with asyncio.timeout(30):
            await leg.wait_ended()
        assert leg.media is not None and leg.media["codec"] == "PCMA"
        await engine.quiet()
        (record,) = engine.node.flows.calls.registry.newest(1)
        assert record.hangup_reason == "timeout"
        assert record.media is not None
        assert (record.media["codec"], record.media["received"], record.media["lost"]) == ("PCMA", 10, 0)
        assert engine.node.agent.settings.inband_digits == "never"

    run(test)


def test_an_offer_of_srtp_alone_is_answered_and_heard(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(media={"rtp_timeout": "10s"})
        phone = await bench.phone(CLIENT)
        spec = DialSpec(
            request_uri=f"sip:{OURS}@{engine.address}",
            destination=f"sip:{engine.address}",
            from_="<sip:a@b.example>",
            to=f"<sip:{OURS}@b.example>",
            peer=Peer(srtp="sdes"),
        )
        leg = phone.agent.dial(spec)
        assert (await leg.outcome()).kind == "answered"
        assert b" RTP/SAVP " in leg.answer_body
        await leg.play(Tape(10))
        leg.hangup()
        await engine.quiet()
        (record,) = engine.node.flows.calls.registry.newest(1)
        assert record.media is not None and record.media["received"] == 10

    run(test)


async def test_the_country_of_tones_that_name_none(tmp_path: Path) -> None:
    for country, cadence in (("us", 1.0), ("DE", 0.96)):
        sounds = sound_library(MediaSettings(national=country), tmp_path)
        assert (await sounds.load("tone:busy*1")).seconds == pytest.approx(cadence)
        assert (await sounds.load("tone:busy/us*1")).seconds == pytest.approx(1.0)
        await sounds.close()
    with pytest.raises(ValueError, match="the tones of 'atlantis' are not known; write one of at, au"):
        MediaSettings(national="atlantis")
