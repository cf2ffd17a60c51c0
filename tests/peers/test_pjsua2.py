"""pjsua2 as one more phone, where somebody has it: the echo of an answered call, counted in RTP packets.

It is in no Debian package and on no package index; it runs where `import pjsua2` works (PJSIP built with
`pjsip-apps/src/swig`, Python binding).
"""

import importlib
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.peers.engine import Engine, write_config

pytestmark = pytest.mark.peer

ENGINE = "127.0.1.11"


def _pjsua2() -> Any:
    try:
        return importlib.import_module("pjsua2")
    except ImportError as error:
        pytest.skip(f"no pjsua2 on this machine ({error}); build PJSIP's Python binding to run this")


def test_pjsua2_hears_packets_in_an_echo(tmp_path: Path) -> None:
    pj = _pjsua2()
    config = {
        "sip": {"listen": [f"udp://{ENGINE}:6060"]},
        "numbers": [{"number": "+899100000001", "call_flow": "echo"}],
        "flows": [{"name": "echo", "actions": [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]}],
    }
    with Engine.start(write_config(tmp_path, config)):
        endpoint = pj.Endpoint()
        endpoint.libCreate()
        try:
            settings = pj.EpConfig()
            settings.uaConfig.threadCnt = 0  # events are handled where we ask for them
            settings.uaConfig.mainThreadOnly = True
            settings.logConfig.level = 0
            endpoint.libInit(settings)
            transport = pj.TransportConfig()
            transport.port, transport.boundAddress = 6110, "127.0.1.7"
            endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
            endpoint.libStart()
            endpoint.audDevManager().setNullDev()
            account_config = pj.AccountConfig()
            account_config.idUri = "sip:pjsua2@127.0.1.7:6110"
            account = pj.Account()
            account.create(account_config)
            call = pj.Call(account)
            call.makeCall(f"sip:+899100000001@{ENGINE}:6060", pj.CallOpParam(True))

            def until(done: Any, what: str, seconds: float = 10.0) -> None:
                deadline = monotonic() + seconds
                while not done():
                    assert monotonic() < deadline, f"{what}: {call.getInfo().lastReason}"
                    endpoint.libHandleEvents(20)

            until(lambda: call.getInfo().state == pj.PJSIP_INV_STATE_CONFIRMED, "never answered")
            until(lambda: call.getStreamStat(0).rtcp.rxStat.pkt >= 20, "no packets came back")
            call.hangup(pj.CallOpParam())
            until(lambda: not call.isActive(), "never hung up")
            account.shutdown()
        finally:
            endpoint.libDestroy()
