"""The Kamailio driver without the engine: a SIPp call through the proxy, which uses the route set both ways."""

from pathlib import Path

import pytest

from tests.peers import route_set
from tests.peers.kamailio import Kamailio

pytestmark = pytest.mark.peer

WHOLE_CALL = ["initial INVITE", "loose ACK", "loose INVITE", "loose ACK", "loose INVITE", "loose ACK", "loose BYE"]


@pytest.mark.parametrize("bye", ["caller", "callee"])
def test_a_call_through_the_proxy_uses_the_route_set_both_ways(tmp_path: Path, bye: route_set.Side) -> None:
    with (
        Kamailio(tmp_path / "proxy", "127.0.1.4", 6200, "127.0.1.5:6210") as proxy,
        route_set.start("callee", tmp_path, "127.0.1.5", 6210, bye=bye) as callee,
        route_set.start("caller", tmp_path, "127.0.1.6", 6220, bye=bye, to="127.0.1.4:6200") as caller,
    ):
        route_set.finish(caller, tmp_path)
        route_set.finish(callee, tmp_path)
        proxy.wait_seen("loose BYE")
        assert proxy.seen() == WHOLE_CALL
