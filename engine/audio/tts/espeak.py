"""espeak-ng: small, robotic, and there: some hundred languages without a network or a model.

Every text is a child process that lives for some 10 ms. The text goes by its standard input.
"""

import asyncio
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from engine.audio import subprocess
from engine.audio.errors import SoundError
from engine.audio.tts.ssml import Words
from engine.audio.tts.voice import VoiceRequest, shorter

if TYPE_CHECKING:
    from engine.audio.buffer import AudioBuffer

PROGRAM: Final = "espeak-ng"
AT_A_TIME: Final = 2
SECONDS: Final = 15.0
"""That one run may take: it makes speech some hundred times faster than it is spoken."""

_VARIANTS: Final = {"female": "f3", "male": "m3", "neutral": ""}
"""What makes a language's one voice a woman's or a man's (espeak-ng's `--voices=variant`)."""

_OTHERWISE: Final = {"zh-hk": "yue", "zh-mo": "yue", "iw": "he", "in": "id", "tl": "fil"}
"""Tags that mean a language which has another one here."""

_ROW = re.compile(r"\s*(\d+)\s+(\S+)\s+\S+/[MF-]\s+(\S+)\s+((?:\S| (?! ))+?)\s*((?:\(\S+ \d+\))*)\s*", re.ASCII)
"""A line of `--voices`: priority, language, age and gender, name, file, and further languages with their priorities."""

_FURTHER = re.compile(r"\((\S+) (\d+)\)", re.ASCII)
_RATE_AT, _SAMPLES_AT = 24, 44


@dataclass(slots=True)
class _Known:
    """What an espeak-ng has."""

    files: dict[str, str] = field(default_factory=dict)
    """The file of the voice by language tag."""
    variants: dict[str, str] = field(default_factory=dict)
    """The variant's file name by its names in small letters."""
    named: dict[str, str] = field(default_factory=dict)
    """The file of a voice by its name in small letters (English_(Scotland))."""


class Espeak:
    """The embedded default (engine.sound.speech.Voice)."""

    __slots__ = ("_known", "_longest", "_path", "_places", "name")

    def __init__(self, longest: float = 600.0, path: str | None = None) -> None:
        """`longest`: seconds of speech that one text may give; `path`: the program, looked for where None."""
        self.name = PROGRAM
        self._longest = longest
        self._path = path if path is not None else shutil.which(PROGRAM) or ""
        self._known: _Known | None = None
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def languages(self) -> Sequence[str]:
        """As `--voices` tells them."""
        return list((await self._voices()).files)

    async def speaks(self, request: VoiceRequest) -> bool:
        """Whether `_voice` finds one."""
        return self._voice(await self._voices(), request) is not None

    async def speak(self, words: Words, request: VoiceRequest) -> "AudioBuffer":
        """Runs the program. SSML is handed on as it is; plain text without espeak's own `[[phonemes]]`."""
        if not self._path:
            raise SoundError("espeak-ng is not installed; Debian: apt-get install espeak-ng")
        voice = self._voice(await self._voices(), request)
        if voice is None:
            raise SoundError(f"espeak-ng does not speak {request.language}")
        markup = ["-m"] if words.markup else []
        text = re.sub(r"\[(?=\[)", "[ ", words.markup or words.plain)
        ran = await self._run(["-b", "1", "-v", voice, *markup, "--stdin", "--stdout"], text)
        if ran.status or len(ran.output) <= _SAMPLES_AT:
            raise SoundError(f"espeak-ng said nothing (status {ran.status}): {ran.errors[:200] or 'no sound came'}")
        return _clip(ran.output)

    async def _run(self, options: Sequence[str], text: str) -> subprocess.Ran:
        # It makes 22050 samples of 16 bits a second, behind a header.
        async with self._places:
            return await subprocess.run([self._path, *options], text, int(self._longest * 44_100) + 1024, SECONDS)

    async def _voices(self) -> _Known:
        """What there is, asked once."""
        if self._known is None and not self._path:
            self._known = _Known()
        if self._known is None:
            known = _Known()
            listed, variants = await self._run(["--voices"], ""), await self._run(["--voices=variant"], "")
            priorities: dict[str, int] = {}
            for priority, language, name, file, further in _rows(listed.output):
                known.named.setdefault(name.lower(), file)
                for tag, order in [(language, priority - 100), *further]:
                    # A voice's own language goes before a further one of another; then the lower number.
                    if order < priorities.get(tag.lower(), 1000):
                        priorities[tag.lower()] = order
                        known.files[tag.lower()] = file
            for _, _, name, file, _ in _rows(variants.output):
                short = file.rpartition("/")[2]
                known.variants[name.lower()] = known.variants[short.lower()] = short
            self._known = known
        return self._known

    def _voice(self, known: _Known, request: VoiceRequest) -> str | None:
        """The name for `-v`: the language's voice with a variant, or the one that was named. None where there is
        none."""
        tags = shorter(_OTHERWISE.get(request.language, request.language))
        file = next((known.files[tag] for tag in tags if tag in known.files), None)
        variant = _VARIANTS[request.gender]
        if request.voice:
            base, _, extra = request.voice.lower().partition("+")
            if base in known.variants and not extra:
                variant = known.variants[base]
            else:
                file = known.named.get(base) or known.files.get(base)
                if extra and extra not in known.variants:
                    return None
                variant = known.variants.get(extra, variant)
        if file is None:
            return None
        return f"{file}+{variant}" if variant else file


def _rows(output: bytes) -> list[tuple[int, str, str, str, list[tuple[str, int]]]]:
    rows = []
    for line in output.decode("utf-8", "replace").splitlines()[1:]:
        match = _ROW.fullmatch(line)
        if match is not None:
            further = [(tag, int(order)) for tag, order in _FURTHER.findall(match[5])]
            rows.append((int(match[1]), match[2], match[3], match[4], further))
    return rows


def _clip(wave: bytes) -> "AudioBuffer":
    """The samples behind the header, whose lengths are not right: it is written before there are any."""
    import numpy

    from engine.audio.buffer import AudioBuffer

    rate = int.from_bytes(wave[_RATE_AT : _RATE_AT + 4], "little")
    if wave[:4] != b"RIFF" or wave[36:40] != b"data" or not 4_000 <= rate <= 96_000:
        raise SoundError("espeak-ng wrote no WAV of the form that is known; is it a version of its own?")
    return AudioBuffer(numpy.frombuffer(wave[_SAMPLES_AT : len(wave) & ~1], "<i2").astype(numpy.int16), rate)
