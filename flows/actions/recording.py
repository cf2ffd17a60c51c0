"""recording_start and recording_stop: what the caller says, in a file."""

from flows.actions.sound import beep
from flows.calls.ports import CallEnded
from flows.calls.recordings import Recording, RecordingError, Terms
from flows.language.run import ActionError, Run
from flows.options import NoOptions, RecordingStartOptions

_NO_OPTIONS = NoOptions()
_MAY_CONNECT = frozenset({"connect", "queue_join", "conference_join", "transfer", "fetch", "fetch_flow", "python"})
"""Actions behind which there may be somebody else to be heard."""


async def recording_start(run: Run, option: RecordingStartOptions) -> None:
    """Begins, and the flow goes on beside it or, with `wait`, when it has ended. Sets `recording.id` and
    `recording.filename` at once, and `recording.duration` (milliseconds) and `recording.ended_by` at its end."""
    if run.over:
        raise CallEnded("the call is over")
    recordings = run.env.recordings
    if recordings is None:
        raise ActionError("this service records nothing")
    await run.call.listen()
    if option.beep_start:
        await beep(run, _NO_OPTIONS)
    terms = Terms(option.duration / 1000, option.end_of_silence / 1000, option.end_of_key, _channels(run))
    try:
        recording = await recordings.start(
            run.caller, run.record.id, run.customer_id, terms, lambda recording: _tell(run, recording)
        )
    except RecordingError as error:
        raise ActionError(str(error)) from None
    run.record.note(f"recording {recording.filename}")
    _tell(run, recording)
    if option.wait:
        running = run.recording
        if running is not None:
            await running.wait()
        run.call.forget_keys()  # the one that ended it, and what nobody had asked for
        _check(recording)


async def recording_stop(run: Run, option: NoOptions) -> None:
    """Ends the recording, and waits until its file is there. One that has ended by itself is left as it is."""
    running = run.recording
    if running is None:
        if not run.variables.get("recording.id"):
            raise ActionError("nothing is being recorded")
        return
    recording = await running.stop()
    _tell(run, recording)
    _check(recording)


def _check(recording: Recording) -> None:
    if recording.status == "failed":
        raise ActionError(f"{recording.filename} could not be written")


def _channels(run: Run) -> int:
    """Two where the flow may connect the caller with somebody."""
    return 2 if any(step.type in _MAY_CONNECT for step in run.program.steps) else 1


def _tell(run: Run, recording: Recording) -> None:
    over = recording.ended is not None
    tell = run.variables.tell
    tell("recording.id", str(recording.id))
    tell("recording.filename", recording.filename)
    tell("recording.duration", str(recording.duration) if over else "")
    tell("recording.ended_by", recording.ended_by if over else "")
