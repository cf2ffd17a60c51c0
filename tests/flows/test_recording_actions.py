"""recording_start and recording_stop: what begins and ends a recording, what the flow learns, what is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from flows.actions import ACTIONS, fetch
from flows.calls.recordings import Recording, Recordings
from flows.faults import FlowError
from flows.language.model import read_flow

END = ("hangup", 480, "Q.850;cause=16")
NAME = "platform/2026-11-21-call-1-1.wav"


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


class FakeRecorder:
    """Ends by itself when `limit` is set to a word."""

    def __init__(self, file: Path, duration: float, silence: float, channels: int) -> None:
        self.file, self.limits, self.channels = file, (duration, silence), channels
        self.error = ""
        self.limit: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.started = False
        self.fails: OSError | None = None

    def start(self) -> None:
        self.started = True

    def channel(self, number: int) -> Any:
        return ("channel", number, self.file.name)

    async def over(self) -> str:
        return await self.limit

    async def stop(self, ended_by: str) -> Any:
        if self.fails:
            raise self.fails
        self.file.write_bytes(b"RIFF")
        return SimpleNamespace(seconds=1.5, size=4, error=self.error)


class FakeKeeper:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    async def begun(self, recording: Recording) -> None:
        self.told.append(("begun", recording.status, recording.filename))

    async def ended(self, recording: Recording) -> None:
        self.told.append(("ended", recording.status, recording.ended_by))


@pytest.fixture
def studio(world: Any, tmp_path: Path) -> Any:
    """The world, with a folder to record to; `studio.recorders` are those that were made."""
    recorders: list[FakeRecorder] = []

    def make(file: Path, duration: float, silence: float, channels: int) -> FakeRecorder:
        recorders.append(FakeRecorder(file, duration, silence, channels))
        return recorders[-1]

    moment = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    keeper = FakeKeeper()
    tasks = world.services.calls.tasks
    recordings = Recordings(tmp_path / "kept", make, tasks, world.log, keeper=keeper, utc_now=lambda: moment)
    world.services.calls.media.recordings = recordings
    return SimpleNamespace(
        world=world, recordings=recordings, recorders=recorders, keeper=keeper, folder=tmp_path / "kept"
    )


def during(studio: Any, actions: Any, meanwhile: Callable[[Any], Awaitable[None]], **more: Any) -> Any:
    """Runs the actions until they block; then `meanwhile(call)`."""

    async def scenario() -> Any:
        world = studio.world
        call = world.fake_call(world.clock)
        running = asyncio.ensure_future(world.run(actions, call, **more))
        await settled()
        await meanwhile(call)
        ran = await running
        await world.services.calls.tasks.close()
        return ran

    return asyncio.run(scenario())


async def settled() -> None:
    """Threads have made folders, and all that could run has run."""
    for _ in range(20):
        await asyncio.sleep(0.001)


def test_a_recording_runs_beside_the_flow_until_it_is_stopped(studio: Any) -> None:
    ran = go(
        studio,
        [
            action("recording_start", duration=60000, end_of_silence=3000, beep_start=True),
            action("play", sources=["a"]),
            action("recording_stop"),
        ],
    )
    assert ran.orders == ["answer", ("play", "tone:1000/250"), ("play", "a"), END]
    assert ran.variables == {"filename": NAME, "duration": "1500", "ended_by": "stop"}
    (recorder,) = studio.recorders
    assert recorder.limits == (60.0, 3.0)
    assert recorder.file == studio.folder / NAME
    assert recorder.file.read_bytes() == b"RIFF"
    assert ran.call.taps == []
    assert ran.record.notes == [f"recording {NAME}"]
    assert studio.keeper.told == [("begun", "recording", NAME), ("ended", "ended", "stop")]
    assert studio.recordings.running("call-1") is None


def go(studio: Any, actions: Any, call: Any = None, **more: Any) -> Any:
    """Runs a flow with an action in the end that keeps what it knows of its recording."""
    known: dict[str, str] = {}

    async def scenario() -> Any:
        ran = await studio.world.run([*actions, action("fetch", event_url="http://h.example/")], call or None, **more)
        await studio.world.services.calls.tasks.close()
        return ran

    async def resolve(host: str, port: int) -> list[str]:
        return []

    told = fetch.document

    def keep(run: Any) -> Any:
        document = told(run)
        known.update({k.removeprefix("recording."): v for k, v in document["variables"].items() if "recording" in k})
        return document

    studio.world.services.web.resolve_host = resolve
    studio.world.services.web.http = object()
    patch = pytest.MonkeyPatch()
    patch.setattr(fetch, "document", keep)
    try:
        ran = asyncio.run(scenario())
    finally:
        patch.undo()
    if "id" in known:
        UUID(known.pop("id"))
    ran.variables = known
    return ran


@pytest.mark.parametrize("word", ["duration", "silence"])
def test_a_limit_ends_it_and_a_later_stop_changes_nothing(studio: Any, word: str) -> None:
    call = studio.world.fake_call(studio.world.clock)

    async def limit(feed: Any) -> None:
        studio.recorders[0].limit.set_result(word)
        await settled()

    call.on_play = limit
    ran = go(studio, [action("recording_start"), action("play", sources=["a"]), action("recording_stop")], call)
    assert ran.variables == {"filename": NAME, "duration": "1500", "ended_by": word}
    assert studio.keeper.told[-1] == ("ended", "ended", word)


def test_a_key_ends_it_and_stays_for_the_next_action_that_reads_keys(studio: Any) -> None:
    call = studio.world.fake_call(studio.world.clock)
    call.typed = ["#"]

    async def press(feed: Any) -> None:
        await settled()
        assert call.watched_for == "#*"
        call.watched.set_result("#")
        await settled()

    call.on_play = press
    ran = go(
        studio,
        [
            action("recording_start", end_of_key="#*"),
            action("play", sources=["a"]),
            action("digits_receive", key="#"),
            action("recording_stop"),
        ],
        call,
    )
    assert ran.variables["ended_by"] == "key"
    assert call.typed == []


def test_a_flow_can_wait_for_its_end_and_thank_for_it(studio: Any) -> None:
    """A voicemail: beep, record until silence or a key, then go on."""
    start = action("recording_start", end_of_silence=3000, beep_start=True, wait=True)

    async def fall_silent(call: Any) -> None:
        assert call.orders[-1] == ("play", "tone:1000/250")
        studio.recorders[0].limit.set_result("silence")

    ran = during(studio, [start, action("play", sources=["thanks"])], fall_silent)
    assert ran.orders == ["answer", ("play", "tone:1000/250"), ("play", "thanks"), END]
    assert (studio.folder / NAME).exists()
    assert studio.keeper.told[-1] == ("ended", "ended", "silence")


def test_keys_that_were_pressed_during_the_wait_are_used_up(studio: Any) -> None:
    """Whoever asks for keys behind it does not get the one that ended it."""

    async def press(call: Any) -> None:
        call.typed = ["1", "#"]
        call.watched.set_result("#")

    start = action("recording_start", end_of_key="#", wait=True)
    ran = during(studio, [start, action("digits_receive", length=1)], press)
    assert ran.call.typed == []
    assert studio.keeper.told[-1] == ("ended", "ended", "key")


def test_a_hangup_ends_the_wait(studio: Any) -> None:
    async def hang_up(call: Any) -> None:
        call.end("remote", 200)

    ran = during(studio, [action("recording_start", duration=9000, wait=True), action("play", sources=["a"])], hang_up)
    assert ("play", "a") not in ran.orders
    assert studio.keeper.told[-1] == ("ended", "ended", "hangup")


def test_a_file_that_was_waited_for_and_cannot_be_written_is_an_error(studio: Any) -> None:
    async def fill(call: Any) -> None:
        studio.recorders[0].fails = OSError(28, "No space left on device")
        studio.recorders[0].limit.set_result("duration")

    ran = during(studio, [action("recording_start", duration=9000, wait=True), action("play", sources=["a"])], fill)
    assert ("play", "a") in ran.orders
    assert studio.world.log.errors() == ["[Errno 28] No space left on device", f"{NAME} could not be written"]


def test_the_hangup_ends_it_and_its_file_is_there(studio: Any) -> None:
    async def hang_up(call: Any) -> None:
        assert studio.world.services.calls.media.recordings.running("call-1").recording.status == "recording"
        assert call.taps == [("channel", 0, "2026-11-21-call-1-1.wav")]
        call.end("remote", 200)

    ran = during(studio, [action("recording_start"), action("block")], hang_up)
    assert ran.record.hangup_by == "remote"
    assert ran.call.taps == []
    assert studio.keeper.told[-1] == ("ended", "ended", "hangup")
    assert (studio.folder / NAME).exists()
    assert studio.recordings.running("call-1") is None


def test_what_completes_the_flow_after_the_hangup_finds_the_recording_whole(studio: Any) -> None:
    """Who leaves a message hangs up: what is then to be done with it needs the file and its length."""
    studio.world.flows(after=[action("fetch_flow", flow_id="${recording.duration} ${recording.ended_by}")])

    async def hang_up(call: Any) -> None:
        call.end("remote", 200)

    actions = {"actions": [action("recording_start"), action("block")], "on_complete_flow_id": "after"}
    during(studio, actions, hang_up)
    assert studio.world.log.errors() == ["there is no flow '1500 hangup'"]


def test_the_end_of_the_service_ends_it_and_its_file_is_there(studio: Any) -> None:
    async def stop(call: Any) -> None:
        await studio.world.services.calls.tasks.close()
        assert (studio.folder / NAME).exists()
        call.end("local", 200)

    during(studio, [action("recording_start"), action("block")], stop)
    assert studio.keeper.told[-1] == ("ended", "ended", "hangup")


def test_two_at_once_are_refused_and_one_after_the_other_are_numbered(studio: Any) -> None:
    start, stop = action("recording_start"), action("recording_stop")
    ran = go(studio, [start, start, stop, start, stop])
    assert ran.variables["filename"] == NAME.replace("-1.wav", "-2.wav")
    assert studio.world.log.errors()[0] == "the call is being recorded already; use recording_stop first"
    assert [recorder.file.name[-5:] for recorder in studio.recorders] == ["1.wav", "2.wav"]


def test_a_stop_without_a_start_fails(studio: Any) -> None:
    go(studio, [action("recording_stop")])
    assert studio.world.log.errors()[0] == "nothing is being recorded"


def test_a_folder_that_cannot_be_written_is_an_error_and_the_flow_goes_on(studio: Any) -> None:
    studio.folder.write_text("no folder")
    ran = go(studio, [action("recording_start"), action("play", sources=["a"])])
    assert ("play", "a") in ran.orders
    assert studio.world.log.errors()[0] == f"nothing can be recorded in {studio.folder}: Not a directory"
    assert studio.recordings.running("call-1") is None


def test_a_file_that_cannot_be_finished_has_failed(studio: Any) -> None:
    call = studio.world.fake_call(studio.world.clock)

    async def fill(feed: Any) -> None:
        studio.recorders[0].fails = OSError(28, "No space left on device")

    call.on_play = fill
    go(studio, [action("recording_start"), action("play", sources=["a"]), action("recording_stop")], call)
    errors = [error for error in studio.world.log.errors() if "h.example" not in error]
    assert errors == ["[Errno 28] No space left on device", f"{NAME} could not be written"]
    assert studio.keeper.told[-1] == ("ended", "failed", "error")


def test_a_file_that_lacks_its_end_is_kept_and_says_so(studio: Any) -> None:
    call = studio.world.fake_call(studio.world.clock)

    async def fill(feed: Any) -> None:
        studio.recorders[0].error = "the disk is too slow"

    call.on_play = fill
    ran = go(studio, [action("recording_start"), action("play", sources=["a"]), action("recording_stop")], call)
    assert ran.variables["ended_by"] == "error"
    assert studio.world.log.errors()[0] == "the disk is too slow"
    assert studio.keeper.told[-1] == ("ended", "ended", "error")


def test_the_other_side_has_a_channel_where_the_flow_may_connect(studio: Any) -> None:
    start, stop = action("recording_start"), action("recording_stop")
    go(studio, [start, stop, action("connect", destinations=[{"type": "tel", "target": "+15559990000"}])])
    assert [recorder.channels for recorder in studio.recorders] == [2]


def test_the_other_channel_hears_what_the_caller_hears_in_a_conference(studio: Any) -> None:
    overheard: list[Any] = []

    class Rooms:
        finder: Any

        def conference(self, reference: str, customer_id: UUID) -> Any:
            return SimpleNamespace(id=reference, name=reference)

        async def attend(self, *arguments: Any) -> str:
            overheard.append(arguments[-1])
            return "left"

        def close(self) -> None:
            """Nothing."""

    rooms: Any = Rooms()
    rooms.finder = rooms
    studio.world.services.conferences = rooms
    join = action("conference_join", conference_id="room")
    go(studio, [action("recording_start"), join, action("recording_stop"), join])
    assert overheard == [("channel", 1, NAME.removeprefix("platform/")), None]


def test_a_connect_during_a_recording_that_failed_finds_a_channel_that_hears_nothing(studio: Any) -> None:
    running: list[Any] = []

    async def alone(call: Any) -> None:
        running.append(studio.world.services.calls.media.recordings.running("call-1"))
        running[0].recorder.channel(1).hear(b"", 8000)
        running[0].recording.channels = 2
        call.end("remote", 200)

    during(studio, [action("recording_start"), action("block")], alone)
    assert studio.recorders[0].channels == 1
    assert running[0].recording.channels == 1


def test_recordings_of_customers_have_folders_of_their_own(studio: Any) -> None:
    owner = UUID(int=7)
    record = studio.world.record(customer_id=owner)
    ran = go(studio, [action("recording_start"), action("recording_stop")], record=record)
    assert ran.variables["filename"] == f"{owner}/2026-11-21-call-1-1.wav"


def test_an_own_number_that_is_connected_to_records_the_same_call(studio: Any) -> None:
    studio.world.flows(inner=[action("answer"), action("recording_start")])
    studio.world.number("+15557770000", "inner")
    connect = action("connect", destinations=[{"type": "tel", "target": "+15557770000"}])
    ran = go(studio, [connect, action("recording_start"), action("recording_stop")])
    assert "the call is being recorded already; use recording_stop first" in studio.world.log.errors()
    assert ran.variables["ended_by"] == "stop"
    assert len(studio.recorders) == 1


def test_a_service_without_a_folder_says_so(world: Any) -> None:
    world.go([action("recording_start")])
    assert world.log.errors() == ["this service records nothing"]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"format": "mp3"}, "option.format: must be one of 'wav', and is 'mp3'; choose one"),
        ({"end_of_key": "x"}, "option.end_of_key: holds what is no key; use 0-9, *, # and A-D"),
        ({"duration": -1}, "option.duration: must be at least 0; write a larger number"),
        (
            {"wait": True},
            "option.wait: would wait for the hangup; say what ends the recording: "
            "duration, end_of_silence or end_of_key",
        ),
        ({"beep_start": 1}, "option.beep_start: must be true or false, and is the number 1; write one of the two"),
    ],
)
def test_what_is_wrong_is_said_when_the_flow_is_saved(option: Any, sentence: str) -> None:
    with pytest.raises(FlowError) as caught:
        read_flow({"name": "f", "actions": [action("recording_start", **option)]}, ACTIONS)
    assert str(caught.value) == f'flow "f", action 1 (recording_start): {sentence}'
