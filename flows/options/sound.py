"""The options of what the caller hears: play, talk, echo."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from engine.audio.errors import SoundError
from engine.audio.tts import ssml
from engine.media.rtp.telephone_event import KEYS
from flows.calls.address import PLACEHOLDER
from flows.options.model import Options
from flows.options.values import DAY_MS, Keys, one_line, web_address

LONGEST_TEXT = ssml.LONGEST
"""Characters of one `talk`, its variables filled in."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_VOICE = re.compile(r"[A-Za-z0-9._+-]*")


def _check_tone(text: str) -> None:
    from engine.audio import tones  # which needs numpy: flows without tones do without it

    try:
        tones.read(text)
    except SoundError as error:
        raise ValueError(str(error)) from None


def spoken(text: str) -> str:
    """Plain text, or SSML that is in order. Raises ValueError."""
    if "\x00" in text:  # PostgreSQL keeps none, and nobody speaks one
        raise ValueError("holds a NUL character; remove it")
    if PLACEHOLDER not in text:
        try:
            ssml.read(text)
        except SoundError as error:
            raise ValueError(str(error)) from None
    return text


def sound_source(text: str) -> str:
    """A file's name, a web address, or a tone. Raises ValueError."""
    if PLACEHOLDER in text:
        return text
    if text.startswith("tone:"):
        _check_tone(text)
    elif "://" in text:
        web_address(text)
    elif _SCHEME.match(text):
        raise ValueError("is no sound; write a file's name, an http address, or a tone like tone:425/1000,0/4000")
    return one_line(text)


def _any_key(value: object) -> object:
    """`true` stands for every key, `false` for none."""
    return value if not isinstance(value, bool) else KEYS if value else ""


def spoken_language(text: str) -> str:
    if PLACEHOLDER not in text and not _LANGUAGE.fullmatch(text):
        raise ValueError("is no language; write it like en-US")
    return text


def _voice(text: str) -> str:
    if PLACEHOLDER not in text and not _VOICE.fullmatch(text):
        raise ValueError("is no name of a voice; use letters, digits, dots, dashes and underscores")
    return text


StopKeys = Annotated[Keys, BeforeValidator(_any_key)]
"""Keys, or true for any of them."""


class PlayOptions(Options):
    """`play`: the sources one after the other, all of them `loop` times (0: until the hangup). A key of `digits_stop`
    ends it, and stays for whoever asks for keys next."""

    sources: list[Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(sound_source)]] = Field(
        min_length=1, max_length=100
    )
    loop: int = Field(default=1, ge=0, le=1_000_000)
    digits_stop: StopKeys = ""


class TalkOptions(Options):
    """`talk`: plain text or SSML, spoken in a `language` (BCP 47) by a voice of a `gender`, or by the named `voice`."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(spoken)]
    language: Annotated[str, Field(max_length=35), AfterValidator(spoken_language)] = "en-US"
    gender: Literal["female", "male", "neutral"] = "female"
    voice: Annotated[str, Field(max_length=100), AfterValidator(_voice)] = ""
    digits_stop: StopKeys = ""


class EchoOptions(Options):
    """`echo`: milliseconds; 0 lasts until the hangup."""

    duration: int = Field(default=0, ge=0, le=DAY_MS)
