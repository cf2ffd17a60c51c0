"""What `trunkline init` has written is served as it is: two baresips log in, hear themselves, and ring each other."""

from pathlib import Path

import pytest
import yaml

from service.cli.commands import main
from tests.peers.baresip import Baresip
from tests.peers.engine import Engine

pytestmark = [pytest.mark.peer, pytest.mark.long]

HOST, ALICE, BOB = "127.0.2.60", "127.0.2.61", "127.0.2.62"


def test_two_phones_with_a_file_that_init_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "trunkline.yaml"
    assert main(["init", str(file), "--address", HOST, "--phone", "alice", "--phone", "bob"]) == 0
    passwords = {row["name"]: row["password"] for row in yaml.safe_load(file.read_text())["extensions"]}
    monkeypatch.chdir(tmp_path)

    def phone(name: str, host: str) -> Baresip:
        return Baresip(tmp_path / name, host, 6100, user=name, password=passwords[name], registrar=HOST)

    with Engine.start(file), phone("alice", ALICE) as alice, phone("bob", BOB) as bob:
        alice.wait_registered()
        bob.wait_registered()
        alice.dial(f"sip:+899100000001@{HOST}")
        alice.wait_event("CALL_ESTABLISHED")
        alice.hangup()
        alice.wait_event("CALL_CLOSED")
        bob.dial(f"sip:alice@{HOST}")
        alice.wait_event("CALL_INCOMING")
        alice.command("accept")
        bob.wait_event("CALL_ESTABLISHED")
        bob.hangup()
        alice.wait_event("CALL_CLOSED")
