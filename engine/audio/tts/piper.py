"""piper: neural voices that run on the processor, one .onnx model with its .onnx.json each, in a folder of ours.

Both programs of that name are run alike: the one of C++ and the Python package (piper-tts), which is used as
`python -m piper` where no program is found. The text goes by standard input, raw samples come by standard output.
"""

import asyncio
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.audio import subprocess
from engine.audio.errors import SoundError
from engine.audio.tts.ssml import Words
from engine.audio.tts.voice import VoiceRequest, shorter

if TYPE_CHECKING:
    from engine.audio.buffer import AudioBuffer

AT_A_TIME: Final = 1
"""A model takes a whole processor, and some 100 MB while it speaks."""

SECONDS: Final = 60.0
"""That one run may take, loading included."""

_LARGEST_CONFIG = 1_000_000
_MOST_VOICES = 500
_NAME = re.compile(r"([a-zA-Z]{2,3})(?:[_-]([a-zA-Z]{2}))?-(\w+)(?:-(\w+))?", re.ASCII)
"""What models are called: en_US-lessac-medium."""

_GENDERS: Final = {
    "female": "alba amy cori eva_k hfc_female huayan irina jenny_dioco kathleen kerstin kristin lada lessac lili lisa "
    "ljspeech lucia maya nathalie paola ramona rdh sharvard siwis southern_english_female talesyntese upc_ona",
    "male": "alan arctic bryce carlfm danny davefx denis dmitri edresson faber gilles harri hfc_male joe john karlsson "
    "kusal northern_english_male norman pavoque riccardo ryan thorsten tom tugao upc_pau",
}
"""Whose voices the published models are; piper itself does not say."""

_GENDER_OF: Final = {name: gender for gender, names in _GENDERS.items() for name in names.split()}


@dataclass(frozen=True, slots=True)
class _Model:
    path: Path
    language: str
    """In small letters: en-us, or en."""
    gender: str
    """"" where it is not known."""
    rate: int


class Piper:
    """piper with the models of one folder (engine.sound.speech.Voice)."""

    __slots__ = ("_command", "_folder", "_longest", "_models", "_places", "name")

    def __init__(self, folder: Path, longest: float = 600.0, command: Sequence[str] | None = None) -> None:
        """`longest`: seconds of speech that one text may give; `command`: how it is run, looked for where None."""
        self.name = "piper"
        self._folder = folder
        self._longest = longest
        self._command = list(command) if command is not None else _command()
        self._models: list[_Model] | None = None
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def languages(self) -> Sequence[str]:
        """Those of its models."""
        return sorted({model.language for model in await self._known()})

    async def speaks(self, request: VoiceRequest) -> bool:
        """Whether a model has the language and is, or may be, of the gender."""
        return self._choose(await self._known(), request) is not None

    async def speak(self, words: Words, request: VoiceRequest) -> "AudioBuffer":
        """Runs the program. Markup is left away: piper knows none."""
        model = self._choose(await self._known(), request)
        if model is None:
            raise SoundError(f"piper has no voice for {request.language} in {self._folder}")
        text = " ".join(words.plain.split()) + "\n"  # a line is an utterance
        arguments = [*self._command, "--model", str(model.path), "--output_raw"]
        async with self._places:
            ran = await subprocess.run(arguments, text, int(self._longest * model.rate) * 2, SECONDS)
        if ran.status or len(ran.output) < 2:
            last = ran.errors.rpartition("\n")[2][:200]
            raise SoundError(f"piper said nothing with {model.path.name} (status {ran.status}): {last or 'no sound'}")
        import numpy

        from engine.audio.buffer import AudioBuffer

        return AudioBuffer(numpy.frombuffer(ran.output[: len(ran.output) & ~1], "<i2").astype(numpy.int16), model.rate)

    async def _known(self) -> list[_Model]:
        """The models, looked for once: a new one needs a restart."""
        if self._models is None:
            self._models = await asyncio.to_thread(_models, self._folder) if self._command else []
        return self._models

    def _choose(self, models: Sequence[_Model], request: VoiceRequest) -> _Model | None:
        if request.voice:
            return next((model for model in models if model.path.stem.lower() == request.voice.lower()), None)
        for tag in shorter(request.language):
            # en-gb is better than nothing for en-us, as en is.
            fitting = [model for model in models if tag in shorter(model.language)]
            for gender in (request.gender, ""):
                for model in fitting:
                    if gender == model.gender or request.gender == "neutral":
                        return model
        return None


def _command() -> list[str]:
    program = shutil.which("piper")
    if program is not None:
        return [program]
    return [sys.executable, "-m", "piper"] if importlib.util.find_spec("piper.__main__") is not None else []


def _models(folder: Path) -> list[_Model]:
    """The models whose configuration tells their rate; what is wrong is passed over."""
    found = []
    for path in sorted(folder.glob("*.onnx"))[:_MOST_VOICES]:
        match = _NAME.fullmatch(path.stem)
        try:
            with path.with_name(path.name + ".json").open("rb") as opened:
                config = json.loads(opened.read(_LARGEST_CONFIG))
            rate = int(config["audio"]["sample_rate"])
            code = str(config.get("language", {}).get("code", "")) or (match[0].partition("-")[0] if match else "")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if not code or not 4_000 <= rate <= 96_000:
            continue
        gender = _GENDER_OF.get(match[3].lower(), "") if match is not None else ""
        found.append(_Model(path, code.replace("_", "-").lower(), gender, rate))
    return found
