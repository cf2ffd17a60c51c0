"""docs/security.md: its engine is started, and its commands are given to it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_api_page import assert_holds, last_document, replaced
from tests.docs.test_store_page import TRUNKLINE
from tests.network import reserved_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security.md"
BLOCKS = re.findall(
    r"^```(yaml security|sh security start|sh security|json security)\n(.*?)^```$",
    PAGE.read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
NEEDED = ("curl", "openssl", "fail2ban-regex")
PATIENCE = 60.0  # s
MARK = "@@@@ end of block"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.long,
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"{', '.join(NEEDED)} are not all installed"),
]


@pytest.fixture
def written() -> dict[str, str]:
    """What the page's addresses are here."""
    return {f"127.0.0.1:{port}": f"127.0.0.1:{reserved_port()}" for port in (5060, 8080)}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "trunkline").write_text(TRUNKLINE)
    (programs / "trunkline").chmod(0o755)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    path = f"{programs}:{os.environ.get('PATH', '/usr/bin:/bin')}"
    return {"PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def key(tmp_path: Path, written: dict[str, str], environment: dict[str, str]) -> Iterator[str]:
    """The key that the page's engine prints."""
    (shown,) = [text for info, text in BLOCKS if info == "yaml security"]
    (start,) = [text for info, text in BLOCKS if info == "sh security start"]
    path = tmp_path / "trunkline.yaml"
    path.write_text(replaced(f'api: {{listen: "127.0.0.1:8080"}}\n{shown}', written))
    engine = subprocess.Popen(
        ["bash", "-c", f"set -eu\n{start.replace('trunkline serve', 'exec trunkline serve')}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert engine.stdout is not None
    try:
        for line in engine.stdout:
            if found := re.search(r"shown this once: (tk_\S+)", line):
                yield found[1]
                break
        else:
            log = tmp_path / "trunkline.log"
            pytest.fail(log.read_text() if log.exists() else f"not started: {sys.executable}")
    finally:
        engine.terminate()
        engine.communicate(timeout=PATIENCE)
    assert engine.returncode == 0


def test_every_command_does_what_is_shown(
    key: str, written: dict[str, str], environment: dict[str, str], tmp_path: Path
) -> None:
    given = [(info, text) for info, text in BLOCKS if info in ("sh security", "json security")]
    script = "".join(f"{text}echo; echo '{MARK}'\n" for info, text in given if info == "sh security")
    shell = subprocess.run(
        ["bash", "-c", f"set -eu\n{replaced(script, written)}"],
        cwd=tmp_path,
        env=environment | {"KEY": key},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    log = (tmp_path / "trunkline.log").read_text()
    assert shell.returncode == 0, shell.stdout + shell.stderr + log
    outputs = iter(shell.stdout.split(MARK))
    said = ""
    for info, text in given:
        if info == "sh security":
            said = next(outputs)
        else:
            assert_holds(last_document(said), json.loads(text), text)
    assert "1 matched" in said  # Fail2ban's word on the last block
    assert re.search(r"source banned address=127\.0\.0\.9 score=12 ", log)
