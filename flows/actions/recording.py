"""Recording the call to a file: recording_start, recording_stop."""

from functools import partial
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from flows.actions import action
from flows.actions.sound import beep
from flows.calls.ports import CallEnded
from flows.calls.recordings import Recording, RecordingError, Terms
from flows.faults import ActionError
from flows.language.options import NO_OPTIONS, NoOptions, Options, given
from flows.language.program import StepResult
from flows.language.registry import seconds
from flows.language.run import Run
from flows.values import DAY_MS, StopKeys


class RecordingStartOptions(Options):
    """`recording_start`: ends after `duration` milliseconds, after `end_of_silence` milliseconds without a sound, and
    at a key of `end_of_key`; 0 and "" leave that out. `beep_start`: the caller hears a tone first. `wait`: the flow
    goes on when the recording has ended."""

    shapes = (
        {"wait": {"const": False}},
        *given("duration", "end_of_silence", minimum=1),
        *given("end_of_key", anyOf=[{"const": True}, {"type": "string", "minLength": 1}]),
    )

    format: Literal["wav"] = "wav"
    duration: int = Field(default=0, ge=0, le=DAY_MS)
    end_of_silence: int = Field(default=0, ge=0, le=DAY_MS)
    end_of_key: StopKeys = ""
    beep_start: bool = False
    wait: bool = False

    @field_validator("wait")
    @classmethod
    def _an_end(cls, wait: bool, info: ValidationInfo) -> bool:
        ends = ("duration", "end_of_silence", "end_of_key")
        # One with a fault of its own is not there: that fault is enough.
        if wait and not any(info.data.get(name, True) for name in ends):
            raise ValueError(
                f"would wait for the hangup; say what ends the recording: {', '.join(ends[:2])} or {ends[2]}"
            )
        return wait


def _describe_start(run: Run, option: RecordingStartOptions) -> str:
    parts = [f"until {option.end_of_key}"] if option.end_of_key else []
    parts += [f"{seconds(option.duration)} at most"] if option.duration else []
    parts += [f"until {seconds(option.end_of_silence)} of silence"] if option.end_of_silence else []
    parts += ["waits for its end"] if option.wait else []
    return ", ".join(parts)


def _ended(run: Run, result: StepResult, keys: str) -> str:
    get = run.variables.get
    return f"{int(get('recording.duration') or 0) / 1000:.1f} s, ended by {get('recording.ended_by')}"


def _ended_at_once(run: Run, result: StepResult, keys: str) -> str:
    return _ended(run, result, keys) if run.variables.get("recording.ended_by") else ""


@action(RecordingStartOptions, sounds=True, describe=_describe_start, outcome=_ended_at_once)
async def recording_start(run: Run, option: RecordingStartOptions) -> None:
    """Begins, and the flow goes on beside it or, with `wait`, when it has ended. Sets `recording.id` and
    `recording.filename` at once, and `recording.duration` (milliseconds) and `recording.ended_by` at its end."""
    if run.over:
        raise CallEnded("the call is over")
    recordings = run.services.calls.media.recordings
    if recordings is None:
        raise ActionError("this service records nothing")
    await run.call.listen()
    if option.beep_start:
        await beep(run, NO_OPTIONS)
    terms = Terms(option.duration / 1000, option.end_of_silence / 1000, option.end_of_key, _channels(run))
    try:
        recording = await recordings.start(
            run.context.caller,
            run.record.id,
            run.context.customer_id,
            terms,
            partial(_set_results, run),
        )
    except RecordingError as error:
        raise ActionError(str(error)) from None
    run.record.note(f"recording {recording.filename}")
    _set_results(run, recording)
    if option.wait:
        running = run.context.recording
        if running is not None:
            await running.wait()
        run.call.forget_keys()  # the key that ended it, and those before it
        _check(recording)


@action(NoOptions, outcome=_ended)
async def recording_stop(run: Run, option: NoOptions) -> None:
    """Ends the recording, and waits until its file is there. One that has ended by itself is left as it is."""
    running = run.context.recording
    if running is None:
        if not run.variables.get("recording.id"):
            raise ActionError("nothing is being recorded")
        return
    recording = await running.stop()
    _set_results(run, recording)
    _check(recording)


def _check(recording: Recording) -> None:
    if recording.status == "failed":
        raise ActionError(f"{recording.filename} could not be written")


def _channels(run: Run) -> int:
    """Two, one for each side, where the flow may connect the caller with another party."""
    return 2 if any(step.connects for step in run.program.steps) else 1


def _set_results(run: Run, recording: Recording) -> None:
    over = recording.ended is not None
    set_result = run.variables.set_result
    set_result("recording.id", str(recording.id))
    set_result("recording.filename", recording.filename)
    set_result("recording.duration", str(recording.duration) if over else "")
    set_result("recording.ended_by", recording.ended_by if over else "")
