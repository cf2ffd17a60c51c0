"""An extension has several devices: all ring, one answers and the others hear that somebody has; or all are busy."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from tests.peers.baresip import Baresip
from tests.peers.office import Office, address, open_office
from tests.peers.scripted import ScriptedPhone

pytestmark = pytest.mark.peer

CALLER, DESK, SOFT, POCKET = "127.0.2.21", "127.0.2.22", "127.0.2.23", "127.0.2.24"
ELSEWHERE = 'Reason: SIP;cause=200;text="Call completed elsewhere"'


class Devices:
    """A caller, and three devices of ben: two baresips, over UDP and TCP, and a PJSIP over TLS."""

    def __init__(self, caller: Baresip, desk: Baresip, soft: Baresip, pocket: ScriptedPhone, pocket_log: Path) -> None:
        self.caller, self.desk, self.soft, self.pocket, self.pocket_log = caller, desk, soft, pocket, pocket_log

    def ring(self) -> None:
        """The caller calls ben, and all three ring."""
        self.caller.dial(address("ben"))
        self.desk.wait_event("CALL_INCOMING")
        self.soft.wait_event("CALL_INCOMING")
        self.pocket.wait("incoming")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_office(tmp_path_factory.mktemp("office"), {"ann": {}, "ben": {}}, {}) as office:
        yield office


@pytest.fixture
def devices(office: Office, tmp_path: Path) -> Iterator[Devices]:
    with ExitStack() as stack:
        caller = stack.enter_context(office.baresip(tmp_path / "caller", "ann", CALLER))
        desk = stack.enter_context(office.baresip(tmp_path / "desk", "ben", DESK))
        soft = stack.enter_context(office.baresip(tmp_path / "soft", "ben", SOFT, "tcp"))
        pocket = stack.enter_context(office.pjsua2(tmp_path / "pocket", "ben", POCKET, "tls"))
        for phone in (caller, desk, soft):
            phone.wait_registered()
        pocket.wait("registered")
        yield Devices(caller, desk, soft, pocket, tmp_path / "pocket" / "sip.log")


def last(method: str, log: str) -> str:
    """The last request of a method in a trace of messages."""
    found = re.findall(rf"^{method} sip:.*?^Content-Length:", log, re.MULTILINE | re.DOTALL)
    assert found, log
    return str(found[-1])


def test_one_answers_and_the_others_hear_that_it_was_answered_elsewhere(devices: Devices) -> None:
    devices.ring()
    devices.soft.command("accept")
    devices.caller.wait_event("CALL_ESTABLISHED")
    devices.soft.wait_event("CALL_ESTABLISHED")
    devices.desk.wait_event("CALL_CLOSED")
    devices.pocket.wait("ended")
    for log in (devices.desk.process.log, devices.pocket_log.read_text()):
        assert ELSEWHERE in last("CANCEL", log).replace("\r", "").splitlines()
    devices.soft.hangup()
    devices.caller.wait_event("CALL_CLOSED")
    devices.soft.wait_event("CALL_CLOSED")


def test_who_hangs_up_while_they_ring_was_not_answered_elsewhere(devices: Devices) -> None:
    devices.ring()
    devices.caller.hangup()
    devices.desk.wait_event("CALL_CLOSED")
    devices.soft.wait_event("CALL_CLOSED")
    devices.pocket.wait("ended")
    for log in (devices.desk.process.log, devices.soft.process.log, devices.pocket_log.read_text()):
        assert "elsewhere" not in last("CANCEL", log)
    devices.caller.wait_event("CALL_CLOSED")


def test_all_are_busy(devices: Devices) -> None:
    """One that is busy does not stop the others from ringing; the caller is told when all are."""
    devices.ring()
    devices.desk.hangup()
    devices.pocket.do("refuse", status=486)
    devices.pocket.wait("ended")
    began = monotonic()
    devices.soft.hangup()
    closed = devices.caller.wait_event("CALL_CLOSED")
    assert "486" in closed["param"], closed
    assert monotonic() - began < 10
    for phone in (devices.desk, devices.soft):
        phone.wait_event("CALL_CLOSED")


def test_one_that_has_lost_its_power_does_not_hold_up_the_others(
    office: Office, devices: Devices, tmp_path: Path
) -> None:
    with office.baresip(tmp_path / "lost", "ben", "127.0.2.25") as lost:
        lost.wait_registered()
        lost.kill()
    devices.ring()
    devices.desk.command("accept")
    devices.caller.wait_event("CALL_ESTABLISHED")
    devices.desk.wait_event("CALL_ESTABLISHED")
    devices.soft.wait_event("CALL_CLOSED")
    devices.pocket.wait("ended")
    devices.caller.hangup()
    devices.caller.wait_event("CALL_CLOSED")
    devices.desk.wait_event("CALL_CLOSED")
