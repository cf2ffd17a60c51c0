"""Cache of audio buffers: those used last, as many as fit into a number of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.audio.buffer import AudioBuffer


class BufferCache:
    """Clips by key, least recently used first out. What a clip grows by while it is played counts as well."""

    __slots__ = ("_clips", "_clock", "limit", "size")

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        """`limit` in bytes; `clock` gives seconds."""
        self.limit = limit
        self.size = 0
        """Bytes of all clips in it."""
        self._clips: OrderedDict[Hashable, tuple[AudioBuffer, float | None]] = OrderedDict()
        self._clock = clock

    def __len__(self) -> int:
        return len(self._clips)

    def get(self, key: Hashable) -> "AudioBuffer | None":
        """The clip, unless it is none of ours or its time is over."""
        found = self._clips.get(key)
        if found is None:
            return None
        clip, until = found
        if until is not None and self._clock() >= until:
            self._drop(key)
            return None
        self._clips.move_to_end(key)
        return clip

    def put(self, key: Hashable, clip: "AudioBuffer", seconds: float | None = None) -> None:
        """Keeps `clip`, for at most `seconds`. One larger than all of the cache is not kept, but can be played."""
        self._drop(key)
        if clip.size > self.limit:
            return
        self._clips[key] = (clip, None if seconds is None else self._clock() + seconds)
        self.size += clip.size
        clip.grown = self._grown
        self._make_room()

    def clear(self) -> None:
        """Keeps nothing any more."""
        for key in list(self._clips):
            self._drop(key)

    def _grown(self, octets: int) -> None:
        self.size += octets
        self._make_room()

    def _make_room(self) -> None:
        while self.size > self.limit:
            self._drop(next(iter(self._clips)))

    def _drop(self, key: Hashable) -> None:
        found = self._clips.pop(key, None)
        if found is not None:
            found[0].grown = None
            self.size -= found[0].size
