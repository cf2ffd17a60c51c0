"""DTMF: digits_receive, digits_send."""

from typing import Annotated

from pydantic import AfterValidator, Field

from engine.media.rtp.telephone_event import KEYS
from flows.actions import action
from flows.calls.address import PLACEHOLDER
from flows.faults import ActionError
from flows.language.options import Options
from flows.language.program import StepResult
from flows.language.registry import nothing, seconds
from flows.language.run import Run
from flows.language.variables import VariableError
from flows.values import Keys, or_variable

HOUR_MS = 3_600_000
DIGITS = "call.digits"


class DigitsReceiveOptions(Options):
    """`digits_receive`: waits `duration` milliseconds at most, for `length` keys at most (0: any number), and no longer
    than until one of `key` is pressed, which is left out."""

    duration: int = Field(default=5_000, ge=1, le=HOUR_MS)
    length: int = Field(default=0, ge=0, le=1_000)
    key: Keys = ""


def _describe_receive(run: Run, option: DigitsReceiveOptions) -> str:
    parts = [f"{option.length} key{'' if option.length == 1 else 's'}"] if option.length else []
    parts += [f"until {option.key}"] if option.key else []
    return ", ".join([*parts, f"{seconds(option.duration)} at most"])


def _heard(run: Run, result: StepResult, keys: str) -> str:
    return f'heard "{keys}"' if keys else "heard nothing"


@action(DigitsReceiveOptions, sounds=True, describe=_describe_receive, outcome=_heard)
async def digits_receive(run: Run, option: DigitsReceiveOptions) -> None:
    """Appends what is pressed to `call.digits`. Keys that were pressed before, during a prompt, count: they come first
    and take no time."""
    await receive(run, option)


async def receive(run: Run, option: DigitsReceiveOptions) -> str:
    """`digits_receive`; what came now."""
    clock = run.services.calls.clock
    await run.call.listen()
    until = clock() + option.duration / 1000
    received = ""
    while not option.length or len(received) < option.length:
        key = await run.call.key(max(0.0, until - clock()))
        if not key or key in option.key:
            break
        received += key
        # At once, so that what has been pressed is not lost with the call: what completes the flow may want it.
        try:
            run.variables.set(DIGITS, run.variables.get(DIGITS) + key)
        except VariableError as error:
            raise ActionError(str(error)) from None
    return received


def _keys_and_pauses(text: str) -> str:
    if PLACEHOLDER not in text and set(text.upper()) - {*KEYS, ","}:
        raise ValueError("can only be keys (0-9, *, #, A-D), and commas for pauses")
    return text.upper() if PLACEHOLDER not in text else text


class DigitsSendOptions(Options):
    """`digits_send`: each key sounds for `duration` milliseconds, with `interval` milliseconds of silence behind it;
    a comma is a pause."""

    digits: Annotated[
        str,
        Field(min_length=1, max_length=100, json_schema_extra={"pattern": or_variable("^[0-9*#A-Da-d,]*$")}),
        AfterValidator(_keys_and_pauses),
    ]
    duration: int = Field(default=100, ge=40, le=5_000)
    interval: int = Field(default=100, ge=20, le=10_000)


@action(DigitsSendOptions, answers=True, describe=nothing)
async def digits_send(run: Run, option: DigitsSendOptions) -> None:
    """Presses keys for the caller."""
    await run.call.send_keys(option.digits, option.duration / 1000, option.interval / 1000)
