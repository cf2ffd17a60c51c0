"""HAProxy in front of the API and of WebSocket, on one port with TLS, as docs/websocket.md has it."""

import re
from pathlib import Path

import httpx
import pytest

from tests.certificates import Authority
from tests.network import reserved_port
from tests.peers.engine import ROOT, Engine, write_config
from tests.peers.process import Process, require
from tests.peers.scripted import node_phone

pytestmark = pytest.mark.peer

HOST, PROXY = "127.0.44.1", "127.0.44.2"


def shown() -> str:
    """The block of the page."""
    found = re.search(r"^```haproxy\n(.*?)^```", (ROOT / "docs/websocket.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_phones_and_the_api_share_a_port(tmp_path: Path) -> None:
    program = require("haproxy", "haproxy")
    web, sip, api = reserved_port(), reserved_port(), reserved_port()
    authority = Authority(tmp_path)
    issued = authority.issue(HOST)
    both = tmp_path / "both.pem"
    both.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    config = shown()
    for written, meant in (
        ("bind :443 ssl crt /etc/haproxy/example.pem", f"bind {HOST}:{web} ssl crt {both}"),
        ("127.0.0.1:5080", f"{HOST}:{sip} source {PROXY}"),
        ("127.0.0.1:8080", f"{HOST}:{api} source {PROXY}"),
    ):
        assert config.count(written) == 1
        config = config.replace(written, meant)
    path = tmp_path / "haproxy.cfg"
    path.write_text(config)
    settings = {
        "api": {"listen": f"{HOST}:{api}", "trusted_proxies": [PROXY]},
        "store": f"sqlite:///{tmp_path}/store.db",
        "sip": {
            "listen": [f"ws://{HOST}:{sip}"],
            "websocket": {"path": "/sip", "proxies": [PROXY]},
            "trusted_networks": [],
        },
        "extensions": [{"name": "alice", "password": "alice-password"}],
    }
    with Engine.start(write_config(tmp_path / "engine", settings), timeout=60) as engine:
        proxy = Process([program, "-db", "-f", str(path)], cwd=tmp_path)
        try:
            with node_phone("jssip.cjs", ca=authority.ca) as phone:
                server = f"wss://{HOST}:{web}/sip"
                phone.do("register", server=server, uri=f"sip:alice@{HOST}", password="alice-password")
                phone.wait("registered", timeout=60)
                # Whom the proxy connects for, not the proxy.
                engine.process.wait_line(r"phone registered .*\btransport=ws\b.*\bsource=127\.0\.0\.1\b", 30)
                assert httpx.get(f"https://{HOST}:{web}/healthz", verify=False).status_code == 200
                assert httpx.get(f"http://{HOST}:{sip}/sip").status_code == 426
                phone.do("drop")
                phone.wait("disconnected")
                phone.wait("registered", timeout=60)
        finally:
            proxy.stop()
