"""Calls through Kamailio as the provider's proxy: it record-routes, and the engine must follow (RFC 3261 §12.2.1.1)."""

from pathlib import Path

import pytest

from tests.peers import route_set
from tests.peers.engine import Engine, write_config
from tests.peers.kamailio import Kamailio

pytestmark = pytest.mark.peer

ENGINE, PROXY, CALLEE, CALLER = "127.0.1.10", "127.0.1.4", "127.0.1.5", "127.0.1.6"
WHOLE_CALL = ["initial INVITE", "loose ACK", "loose INVITE", "loose ACK", "loose INVITE", "loose ACK", "loose BYE"]


def config(transport: str) -> dict[str, object]:
    """An engine whose one provider is the proxy."""
    return {
        "sip": {
            "listen": [f"udp://{ENGINE}:6060", f"tcp://{ENGINE}:6060"],
            "trusted_networks": [f"{CALLER}/32"],
        },
        "log": {"level": "info", "format": "json"},
        "providers": [{"name": "proxy", "hostname": f"{PROXY}:6200", "transport": transport, "tech_prefix": "7"}],
        "routes": [{"target": "all", "provider": "proxy"}],
    }


@pytest.mark.parametrize("full_lr", [False, True])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("bye", ["caller", "callee"])
def test_ack_reinvite_and_bye_follow_the_route_set(
    tmp_path: Path, bye: route_set.Side, transport: str, full_lr: bool
) -> None:
    """Each side re-INVITEs once and one hangs up; every request of the dialog passes the proxy, by its route."""
    with (
        Engine.start(write_config(tmp_path, config(transport))) as engine,
        Kamailio(tmp_path / "proxy", PROXY, 6200, f"{CALLEE}:6210", full_lr=full_lr) as proxy,
        route_set.start("callee", tmp_path, CALLEE, 6210, bye=bye) as callee,
        route_set.start(
            "caller", tmp_path, CALLER, 6220, bye=bye, to=f"{ENGINE}:6060", service="+821012345678"
        ) as caller,
    ):
        try:
            route_set.finish(caller, tmp_path)
            route_set.finish(callee, tmp_path)
            proxy.wait_seen("loose BYE")
            assert proxy.seen() == WHOLE_CALL
            assert "sip:7+821012345678@" in proxy.wait_seen("initial INVITE")
            assert "Traceback" not in engine.log
        except AssertionError as error:
            error.add_note(f"engine:\n{engine.log}\nproxy: {proxy.seen()}")
            raise
