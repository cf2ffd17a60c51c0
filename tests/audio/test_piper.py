"""piper: which model speaks, how the program is run, and what becomes of one that fails. The program is a stand-in."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from engine.audio.errors import SoundError
from engine.audio.tts.piper import Piper
from engine.audio.tts.speech import find, voice_request
from engine.audio.tts.ssml import read

PROGRAM = """#!{python}
import json, os, sys, time
arguments = sys.argv[1:]
text = sys.stdin.read()
open({log!r}, "a").write(json.dumps([arguments, text, sorted(os.environ), os.getpid()]) + "\\n")
if "slow" in text:
    time.sleep(60)
if "fail" in text:
    sys.exit("cannot load the model")
if "endless" in text:
    while True:
        sys.stdout.buffer.write(bytes(65536))
sys.stdout.buffer.write(b"\\x00\\x10" * 2205 * len(text.strip()))
"""


class Stand:
    """A folder of models, and a program that says of each text 100 ms a character."""

    def __init__(self, folder: Path, *models: str) -> None:
        self.folder = folder
        self.log = folder / "log"
        program = folder / "piper"
        program.write_text(PROGRAM.format(python=sys.executable, log=str(self.log)))
        program.chmod(0o700)
        for name in models:
            (folder / f"{name}.onnx").write_bytes(b"model")
            config = {"audio": {"sample_rate": 22050}, "language": {"code": name.partition("-")[0]}}
            (folder / f"{name}.onnx.json").write_text(json.dumps(config))
        self.piper = Piper(folder, 60, [str(program)])

    @property
    def runs(self) -> list[tuple[list[str], str, list[str], int]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


MODELS = ("de_DE-thorsten-medium", "en_GB-alan-low", "en_US-amy-low", "en_US-ryan-high", "fr_FR-mystery-low")


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path, *MODELS)


async def test_the_text_goes_by_standard_input_and_the_sound_comes_back(stand: Stand) -> None:
    clip = await stand.piper.speak(read("Hi\nyou; rm -rf"), voice_request("en-US", "female", ""))
    assert clip.rate == 22050
    assert clip.seconds == pytest.approx(len("Hi you; rm -rf") / 10)
    ((arguments, text, environment, _),) = stand.runs
    assert arguments == ["--model", str(stand.folder / "en_US-amy-low.onnx"), "--output_raw"]
    assert text == "Hi you; rm -rf\n"
    assert not [name for name in environment if name.startswith("TRUNKLINE")]


async def test_markup_is_said_as_words(stand: Stand) -> None:
    await stand.piper.speak(read("<speak>One<break time='1s'/>two</speak>"), voice_request("en-US", "female", ""))
    assert stand.runs[0][1] == "One, two\n"


@pytest.mark.parametrize(
    ("language", "gender", "voice", "model"),
    [
        ("en-US", "female", "", "en_US-amy-low"),
        ("en-US", "male", "", "en_US-ryan-high"),
        ("en-GB", "male", "", "en_GB-alan-low"),
        ("en-GB", "female", "", "en_US-amy-low"),  # the language first, then the region
        ("en-AU", "male", "", "en_GB-alan-low"),
        ("de", "male", "", "de_DE-thorsten-medium"),
        ("de", "neutral", "", "de_DE-thorsten-medium"),
        ("fr", "female", "", "fr_FR-mystery-low"),  # nobody knows whose voice it is
        ("en-US", "female", "EN_us-Ryan-high", "en_US-ryan-high"),
        ("de", "female", "", None),
        ("it", "female", "", None),
        ("en-US", "female", "nobody", None),
    ],
)
async def test_which_model_speaks(stand: Stand, language: str, gender: str, voice: str, model: str | None) -> None:
    wanted = voice_request(language, gender, voice)
    assert await stand.piper.speaks(wanted) is (model is not None)
    if model is not None:
        await stand.piper.speak(read("x"), wanted)
        assert stand.runs[0][0][1] == str(stand.folder / f"{model}.onnx")


async def test_models_that_are_not_whole_are_passed_over(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "en_US-amy-low")
    (tmp_path / "it_IT-paola-medium.onnx").write_bytes(b"model")  # its .json is missing
    (tmp_path / "es_ES-x-low.onnx").write_bytes(b"model")
    (tmp_path / "es_ES-x-low.onnx.json").write_text("[]")
    assert await stand.piper.languages() == ["en-us"]


async def test_without_the_program_there_is_no_voice(tmp_path: Path) -> None:
    Stand(tmp_path, "en_US-amy-low")
    piper = Piper(tmp_path, command=[])
    assert await piper.languages() == []
    with pytest.raises(SoundError, match="nothing here can speak"):
        await find([piper], voice_request("en", "", ""))


async def test_a_folder_that_is_not_there_has_no_voices(tmp_path: Path) -> None:
    assert await Piper(tmp_path / "none", command=["piper"]).languages() == []


async def test_a_program_that_fails_says_why(stand: Stand) -> None:
    with pytest.raises(SoundError, match=r"en_US-amy-low.onnx \(status 1\): cannot load the model"):
        await stand.piper.speak(read("fail"), voice_request("en-US", "", ""))


async def test_a_program_that_cannot_be_started(stand: Stand) -> None:
    piper = Piper(stand.folder, command=[str(stand.folder / "nothing")])
    with pytest.raises(SoundError, match="nothing cannot be started: No such file"):
        await piper.speak(read("Hi"), voice_request("en-US", "", ""))


def gone(pid: int) -> bool:
    """Ended and reaped: not even a zombie is left."""
    return not Path(f"/proc/{pid}").exists()


async def test_one_that_hangs_is_killed_and_reaped(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.audio.tts.piper.SECONDS", 0.4)
    with pytest.raises(SoundError, match=r"piper did not finish within 0.4 s"):
        await stand.piper.speak(read("slow"), voice_request("en-US", "", ""))
    assert all(gone(run[3]) for run in stand.runs)


async def test_one_that_never_stops_is_killed_and_reaped(stand: Stand) -> None:
    with pytest.raises(SoundError, match="piper made more sound than is allowed"):
        await stand.piper.speak(read("endless"), voice_request("en-US", "", ""))
    assert all(gone(run[3]) for run in stand.runs)


async def test_a_hangup_kills_it(stand: Stand) -> None:
    speaking = asyncio.create_task(stand.piper.speak(read("slow"), voice_request("en-US", "", "")))
    while not stand.log.exists() or not stand.log.read_text().endswith("\n"):
        await asyncio.sleep(0.005)  # the program has no other way to say that it runs
        assert not speaking.done()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    assert gone(stand.runs[0][3])
