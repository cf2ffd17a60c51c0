"""Calls with a real phone: the echo of an answered call, and a call through the engine with sound both ways."""

from pathlib import Path

import pytest

from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config

pytestmark = pytest.mark.peer

ENGINE = "127.0.1.10"


def config(*, listen: tuple[str, ...] = ("udp",), provider: str = "") -> dict[str, object]:
    """An engine with an echo under +899100000001, where `provider` (host:port) takes all other numbers."""
    providers = [{"name": "far", "hostname": provider, "tech_prefix": "9", "tech_headers": {"X-Account": "42"}}]
    return {
        "sip": {
            "listen": [f"{transport}://{ENGINE}:6060" for transport in listen],
            "trusted_networks": ["127.0.1.2/32"],
        },
        "log": {"level": "info", "format": "json"},
        "providers": providers if provider else [],
        "routes": [{"target": "all", "provider": "far"}] if provider else [],
        "numbers": [{"number": "+899100000001", "call_flow": "echo"}],
        "flows": [{"name": "echo", "actions": [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]}],
    }


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("codecs", ["PCMU/8000/1", "PCMA/8000/1"])
def test_a_phone_hears_itself_in_an_echo(tmp_path: Path, transport: str, codecs: str) -> None:
    with (
        Engine.start(write_config(tmp_path, config(listen=(transport,)))) as engine,
        Baresip(tmp_path / "phone", "127.0.1.2", 6100, pitch=440, codecs=codecs) as phone,
    ):
        phone.dial(f"sip:+899100000001@{ENGINE}:6060;transport={transport}")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(440, 0.6)
        phone.hangup()
        phone.wait_event("CALL_CLOSED")
        assert "Traceback" not in engine.log


def test_hold_and_resume_in_an_echo(tmp_path: Path) -> None:
    """RFC 3264 §8.4: a re-offer on hold is answered, and the same stream goes on when it is resumed."""
    with (
        Engine.start(write_config(tmp_path, config())) as engine,
        Baresip(tmp_path / "phone", "127.0.1.2", 6100, pitch=440, trace=True) as phone,
    ):
        phone.dial(f"sip:+899100000001@{ENGINE}:6060")
        phone.wait_event("CALL_ESTABLISHED")
        phone.wait_heard(440, 0.2)
        phone.hold()
        phone.process.wait_line(r"^a=recvonly", 30)
        phone.resume()
        phone.wait_receiving()
        phone.hangup()
        phone.wait_event("CALL_CLOSED")
        assert "Traceback" not in engine.log


@pytest.mark.parametrize("hangs_up", ["caller", "callee"])
def test_a_call_to_a_number_through_a_provider_has_sound_both_ways(tmp_path: Path, hangs_up: str) -> None:
    """The dial string carries the provider's prefix, and media goes between the phones."""
    with (
        Engine.start(write_config(tmp_path, config(provider="127.0.1.3:6100"))) as engine,
        Baresip(tmp_path / "caller", "127.0.1.2", 6100, user="caller", pitch=400) as caller,
        # baresip takes a call for the user part of its account only: the number with the provider's prefix
        Baresip(tmp_path / "far", "127.0.1.3", 6100, user="9+821012345678", pitch=1000, trace=True) as far,
    ):
        caller.dial(f"sip:+821012345678@{ENGINE}:6060")
        far.wait_event("CALL_INCOMING")
        caller.wait_event("CALL_RINGING")
        far.command("accept")
        caller.wait_event("CALL_ESTABLISHED")
        far.wait_event("CALL_ESTABLISHED")
        caller.wait_heard(1000, 0.4)
        far.wait_heard(400, 0.4)
        far.process.wait_line(r"INVITE sip:9\+821012345678@127\.0\.1\.3:6100 SIP/2\.0", 30)
        far.process.wait_line(r"X-Account: 42", 30)
        first, second = (caller, far) if hangs_up == "caller" else (far, caller)
        first.hangup()
        second.wait_event("CALL_CLOSED")
        assert "Traceback" not in engine.log


def test_the_caller_hangs_up_while_it_rings(tmp_path: Path) -> None:
    """RFC 3261 §9: the CANCEL goes through, and the far phone stops ringing."""
    with (
        Engine.start(write_config(tmp_path, config(provider="127.0.1.3:6100"))),
        Baresip(tmp_path / "caller", "127.0.1.2", 6100, user="caller") as caller,
        Baresip(tmp_path / "far", "127.0.1.3", 6100, user="9+821012345678") as far,
    ):
        caller.dial(f"sip:+821012345678@{ENGINE}:6060")
        far.wait_event("CALL_INCOMING")
        caller.wait_event("CALL_RINGING")
        caller.hangup()
        far.wait_event("CALL_CLOSED")


def test_a_busy_far_phone_is_busy_for_the_caller(tmp_path: Path) -> None:
    with (
        Engine.start(write_config(tmp_path, config(provider="127.0.1.3:6100"))),
        Baresip(tmp_path / "caller", "127.0.1.2", 6100, user="caller") as caller,
        Baresip(tmp_path / "far", "127.0.1.3", 6100, user="9+821012345678") as far,
    ):
        caller.dial(f"sip:+821012345678@{ENGINE}:6060")
        far.wait_event("CALL_INCOMING")
        far.hangup()  # 486 from baresip
        closed = caller.wait_event("CALL_CLOSED")
        assert "486" in closed.get("param", ""), closed


def test_a_phone_of_before_rfc_8760_logs_in_with_the_default_settings(tmp_path: Path) -> None:
    """libre 1.0 gives up on a challenge that it does not know, even where one that it knows stands beside it."""
    settings = config(provider="127.0.1.3:6100")
    sip = {"listen": [f"udp://{ENGINE}:6060"], "users": [{"username": "alice", "password": "s3cret"}]}
    with (
        Engine.start(write_config(tmp_path, settings | {"sip": sip})),
        Baresip(tmp_path / "caller", "127.0.1.2", 6100, user="alice", password="s3cret") as caller,
        Baresip(tmp_path / "far", "127.0.1.3", 6100, user="9+821012345678") as far,
    ):
        caller.dial(f"sip:+821012345678@{ENGINE}:6060")
        far.wait_event("CALL_INCOMING")
        far.command("accept")
        caller.wait_event("CALL_ESTABLISHED")
        caller.hangup()
        far.wait_event("CALL_CLOSED")
