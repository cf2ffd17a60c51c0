"""play, talk and beep: what is played, in which order, what stops it, and what becomes of sounds that cannot be had."""

import asyncio
from typing import Any

import pytest

from flows.actions import ACTIONS
from flows.calls.ports import SoundError
from flows.faults import FlowError
from flows.language.model import read_flow

END = ("hangup", 480, "Q.850;cause=16")


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


def test_sources_play_one_after_the_other_and_answer(world: Any) -> None:
    ran = world.go([action("play", sources=["a.wav", "https://example.com/b.mp3", "tone:425/1000"])])
    assert ran.orders == [
        "answer", ("play", "a.wav"), ("play", "https://example.com/b.mp3"), ("play", "tone:425/1000"), END,
    ]  # fmt: skip
    assert not world.log.lines


def test_early_media_is_played_into_an_unanswered_call(world: Any) -> None:
    ran = world.go([action("progress"), action("play", sources=["a.wav"]), action("reject", code=486)])
    assert ran.orders == ["progress", ("play", "a.wav"), ("reject", 486, "")]


def test_a_loop_plays_all_sources_again_and_loads_each_once(world: Any) -> None:
    ran = world.go([action("play", sources=["a.wav", "b.wav"], loop=2)])
    assert [order[1] for order in ran.orders if order[0] == "play"] == ["a.wav", "b.wav", "a.wav", "b.wav"]
    assert world.sounds.asked == ["a.wav", "b.wav"]


def test_one_source_loops_without_a_gap(world: Any) -> None:
    assert ("play", "a.wav x3") in world.go([action("play", sources=["a.wav"], loop=3)]).orders


def test_a_loop_of_0_lasts_until_the_hangup(world: Any) -> None:
    call = world.fake_call(world.clock)

    async def count(feed: Any) -> None:
        if len(call.orders) == 50:
            call.end("remote", 200)

    call.on_play = count
    ran = world.go([action("play", sources=["a.wav", "b.wav"], loop=0)], call)
    assert len(ran.orders) == 50
    assert ran.record.hangup_by == "remote"


def test_the_next_source_is_loaded_while_one_plays(world: Any) -> None:
    call = world.fake_call(world.clock)
    asked: list[list[str]] = []

    async def listen(feed: Any) -> None:
        await asyncio.sleep(0)
        asked.append(list(world.sounds.asked))

    call.on_play = listen
    world.go([action("play", sources=["a", "b", "c"])], call)
    assert asked == [["a", "b"], ["a", "b", "c"], ["a", "b", "c"]]


def test_a_source_that_cannot_be_had_is_logged_and_the_next_one_plays(world: Any) -> None:
    world.sounds.script["gone.wav"] = SoundError("there is no file gone.wav; put it into the folder of sounds")
    ran = world.go([{"id": "p", **action("play", sources=["gone.wav", "b.wav"], loop=2)}])
    assert [order[1] for order in ran.orders if order[0] == "play"] == ["b.wav", "b.wav"]
    ((level, event, values),) = world.log.lines
    assert (level, event, values["action"], values["source"]) == ("warning", "source left out", "p", "gone.wav")
    assert values["error"] == "there is no file gone.wav; put it into the folder of sounds"


def test_the_action_fails_where_no_source_can_be_had_and_the_flow_goes_on_unanswered(world: Any) -> None:
    world.sounds.script |= {"a": SoundError("no a"), "b": SoundError("no b")}
    ran = world.go([action("play", sources=["a", "b"]), action("ringing")])
    assert ran.orders == ["ringing", END]
    assert world.log.errors() == ["no a", "no b", "none of the sources could be had"]


@pytest.mark.parametrize(
    ("stop", "typed", "played"),
    [
        ("12", "2", ["a"]),
        ("12", "3", ["a", "b"]),
        (True, "#", ["a"]),
        (False, "1", ["a", "b"]),
        ("d", "D", ["a"]),
    ],
)
def test_a_key_of_digits_stop_ends_all_and_stays_for_the_next_action(
    world: Any, stop: Any, typed: str, played: list[str]
) -> None:
    call = world.fake_call(world.clock)
    call.typed = [typed]
    ran = world.go([action("play", sources=["a", "b"], digits_stop=stop)], call)
    assert [order[1] for order in ran.orders if order[0] == "play"] == played
    assert call.typed == [typed]


def test_a_hangup_ends_a_source_that_hangs_and_leaves_no_task(world: Any) -> None:
    async def scenario() -> set[Any]:
        world.sounds.script["slow"] = asyncio.Event()
        call = world.fake_call(world.clock)
        running = asyncio.ensure_future(world.run([action("play", sources=["a", "slow"])], call))
        for _ in range(8):
            await asyncio.sleep(0)
        call.end("remote", 487)
        await running
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(scenario()) == set()
    assert world.log.errors() == []


def test_a_prompt_that_is_stopped_gives_up_what_is_being_loaded(world: Any) -> None:
    async def scenario() -> set[Any]:
        world.sounds.script["slow"] = asyncio.Event()
        call = world.fake_call(world.clock)
        call.typed = ["1"]
        await world.run([action("play", sources=["a", "slow"], digits_stop=True)], call)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(scenario()) == set()


def test_talk_speaks_with_its_variables_filled_in(world: Any) -> None:
    ran = world.go(
        [
            action("variable_set", key="name", value="Ann"),
            action("talk", text="Hello ${name}", language="de-DE", gender="male", voice="anna", digits_stop="#"),
            action("talk", text="Bye"),
        ]
    )
    assert world.sounds.asked == [("Hello Ann", "de-DE", "male", "anna"), ("Bye", "en-US", "female", "")]
    assert ran.orders == ["answer", ("play", "say Hello Ann", "#"), ("play", "say Bye"), END]


def test_a_text_that_has_grown_too_long_or_speech_that_is_not_there_fails_with_its_sentence(world: Any) -> None:
    world.sounds.script["Hi"] = SoundError("espeak-ng is not installed; install it to use talk")
    world.go(
        [
            action("variable_set", key="long", value="x" * 6000),
            action("talk", text="${long} ${long}"),
            action("talk", text="Hi"),
        ]
    )
    assert world.log.errors() == [
        "text: must not be longer than 10000 characters; shorten it",
        "espeak-ng is not installed; install it to use talk",
    ]


def test_beep_plays_a_tone(world: Any) -> None:
    assert world.go([action("beep")]).orders[:2] == ["answer", ("play", "tone:1000/250")]


def test_a_service_without_sound_says_so(world: Any) -> None:
    world.services.calls.media.sounds = None
    assert world.go([action("talk", text="x")]).orders == [END]
    assert world.log.errors() == ["this service plays no sound"]


def test_sound_after_the_call_is_skipped(world: Any) -> None:
    world.flows(after=[action("play", sources=["a"]), action("beep"), action("digits_receive")])
    world.go({"actions": [action("hangup")], "on_complete_flow_id": "after"})
    assert [event for _, event, _ in world.log.lines] == ["action skipped: the call is over"] * 3
    assert world.sounds.asked == []


FAULTS = [
    (action("play"), "option.sources: is missing; add it"),
    (action("play", sources=[]), "option.sources: must not be empty; add an entry"),
    (action("play", sources=[""]), "option.sources[0]: must not be empty; write a value"),
    (
        action("play", sources=["a.wav", "ftp://x/y.wav"]),
        "option.sources[1]: is no web address; write it like https://example.com/path",
    ),
    (
        action("play", sources=["http://"]),
        "option.sources[0]: is no web address; write it like https://example.com/path",
    ),
    (
        action("play", sources=["tone:425/1000", "tone:beep"]),
        "option.sources[1]: there is no tone 'beep'; there are ",
    ),
    (
        action("play", sources=["tone:425/x"]),
        "option.sources[0]: 'tone:425/x': '425/x' is no segment; write Hz/ms, such as 425/1000 or 350+440/500",
    ),
    (action("play", sources=["c:welcome.wav"]), "option.sources[0]: is no sound; write a file's name, an http address"),
    (action("talk", text="<speak>Hello"), "option.text: "),
    (action("talk", text="   "), "option.text: there is nothing to say in the text"),
    (action("play", sources=["a\nb"]), "option.sources[0]: holds control characters or line breaks; remove them"),
    (
        action("play", sources=["a"], digits_stop="1x"),
        "option.digits_stop: holds what is no key; use 0-9, *, # and A-D",
    ),
    (action("play", sources=["a"], digits_stop=1), "option.digits_stop: must be text, and is the number 1; put it in"),
    (action("play", sources=["a"], loop=-1), "option.loop: must be at least 0; write a larger number"),
    (action("talk", text=""), "option.text: must not be empty; write a value"),
    (action("talk", text="x" * 10001), "option.text: must not be longer than 10000 characters; shorten it"),
    (action("talk", text="x", language="klingon?"), "option.language: is no language; write it like en-US"),
    (action("talk", text="x", gender="robot"), "option.gender: must be one of 'female', 'male' or 'neutral', and"),
    (action("talk", text="x", voice="../../etc"), "option.voice: is no name of a voice; use letters, digits, dots"),
    (action("beep", duration=1), "option.duration: is not known to beep; remove it (beep has none)"),
]


@pytest.mark.parametrize(("document", "sentence"), FAULTS, ids=[text[7:45] for _, text in FAULTS])
def test_what_is_wrong_is_said_when_the_flow_is_saved(document: Any, sentence: str) -> None:
    with pytest.raises(FlowError) as caught:
        read_flow({"name": "f", "actions": [document]}, ACTIONS)
    assert sentence in str(caught.value)


def test_keys_that_are_sent_answer_in_any_case() -> None:
    actions = [action("progress"), action("digits_send", digits="1"), action("reject")]
    with pytest.raises(FlowError, match="because the call has been answered before"):
        read_flow({"actions": actions}, ACTIONS)


@pytest.mark.parametrize("type_", ["play", "talk", "beep", "digits_receive", "recording_start"])
def test_a_refusal_behind_sound_is_a_fault_unless_it_may_have_been_early_media(type_: str) -> None:
    option = {"play": {"sources": ["a"]}, "talk": {"text": "x"}}.get(type_, {})
    sound = action(type_, **option)
    with pytest.raises(FlowError, match="because the call has been answered before"):
        read_flow({"actions": [sound, action("reject")]}, ACTIONS)
    read_flow({"actions": [action("progress"), sound, action("reject")]}, ACTIONS)
    # On one way there is early media: what comes behind both may still refuse.
    read_flow(
        {
            "actions": [
                action("branch", target_ids={"1": "sound"}),
                action("progress"),
                {"id": "sound", **sound},
                action("reject"),
            ]
        },
        ACTIONS,
    )


def test_sound_needs_a_call() -> None:
    with pytest.raises(FlowError, match='"play" needs a call and cannot run on a message'):
        read_flow({"actions": [action("play", sources=["a"])]}, ACTIONS, medium="message")
