"""A voice, as every synthesiser has it here, and the request that it is asked to fulfil."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from engine.audio.tts.ssml import Words

if TYPE_CHECKING:  # numpy is loaded with the first sound, and not before
    from engine.audio.buffer import AudioBuffer

GENDERS: Final = ("female", "male", "neutral")


@dataclass(frozen=True, slots=True)
class VoiceRequest:
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

    async def speaks(self, request: VoiceRequest) -> bool:
        """Whether it has a voice for this: the language (en for en-us as well), and the voice where one is named."""
        ...

    async def speak(self, words: Words, request: VoiceRequest) -> "AudioBuffer":
        """Says it, beside the loop. Raises SoundError."""
        ...


def shorter(language: str) -> list[str]:
    """A tag and the wider ones that it belongs to (RFC 4647 §3.4): zh-hant-tw, zh-hant, zh."""
    parts = language.split("-")
    return ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
