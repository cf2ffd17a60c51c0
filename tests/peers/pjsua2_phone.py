"""pjsua2 as a phone: a program that calls, waits until its own sound has come back, and hangs up.

`python -m tests.peers.pjsua2_phone HOST PORT URI PACKETS` prints one line for each thing that happened. It is a process
of its own because PJSIP is C: what it asserts ends the process, and that would be the test run.
"""

import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

import pjsua2

PATIENCE = 10.0  # s


def main(host: str, port: int, uri: str, packets: int) -> None:
    """One call, from the library's beginning to its end."""
    endpoint = pjsua2.Endpoint()
    endpoint.libCreate()
    try:
        settings = pjsua2.EpConfig()
        settings.uaConfig.threadCnt = 0  # events are handled where we ask for them
        settings.uaConfig.mainThreadOnly = True
        settings.logConfig.level = settings.logConfig.consoleLevel = 0
        endpoint.libInit(settings)
        transport = pjsua2.TransportConfig()
        transport.port, transport.boundAddress = port, host
        endpoint.transportCreate(pjsua2.PJSIP_TRANSPORT_UDP, transport)
        endpoint.libStart()
        endpoint.audDevManager().setNullDev()
        # What belongs to the library is gone when this returns: an account or a call that outlives libDestroy() asks
        # a library that is no more, which aborts the process.
        call_from(endpoint, f"sip:pjsua2@{host}:{port}", uri, packets)
    finally:
        endpoint.libDestroy()
    print("destroyed", flush=True)


def call_from(endpoint: Any, own_uri: str, uri: str, packets: int) -> None:
    """Calls `uri`, and hangs up when that many RTP packets have come."""
    config = pjsua2.AccountConfig()
    config.idUri = own_uri
    account = pjsua2.Account()
    account.create(config)
    call = pjsua2.Call(account)
    call.makeCall(uri, pjsua2.CallOpParam(True))

    def until(what: str, happened: Callable[[], bool]) -> None:
        deadline = monotonic() + PATIENCE
        while not happened():
            if monotonic() > deadline:
                raise TimeoutError(f"not {what}: {call.getInfo().lastReason}")
            endpoint.libHandleEvents(20)
        print(what, flush=True)

    until("answered", lambda: call.getInfo().state == pjsua2.PJSIP_INV_STATE_CONFIRMED)
    until(f"heard {packets} packets", lambda: call.getStreamStat(0).rtcp.rxStat.pkt >= packets)
    call.hangup(pjsua2.CallOpParam())
    until("hung up", lambda: not call.isActive())
    account.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
