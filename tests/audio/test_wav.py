"""What a killed process leaves of a recording, and what is made of it."""

import os
import wave
from pathlib import Path

import pytest

from engine.audio.wav import PART, WavFile, repair


def left(path: Path, *chunks: bytes, channels: int = 1, rate: int = 16_000) -> Path:
    """A file that is written and never finished."""
    file = WavFile(path, channels)
    file.open()
    for chunk in chunks:
        file.append(chunk, rate)
    return path.with_name(path.name + PART)


@pytest.mark.parametrize(("channels", "torn"), [(1, b""), (2, b""), (1, b"x"), (2, b"xyz")])
def test_all_that_was_written_is_a_whole_file(tmp_path: Path, channels: int, torn: bytes) -> None:
    path = tmp_path / "a.wav"
    samples = bytes(range(200)) * 160
    part = left(path, samples, samples, channels=channels)
    with part.open("ab") as file:
        file.write(torn)  # of the sample that it was about to write
    os.utime(part, (1_700_000_000, 1_700_000_000))
    assert repair(path) == (44 + 64_000, 64_000 / 2 / channels / 16_000)
    assert not part.exists()
    assert path.stat().st_mtime == 1_700_000_000
    with wave.open(str(path)) as found:
        assert (found.getnchannels(), found.getframerate(), found.getsampwidth()) == (channels, 16_000, 2)
        assert found.readframes(10**6) == samples * 2


@pytest.mark.parametrize("content", [None, b"", b"RIFF", bytes(44), bytes(5000), b"RIFF" + bytes(5000)])
def test_one_in_which_nothing_was_said_is_gone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.wav"
    part = left(path)
    if content is not None:
        part.write_bytes(content)
    assert repair(path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        repair(tmp_path / "a.wav")
