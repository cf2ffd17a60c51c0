"""`trunkline flow run`: what is printed, what it comes to, what is refused. Tones alone: no file has to be there."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from service.cli import commands
from service.simulator.order import FlowOrder
from service.simulator.run import run_flow

CONFIGURATION = """
providers:
  - {name: primary, hostname: "192.0.2.1"}
  - {name: secondary, hostname: "192.0.2.2"}
routes:
  - {target: all, provider: primary, priority: 1}
  - {target: all, provider: secondary, priority: 2}
numbers:
  - {number: "+15551234567", provider: primary, call_flow: menu}
  - {number: "+899100000001", call_flow: desk}
flows:
  - name: menu
    actions:
      - {id: ask, type: play, option: {sources: ["tone:425/1000"], digits_stop: true}}
      - {type: digits_receive, option: {length: 1, duration: 3000}}
      - {type: branch, option: {target_ids: {"1": sales, "2": inside}}}
      - {type: variable_set, option: {key: call.digits, value: ""}}
      - {type: goto, option: {target_id: ask, loop_count: 1}}
      - {type: hangup, option: {reason: noanswer}}
      - {id: sales, type: connect, option: {destinations: [{type: tel, target: "+82 10-1234-5678"}]}}
      - {type: hangup}
      - {id: inside, type: connect, option: {destinations: [{type: tel, target: "+899100000001"}]}}
  - name: desk
    actions:
      - {type: beep}
      - {type: sleep, option: {duration: 1500}}
"""


def ran(file: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """The exit code and the lines of a command."""
    code = commands.main(["flow", "run", str(file), *words])
    said = capsys.readouterr()
    return code, (said.out + said.err).splitlines()


@pytest.fixture
def menu(tmp_path: Path) -> Path:
    path = tmp_path / "trunkline.yaml"
    path.write_text(CONFIGURATION)
    return path


def test_a_menu_is_shown_action_by_action(menu: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(menu, capsys, "--called", "+15551234567", "--digits", "9,1", "--caller", "+15550001111") == (
        0,
        [
            "+15550001111 calls +15551234567: flow menu",
            "    0.0 s   1  play [ask]              answered; tone:425/1000  1.0 s",
            '    1.0 s   2  digits_receive          1 key, 3.0 s at most; heard "9"',
            "                                       call.digits=9",
            "    1.5 s   3  branch                  call.digits=9 -> next",
            "    1.5 s   4  variable_set            call.digits=",
            "    1.5 s   5  goto                    -> ask",
            "    1.5 s   1  play [ask]              tone:425/1000  1.0 s",
            '    2.5 s   2  digits_receive          1 key, 3.0 s at most; heard "1"',
            "                                       call.digits=1",
            "    3.0 s   3  branch                  call.digits=1 -> sales",
            "    3.0 s   7  connect [sales]         +821012345678: would dial via primary, secondary (not dialled); "
            "answered, 10 s of talk",
            "                                       connect.status=answered  connect.sip_status=200  "
            "connect.duration=10",
            "   16.0 s   8  hangup                  normal",
            "   16.0 s  hung up by the flow: normal (200)",
            "10 actions",
        ],
    )


@pytest.mark.parametrize(
    ("ending", "status", "seconds"),
    [("busy", "busy", "4.5"), ("noanswer", "noanswer", "31.5"), ("failed", "failed", "7.5")],
)
def test_simulated_calls_end_as_the_options_say(
    menu: Path, capsys: pytest.CaptureFixture[str], ending: str, status: str, seconds: str
) -> None:
    code, lines = ran(menu, capsys, "--flow", "menu", "--digits", "1", "--connect", ending)
    (connect,) = [line for line in lines if "connect [sales]" in line]
    assert connect.endswith(f"(not dialled); {status}")
    assert lines[-3].startswith(f"   {seconds:>4} s   8  hangup")
    assert code == 0


def test_an_own_number_runs_within_the_connect(menu: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = ran(menu, capsys, "--flow", "menu", "--digits", "2")
    place = next(place for place, line in enumerate(lines) if "connect [inside]" in line)
    assert lines[place : place + 5] == [
        "    1.5 s   9  connect [inside]        +899100000001, which is one of our own",
        "                 flow desk",
        "    1.5 s   1    beep                    tone:1000/250  0.2 s",
        "    1.8 s   2    sleep                   1.5 s",
        "               connect                 answered, 1 s of talk",
    ]


LONG = """
- {id: hello, type: play, option: {sources: ["tone:425/3000"]}}
- {type: play, option: {sources: ["tone:425/9000"], digits_stop: "12"}}
- {type: play, option: {sources: ["tone:425/3000"], digits_stop: "1"}}
- {type: digits_receive, option: {length: 2}}
- {type: play, option: {sources: ["tone:425/9000"], digits_stop: "1"}}
- {type: digits_receive, option: {length: 1}}
"""


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        # A key that is kept stops what may be stopped by it behind that, as on a real call.
        ("12,1", ["3.0 s", "stopped by 1 after 2.0 s", "stopped by 1", 'heard "12"', "by 1 after 2.0 s", 'heard "1"']),
        ("2", ["3.0 s", "stopped by 2 after 2.0 s", "tone:425/3000  3.0 s", 'heard "2"', "9.0 s", "heard nothing"]),
        (",1", ["3.0 s", "9.0 s", "3.0 s", "heard nothing", "stopped by 1 after 2.0 s", 'heard "1"']),
        ("3", ["3.0 s", "9.0 s", "3.0 s", 'heard "3"', "9.0 s", "heard nothing"]),
    ],
)
def test_a_key_cuts_a_prompt_short_that_it_may_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: str, shown: list[str]
) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(LONG)
    code, lines = ran(path, capsys, "--digits", keys)
    actions = [line for line in lines if re.match(r" +[0-9.]+ s +[0-9]+ ", line)]
    assert [line for line, what in zip(actions, shown, strict=True) if not line.endswith(what)] == [], lines
    assert code == 0


def test_a_caller_who_presses_nothing(menu: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = ran(menu, capsys, "--flow", "menu")
    assert next(line for line in lines if "heard nothing" in line).startswith("    1.0 s   2  digits_receive")
    assert lines[-2:] == ["    8.0 s  hung up by the flow: noanswer (200)", "11 actions"]
    assert code == 0


def test_a_caller_who_hangs_up_in_a_prompt(menu: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = ran(menu, capsys, "--flow", "menu", "--hangup-after", "0.4")
    assert lines[1:] == [
        "    0.0 s   1  play [ask]              answered; tone:425/1000  1.0 s; cut off by the hangup",
        "    0.4 s  hung up by the caller: normal (200)",
        "1 action",
    ]
    assert code == 0


ONE = {
    "endless": (
        [{"type": "play", "option": {"sources": ["tone:ringback"], "digits_stop": "5"}}, {"type": "digits_receive"}],
        ["--digits", "5"],
        ['tone:ringback  stopped by 5 after 2.0 s', 'heard "5"'],
    ),
    "kept waiting": (
        [{"type": "answer"}, {"type": "block"}],
        ["--patience", "7"],
        ["block                   cut off by the hangup", "    7.0 s  hung up by the caller: normal (200)"],
    ),
    "night": (
        [
            {"type": "condition_datetime", "option": {"condition": "<", "hour": 18, "false_target_id": "night"}},
            {"type": "answer"},
            {"id": "night", "type": "reject", "option": {"code": 480, "reason": "Closed"}},
        ],
        ["--at", "2026-12-24T19:30"],
        ["2026-12-24 19:30 UTC < hour=18; false -> night", "[night]          480 Closed", "(never answered, 480)"],
    ),
    "recording": (
        [
            {"type": "recording_start", "option": {"end_of_key": "#"}},
            {"type": "digits_receive", "option": {"key": "#"}},
            {"type": "recording_stop"},
        ],
        ["--digits", "12#"],
        ['until #, 5.0 s at most; heard "12#"', "recording_stop          1.5 s, ended by key"],
    ),
    "voicemail, ended by the key": (
        [
            {"type": "recording_start", "option": {"end_of_key": "#", "end_of_silence": 3000, "wait": True}},
            {"type": "sleep", "option": {"duration": 1000}},
        ],
        ["--digits", "#"],
        ["until #, until 3.0 s of silence, waits for its end; answered; 5.0 s, ended by key", "5.0 s   2  sleep"],
    ),
    "voicemail, ended by silence": (
        [
            {"type": "recording_start", "option": {"duration": 9000, "end_of_silence": 3000, "wait": True}},
            {"type": "digits_receive", "option": {"length": 1}},
        ],
        ["--digits", ",1"],
        ["8.0 s, ended by silence", 'heard "1"'],
    ),
    "voicemail, at its longest": (
        [
            {"type": "recording_start", "option": {"duration": 9000, "end_of_key": "#", "wait": True}},
            {"type": "sleep", "option": {"duration": 1000}},
        ],
        [],
        ["9.0 s, ended by duration", "9.0 s   2  sleep"],
    ),
    "recorded to the end": (
        [{"type": "recording_start"}, {"type": "sleep", "option": {"duration": 3200}}],
        [],
        ["1.wav: 3.2 s, ended by hangup"],
    ),
    "web": (
        [
            {"type": "webhook_send", "option": {"uri": "https://example.com/a", "sync": True}},
            {"type": "fetch", "option": {"event_url": "https://example.com/b"}},
            {"type": "fetch", "option": {"event_url": "https://example.com/c", "event_method": "GET"}},
            {"type": "play", "option": {"sources": ["https://example.com/d.wav"]}},
            {"type": "call", "option": {"destinations": [{"type": "tel", "target": "+15550001111"}]}},
        ],
        [],
        [
            "POST https://example.com/a (not sent)",
            "POST https://example.com/b (not asked)",
            "GET https://example.com/c (not asked)",
            "https://example.com/d.wav (not fetched)  0.0 s",
            "+15550001111: would be called (not called)",
        ],
    ),
    "variables": (
        [{"type": "condition_variable", "option": {"variable": "tier", "value": "gold", "false_target_id": "end"}},
         {"type": "digits_send", "option": {"digits": "${pin}"}}, {"id": "end", "type": "hangup"}],
        ["--variables", "tier=gold", "--variables", "pin=42"],
        ["tier ('gold') == gold; true -> next", "digits_send             answered; 42"],
    ),
}  # fmt: skip


def test_a_room_is_joined_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("- {type: conference_join, option: {conference_id: lounge}}\n- {type: beep}\n")
    code, lines = ran(path, capsys, "--talk", "4")
    assert "lounge; answered; joined, for 4.0 s (nobody is there)" in lines[1]
    assert "conference.status=joined  conference.duration=4  conference.members=1" in lines[2]
    assert lines[3].startswith("    4.0 s   2  beep")
    assert code == 0


@pytest.mark.parametrize(
    ("ending", "expected"),
    [("answered", "answered after 3 s, 4 s of talk"), ("busy", "timeout after 30 s")],
)
def test_a_queue_is_waited_in_as_calls_are_said_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str, expected: str
) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("- {type: queue_join, option: {queue_id: sales}}\n- {type: beep}\n")
    code, lines = ran(path, capsys, "--talk", "4", "--connect", ending)
    assert f"sales (nobody is rung); answered; {expected}" in lines[1]
    assert f"queue.status={expected.split()[0]}" in lines[2]
    assert code == 0


def test_a_flow_in_python_finds_queues_and_conferences_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "from flows.python import flow\n"
        "@flow('mine')\n"
        "async def mine(call):\n"
        "    if await call.queue_join('sales') == 'answered':\n"
        "        await call.conference_join('lounge')\n"
    )
    path = tmp_path / "trunkline.yaml"
    path.write_text("flows_module: mine.py\nnumbers:\n  - {number: '+899100000001', call_flow: mine}\n")
    code, lines = ran(path, capsys, "--called", "+899100000001")
    assert "conference.status=joined" in "\n".join(lines)
    assert code == 0


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("form", ["list", "object"])
def test_a_file_with_one_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, form: str) -> None:
    actions, words, expected = ONE[name]
    path = tmp_path / "one.json"
    path.write_text(json.dumps(actions if form == "list" else {"name": "mine", "actions": actions}))
    code, lines = ran(path, capsys, *words)
    text = "\n".join(lines)
    for part in expected:
        assert part in text, text
    assert lines[0].endswith("flow one" if form == "list" else "flow mine")
    assert code == 0


def test_what_fails_is_shown_counted_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(
        "- {id: p, type: play, option: {sources: [gone.wav, 'tone:425/500']}}\n"
        "- {type: play, option: {sources: [gone.wav]}}\n"
        "- {type: fetch_flow, option: {flow_id: '${nothing}x'}}\n"
        "- {type: digits_send, option: {digits: '${nothing}'}}\n"
    )
    code, lines = ran(path, capsys)
    assert code == 1
    assert lines[1:] == [
        "    0.0 s   1  play [p]                answered; tone:425/500  0.5 s",
        f"                source left out: there is no file 'gone.wav' in the sounds folder, {tmp_path}/sounds",
        "    0.5 s   2  play                    gone.wav; failed: none of the sources could be had",
        f"                source left out: there is no file 'gone.wav' in the sounds folder, {tmp_path}/sounds",
        "    0.5 s   3  fetch_flow              failed: there is no flow 'x'",
        "               digits_send             failed: digits: must not be empty; write a value",
        "    0.5 s  hung up by the flow: normal (200)",
        "3 actions, 5 problems",
    ]


def test_a_flow_that_turns_in_circles_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("- {id: a, type: empty}\n- {type: goto, option: {target_id: a}}\n")
    code, lines = ran(path, capsys)
    assert code == 1
    assert "too many actions: the call has run as many actions as a call may, and is hung up" in lines[-3]
    assert lines[-2:] == ["    0.0 s  hung up by the flow: failed (never answered, 500)", "1000 actions, 1 problem"]


def test_what_completes_a_flow_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        "flows:\n"
        "  - {name: main, on_complete_flow_id: after, actions: [{type: hangup}]}\n"
        "  - {name: after, actions: [{type: beep}, {type: webhook_send, option: {uri: 'https://example.com/'}}]}\n"
    )
    code, lines = ran(path, capsys, "--flow", "main")
    assert lines[1:5] == [
        "    0.0 s   1  hangup                  normal",
        "               flow after",
        "    0.0 s   1  beep                    skipped: the call is over",
        "    0.0 s   2  webhook_send            POST https://example.com/ (not sent)",
    ]
    assert code == 0


def test_a_queue_of_the_file_overflows_as_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        "queues: [{name: sales, wait_timeout: 45000, overflow_flow: night}]\n"
        "flows:\n"
        "  - {name: office, actions: [{type: queue_join, option: {queue_id: sales}}]}\n"
        "  - {name: night, actions: [{type: beep}]}\n"
    )
    code, lines = ran(path, capsys, "--flow", "office", "--connect", "noanswer")
    assert code == 0
    assert any("timeout after 45 s" in line for line in lines) or any("-> flow night" in line for line in lines)
    assert any(re.match(r" +45.0 s +1 +beep", line) for line in lines), lines


def test_what_completes_a_flow_knows_the_recording_that_the_hangup_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        "flows:\n"
        "  - name: box\n"
        "    on_complete_flow_id: after\n"
        "    actions: [{type: recording_start}, {type: digits_receive, option: {duration: 60000}}]\n"
        "  - {name: after, actions: [{type: variable_set, option: {key: a, value: '${recording.duration}'}}]}\n"
    )
    code, lines = ran(path, capsys, "--flow", "box", "--hangup-after", "3")
    assert (code, any(line.strip().endswith("a=3000") for line in lines)) == (0, True), lines


def test_a_flow_in_python_shows_what_it_orders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "from flows.python import FlowCall, flow\n"
        '@flow("py")\n'
        "async def py(call: FlowCall) -> None:\n"
        '    await call.play("tone:425/1000")\n'
        "    if await call.digits_receive(length=1) == '1':\n"
        "        await call.connect('+821012345678')\n"
    )
    path = tmp_path / "t.yaml"
    path.write_text("flows_module: mine.py\n")
    code, lines = ran(path, capsys, "--flow", "py", "--digits", "1")
    assert "    0.0 s   1  python                  py" in lines
    assert any(line.strip() == "tone:425/1000  1.0 s" for line in lines)
    assert code == 0


REFUSED = [
    (["--digits", "x"], "trunkline: Invalid value for '--digits': only 0-9, *, #, A-D and commas can be pressed; see"),
    (["--connect", "maybe"], "trunkline: Invalid value for '--connect': 'maybe' is not known; use answered, busy,"),
    (["--variables", "x"], "trunkline: Invalid value for '--variables': 'x' sets nothing; write NAME=VALUE; see"),
    (
        ["--variables", "call.id=1"],
        "trunkline: Invalid value for '--variables': call.id is set by the engine and cannot be changed;",
    ),
    (["--at", "noon"], "trunkline: Invalid value for '--at': 'noon' is no time; write it like 2026-12-24T18:00; see"),
    (["--flow", "x"], "trunkline: Invalid value for '--flow': there is no flow 'x' in t.yaml; it has: desk, menu; see"),
    (
        ["--called", "+1555"],
        "trunkline: Invalid value for '--called': +1555 is none of the numbers in t.yaml; choose a",
    ),
    ([], "trunkline: t.yaml has the flows desk, menu; choose one with --flow or --called; see"),
    (
        ["--called", "+15551234567", "--text", "hello"],
        "trunkline: Invalid value for '--called': +15551234567 has no message flow in t.yaml, and takes no text but "
        "STOP, START and HELP; give it one, or choose one with --flow; see",
    ),
]


@pytest.mark.parametrize(("words", "sentence"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_wrong_usage_is_one_line_and_2(
    menu: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: Any, sentence: str
) -> None:
    monkeypatch.chdir(menu.parent)
    menu.rename("t.yaml")
    code, (line,) = ran(Path("t.yaml"), capsys, *words)
    assert line.startswith(sentence)
    assert code == 2


def test_faults_of_a_flow_have_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.yaml"
    for text, line in (("- {type: answer}\n- {type: sleep}\n", 2), ("name: x\nactions:\n- {type: sleep}\n", 3)):
        path.write_text(text)
        code, (said,) = ran(path, capsys)
        assert re.fullmatch(rf"{path}:{line}: .*option.duration: is missing; add it", said), said
        assert code == 2
    code, (said,) = ran(tmp_path / "none.yaml", capsys)
    assert (
        said == f"{tmp_path}/none.yaml: cannot be read: No such file or directory; check the path and the permissions"
    )
    assert code == 2


async def test_a_terminal_gets_colours(menu: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    assert await run_flow(FlowOrder(file=menu, flow="desk", caller="+15550001111"), console) == 0
    shown = console.file.getvalue()
    assert "\x1b[36mbeep\x1b[0m" in shown
    assert "\x1b[1mflow desk\x1b[0m" in shown


TEXTS = """
numbers:
  - {number: "+15551234567", message_flow: texts}
flows:
  - name: texts
    actions:
      - {type: branch, option: {variable: message.text, target_ids: {HOURS: hours}, default_target_id: desk}}
      - {id: hours, type: message_send, option: {text: "Mon-Fri 9-5"}}
      - {type: stop}
      - id: desk
        type: message_send
        option: {destinations: [{type: tel, target: "+15550009999"}], text: "${message.source.number}: ${message.text}"}
"""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            " hours",
            [
                "    0.0 s   1  branch                  message.text= hours -> hours",
                '    0.0 s   2  message_send [hours]    to +15550001111: "Mon-Fri 9-5"; (not sent)',
                "    0.0 s   3  stop",
                "3 actions",
            ],
        ),
        (
            "Where?",
            [
                "    0.0 s   1  branch                  message.text=Where? -> desk",
                '    0.0 s   4  message_send [desk]     to +15550009999: "+15550001111: Where?"; (not sent)',
                "2 actions",
            ],
        ),
        (
            "stop",
            [
                '               answered: "You get no more messages from +15551234567. Reply START to get them again."',
                "               +15551234567 sends +15550001111 no more messages, until it texts START",
                "               flow texts does not run",
                "0 actions",
            ],
        ),
        (
            "START",
            [
                '               answered: "You get messages from +15551234567 again. Reply STOP to end them." '
                "(where it had texted STOP)",
                "               flow texts does not run",
                "0 actions",
            ],
        ),
        (
            "yes",
            [
                "    0.0 s   1  branch                  message.text=yes -> desk",
                '    0.0 s   4  message_send [desk]     to +15550009999: "+15550001111: yes"; (not sent)',
                "2 actions",
            ],
        ),
    ],
)
def test_a_text_runs_the_message_flow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, shown: list[str]
) -> None:
    path = tmp_path / "trunkline.yaml"
    path.write_text(TEXTS)
    code, lines = ran(path, capsys, "--text", words, "--caller", "+15550001111")
    assert (code, lines) == (0, ["+15550001111 texts +15551234567: flow texts", *shown])


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (
            "help",
            ['answered: "Reply STOP to get no more messages from +15551234567, START to get them again."', "0 actions"],
        ),
        (
            "Stop.",
            [
                'answered: "You get no more messages from +15551234567. Reply START to get them again."',
                "+15551234567 sends +15550001111 no more messages, until it texts START",
                "0 actions",
            ],
        ),
        ("YES", ["not answered: it would be, where it had texted STOP", "0 actions"]),
    ],
)
def test_the_words_that_end_messages_work_on_numbers_without_a_message_flow(
    menu: Path, capsys: pytest.CaptureFixture[str], word: str, shown: list[str]
) -> None:
    code, lines = ran(menu, capsys, "--text", word, "--called", "+15551234567", "--caller", "+15550001111")
    assert code == 0
    first, *rest = lines
    assert first == "+15550001111 texts +15551234567: no message flow"
    assert [line.strip() for line in rest] == shown


def test_a_text_goes_to_the_only_number_that_has_a_message_flow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXTS + "  - {name: other, actions: [{type: answer}]}\n")
    code, lines = ran(path, capsys, "--text", "HOURS")
    assert (code, lines[0]) == (0, "+15555550123 texts +15551234567: flow texts")
