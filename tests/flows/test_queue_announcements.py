"""What callers in a queue are told while they wait, and that music and words do not get in each other's way."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from flows.calls.ports import SoundError
from flows.queues.announcements import SHORTEST_PAUSE, WORDS, AnnounceEvery, minutes, unspoken, words
from flows.queues.estimated_wait import MOST_QUEUES, WaitEstimator
from flows.queues.music import MUSIC
from tests.flows.test_queues import Hall


@pytest.fixture
def hall(world: Any) -> Hall:
    made = Hall(world)
    world.agent.script["seen-"] = world.refused(486)
    made.describe(announce_every=30.0, music="waltz.ogg")
    return made


def call(hall: Hall, name: str = "caller") -> Any:
    """A caller who notes when it hears what. Words last three seconds."""
    made = hall.call(name)
    made.heard = []
    began = asyncio.get_running_loop().time()

    async def play(feed: Any) -> None:
        assert not made.playing, f"{feed.name} in the midst of {made.playing}"
        made.playing = feed.name
        made.heard.append((round(asyncio.get_running_loop().time() - began), feed.name, id(feed)))
        try:
            await (asyncio.Event().wait() if feed.name.endswith("x0") else asyncio.sleep(3))
        finally:
            made.playing = ""

    made.on_play = play
    return made


def told(made: Any) -> list[tuple[int, str]]:
    return [(at, name) for at, name, _ in made.heard]


def test_the_place_is_announced_at_once_and_now_and_then_and_the_music_goes_on_where_it_was(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann", status="away")
        first = call(hall, "first")
        await asyncio.sleep(1)
        second = call(hall, "second")
        await asyncio.sleep(40)
        assert told(first) == [
            (0, "say You are next in line."),
            (3, "waltz.ogg x0"),
            (33, "say You are next in line."),
            (36, "waltz.ogg x0"),
        ]
        assert len({feed for _, name, feed in first.heard if "waltz" in name}) == 1
        assert told(second)[0] == (0, "say You are number 2 in line.")
        first.end("remote", 200)
        await asyncio.sleep(30)
        assert told(second)[-2:] == [(66, "say You are next in line."), (69, "waltz.ogg x0")]
        assert ("You are next in line.", "en-US", "female", "") in hall.world.sounds.asked

    hall.go(scene())


def test_nothing_is_announced_while_the_first_agent_rings(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann")
        hall.world.agent.script["ann"] = hall.world.never
        caller = call(hall)
        await asyncio.sleep(29)
        assert told(caller) == [(0, "waltz.ogg x0")]
        await asyncio.sleep(2)
        assert caller.playing == "say You are next in line."
        hall.settle("ann", hall.world.answered)
        await asyncio.sleep(0.1)
        assert caller.bridged and not caller.playing  # cut off in the midst of a word

    hall.go(scene())


def test_the_wait_is_guessed_from_the_last_talks(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(wrap_up_timeout=20.0)
        hall.board.hire("ann")
        served = call(hall, "served")
        await asyncio.sleep(100.0)
        callers = [call(hall, f"caller {number}") for number in range(3)]
        await asyncio.sleep(1)
        assert told(callers[0])[0][1] == "say You are next in line."  # nobody knows yet
        hall.leg("ann").end("remote", 200)
        await served.flow
        await asyncio.sleep(10)
        late = call(hall, "late")
        await asyncio.sleep(1)
        # 101 s of talk and 20 s after it: four of them.
        assert told(late)[0][1] == "say You are number 4 in line. The wait is about 9 minutes."
        hall.board.hire("bob", status="busy")
        await asyncio.sleep(33)
        assert told(late)[-1][1] == "say You are number 3 in line. The wait is about 4 minutes."

    hall.go(scene())


def test_words_of_the_owners_own_have_the_variables(hall: Hall) -> None:
    async def scene() -> None:
        text = "Place ${queue.position}, ${queue.estimated_wait} s, ${queue.estimated_minutes} min"
        hall.describe(announce_text=text, announce_language="da-DK")
        hall.board.hire("ann", status="busy")
        hall.queues.waits.served(hall.board.queue.id, 90.0)
        call(hall)
        await asyncio.sleep(1)
        assert ("Place 1, 90 s, 2 min", "da-DK", "female", "") in hall.world.sounds.asked

    hall.go(scene())


def test_what_the_flow_knows_afterwards_is_the_last_place(hall: Hall) -> None:
    async def scene() -> None:
        hall.describe(wait_timeout=50.0)
        hall.board.hire("ann", status="away")
        first = call(hall, "first")
        await asyncio.sleep(10)
        join = {"type": "queue_join", "option": {"queue_id": "desk"}}
        hall.call("second", program=[join, {"type": "call", "option": {"destinations": [PLACE]}}])
        await asyncio.sleep(45)
        assert first.flow.done()
        await asyncio.sleep(10)
        assert "sip:place-1@desk" in [leg.spec.request_uri for leg in hall.world.agent.legs]

    hall.go(scene())


PLACE = {"type": "sip", "target": "sip:place-${queue.position}@desk"}


def test_nobody_who_speaks_is_a_line_in_the_log_and_the_music_plays(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann", status="away")
        hall.world.sounds.script["You are next in line."] = SoundError("nobody speaks en-US")
        caller = call(hall)
        await asyncio.sleep(35)
        assert told(caller) == [(0, "waltz.ogg x0"), (30, "waltz.ogg x0")]
        assert hall.world.log.errors() == ["nobody speaks en-US"] * 2
        assert set(hall.world.log.errors()) == {"nobody speaks en-US"}

    hall.go(scene())


def test_without_music_the_words_are_said_all_the_same(hall: Hall) -> None:
    async def scene() -> None:
        hall.board.hire("ann", status="away")
        for source in ("waltz.ogg", MUSIC):
            hall.world.sounds.script[source] = SoundError("gone")
        caller = call(hall)
        await asyncio.sleep(35)
        assert told(caller) == [(0, "say You are next in line."), (33, "say You are next in line.")]
        assert set(hall.world.log.errors()) == {"gone"}

    hall.go(scene())


@pytest.mark.parametrize("language", WORDS)
def test_every_language_has_all_words(language: str) -> None:
    said = {words(language, place, wait) for place in (1, 7) for wait in (None, 30.0, 400.0)}
    assert len(said) == 6
    assert sum("7" in one for one in said) >= 4  # the seventh place, or seven minutes
    assert not any("{" in one for one in said)


@pytest.mark.parametrize(("wait", "told"), [(None, ""), (0.0, "1"), (60.0, "1"), (61.0, "2")])
def test_minutes_are_whole_and_never_none(wait: float | None, told: str) -> None:
    assert minutes(wait) == told


def test_a_language_without_words_of_our_own_needs_a_text() -> None:
    assert unspoken(30, "ja-JP", "").startswith("there are no words of our own in ja-JP, only in en, de,")
    assert not any((unspoken(0, "ja-JP", ""), unspoken(30, "ja-JP", "x"), unspoken(30, "DE", ""), unspoken(30, "", "")))


def test_announcements_have_a_pause_between_them() -> None:
    from pydantic import TypeAdapter, ValidationError

    every = TypeAdapter(AnnounceEvery)
    assert [every.validate_python(value) for value in (0, SHORTEST_PAUSE)] == [0, SHORTEST_PAUSE]
    with pytest.raises(ValidationError, match="at least 10000"):
        every.validate_python(SHORTEST_PAUSE - 1)


def test_what_is_remembered_of_queues_is_bounded() -> None:
    pace = WaitEstimator()
    for number in range(MOST_QUEUES + 5):
        pace.served(UUID(int=number), 10.0)
    assert len(pace) == MOST_QUEUES
    assert (pace.estimate(UUID(int=0), 1, 1), pace.estimate(UUID(int=9), 3, 2)) == (None, 15.0)
    assert pace.estimate(UUID(int=9), 3, 0) is None
    pace.served(UUID(int=9), 50.0)
    assert pace.estimate(UUID(int=9), 1, 1) == 20.0
