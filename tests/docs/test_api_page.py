"""The tutorial of docs/api.md, command by command, on a started engine with an empty store."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.http.errors import HTTP_STATUS, REASONS, status_of
from service.workers.webhook_sender import signature
from tests.network import reserved_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/api.md"
BLOCKS = re.findall(
    r"^```(sh api|json api|yaml api|python api)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
)
PATIENCE = 60.0  # s
# Reasons that HTTP has a status code of its own for.
OF_HTTP = {"METHOD_NOT_ALLOWED": 405, "REQUEST_TIMEOUT": 408, "REQUEST_TOO_LARGE": 413}


def assert_holds(answer: Any, shown: Any, place: str) -> None:
    """What is shown is in the answer: of an object some fields, of a list every item."""
    if isinstance(shown, dict):
        assert isinstance(answer, dict), place
        for name, value in shown.items():
            assert name in answer, f"{place}.{name} is missing in {answer}"
            assert_holds(answer[name], value, f"{place}.{name}")
    elif isinstance(shown, list):
        assert isinstance(answer, list) and len(answer) == len(shown), f"{place}: {answer}"
        for index, value in enumerate(shown):
            assert_holds(answer[index], value, f"{place}[{index}]")
    else:
        assert answer == shown, place


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The first key of a new engine, and what the page's addresses are here."""
    trunk, api = reserved_port(), reserved_port()
    written = {"127.0.0.3:5080": f"127.0.0.3:{trunk}", "127.0.0.1:8080": f"127.0.0.1:{api}"}
    (shown,) = [text for info, text in BLOCKS if info == "yaml api"]
    sip = f'sip: {{listen: ["udp://127.0.0.1:{reserved_port()}"]}}\n'
    (tmp_path / "trunkline.yaml").write_text(sip + replaced(shown, written))
    program = "import sys; from service.cli.commands import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "-c", "trunkline.yaml"]
    command += ["--with-trunk", f"{written['127.0.0.3:5080']}=200"]
    with (tmp_path / "log").open("w") as log:
        engine = subprocess.Popen(
            command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert engine.stdout is not None
        try:
            for line in engine.stdout:
                if found := re.search(r"shown this once: (tk_\S+)", line):
                    yield found[1], written
                    break
            else:
                pytest.fail((tmp_path / "log").read_text())
        finally:
            engine.terminate()
            engine.communicate(timeout=PATIENCE)
    assert engine.returncode == 0


def replaced(text: str, written: dict[str, str]) -> str:
    for before, after in written.items():
        text = text.replace(before, after)
    return text


@pytest.mark.peer
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl and jq are not installed")
def test_every_command_of_the_tutorial_answers_what_is_shown(
    served: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    key, written = served
    commands = [text for info, text in BLOCKS if info in ("sh api", "json api")]
    infos = [info for info, _ in BLOCKS if info in ("sh api", "json api")]
    mark = "@@@@ end of block"
    script = "set -eu\n"
    script += "".join(
        f"{text}echo; echo '{mark}'\n" for text, info in zip(commands, infos, strict=True) if "sh" in info
    )
    shell = subprocess.run(
        ["bash", "-c", replaced(script, written)],
        cwd=tmp_path,
        env={"KEY": key, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr
    outputs = iter(shell.stdout.split(mark))
    said = ""
    for info, text in zip(infos, commands, strict=True):
        if info == "sh api":
            said = next(outputs)
            assert '"error"' not in said or "X-Request-Id" in text, f"{text}\n{said}"
        else:
            # What the block before answered last; jq writes it on several lines.
            assert_holds(last_document(said), json.loads(replaced(text, written)), text)
    assert "event: number_created" in shell.stdout


def last_document(text: str) -> Any:
    decoder, at, found = json.JSONDecoder(), 0, None
    while (at := text.find("{", at)) >= 0:
        found, at = decoder.raw_decode(text, at)
    return found


def test_the_shown_check_of_a_signature_takes_ours_and_no_other() -> None:
    (program,) = [text for info, text in BLOCKS if info == "python api"]
    names: dict[str, Any] = {}
    exec(program, names)
    genuine = names["genuine"]
    header = signature("0123456789abcdef", 1_000, b'{"type":"x"}')
    assert genuine("0123456789abcdef", header, b'{"type":"x"}', 1_010)
    assert not genuine("0123456789abcdef", header, b'{"type":"y"}', 1_010)
    assert not genuine("0123456789abcdee", header, b'{"type":"x"}', 1_010)
    assert not genuine("0123456789abcdef", header, b'{"type":"x"}', 2_000)


def test_the_table_has_every_reason_with_its_status() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+)", PAGE.read_text().partition("<!-- reasons -->")[2], re.MULTILINE)
    shown = {reason: int(code) for reason, code in rows}
    assert len(rows) == len(shown)
    assert shown == {reason: OF_HTTP.get(reason, HTTP_STATUS[status_of(reason)]) for reason in shown}
    # A resource's own `…_NOT_FOUND` follows from its word: tests/api/test_openapi.py finds those.
    assert [reason for reason in shown.keys() ^ REASONS if not reason.endswith("_NOT_FOUND")] == []
