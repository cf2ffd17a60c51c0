"""Sound files that flows name and that are not there: told with their places, a fault for `check` alone."""

import socket
from pathlib import Path

import pytest

from config.loading import load
from service.cli import commands

TEXT = """\
media: {sounds: prompts, largest_sound: 1000}
flows:
  - name: menu
    actions:
      - {type: play, option: {sources: [welcome.wav, "tone:425/100", "https://example.com/a.wav", "${name}.wav"]}}
      - type: play
        option:
          sources:
            - welcome.wav
            - de/welcome.wav
      - {type: play, option: {sources: [welcome.wav, ../secret.wav, de, long.wav]}}
      - type: call
        option:
          destinations: [{type: tel, target: "+15550001111"}]
          actions:
            - {type: play, option: {sources: [reminder.wav]}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "prompts" / "de").mkdir(parents=True)
    (tmp_path / "prompts" / "welcome.wav").write_bytes(b"RIFF")
    (tmp_path / "prompts" / "long.wav").write_bytes(bytes(1001))
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    path = tmp_path / "t.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_each_missing_sound_is_reported_with_its_line(file: Path) -> None:
    place = "option.sources"
    outside = "leads out of the sounds folder; name the file by its path below that folder"
    folder = file.parent / "prompts"
    assert load(file, {}).missing == [
        f"{file}:10: flows[0].actions[1].{place}[1]: there is no file 'de/welcome.wav' in the sounds folder, {folder}",
        f"{file}:11: flows[0].actions[2].{place}[1]: '../secret.wav' {outside}",
        f"{file}:11: flows[0].actions[2].{place}[2]: 'de' is a folder; name a file in it",
        f"{file}:11: flows[0].actions[2].{place}[3]: 'long.wav' has 1001 bytes; media.largest_sound allows 1000",
        f"{file}:16: flows[0].actions[3].option.actions[0].{place}[0]: "
        f"there is no file 'reminder.wav' in the sounds folder, {folder}",
    ]


def test_check_calls_it_a_fault(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["check", "-c", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.partition(": ")[0] for line in said.err.splitlines()] == [
        f"{file}:{line}" for line in (10, 11, 11, 11, 16)
    ]
    (file.parent / "t.yaml").write_text(TEXT.partition("      - type: play")[0])
    assert commands.main(["check", "-c", str(file)]) == 0


def test_serve_starts_all_the_same_and_says_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:  # so that it ends at once
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        file.write_text(TEXT + f"sip: {{listen: ['udp://127.0.0.1:{port}']}}\napi: {{listen: ''}}\n")
        assert commands.main(["serve", "-c", str(file)]) == 1
    *told, last = capsys.readouterr().err.splitlines()
    assert [line.partition(": flows")[0] for line in told] == [
        f"trunkline: {file}:{line}" for line in (10, 11, 11, 11, 16)
    ]
    assert all(line.endswith("; until that is mended it is left out") for line in told)
    assert "address already in use" in last
