"""HAProxy and nginx in front of the API and of WebSocket, on one port with TLS, as docs/websocket.md has them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from tests.certificates import Authority, Files
from tests.network import reserved_port
from tests.peers.engine import ROOT, Engine, write_config
from tests.peers.process import Process, require
from tests.peers.scripted import node_phone

pytestmark = pytest.mark.peer

HOST, PROXY = "127.0.44.1", "127.0.44.2"


def shown(language: str, instead: Mapping[str, str]) -> str:
    """The block of the page, with our own ports and files in it."""
    found = re.search(rf"^```{language}\n(.*?)^```", (ROOT / "docs/websocket.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    config = found[1]
    for written, meant in instead.items():
        assert config.count(written) == 1, written
        config = config.replace(written, meant)
    return config


def haproxy(folder: Path, certificate: Files, web: int, sip: int, api: int) -> list[str]:
    program = require("haproxy", "haproxy")
    both, path = folder / "both.pem", folder / "haproxy.cfg"
    both.write_bytes(certificate.certificate.read_bytes() + certificate.key.read_bytes())
    instead = {
        "bind :443 ssl crt /etc/haproxy/example.pem": f"bind {HOST}:{web} ssl crt {both}",
        "127.0.0.1:5080": f"{HOST}:{sip} source {PROXY}",
        "127.0.0.1:8080": f"{HOST}:{api} source {PROXY}",
    }
    path.write_text(shown("haproxy", instead))
    return [program, "-db", "-f", str(path)]


def nginx(folder: Path, certificate: Files, web: int, sip: int, api: int) -> list[str]:
    program = require("nginx", "nginx-light")
    instead = {
        "listen 443 ssl;": f"listen {HOST}:{web} ssl; proxy_bind {PROXY};",
        "/etc/nginx/fullchain.pem": str(certificate.certificate),
        "/etc/nginx/privkey.pem": str(certificate.key),
        "127.0.0.1:5080": f"{HOST}:{sip}",
        "127.0.0.1:8080": f"{HOST}:{api}",
    }
    path = folder / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    path.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{own}{shown('nginx', instead)}}}\n"
    )
    return [program, "-c", str(path), "-p", str(folder), "-e", "stderr"]


@pytest.mark.parametrize("configured", [haproxy, nginx])
def test_phones_and_the_api_share_a_port(tmp_path: Path, configured: Callable[..., list[str]]) -> None:
    web, sip, api = reserved_port(), reserved_port(), reserved_port()
    authority = Authority(tmp_path)
    program = configured(tmp_path, authority.issue(HOST), web, sip, api)
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
        proxy = Process(program, cwd=tmp_path)
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
