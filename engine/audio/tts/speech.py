"""Speech: the interface that every synthesiser has here, and how a voice is found for what is to be said."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from engine.audio.errors import SoundError, shown
from engine.audio.tts.ssml import Words

if TYPE_CHECKING:
    from engine.audio.buffer import Clip

GENDERS: Final = ("female", "male", "neutral")


@dataclass(frozen=True, slots=True)
class Wish:
    """How something is to be said."""

    language: str
    """A BCP 47 tag in small letters: en-us, de, zh-hk."""
    gender: str
    """One of GENDERS."""
    voice: str = ""
    """A voice by the name that its synthesiser gives it; "" takes whichever fits."""


class Voice(Protocol):
    """A synthesiser with all of its voices."""

    name: str

    async def languages(self) -> Sequence[str]:
        """The languages that it speaks, as BCP 47 tags in small letters. Empty where it is not there."""
        ...

    async def speaks(self, wish: Wish) -> bool:
        """Whether it has a voice for this: the language (en for en-us as well), and the voice where one is named."""
        ...

    async def speak(self, words: Words, wish: Wish) -> "Clip":
        """Says it, beside the loop. Raises SoundError."""
        ...


def voices(folder: str = "", longest: float = 600.0) -> list[Voice]:
    """The synthesisers of this machine, the best first: piper where `folder` has voices of its, and espeak-ng.

    `longest`: seconds that one text may take to be said.
    """
    from engine.audio.tts.espeak import Espeak
    from engine.audio.tts.piper import Piper

    found: list[Voice] = [Piper(Path(folder), longest)] if folder else []
    return [*found, Espeak(longest)]


def wish(language: str, gender: str, voice: str) -> Wish:
    """Reads what a flow asks for. Raises SoundError."""
    tag = language.strip().replace("_", "-").lower()
    if not tag or len(tag) > 35 or not all(part.isascii() and part.isalnum() for part in tag.split("-")):
        raise SoundError(f"{shown(language)!r} is no language; write one such as en-US or de")
    sex = gender.strip().lower() or "female"
    if sex not in GENDERS:
        raise SoundError(f"{shown(gender)!r} is no gender of a voice; there are {', '.join(GENDERS)}")
    return Wish(tag, sex, voice.strip())


async def find(among: Sequence[Voice], wanted: Wish) -> Voice:
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


def shorter(language: str) -> list[str]:
    """A tag and the wider ones that it belongs to (RFC 4647 §3.4): zh-hant-tw, zh-hant, zh."""
    parts = language.split("-")
    return ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
