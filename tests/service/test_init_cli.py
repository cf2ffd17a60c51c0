"""`trunkline init` writes a configuration that works as it is."""

import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import typer

from config.loading import load
from service.cli.commands import main
from service.cli.support.carriers import CARRIERS

Asked = Callable[[Sequence[str]], list[str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CARRIER_PASSWORD", raising=False)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Somebody at a terminal gives these answers; the questions are collected."""

    def answering(answers: Sequence[str]) -> list[str]:
        questions: list[str] = []
        left: Iterator[str] = iter(answers)

        def prompt(question: str, default: str = "", **_: object) -> str:
            questions.append(question)
            return next(left) or default

        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr(typer, "prompt", prompt)
        return questions

    return answering


def _init(*words: str) -> int:
    return main(["init", "t.yaml", "--address", "192.0.2.10", *words])


def test_without_a_word_it_is_an_echo(here: Path) -> None:
    assert main(["init"]) == 0
    [number] = load(here / "trunkline.yaml").numbers
    assert number.number == "+899100000001"


def test_phones_ring_for_the_numbers_and_show_the_first(here: Path) -> None:
    assert _init("--phone", "alice", "--phone", "101", "--number", "+49 30 901820", "--number", "+4930901821") == 0
    found = load(here / "t.yaml")
    assert [one.name for one in found.extensions] == ["alice", "101"]
    assert {one.caller_id for one in found.extensions} == {"+4930901820"}
    assert len({one.password for one in found.extensions}) == 2
    assert found.settings.numbering.default_country == "DE" and not found.warnings
    desk = next(flow for flow in found.flows if flow.name == "desk")
    assert [each["target"] for each in desk.actions[0].option["destinations"]] == ["alice", "101"]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_file_for_each_carrier_is_in_order(
    here: Path, carrier: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--carrier", carrier, "--hostname", CARRIERS[carrier].example or CARRIERS[carrier].hostname]
    words += ["--username", 'a"\\b'] if CARRIERS[carrier].login else []
    assert _init("--phone", "alice", "--number", "+15551234567", *words) == 0
    told = capsys.readouterr().out
    assert ("export CARRIER_PASSWORD" in told) == CARRIERS[carrier].login and "192.0.2.10" in told
    monkeypatch.setenv("CARRIER_PASSWORD", "hush")
    found = load(here / "t.yaml")
    [provider], [route] = found.providers, found.routes
    assert (provider.name, route.target) == (carrier, "all") and not found.warnings
    if CARRIERS[carrier].login:
        assert (provider.username, provider.password) == ('a"\\b', "hush")


def test_it_is_for_its_owner_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _init("--phone", "alice") == 0
    assert stat.S_IMODE((here / "t.yaml").stat().st_mode) == 0o600
    told = capsys.readouterr()
    assert load(here / "t.yaml").extensions[0].password not in told.out + told.err


def test_what_is_probably_not_meant_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _init("--phone", "911", "--number", "+12125550100") == 0
    warning = capsys.readouterr().err
    assert warning.startswith("t.yaml:") and "extensions[0].name: warning: 911 is an emergency number" in warning


def test_what_is_there_is_left_as_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "t.yaml").write_text("mine")
    assert _init() == 1
    assert (here / "t.yaml").read_text() == "mine"
    assert capsys.readouterr().err == (
        "trunkline: t.yaml is there already, and is left as it is: move it away, or name another file\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--phone", "al ice"], "'al ice' cannot be a phone's name"),
        (["--number", "12"], "'12' is no number"),
        (["--carrier", "nobody"], "'nobody' is not known; use none, "),
        (["--carrier", "other", "--hostname", "a b"], "'--hostname'"),
        (["--carrier", "other", "--hostname", "h.example", "--username", "a\nb"], "a user name has characters"),
        (["--address", "0.0.0.0"], "0.0.0.0 is every address"),
        (["--address", "here"], "'here' is no IP address"),
    ],
)
def test_a_wrong_word_is_named_and_nothing_is_written(
    here: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "t.yaml", *words]) in (1, 2)
    assert said in capsys.readouterr().err
    assert not [*here.iterdir()]


def test_it_asks_for_what_no_option_says(here: Path, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    questions = asked(["nowhere", "192.0.2.9", "alice, b@b", "alice,bob", "twilio", "", "acme", "hush", "+15551234567"])
    assert main(["init"]) == 0
    found = load(here / "trunkline.yaml")
    assert found.settings.sip.listen == ["udp://192.0.2.9:5060", "tcp://192.0.2.9:5060"]
    assert [one.name for one in found.extensions] == ["alice", "bob"]
    assert (found.providers[0].username, found.providers[0].password) == ("acme", "hush")
    assert [question[:8] for question in questions] == [
        "Address ", "Address ", "Phones, ", "Phones, ", "Carrier:", "Its serv", "Your use", "Your pas", "Your num",
    ]  # fmt: skip
    told = capsys.readouterr()
    assert "'nowhere' is no IP address" in told.err and "'b@b' cannot" in told.err and "hush" not in told.out + told.err


@pytest.mark.parametrize("typed", ["${HOME}", 'a"b\\c', "$${x}", "# : {}", "p\u00e4ss \u4e2d", "${CARRIER_PASSWORD}"])
def test_a_password_is_what_was_typed(here: Path, asked: Asked, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(["", "", "other", "sip.carrier.example", "acme", typed, ""])
    monkeypatch.setenv("CARRIER_PASSWORD", "${CARRIER_PASSWORD}")
    assert main(["init"]) == 0
    assert load(here / "trunkline.yaml").providers[0].password == typed


@pytest.mark.parametrize(
    "typed", ["+49 30 901820 +15551234567", "+4930901820,+1 (555) 123-4567", "+49 30901820, +15551234567"]
)
def test_numbers_are_typed_as_people_do(here: Path, asked: Asked, typed: str) -> None:
    asked(["", "", "none", typed])
    assert main(["init"]) == 0
    found = [number.number for number in load(here / "trunkline.yaml").numbers]
    assert found == ["+4930901820", "+15551234567", "+899100000001"]


def test_a_carrier_without_a_user_name_knows_one_by_address(here: Path, asked: Asked) -> None:
    asked(["", "", "other", "sip.carrier.example", "-", ""])
    assert main(["init"]) == 0
    assert load(here / "trunkline.yaml").providers[0].username == ""


def test_ctrl_c_and_ctrl_d_leave_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> str:
        raise typer.Abort

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", interrupted)
    assert main(["init"]) == 1
    assert capsys.readouterr().err == "trunkline: interrupted; nothing is written\n"
    assert not [*here.iterdir()]
