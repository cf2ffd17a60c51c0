"""Speech: the synthesisers of this machine, and how a voice is found for what is to be said."""

from collections.abc import Sequence
from pathlib import Path

from engine.audio.errors import SoundError, shown
from engine.audio.tts.espeak import Espeak
from engine.audio.tts.piper import Piper
from engine.audio.tts.voice import GENDERS, Voice, VoiceRequest, shorter


def voices(folder: str = "", longest: float = 600.0) -> list[Voice]:
    """The synthesisers of this machine, the best first: piper where `folder` has voices of its, and espeak-ng.

    `longest`: seconds that one text may take to be said.
    """
    found: list[Voice] = [Piper(Path(folder), longest)] if folder else []
    return [*found, Espeak(longest)]


def voice_request(language: str, gender: str, voice: str) -> VoiceRequest:
    """Reads what a flow asks for. Raises SoundError."""
    tag = language.strip().replace("_", "-").lower()
    if not tag or len(tag) > 35 or not all(part.isascii() and part.isalnum() for part in tag.split("-")):
        raise SoundError(f"{shown(language)!r} is no language; write one such as en-US or de")
    sex = gender.strip().lower() or "female"
    if sex not in GENDERS:
        raise SoundError(f"{shown(gender)!r} is no gender of a voice; there are {', '.join(GENDERS)}")
    return VoiceRequest(tag, sex, voice.strip())


async def find(among: Sequence[Voice], wanted: VoiceRequest) -> Voice:
    """The first synthesiser that has a voice for this. Raises SoundError, naming what there is."""
    for voice in among:
        if await voice.speaks(wanted):
            return voice
    known: set[str] = set()
    for voice in among:
        known.update(await voice.languages())
    if not known:
        raise SoundError("nothing here can speak: install espeak-ng (Debian: apt-get install espeak-ng)")
    if wanted.voice and any(language in known for language in shorter(wanted.language)):
        named = shown(wanted.voice)
        raise SoundError(f"no voice {named!r} speaks {wanted.language}; leave it away for the one that does")
    families = sorted({language.partition("-")[0] for language in known})
    raise SoundError(f"no voice speaks {wanted.language}; there are {', '.join(families)}")
