"""docs/tls.md, done: HTTPS with a certificate of one's own, and the hook that copies certbot's certificates.

certbot itself is not run: it needs a CA that reaches this machine. Its hook is, as certbot would, by the shell.
"""

import grp
import os
import re
import subprocess
from pathlib import Path

import yaml

from tests.certificates import Authority
from tests.docs.test_documents import ALL
from tests.network import reserved_port
from tests.peers.engine import Engine, write_config
from tests.peers.process import require


def block(info: str) -> str:
    (found,) = [one.text for one in ALL if one.info == info and one.place.startswith("tls.md")]
    return found


def test_the_api_speaks_https_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    for program in ("openssl", "curl"):
        require(program, program)
    make, curl = re.fullmatch(r"(openssl .*?)(curl .*)", block("sh https"), re.DOTALL).groups()  # type: ignore[union-attr]
    subprocess.run(["/bin/sh", "-ec", make], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    port = str(reserved_port())
    config = yaml.safe_load(block("yaml https").replace("8443", port))
    config["sip"] = {"listen": [f"udp://127.0.0.1:{reserved_port()}"]}
    with Engine.start(write_config(tmp_path, config)) as engine:
        engine.process.wait_line("ready: https", 60)
        asked = subprocess.run(
            ["/bin/sh", "-ec", curl.replace("8443", port)], cwd=tmp_path, check=True, capture_output=True, timeout=60
        )
        assert b"ok" in asked.stdout


def test_certbots_hook_copies_what_the_engine_may_read(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    text = block("sh certbot").replace("/etc/trunkline", str(tmp_path / "etc")).replace("-g trunkline", f"-g {group}")
    folder, _, certbot = text.partition("\n")
    hook = re.search(r"--deploy-hook \\\n\s*'([^']+)'", certbot)
    assert hook is not None
    lineage = tmp_path / "live"
    lineage.mkdir()
    issued = Authority(tmp_path).issue("sip.example.com")
    for made, name in ((issued.certificate, "fullchain.pem"), (issued.key, "privkey.pem")):
        made.rename(lineage / name)
    for command in (folder, hook[1], hook[1]):  # the first certificate, and a renewed one
        environment = os.environ | {"RENEWED_LINEAGE": str(lineage)}
        subprocess.run(["/bin/sh", "-ec", command], env=environment, check=True, timeout=60)
    for name in ("fullchain.pem", "privkey.pem"):
        copied = tmp_path / "etc" / name
        assert copied.read_bytes() == (lineage / name).read_bytes()
        assert copied.stat().st_mode & 0o777 == 0o640
