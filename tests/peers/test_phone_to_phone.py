"""Phones of one office call each other by name, are called from a trunk, and call out through one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipp_scenarios.suite import Caller
from tests.peers.audio import read_wav, tone_seconds
from tests.peers.baresip import Baresip, write_sine
from tests.peers.linphone import Linphone
from tests.peers.office import HOST, Office, address, open_office
from tests.peers.scripted import ScriptedPhone
from tests.peers.sipp import Sipp

pytestmark = pytest.mark.peer

ANN, BEN, LIN, PJ, TRUNK = "127.0.2.21", "127.0.2.22", "127.0.2.23", "127.0.2.24", "127.0.2.40"
NUMBER, BRIEFLY, CALLER_ID, FOREIGN = "+15551234567", "+15551234568", "+15551230001", "+442079460123"
PITCHES = {"ann": 440, "ben": 700, "pj": 1000, "trunk": 1300, "lin": 1600}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    config = {
        "providers": [{"name": "trunk", "hostname": f"{TRUNK}:6100"}],
        "routes": [{"target": "all", "provider": "trunk"}],
        "numbers": [{"number": NUMBER, "call_flow": "to ann"}, {"number": BRIEFLY, "call_flow": "to late"}],
        "flows": [
            {
                "name": "to late",
                "actions": [
                    {
                        "type": "connect",
                        "option": {
                            "destinations": [{"type": "extension", "target": "late"}],
                            "ring_timeout": 3,
                            "relay_reason": True,
                        },
                    }
                ],
            },
            {"name": "engaged", "actions": [{"type": "hangup", "option": {"reason": "busy"}}]},
            {
                "name": "to ann",
                "actions": [{"type": "connect", "option": {"destinations": [{"type": "extension", "target": "ann"}]}}],
            },
        ],
    }
    names = {"ann": {"caller_id": CALLER_ID, "display_name": "Ann Example"}, "ben": {}, "lin": {}, "pj": {}, "away": {}}
    names["late"] = {"call_flow": "engaged"}
    with open_office(tmp_path_factory.mktemp("office"), names, {}, **config) as office:
        yield office


@pytest.fixture
def ann(office: Office, tmp_path: Path) -> Iterator[Baresip]:
    with office.baresip(tmp_path / "ann", "ann", ANN, pitch=PITCHES["ann"]) as phone:
        phone.wait_registered()
        yield phone


@pytest.fixture
def ben(office: Office, tmp_path: Path) -> Iterator[Baresip]:
    with office.baresip(tmp_path / "ben", "ben", BEN, "tcp", pitch=PITCHES["ben"]) as phone:
        phone.wait_registered()
        yield phone


@pytest.fixture
def lin(office: Office, tmp_path: Path) -> Iterator[Linphone]:
    with office.linphone(tmp_path / "lin", "lin", LIN) as phone:
        phone.wait_registered()
        yield phone


@pytest.fixture
def pj(office: Office, tmp_path: Path) -> Iterator[ScriptedPhone]:
    with office.pjsua2(tmp_path / "pj", "pj", PJ, "tls", pitch=PITCHES["pj"]) as phone:
        phone.wait("registered")
        yield phone


@pytest.fixture
def abroad(tmp_path: Path) -> Iterator[Baresip]:
    """Who answers at the trunk."""
    with Baresip(tmp_path, TRUNK, 6100, user=FOREIGN, pitch=PITCHES["trunk"], auto_answer=True, trace=True) as phone:
        yield phone


def over(*phones: Baresip) -> None:
    for phone in phones:
        phone.wait_event("CALL_CLOSED")


def pj_calls(pj: ScriptedPhone, name: str) -> None:
    pj.do("call", to=f"{address(name)}:5061;transport=tls")


def accept(phone: Baresip) -> None:
    """Answers what comes."""
    phone.wait_event("CALL_INCOMING")
    phone.command("accept")
    phone.wait_event("CALL_ESTABLISHED")


def test_baresip_calls_linphone_and_they_hear_each_other(ann: Baresip, lin: Linphone, tmp_path: Path) -> None:
    ann.dial(address("lin"))
    lin.process.wait_line(r"Receiving new incoming call from .*sip:ann@", 30)
    lin.tell("answer", r"Media streams established with")
    ann.wait_event("CALL_ESTABLISHED")
    write_sine(tmp_path / "words.wav", PITCHES["lin"], 30.0)
    lin.play(tmp_path / "words.wav")
    ann.wait_heard(PITCHES["lin"], 0.5)
    lin.process.tell("terminate")
    over(ann)
    lin.wait_heard(PITCHES["ann"], 0.3)  # its file is complete when the call is over


def test_pjsua2_over_tls_calls_baresip_over_tcp(pj: ScriptedPhone, ben: Baresip, tmp_path: Path) -> None:
    pj_calls(pj, "ben")
    pj.wait("ringing", status=180)
    event = ben.wait_event("CALL_INCOMING")
    assert "sip:pj@" in event["peeruri"]
    ben.command("accept")
    pj.wait("answered")
    ben.wait_event("CALL_ESTABLISHED")
    ben.wait_heard(PITCHES["pj"], 0.5)
    pj.do("hangup")
    pj.wait("ended")
    over(ben)
    assert tone_seconds(read_wav(tmp_path / "pj" / "heard.wav"), PITCHES["ben"]) > 0.2


def test_pjsua2_is_called_over_tls(pj: ScriptedPhone, ben: Baresip) -> None:
    ben.dial(address("pj"))
    pj.wait("incoming")
    pj.do("answer")
    pj.wait("answered")
    ben.wait_event("CALL_ESTABLISHED")
    ben.wait_heard(PITCHES["pj"], 0.5)
    ben.hangup()
    pj.wait("ended")
    over(ben)


def test_who_is_busy(ann: Baresip, ben: Baresip) -> None:
    ann.dial(address("ben"))
    ben.wait_event("CALL_INCOMING")
    ben.hangup()
    assert "486" in ann.wait_event("CALL_CLOSED")["param"]


def test_who_does_not_answer_is_given_up(ann: Baresip, pj: ScriptedPhone) -> None:
    ann.dial(address("pj"))
    pj.wait("incoming")
    ann.wait_event("CALL_RINGING")
    ann.hangup()
    pj.wait("ended", status=487)


def test_whose_phone_rings_too_long_has_its_own_flow(office: Office, ann: Baresip, tmp_path: Path) -> None:
    with office.baresip(tmp_path / "late", "late", BEN) as late:
        late.wait_registered()
        ann.dial(address(BRIEFLY))
        late.wait_event("CALL_INCOMING")
        assert "486" in ann.wait_event("CALL_CLOSED")["param"]
        over(late)


def test_a_phone_without_power_is_rung_in_vain_and_its_own_flow_runs(
    office: Office, ann: Baresip, tmp_path: Path
) -> None:
    """Nobody has said that it is gone: it was there by UDP."""
    with office.baresip(tmp_path / "late", "late", BEN) as late:
        late.wait_registered()
        late.kill()
    ann.dial(address(BRIEFLY))
    assert "486" in ann.wait_event("CALL_CLOSED", 60)["param"]


def test_who_is_not_there(ann: Baresip) -> None:
    """Nobody of that name: 404. An extension that has no phone at the moment: 480 (RFC 3261 §21.4.18)."""
    for name, status in (("nobody", "404"), ("away", "480")):
        ann.dial(address(name))
        assert status in ann.wait_event("CALL_CLOSED")["param"]


def test_hold_and_resume(ann: Baresip, ben: Baresip) -> None:
    ann.dial(address("ben"))
    accept(ben)
    ann.wait_event("CALL_ESTABLISHED")
    ann.hold()
    ann.resume()
    ann.wait_receiving()
    ben.wait_receiving()
    ann.hangup()
    over(ann, ben)


def test_a_phone_sends_its_caller_on_to_another_phone(ann: Baresip, ben: Baresip, pj: ScriptedPhone) -> None:
    """Blind transfer (RFC 3515): pj calls ben, and ben sends pj on to ann."""
    pj_calls(pj, "ben")
    accept(ben)
    pj.wait("answered")
    ben.command("transfer", address("ann"))
    accept(ann)
    ann.wait_heard(PITCHES["pj"], 0.5)
    over(ben)
    ann.hangup()
    pj.wait("ended")


def test_a_trunk_calls_an_extension_through_its_number(ann: Baresip) -> None:
    words = [f"{HOST}:5060", "-s", NUMBER, "-m", "1"]
    caller = Sipp(Caller("uac_call", NUMBER, TRUNK), TRUNK, 6200, 30.0, words)
    try:
        event = ann.wait_event("CALL_INCOMING")
        assert "+15557770001" in event["peeruri"]
        ann.command("accept")
        assert not caller.faults(caller.finish(30)), caller.log()
        over(ann)
    finally:
        caller.close()


def test_an_extension_calls_out_as_its_number(ann: Baresip, abroad: Baresip) -> None:
    ann.dial(address(FOREIGN))
    ann.wait_event("CALL_ESTABLISHED")
    abroad.wait_heard(PITCHES["ann"], 0.5)
    invite = re.search(r"^INVITE sip:.*?^Content-Length:", abroad.process.log, re.MULTILINE | re.DOTALL)
    assert invite is not None
    sender = re.search(r"^From: (.*)$", invite[0], re.MULTILINE)
    assert sender is not None
    assert f"<sip:{CALLER_ID}@" in sender[1]
    assert "ann@" not in invite[0]
    ann.hangup()
    over(ann, abroad)
