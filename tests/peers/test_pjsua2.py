"""pjsua2 as one more phone: the echo of an answered call, counted in RTP packets.

The package `pjsua2-python` of the `dev` extra has wheels for CPython 3.11 and 3.12 on x86-64 Linux; elsewhere the test
runs where `import pjsua2` works (PJSIP built with `pjsip-apps/src/swig`), and is skipped where it does not.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.peers.engine import ROOT, Engine, write_config
from tests.peers.process import Process

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(importlib.util.find_spec("pjsua2") is None, reason="no pjsua2: it has no wheel for this Python"),
]

ENGINE, PHONE = "127.0.1.11", "127.0.1.7"
NUMBER = "+899100000001"


def test_pjsua2_hears_packets_in_an_echo(tmp_path: Path) -> None:
    config = {
        "sip": {"listen": [f"udp://{ENGINE}:6060"]},
        "numbers": [{"number": NUMBER, "call_flow": "echo"}],
        "flows": [{"name": "echo", "actions": [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]}],
    }
    program = [sys.executable, "-m", "tests.peers.pjsua2_phone", PHONE, "6110", f"sip:{NUMBER}@{ENGINE}:6060", "20"]
    with Engine.start(write_config(tmp_path, config)), Process(program, cwd=ROOT) as phone:
        code = phone.wait(40)
        assert phone.lines[-4:] == ["answered", "heard 20 packets", "hung up", "destroyed"], phone.log
        assert code == 0
