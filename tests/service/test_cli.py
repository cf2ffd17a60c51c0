"""The command line: exit codes, one line for each error, and what the commands hand to the programs behind them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from config.faults import ConfigurationError, Fault
from engine.transport.listeners import ListenError
from service.cli import commands
from service.cli.call import CallOrder
from service.cli.message import MessageOrder
from service.cli.providercall import ProvidercallOrder
from service.cli.trunk import TrunkOrder
from tests.certificates import Authority

pytestmark = pytest.mark.long  # each test starts the program

DEMO = Path(__file__).parents[2] / "config" / "demo.yaml"
GOOD = "numbers:\n  - {number: '+15551234567'}\nproviders:\n  - {name: a, hostname: a.example, transport: tls}\n"
BAD = "sip:\n  lisen: []\nnumbers:\n  - {number: 5}\n"

Replace = Callable[..., None]


@pytest.fixture
def replace(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Puts the given functions in the place of a command's program."""

    def replace(name: str, **functions: Any) -> None:
        module = import_module(f"service.cli.{name}")
        for function, other in functions.items():
            monkeypatch.setattr(module, function, other)

    return replace


@pytest.fixture
def orders(replace: Replace) -> list[Any]:
    """What the softphone, the little trunk and the providercall were asked for."""
    given: list[Any] = []

    async def take(order: Any) -> int:
        given.append(order)
        return 0

    replace("call", place_call=take)
    replace("message", send_message=take)
    replace("trunk", play_trunk=take)
    replace("providercall", place_calls=take)
    return given


def lines_of(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_check_says_what_is_in_a_good_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["check", "-c", str(DEMO)]) == 0
    assert lines_of(capsys) == ([f"{DEMO} is in order: 2 providers, 2 routes, 3 numbers, 3 flows"], [])


def test_check_prints_one_line_for_each_fault_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(BAD)
    assert commands.main(["check", "-c", str(path)]) == 1
    assert lines_of(capsys) == (
        [],
        [
            f"{path}:2: sip.lisen: unknown setting; did you mean listen?",
            f"{path}:4: numbers[0].number: must be text, and is the number 5; put it in quotes",
        ],
    )


@pytest.mark.parametrize(("mode", "told"), [(0o644, True), (0o640, False), (0o600, False)])
def test_check_warns_of_a_key_that_others_can_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, told: bool
) -> None:
    Authority(tmp_path).issue("a.example", file="own").key.chmod(mode)
    path = tmp_path / "t.yaml"
    path.write_text('sip: {listen: ["tls://127.0.0.1:0"], tls: {certificates: [{certificate: own.pem, key: own.key}]}}')
    assert commands.main(["check", "-c", str(path)]) == 0
    key = tmp_path / "own.key"
    line = f"warning: {key} can be read by others; chmod o= {key}"
    assert (line in capsys.readouterr().err.splitlines()) == told


def test_check_prints_warnings_and_notes_of_a_file_that_is_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(GOOD)
    assert commands.main(["check", "-c", str(path)]) == 0
    out, (warning, note) = lines_of(capsys)
    assert out == [f"{path} is in order: 1 provider, 0 routes, 1 number, 0 flows"]
    assert warning.startswith(f"{path}:2: numbers[0]: warning: +15551234567 has no call_flow")
    assert note.startswith(f"{path}:4: providers[0].transport: note: there is no tls:// under sip.listen")


def test_what_a_file_holds_is_escaped_in_its_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text('"\\e[2J\\n": 1\n')
    assert commands.main(["check", "-c", str(path)]) == 1
    _, (line,) = lines_of(capsys)
    assert "\\x1b[2J\\x0a" in line


def test_explain_lists_the_providers_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["explain", "-c", str(DEMO), "+821012345678"]) == 0
    out, err = lines_of(capsys)
    assert err == []
    assert out[0] == "+821012345678 is a foreign number; 2 of 2 entries would be tried, in this order"
    assert out[2] == "  from a client: goes out through the providers"
    assert out[4:] == [
        "order  provider   route             request URI                        tried or skipped, and why",
        "1      primary    all (priority 1)  sip:1+821012345678@127.0.0.2:5080  tried first",
        "2      secondary  all (priority 2)  sip:2+821012345678@127.0.0.3:5080  tried when those before it have failed",
    ]


def test_explain_names_the_flow_of_an_own_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["explain", "-c", str(DEMO), "001 (555) 123-4567"]) == 0
    out, _ = lines_of(capsys)
    assert out[0] == "+15551234567 is our own normal number: calls run flow hotline"
    assert len(out) == 4


def test_explain_shows_what_is_skipped_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        "providers: [{name: off, hostname: a, enabled: false}, {name: on, hostname: b}]\n"
        "routes: [{provider: off, target: '+82'}, {provider: on}]\n"
    )
    assert commands.main(["explain", "-c", str(path), "+821012345678"]) == 0
    out, _ = lines_of(capsys)
    assert out[5].startswith("-      off")
    assert "skipped: " in out[5]
    assert out[6].startswith("1      on")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["call"], "trunkline: Missing option '--via'; see trunkline call --help"),
        (["call", "5"], "trunkline: Missing option '--via'; see trunkline call --help"),
        (["message", "1", "2"], "trunkline: Missing argument 'TEXT'; see trunkline message --help"),
        (["message", "1", "2", "x"], "trunkline: Missing option '--via'; see trunkline message --help"),
        (
            ["message", "1", "2", " ", "--via", "h"],
            "trunkline: Invalid value for 'TEXT': there is nothing in it; write a word; see trunkline message --help",
        ),
        (
            ["message", "1", "2", "ü" * 16385, "--via", "h"],
            "trunkline: Invalid value for 'TEXT': it is longer than 32768 octets; write less; "
            "see trunkline message --help",
        ),
        (
            ["message", "1", "2", "x", "--via", "h:0"],
            "trunkline: Invalid value for '--via': 'h:0' has no valid port; "
            "write a number from 1 to 65535 after the colon; see trunkline message --help",
        ),
        (["nope"], "trunkline: No such command 'nope'; see trunkline --help"),
        (["serve", "--nope"], "trunkline: No such option: --nope; see trunkline serve --help"),
        (
            ["call", "5", "--via", "h:1", "--dtmf", "rfc2833"],
            "trunkline: Invalid value for '--dtmf': 'rfc2833' is not known; use rfc4733 (telephone-events, once RFC "
            "2833) or info; see trunkline call --help",
        ),
        (
            ["call", "5", "--via", "h", "--transport", "tls"],
            "trunkline: Invalid value for '--transport': 'tls' is no transport; use udp or tcp; "
            "see trunkline call --help",
        ),
        (
            ["call", "5", "--via", "h", "--digits", "12x"],
            "trunkline: Invalid value for '--digits': only 0-9, *, #, A-D and commas can be sent; "
            "see trunkline call --help",
        ),
        (
            ["call", "5", "--via", "h", "--header", "X"],
            "trunkline: Invalid value for '--header': 'X' is no header; write 'NAME: VALUE'; see trunkline call --help",
        ),
        (
            ["call", "5", "--via", "h:x"],
            "trunkline: Invalid value for '--via': 'h:x' has no valid port; "
            "write a number from 1 to 65535 after the colon; "
            "see trunkline call --help",
        ),
        (
            ["trunk", "--status", "99"],
            "trunkline: Invalid value for '--status': '99' is no final status; use 200, or 300 to 699; "
            "see trunkline trunk --help",
        ),
        (
            ["trunk", "--status", "503", "--answer"],
            "trunkline: Invalid value: --answer and --status exclude each other; keep one; see trunkline trunk --help",
        ),
        (
            ["serve", "--with-trunk", "127.0.0.2:5080=1"],
            "trunkline: Invalid value for '--with-trunk': '1' is no final status; use 200, or 300 to 699; "
            "see trunkline serve --help",
        ),
        (
            ["providercall", "p", "1", "2", "--flow", "f", "--actions", "x"],
            "trunkline: Invalid value: --flow and --actions exclude each other; keep one; "
            "see trunkline providercall --help",
        ),
        (
            ["providercall", "p", "1", "2", "--anonymous", "x"],
            "trunkline: Invalid value for '--anonymous': 'x' is not known; use auto, yes or no; "
            "see trunkline providercall --help",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_2(
    replace: Replace, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    replace("serve")
    assert commands.main(words) == 2
    assert lines_of(capsys) == ([], [line])


def test_help_and_version_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["--help"]) == 0
    assert commands.main(["call", "--help"]) == 0
    assert commands.main(["--version"]) == 0
    out, err = lines_of(capsys)
    assert out[-1].startswith("trunkline ")
    assert err == []


def test_call_hands_its_options_to_the_softphone(orders: list[Any]) -> None:
    assert commands.main(["call", "+15551234567", "--via", "127.0.0.1:5060"]) == 0
    words = "call 5 --via h:1 --from 6 --user u --password p --digits 1,# --dtmf info --duration 2 --timeout 3"
    assert commands.main([*words.split(), "--transport", "tcp", "--header", "X-A: b: c", "--header", "X-D:"]) == 0
    assert orders == [
        CallOrder("+15551234567", "127.0.0.1:5060", headers=[]),
        CallOrder("5", "h:1", "6", "u", "p", "1,#", 2.0, 3.0, "tcp", [("X-A", "b: c"), ("X-D", "")], "info"),
    ]


def test_message_hands_its_options_to_the_texter(orders: list[Any]) -> None:
    assert commands.main(["message", "+1555", "5", "Hello, you", "--via", "127.0.0.1:5060"]) == 0
    words = "message 6 sip:a@b x --via h:1 --user u --password p --timeout 3 --transport tcp --header"
    assert commands.main([*words.split(), "X-A: b: c"]) == 0
    assert orders == [
        MessageOrder(sender="+1555", recipient="5", text="Hello, you", via="127.0.0.1:5060", headers=[]),
        MessageOrder(
            sender="6",
            recipient="sip:a@b",
            text="x",
            via="h:1",
            user="u",
            password="p",
            timeout=3.0,
            transport="tcp",
            headers=[("X-A", "b: c")],
        ),
    ]


def test_trunk_hands_its_options_to_the_little_trunk(orders: list[Any]) -> None:
    assert commands.main(["trunk"]) == 0
    assert (
        commands.main(
            [
                "trunk",
                "--listen",
                "udp://h:1",
                "--listen",
                "tcp://h:1",
                "--status",
                "503",
                "--ring",
                "2",
                "--early-media",
            ]
        )
        == 0
    )
    assert orders == [
        TrunkOrder(listen=["udp://127.0.0.2:5080"], status=200, ring=0.0, early_media=False),
        TrunkOrder(listen=["udp://h:1", "tcp://h:1"], status=503, ring=2.0, early_media=True),
    ]


def test_providercall_hands_its_options_on(orders: list[Any]) -> None:
    assert (
        commands.main(
            [
                "providercall",
                "-c",
                "f.yaml",
                "primary",
                "+1555",
                "+8210",
                "+8211",
                "--flow",
                "echo",
                "--anonymous",
                "yes",
            ]
        )
        == 0
    )
    assert orders == [
        ProvidercallOrder(
            config=Path("f.yaml"),
            provider="primary",
            source="+1555",
            destinations=["+8210", "+8211"],
            flow="echo",
            actions=None,
            anonymous="yes",
        )
    ]


def test_the_exit_code_of_a_program_is_that_of_the_command(replace: Replace) -> None:
    async def call(_order: CallOrder) -> int:
        return 1

    replace("call", place_call=call)
    assert commands.main(["call", "5", "--via", "h"]) == 1


def test_a_configuration_that_serve_refuses_is_2_with_its_faults(
    replace: Replace, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(_path: Path) -> int:
        raise ConfigurationError([Fault("f:1", ("a",), "one"), Fault("f:2", ("b", 0), "two")])

    replace("serve", run_engine=serve)
    assert commands.main(["serve", "-c", "f"]) == 2
    assert lines_of(capsys) == ([], ["f:1: a: one", "f:2: b[0]: two"])


@pytest.mark.parametrize(
    "error", [ListenError("udp://h:1: address already in use"), OSError("udp://h:1: address already in use")]
)
def test_a_listener_that_is_taken_is_one_line_and_1(
    replace: Replace, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    async def serve(_path: Path) -> int:
        raise error

    replace("serve", run_engine=serve)
    assert commands.main(["serve"]) == 1
    assert lines_of(capsys) == ([], ["trunkline: udp://h:1: address already in use"])


def test_ctrl_c_is_one_line_and_1_and_for_a_trunk_the_way_to_end(
    replace: Replace, capsys: pytest.CaptureFixture[str]
) -> None:
    async def interrupted(_order: object) -> int:
        raise KeyboardInterrupt

    replace("call", place_call=interrupted)
    replace("trunk", play_trunk=interrupted)
    assert commands.main(["call", "5", "--via", "h"]) == 1
    assert lines_of(capsys) == ([], ["trunkline: interrupted"])
    assert commands.main(["trunk"]) == 0
    assert lines_of(capsys) == ([], [])


def test_the_trunks_beside_the_engine_end_with_it(replace: Replace) -> None:
    seen: list[str] = []
    both = asyncio.Event()

    async def play(order: TrunkOrder) -> int:
        seen.append(f"{order.listen[0]}={order.status}")
        if len(seen) == 2:
            both.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")
        return 0

    async def serve(_path: Path) -> int:
        await both.wait()
        return 0

    replace("serve", run_engine=serve)
    replace("serve", play_trunk=play)
    assert commands.main(["serve", "--with-trunk", "127.0.0.2:5080=503", "--with-trunk", "127.0.0.3:5080"]) == 0
    assert seen == ["udp://127.0.0.2:5080=503", "udp://127.0.0.3:5080=200", "ended", "ended"]


def test_a_trunk_that_cannot_start_ends_the_engine_with_its_reason(
    replace: Replace, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[bool] = []

    async def play(_order: TrunkOrder) -> int:
        raise ListenError("udp://127.0.0.2:5080: address already in use")

    async def serve(_path: Path) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return 0

    replace("serve", run_engine=serve)
    replace("serve", play_trunk=play)
    assert commands.main(["serve", "--with-trunk", "127.0.0.2:5080"]) == 1
    assert ended == [True]
    hint = "; where this runs already in another terminal, end it there with Ctrl-C"
    assert lines_of(capsys) == ([], [f"trunkline: udp://127.0.0.2:5080: address already in use{hint}"])


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    root = Path(__file__).parents[2]
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "service.cli", "explain", "-c", str(DEMO), "+821012345678"],
            cwd=root,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"")


def test_without_a_command_there_is_the_help_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main([]) == 2
    out, err = capsys.readouterr()
    assert "providercall" in out + err
    assert "trunkline: " not in out + err


def test_explain_shows_an_extension(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("api: {listen: ''}\nstore: ':memory:'\nextensions: [{name: '101', password: secret-secret}]\n")
    assert commands.main(["explain", "-c", str(path), "101"]) == 0
    out, _ = lines_of(capsys)
    assert out[0].startswith("101 is an extension: its registered phones ring; 480 where none is registered;")
    assert out[1].startswith("  from a trunk: 404 Not Found")
    assert out[2] == "  from a client: the phones of extension 101 ring (for a phone, where it is its customer's)"
