"""The options of keys: digits_receive and digits_send."""

from typing import Annotated

from pydantic import AfterValidator, Field

from engine.media.rtp.telephone_event import KEYS
from flows.calls.address import PLACEHOLDER
from flows.options.model import Options
from flows.options.values import Keys

HOUR_MS = 3_600_000


def _keys_and_pauses(text: str) -> str:
    if PLACEHOLDER not in text and set(text.upper()) - {*KEYS, ","}:
        raise ValueError("can only be keys (0-9, *, #, A-D), and commas for pauses")
    return text.upper() if PLACEHOLDER not in text else text


class DigitsReceiveOptions(Options):
    """`digits_receive`: waits `duration` milliseconds at most, for `length` keys at most (0: any number), and no longer
    than until one of `key` is pressed, which is left out."""

    duration: int = Field(default=5_000, ge=1, le=HOUR_MS)
    length: int = Field(default=0, ge=0, le=1_000)
    key: Keys = ""


class DigitsSendOptions(Options):
    """`digits_send`: each key sounds for `duration` milliseconds, with `interval` milliseconds of silence behind it;
    a comma is a pause."""

    digits: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_keys_and_pauses)]
    duration: int = Field(default=100, ge=40, le=5_000)
    interval: int = Field(default=100, ge=20, le=10_000)
