"""The baresip driver without the engine: two phones call each other and hear each other's sine."""

from pathlib import Path

import pytest

from tests.peers.baresip import Baresip

pytestmark = pytest.mark.peer


def test_two_phones_hear_each_other(tmp_path: Path) -> None:
    with (
        Baresip(tmp_path / "alice", "127.0.1.2", 6100, user="alice", pitch=400) as alice,
        Baresip(tmp_path / "bob", "127.0.1.3", 6100, user="bob", pitch=1000) as bob,
    ):
        alice.dial(bob.uri)
        assert "alice" in bob.wait_event("CALL_INCOMING")["peeruri"]
        alice.wait_event("CALL_RINGING")
        bob.command("accept")
        alice.wait_event("CALL_ESTABLISHED")
        bob.wait_event("CALL_ESTABLISHED")
        alice.wait_heard(1000, 0.4)
        bob.wait_heard(400, 0.4)
        bob.hangup()
        alice.wait_event("CALL_CLOSED")
