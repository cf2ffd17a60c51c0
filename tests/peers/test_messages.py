"""Text messages with phones that nobody here wrote: the auto-responder answers, and forwards what it does not know.

SIPp's part is in sipp_scenarios (the texts of suite.py).
"""

from pathlib import Path
from typing import Any

import pytest

from tests.peers.baresip import Baresip
from tests.peers.engine import Engine, write_config
from tests.peers.linphone import Linphone

pytestmark = pytest.mark.peer

ENGINE = "127.0.1.60"
NUMBER = "+15551234567"
DESK, PHONE = "127.0.1.61", "127.0.1.62"
HOURS = "We're open Mon-Fri 9-5"


def config(desk: str, **sip: Any) -> dict[str, Any]:
    """The auto-responder; what is no keyword goes to the desk's SIP address."""
    return {
        "sip": {"listen": [f"udp://{ENGINE}:5060"], "trusted_networks": [f"{PHONE}/32"]} | sip,
        "log": {"level": "info", "format": "json"},
        "numbers": [{"number": NUMBER, "message_flow": "texts"}],
        "flows": [
            {
                "name": "texts",
                "actions": [
                    {
                        "type": "branch",
                        "option": {
                            "variable": "message.text",
                            "target_ids": {"HOURS": "hours"},
                            "default_target_id": "forward",
                        },
                    },
                    {"id": "hours", "type": "message_send", "option": {"text": HOURS}},
                    {"type": "stop"},
                    {
                        "id": "forward",
                        "type": "message_send",
                        "option": {
                            "destinations": [{"type": "sip", "target": desk}],
                            "text": "${message.source.number}: ${message.text}",
                        },
                    },
                ],
            }
        ],
    }


def test_linphone_texts_and_is_answered(tmp_path: Path) -> None:
    # linphonec leaves a port out of whom it texts: the engine has the standard one, at an address of its own.
    with (
        Linphone(tmp_path / "phone", PHONE, 6300, user="ann") as phone,
        Baresip(tmp_path / "desk", DESK, 6200, user="desk", trace=True) as desk,
        Engine.start(write_config(tmp_path, config(desk.uri))) as engine,
    ):
        phone.process.tell(f"chat sip:{NUMBER}@{ENGINE} hours")
        phone.process.wait_line(rf"Message received from .*{HOURS}|{HOURS}", 30)
        phone.process.tell(f"chat sip:{NUMBER}@{ENGINE} Where is it?")
        desk.process.wait_line(r"ann: Where is it\?", 30)
        assert "Traceback" not in engine.log
