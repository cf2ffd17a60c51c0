"""The kinds of values that the options of several actions take: each with its check, and with the JSON schema that says
the same for those who read the API's document.

The schemas' regular expressions keep to what every dialect knows (ECMA 262, Python, Rust): no look-around, no flags.
U+0085, a space to Python and to Rust, is none to ECMA 262: it is named beside `\\s`.
"""

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from engine.audio.errors import SoundError
from engine.audio.tts import ssml
from engine.media.rtp.telephone_event import KEYS
from flows.calls.address import PLACEHOLDER

NIL = "00000000-0000-0000-0000-000000000000"
"""The nil UUID, which stands for "none" wherever an id may be left out."""
DAY_MS = 86_400_000
LONGEST_TEXT = ssml.LONGEST
"""Characters of one spoken text, its variables filled in."""

LINE_BREAKER: Final = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")

ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
VARIABLE: Final = r"^[^\s${}\x00-\x1f\x7f\x85]+$"
WITH_VARIABLE: Final = r"^[^\x00-\x1f\x7f]*\$\{[^\x00-\x1f\x7f]*$"
_WEB_HOST = r"^https?://[A-Za-z0-9.-]*[A-Za-z0-9](:[0-9]{1,4})?([/?#][!-~]*)?$"
_SOUND = r"^(https?://[A-Za-z0-9.-]*[A-Za-z0-9](/[!-~]*)?|tone:[0-9][ -~]*|[A-Za-z0-9._/-]+)$"


def or_variable(pattern: str) -> str:
    """The same, and any line with a variable in it, of which nobody knows what it will hold."""
    return f"^({pattern[1:-1]}|{WITH_VARIABLE[1:-1]})$"


def _no_nil(text: str) -> str:
    return "" if text == NIL else text


def one_line(text: str) -> str:
    """Refuses what would break a line. Raises ValueError."""
    if LINE_BREAKER.search(text):
        raise ValueError("holds control characters or line breaks; remove them")
    return text


def web_address(text: str) -> str:
    """An http or https URL, or one with variables that are not filled in yet. Raises ValueError."""
    if PLACEHOLDER not in text:
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or LINE_BREAKER.search(text):
            raise ValueError("is no web address; write it like https://example.com/path")
    return text


def keys(text: str) -> str:
    """Keys of a telephone, in capitals. Raises ValueError."""
    if PLACEHOLDER in text:
        return text
    text = text.upper()
    if set(text) - set(KEYS):
        raise ValueError("holds what is no key; use 0-9, *, # and A-D")
    return text


def _any_key(value: object) -> object:
    """`true` stands for every key, `false` for none."""
    return value if not isinstance(value, bool) else KEYS if value else ""


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


def _check_tone(text: str) -> None:
    from engine.audio import tones  # which needs numpy: flows without tones do without it

    try:
        tones.read(text)
    except SoundError as error:
        raise ValueError(str(error)) from None


def spoken_text(text: str) -> str:
    """Plain text, or SSML that is in order. Raises ValueError."""
    if "\x00" in text:  # PostgreSQL keeps none, and nobody speaks one
        raise ValueError("holds a NUL character; remove it")
    if PLACEHOLDER not in text:
        try:
            ssml.read(text)
        except SoundError as error:
            raise ValueError(str(error)) from None
    return text


def spoken_language(text: str) -> str:
    """A language tag (BCP 47). Raises ValueError."""
    if PLACEHOLDER not in text and not _LANGUAGE.fullmatch(text):
        raise ValueError("is no language; write it like en-US")
    return text


def schema(**keywords: Any) -> Any:
    return Field(json_schema_extra=keywords)


Reference = Annotated[str, AfterValidator(_no_nil), Field(max_length=255)]
"""The id of an action, or the id or name of a flow; "" and the nil UUID mean none."""
Line = Annotated[str, AfterValidator(one_line), Field(max_length=1024), schema(pattern=ONE_LINE)]
"""Text that goes into a header: no line breaks."""
WebAddress = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    AfterValidator(web_address),
    schema(pattern=or_variable(_WEB_HOST), examples=["https://example.com/path"]),
]
Keys = Annotated[str, Field(max_length=64), AfterValidator(keys), schema(pattern=or_variable("^[0-9*#A-Da-d]*$"))]
StopKeys = Annotated[Keys, BeforeValidator(_any_key), schema(type=["string", "boolean"])]
"""Keys, or true for any of them."""
SoundSource = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    AfterValidator(sound_source),
    schema(pattern=or_variable(_SOUND)),
]
SpokenText = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(spoken_text)]
SpokenLanguage = Annotated[
    str,
    Field(max_length=35),
    AfterValidator(spoken_language),
    schema(pattern=or_variable("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")),
]
