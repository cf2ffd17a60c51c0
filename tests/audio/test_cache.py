"""The cache of sounds: bounded in bytes, also by what is encoded later, least recently used first out."""

import numpy

from engine.audio.buffer import AudioBuffer
from engine.audio.cache import BufferCache
from engine.media.codec.registry import PCMU


def clip(seconds: float) -> AudioBuffer:
    return AudioBuffer(numpy.zeros(round(seconds * 8000), numpy.int16), 8000)


def test_the_least_recently_used_goes_first() -> None:
    cache = BufferCache(40_000, lambda: 0.0)
    for name in "ab":
        cache.put(name, clip(1))
    assert cache.get("a") is not None
    cache.put("c", clip(1))
    assert [name for name in "abc" if cache.get(name)] == ["a", "c"]
    assert cache.size == 32_000


def test_encoded_frames_count_and_push_others_out() -> None:
    cache = BufferCache(40_000, lambda: 0.0)
    first, second = clip(1), clip(1)
    cache.put("a", first)
    cache.put("b", second)
    second.frames(PCMU)
    assert cache.get("a") is None
    assert cache.size == second.size > 24_000
    first.frames(PCMU)  # still plays somewhere: no business of the cache any more
    assert cache.size == second.size


def test_a_clip_that_outgrows_the_whole_cache_goes_itself() -> None:
    cache = BufferCache(20_000, lambda: 0.0)
    grown = clip(1)
    cache.put("a", grown)
    assert len(grown.frames(PCMU)) == 50
    assert (len(cache), cache.size) == (0, 0)


def test_one_that_is_larger_than_the_cache_is_not_kept() -> None:
    cache = BufferCache(10_000, lambda: 0.0)
    cache.put("a", clip(1))
    assert (len(cache), cache.size) == (0, 0)


def test_what_is_kept_for_a_time_is_gone_afterwards() -> None:
    now = 0.0
    cache = BufferCache(100_000, lambda: now)
    cache.put("a", clip(1), 300)
    now = 299.9
    assert cache.get("a") is not None
    now = 300.0
    assert cache.get("a") is None
    assert cache.size == 0


def test_another_clip_under_the_same_key_takes_the_place_of_the_first() -> None:
    cache = BufferCache(100_000, lambda: 0.0)
    cache.put("a", clip(1))
    cache.put("a", clip(2))
    assert (len(cache), cache.size) == (1, 32_000)
