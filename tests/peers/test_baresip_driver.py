"""The baresip driver without the engine: what the engine's tests rely on, shown between two phones."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.baresip import Baresip

pytestmark = pytest.mark.peer

NUMBER = "9+821012345678"


@pytest.fixture
def alice(tmp_path: Path) -> Iterator[Baresip]:
    with Baresip(tmp_path / "alice", "127.0.1.2", 6100, user="alice", pitch=400, trace=True) as phone:
        yield phone


@pytest.fixture
def bob(tmp_path: Path) -> Iterator[Baresip]:
    with Baresip(tmp_path / "bob", "127.0.1.3", 6100, user=NUMBER, pitch=1000, trace=True) as phone:
        yield phone


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_two_phones_hear_each_other(alice: Baresip, bob: Baresip, transport: str) -> None:
    alice.dial(f"{bob.uri};transport={transport}")
    assert "alice" in bob.wait_event("CALL_INCOMING")["peeruri"]
    alice.wait_event("CALL_RINGING")
    bob.command("accept")
    alice.wait_event("CALL_ESTABLISHED")
    bob.wait_event("CALL_ESTABLISHED")
    alice.wait_heard(1000, 0.4)
    bob.wait_heard(400, 0.4)
    bob.hangup()
    alice.wait_event("CALL_CLOSED")
    assert alice.recorded(400) == 0.0  # a pitch is not heard where it is not


def test_hold_and_resume(alice: Baresip, bob: Baresip) -> None:
    alice.dial(bob.uri)
    bob.wait_event("CALL_INCOMING")
    bob.command("accept")
    alice.wait_event("CALL_ESTABLISHED")
    alice.wait_heard(1000, 0.2)
    alice.hold()
    alice.process.wait_line(r"^a=recvonly", 30)
    alice.resume()
    alice.wait_receiving()
    alice.hangup()
    bob.wait_event("CALL_CLOSED")


def test_a_phone_that_hangs_up_while_it_is_rung_is_busy(alice: Baresip, bob: Baresip) -> None:
    alice.dial(bob.uri)
    bob.wait_event("CALL_INCOMING")
    bob.hangup()
    assert "486" in alice.wait_event("CALL_CLOSED")["param"]


def test_a_caller_that_hangs_up_cancels(alice: Baresip, bob: Baresip) -> None:
    alice.dial(bob.uri)
    bob.wait_event("CALL_INCOMING")
    alice.wait_event("CALL_RINGING")
    alice.hangup()
    bob.wait_event("CALL_CLOSED")
    bob.process.wait_line(r"^CANCEL sip:", 30)


def test_a_phone_that_answers_by_itself(tmp_path: Path, alice: Baresip) -> None:
    with Baresip(tmp_path / "robot", "127.0.1.8", 6100, user="robot", auto_answer=True) as robot:
        alice.dial(robot.uri)
        robot.wait_event("CALL_ESTABLISHED")
        alice.wait_heard(440, 0.2)
