"""The action `conference_join`: the caller takes part in a conference."""

from pydantic import Field

from flows.actions import action
from flows.calls.ports import CallEnded
from flows.faults import ActionError
from flows.language.options import Options
from flows.language.run import Run
from flows.queues.conferences import RoomFullError
from flows.values import Reference


class ConferenceJoinOptions(Options):
    """`conference_join`: a conference's id, or its name where it belongs to whom the call does."""

    conference_id: Reference = Field(min_length=1)


@action(ConferenceJoinOptions, connects=True, describe=lambda run, option: option.conference_id)
async def conference_join(run: Run, option: ConferenceJoinOptions) -> None:
    """Answers, and talks with those who are in the conference until it is over. Sets `conference.status` (joined,
    timeout, full, failed), `conference.members` (how many there were when it joined) and `conference.duration`
    (seconds)."""
    if run.over:
        raise CallEnded("the call is over")
    set_result = run.variables.set_result
    set_result("conference.status", "failed")
    set_result("conference.duration", "0")
    conferences = run.services.conferences
    if conferences is None:
        raise ActionError("this service holds no conferences")
    conference = conferences.finder.conference(option.conference_id, run.context.customer_id)
    if conference is None:
        raise ActionError(f"there is no conference {option.conference_id!r}")
    began: float | None = None

    def joined(members: int) -> None:
        nonlocal began
        began = run.services.calls.clock()
        set_result("conference.status", "joined")
        set_result("conference.members", str(members))

    try:
        recording = run.context.recording
        heard = None if recording is None else recording.recorder.channel(1)
        ended = await conferences.attend(conference, run.call, run.record.id, run.record.source, joined, heard)
        if ended == "timeout":
            set_result("conference.status", "timeout")
    except RoomFullError as error:
        set_result("conference.status", "full")
        raise ActionError(str(error)) from None
    finally:
        if began is not None:
            seconds = int(run.services.calls.clock() - began)
            set_result("conference.duration", str(seconds))
            run.record.note(f"conference {conference.name or conference.id}: {seconds} s")
