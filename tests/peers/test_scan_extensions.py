"""Scanners against an engine with extensions (SIPVicious): they learn no name and no password, and are banned.

What they send comes from 127.0.0.1; the phones here have other addresses, and are served meanwhile.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.peers.office import HOST, Office, address, open_office
from tests.peers.sipvicious import PLAIN, answers, banned, outputs, tool, words

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(find_spec("sipvicious") is None, reason="sipvicious is not installed: pip install sipvicious"),
]

ANN, BEN = "127.0.2.21", "127.0.2.22"
METHODS = ("REGISTER", "INVITE", "OPTIONS")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    names: dict[str, dict[str, str]] = {"ann": {}, "ben": {}, "1000": {}}
    # The tools acknowledge nothing: what is sent to them again keeps them waiting.
    with open_office(tmp_path_factory.mktemp("office"), names, {"t1": 0.05}) as office:
        yield office


def test_names_of_extensions_are_not_told_from_others(office: Office, tmp_path: Path) -> None:
    """Whatever svwar hears of one that is registered, it hears of one that is not, and of one that does not exist."""
    names = ("ann", "1000", "nobody")
    runs = [
        ("-m", method, "-d", words(tmp_path / name, [name]), *more)
        for name in names
        for method in METHODS
        for more in ((), ("--force", *PLAIN))
    ]
    with office.baresip(tmp_path / "phone", "ann", ANN) as ann:
        ann.wait_registered()
        heard = outputs("svwar", HOST, 5060, *runs)
        assert not any(event["type"] == "CALL_INCOMING" for event in ann.events)
    for output in heard:
        assert "found nothing" in output, output
    size = len(runs) // len(names)
    registered, away, unknown = ([answers(one) for one in heard[at : at + size]] for at in range(0, len(runs), size))
    assert registered == away == unknown
    assert any("401" in one for one in unknown)
    assert not banned(office.engine)  # it tried no password


def test_who_guesses_at_a_registration_is_banned_and_phones_are_served(office: Office, tmp_path: Path) -> None:
    guesses = words(tmp_path / "guesses", [*(f"secret{number:02}" for number in range(1, 17)), "secret17"])
    with (
        office.baresip(tmp_path / "ann", "ann", ANN) as ann,
        tool(
            "svcrack", HOST, 5060, *PLAIN, "-m", "REGISTER", "-u", "ann", "-d", guesses, "--maximumtime=3"
        ) as guessing,
        office.baresip(tmp_path / "ben", "ben", BEN) as ben,
    ):
        ann.wait_registered()
        ben.wait_registered()
        office.engine.process.wait_line("source banned", 30)
        ben.dial(address("ann"))
        ann.wait_event("CALL_INCOMING")
        ann.hangup()
        assert "486" in ben.wait_event("CALL_CLOSED")["param"]
        assert "secret17" not in guessing.log
    assert banned(office.engine) == ["127.0.0.1"]
