"""A route's look-up at the server that docs/routing.md shows: SIPp calls, and its provider answers."""

import re
import shutil
import socket
import sys
from collections.abc import Iterator

import pytest

from sipp_scenarios.suite import Caller, Case, Provider
from tests.peers import sipp
from tests.peers.engine import ROOT, Engine, write_config
from tests.peers.process import Process, wait_bound

pytestmark = [
    pytest.mark.peer,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("sipp") is None, reason="SIPp is not installed (apt-get install sip-tester)"),
]

ENGINE, FIRST, SECOND, THIRD = "127.0.1.230", "127.0.1.231", "127.0.1.232", "127.0.1.233"
LCR = "http://127.0.0.1:9090/"
(SERVER,) = re.findall(r"^```python lcr\n(.*?)^```$", (ROOT / "docs/routing.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    hosts = {"first": FIRST, "second": SECOND, "third": THIRD}
    config = {
        "sip": {"listen": [f"udp://{ENGINE}:6060"], "trusted_networks": ["127.0.0.0/8"], "probe_interval": 0},
        "providers": [{"name": name, "hostname": f"{host}:5080"} for name, host in hosts.items()],
        "routes": [
            {"target": "all", "provider": "third", "lookup": {"url": LCR, "timeout": "3s", "cache": 0}},
        ],
    }
    with Engine.start(write_config(tmp_path_factory.mktemp("engine"), config)) as engine:
        yield engine


@pytest.fixture
def lcr() -> Iterator[None]:
    with Process([sys.executable, "-c", SERVER], cwd=ROOT):
        wait_bound("127.0.0.1", 9090, kind=socket.SOCK_STREAM)
        yield


def call(number: str, answering: str) -> None:
    """A call that this provider answers; the others hear nothing."""
    roles = [
        Provider("uas_answer", host) if host == answering else Provider("uas_never", host, 0)
        for host in (FIRST, SECOND, THIRD)
    ]
    outcome = sipp.run(Case("lookup", Caller("uac_call", number), roles), f"{ENGINE}:6060", 23100)
    assert outcome.passed, "\n".join([*outcome.faults, outcome.log])


def test_calls_go_where_the_server_says(engine: Engine, lcr: None) -> None:
    call("+442079460123", SECOND)
    call("+821012345678", FIRST)


def test_without_the_server_the_route_decides(engine: Engine) -> None:
    call("+442079460123", THIRD)
    assert "route look-up failed" in engine.log
