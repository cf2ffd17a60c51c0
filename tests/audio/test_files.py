"""Sound files: what is played, and what is refused with which sentence."""

import os
import re
import time
from pathlib import Path

import numpy
import pytest

from engine.audio import files
from engine.audio.errors import SoundError
from tests.audio.signals import decibels, sine, strongest, write

LARGEST = 1_000_000

FORMS = [
    ("wav", "pcm_s16le", "s16", 8000),
    ("wav", "pcm_mulaw", "s16", 8000),
    ("wav", "pcm_u8", "u8", 11025),
    ("wav", "pcm_s24le", "s32", 44100),
    ("wav", "pcm_f32le", "flt", 96000),
    ("mp3", "libmp3lame", "fltp", 44100),
    ("mp3", "libmp3lame", "s16p", 16000),
    ("ogg", "vorbis", "fltp", 48000),
    ("ogg", "libopus", "flt", 48000),
    ("flac", "flac", "s16", 22050),
]


def form(samples: numpy.typing.NDArray[numpy.int16], name: str) -> numpy.typing.NDArray[numpy.generic]:
    """16-bit samples as FFmpeg's sample format `name`."""
    if name == "u8":
        return (samples // 256 + 128).astype(numpy.uint8)
    if name.startswith("flt"):
        return (samples / 32768).astype(numpy.float32)
    return samples.astype(numpy.int32) * 65536 if name == "s32" else samples


@pytest.mark.parametrize(
    ("kind", "codec", "name", "rate", "channels"),
    # FFmpeg's own encoder of Vorbis makes two channels only.
    [(*each, channels) for each in FORMS for channels in (1, 2) if (each[1], channels) != ("vorbis", 1)],
)
def test_every_kind_of_file_is_mixed_to_one_channel_of_the_right_level_and_pitch(
    kind: str, codec: str, name: str, rate: int, channels: int
) -> None:
    tone = form(sine(1000, 0.5, rate), name)
    clip = files.decode(write(None, numpy.stack([tone] * channels), rate, kind, codec, name), "x", 60)
    assert clip.rate == min(rate, 48000)
    assert clip.seconds == pytest.approx(0.5, abs=0.06)  # MP3 has silence at both ends
    heard = clip.at(8000).samples
    frequency, height = strongest(heard[800:-800], 8000)
    assert frequency == pytest.approx(1000, abs=1)
    assert abs(decibels(height / 8000)) < 0.5


def test_channels_are_their_mean() -> None:
    loud = sine(1000, 0.2, 8000, 20000)
    silent = numpy.zeros_like(loud)
    clip = files.decode(write(None, numpy.stack([loud, silent]), 8000), "x", 60)
    assert abs(clip.samples).max() == pytest.approx(10000, abs=2)
    both = files.decode(write(None, numpy.stack([loud, -loud]), 8000), "x", 60)
    assert not both.samples.any()


def test_a_long_sound_is_kept_at_a_lower_rate_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONG", 0.5)
    clip = files.decode(write(None, sine(1000, 1.5, 48000), 48000), "x", 60)
    assert (clip.rate, clip.seconds) == (16000, pytest.approx(1.5, abs=0.001))
    samples = clip.samples[400:-400].astype(float)
    places = numpy.arange(400, 400 + len(samples)) * 2 * numpy.pi * 1000 / 16000
    base = numpy.stack((numpy.cos(places), numpy.sin(places)), axis=1)
    assert abs(samples - base @ numpy.linalg.lstsq(base, samples)[0]).max() < 3


def test_the_length_is_measured_in_what_is_decoded_not_taken_from_the_header() -> None:
    small = write(None, numpy.zeros(8000 * 60, numpy.int16), 8000, "mp3", "libmp3lame", "s16p")
    assert len(small) < 100_000
    with pytest.raises(SoundError, match=r"'hours.mp3' is longer than 30 s"):
        files.decode(small, "hours.mp3", 30)


def test_decoding_that_takes_too_long_is_given_up() -> None:
    now = iter([0.0, 1.0])
    with pytest.raises(SoundError, match="was not decoded within 20 s"):
        files.decode(write(None, sine(1000, 1, 8000), 8000), "x", 60, lambda: next(now, 21.0))


TONE = write(None, sine(1000, 0.1, 8000), 8000)
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is no WAV, MP3, OGG or FLAC"),
        (b"hello, world" * 100, "is no WAV, MP3, OGG or FLAC"),
        (PLAYLIST, "is no WAV, MP3, OGG or FLAC"),
        (b"RIFF" + bytes(400), "is broken"),
        (
            b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0",
            "no sound",
        ),
        (TONE[:20] + b"\x77\x77" + TONE[22:], "'x.wav' is coded in a way that is not known; convert it to 16-bit PCM"),
        (TONE[:20] + b"\x61\x01" + TONE[22:], "is coded as wmav2, which is not played"),
        (b"OggS" + os.urandom(2000), "is broken|no sound"),
        (b"fLaC" + bytes(2000), "is broken|no sound"),
        (b"ID3" + bytes(3000), "is broken|no sound"),
        (b"\xff\xfb\x90\x00" + bytes(3000), "is broken|no sound"),
    ],
)
def test_what_is_no_sound_is_refused(content: bytes, error: str) -> None:
    with pytest.raises(SoundError, match=error):
        files.decode(content, "x.wav", 60)


@pytest.mark.parametrize("kind", ["wav", "mp3", "ogg", "flac"])
def test_damage_anywhere_gives_a_sound_or_an_error_and_nothing_else(kind: str) -> None:
    codec, name = {"wav": ("pcm_s16le", "s16"), "mp3": ("libmp3lame", "s16p"), "ogg": ("libopus", "s16")}.get(
        kind, ("flac", "s16")
    )
    whole = bytearray(write(None, form(sine(1000, 0.3, 16000), name), 16000, kind, codec, name))
    random = numpy.random.default_rng(4)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in random.integers(4, len(whole), 20):
            damaged[place] = int(random.integers(256))
        content = bytes(damaged[: int(random.integers(8, len(whole)))])
        try:
            clip = files.decode(content, "x", 60)
        except SoundError:
            continue
        assert clip.seconds <= 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "sounds"
    (root / "de").mkdir(parents=True)
    for place in (root / "hello.wav", root / "de" / "hallo.wav", tmp_path / "secret.wav"):
        write(place, sine(1000, 0.1, 8000), 8000)
    return root


@pytest.mark.parametrize("name", ["hello.wav", "de/hallo.wav", "./hello.wav"])
def test_files_are_found_in_the_folder_and_below(folder: Path, name: str) -> None:
    found = files.find(folder, name, LARGEST)
    assert files.decode(files.read(found, LARGEST), name, 60).seconds == pytest.approx(0.1)


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "link.wav").symlink_to("de/hallo.wav")
    assert files.find(folder, "link.wav", LARGEST).path == folder / "de" / "hallo.wav"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("gone.wav", "there is no file 'gone.wav' in the sounds folder"),
        ("hello.wav/x", "there is no file 'hello.wav/x'"),
        ("../secret.wav", "'../secret.wav' leads out of the sounds folder"),
        ("de/../../secret.wav", "leads out of the sounds folder"),
        ("/etc/passwd", "'/etc/passwd' leads out of the sounds folder"),
        ("out.wav", "'out.wav' is a link out of the sounds folder"),
        ("outer/secret.wav", "is a link out of the sounds folder"),
        ("loop.wav", "'loop.wav' cannot be read"),
        ("de", "'de' is a folder; name a file in it"),
        ("", "is a folder"),
        ("fifo.wav", "'fifo.wav' is no plain file"),
        ("large.wav", "'large.wav' has 1000001 bytes; media.largest_sound allows 1000000"),
        ("a\0b", "'a?b' cannot be read"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_everything_else_has_its_sentence(folder: Path, name: str, error: str) -> None:
    (folder / "out.wav").symlink_to("../secret.wav")
    (folder / "outer").symlink_to("..")
    (folder / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(folder / "fifo.wav")
    (folder / "large.wav").write_bytes(bytes(LARGEST + 1))
    before = time.monotonic()
    with pytest.raises(SoundError, match=re.escape(error)):
        files.find(folder, name, LARGEST)
    assert time.monotonic() - before < 10  # nobody waits for a FIFO's writer


def test_a_file_that_has_become_something_else_is_not_read(folder: Path) -> None:
    found = files.find(folder, "hello.wav", LARGEST)
    found.path.unlink()
    os.mkfifo(found.path)
    with pytest.raises(SoundError, match="is no plain file"):
        files.read(found, LARGEST)
    found.path.unlink()
    found.path.symlink_to("../secret.wav")
    with pytest.raises(SoundError, match="cannot be read"):
        files.read(found, LARGEST)
    found.path.unlink()
    found.path.write_bytes(bytes(LARGEST + 1))
    with pytest.raises(SoundError, match="has more than 1000000 bytes"):
        files.read(found, LARGEST)


def test_a_file_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = files.find(folder, "hello.wav", LARGEST)

    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(SoundError, match=r"'hello.wav' cannot be read: Permission denied"):
        files.read(found, LARGEST)


def test_a_changed_file_is_another_sound(folder: Path) -> None:
    first = files.find(folder, "hello.wav", LARGEST)
    write(folder / "hello.wav", sine(500, 0.2, 8000), 8000)
    assert files.find(folder, "hello.wav", LARGEST) != first
