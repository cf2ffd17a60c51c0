"""What flows need of the engine's sound, as protocols: a library, and what it gives out."""

from typing import TYPE_CHECKING, Protocol

from engine.audio.errors import SoundError

if TYPE_CHECKING:
    from engine.media.audio import AudioSource


__all__ = ["Sound", "SoundError", "Sounds"]


class Sound(Protocol):
    """A sound that is ready to be played (`engine.audio.library.Sound`)."""

    @property
    def seconds(self) -> float:
        """How long it lasts, once; infinite for a tone without end."""
        ...

    def feed(self, loop: int = 1) -> "AudioSource":
        """For one listener: `loop` times, 0 without end."""
        ...


class Sounds(Protocol):
    """Where sounds come from (`engine.audio.library.SoundLibrary`). Raises SoundError."""

    async def load(self, source: str) -> Sound:
        """A file by its name, a web address, or a tone."""
        ...

    async def speech(self, text: str, language: str = "en-US", gender: str = "female", voice: str = "") -> Sound:
        """Plain text or SSML, spoken."""
        ...
