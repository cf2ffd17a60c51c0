"""Transfers with real phones: baresip sends others on, and is sent on by a flow; who remains hear each other."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config
from tests.peers.linphone import Linphone

pytestmark = pytest.mark.peer

ENGINE, CALLER, DESK, FAR, LINPHONE = "127.0.1.90", "127.0.1.91", "127.0.1.92", "127.0.1.93", "127.0.1.94"
TO_LINPHONE = "+899100000003"
TO_DESK, SENT_ON, FOREIGN = "+899100000001", "+899100000002", "+821012345678"
PITCHES = {"caller": 400, "desk": 700, "far": 1000}


@dataclass
class Phones:
    """The engine, and the phones around it."""

    engine: Engine
    caller: Baresip
    desk: Baresip
    far: Baresip

    def talk(self) -> "Phones":
        """The caller and the desk are connected, and hear each other."""
        self.caller.dial(f"sip:{TO_DESK}@{ENGINE}:6090")
        self.caller.wait_event("CALL_ESTABLISHED")
        self.desk.wait_event("CALL_ESTABLISHED")
        self.caller.wait_heard(PITCHES["desk"], 0.3)
        self.desk.wait_heard(PITCHES["caller"], 0.3)
        return self

    def over(self) -> None:
        assert "Traceback" not in self.engine.log
        assert "error" not in self.engine.log


@pytest.fixture
def phones(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Phones]:
    media = getattr(request, "param", "")
    config = {
        "sip": {
            "listen": [f"udp://{ENGINE}:6090"],
            "trusted_networks": [f"{host}/32" for host in (CALLER, DESK, LINPHONE)],
        },
        "api": {"listen": ""},
        "store": ":memory:",
        "log": {"level": "info", "format": "json"},
        "providers": [{"name": "far", "hostname": f"{FAR}:6100", "tech_prefix": "9", "media": media}],
        "routes": [{"target": "all", "provider": "far"}],
        "numbers": [
            {"number": TO_DESK, "call_flow": "to the desk"},
            {"number": SENT_ON, "call_flow": "sent on"},
            {"number": TO_LINPHONE, "call_flow": "to linphone"},
        ],
        "flows": [
            {
                "name": "to linphone",
                "media": media,
                "actions": [
                    {
                        "type": "connect",
                        "option": {"destinations": [{"type": "sip", "target": f"sip:lin@{LINPHONE}:6100"}]},
                    }
                ],
            },
            {
                "name": "to the desk",
                "actions": [
                    {
                        "type": "connect",
                        "option": {"destinations": [{"type": "sip", "target": f"sip:desk@{DESK}:6100"}]},
                    }
                ],
            },
            {
                "name": "sent on",
                "actions": [
                    {"type": "answer"},
                    {"type": "sleep", "option": {"duration": 300}},
                    {"type": "transfer", "option": {"target": FOREIGN}},
                ],
            },
        ],
    }
    with ExitStack() as stack:
        engine = stack.enter_context(Engine.start(write_config(tmp_path, config)))

        def phone(name: str, host: str, user: str = "", answers: bool = True) -> Baresip:
            more = {"user": user or name, "pitch": PITCHES[name], "auto_answer": answers}
            return stack.enter_context(Baresip(tmp_path / name, host, 6100, trace=True, **more))

        yield Phones(
            engine, phone("caller", CALLER, answers=False), phone("desk", DESK), phone("far", FAR, f"9{FOREIGN}")
        )


def test_who_was_called_sends_the_caller_on(phones: Phones) -> None:
    phones.talk()
    phones.desk.command("transfer", f"sip:{FOREIGN}@{ENGINE}:6090")
    phones.far.wait_event("CALL_ESTABLISHED")
    phones.far.wait_heard(PITCHES["caller"], 0.5)
    phones.caller.wait_heard(PITCHES["far"], 0.5)
    phones.desk.wait_event("CALL_CLOSED")
    phones.caller.hangup()
    phones.far.wait_event("CALL_CLOSED")
    phones.engine.process.wait_line("asked for by the callee: answered", 30)
    phones.over()


def test_the_caller_sends_on_who_it_called(phones: Phones) -> None:
    phones.talk()
    phones.caller.command("transfer", f"sip:{FOREIGN}@{ENGINE}:6090")
    phones.far.wait_event("CALL_ESTABLISHED")
    phones.caller.wait_event("CALL_CLOSED")
    phones.far.wait_heard(PITCHES["desk"], 0.5)
    phones.desk.wait_heard(PITCHES["far"], 0.5)
    phones.far.hangup()
    phones.desk.wait_event("CALL_CLOSED")
    phones.engine.process.wait_line("asked for by the caller: answered", 30)
    phones.over()


def test_a_flow_sends_the_caller_on(phones: Phones) -> None:
    phones.caller.dial(f"sip:{SENT_ON}@{ENGINE}:6090")
    phones.far.wait_event("CALL_ESTABLISHED")
    phones.far.wait_heard(PITCHES["caller"], 0.5)
    phones.caller.wait_heard(PITCHES["far"], 0.5)
    phones.caller.wait_event("CALL_CLOSED")  # the call in which it was sent on
    phones.engine.process.wait_line("transfer to sip:.*: answered", 30)
    phones.far.hangup()
    phones.caller.wait_event("CALL_CLOSED")
    phones.over()


# ---- whoever has talked with both


@pytest.fixture
def linphone(tmp_path: Path) -> Iterator[Linphone]:
    with Linphone(tmp_path / "linphone", LINPHONE, 6100, user="lin") as phone:
        yield phone


@pytest.mark.parametrize("phones", ["", "anchor"], indirect=True)
def test_linphone_joins_who_has_called_it_with_whom_it_has_called(phones: Phones, linphone: Linphone) -> None:
    phones.caller.dial(f"sip:{TO_LINPHONE}@{ENGINE}:6090")
    linphone.process.wait_line(r"Receiving new incoming call", 30)
    linphone.tell("answer", r"Media streams established with")
    phones.caller.wait_event("CALL_ESTABLISHED")
    linphone.tell("pause", r"Call 1 with .* is now paused")
    linphone.dial(f"sip:{FOREIGN}@{ENGINE}:6090")
    phones.far.wait_event("CALL_ESTABLISHED")
    linphone.process.tell("transfer 1 --to-call 2")
    phones.far.wait_heard(PITCHES["caller"], 0.5)
    phones.caller.wait_receiving()
    linphone.process.wait_line(r"Call 1 with .* ended", 30)
    linphone.process.wait_line(r"Call 2 with .* ended", 30)
    phones.caller.hangup()
    phones.far.wait_event("CALL_CLOSED")
    phones.engine.process.wait_line("transfer to call .* asked for by the callee, who talks there: answered", 30)
    phones.over()


@pytest.mark.parametrize("phones", ["", "anchor"], indirect=True)
def test_linphone_joins_the_two_that_it_has_called(phones: Phones, linphone: Linphone) -> None:
    linphone.dial(f"sip:{TO_DESK}@{ENGINE}:6090")
    phones.desk.wait_event("CALL_ESTABLISHED")
    linphone.tell("pause", r"Call 1 with .* is now paused")
    linphone.dial(f"sip:{FOREIGN}@{ENGINE}:6090")
    phones.far.wait_event("CALL_ESTABLISHED")
    linphone.process.tell("transfer 1 --to-call 2")
    phones.far.wait_heard(PITCHES["desk"], 0.5)
    phones.desk.wait_receiving()
    linphone.process.wait_line(r"Call 1 with .* ended", 30)
    linphone.process.wait_line(r"Call 2 with .* ended", 30)
    phones.desk.hangup()
    phones.far.wait_event("CALL_CLOSED")
    phones.engine.process.wait_line("asked for by the caller, who talks there: answered; it goes on as call", 30)
    phones.over()
