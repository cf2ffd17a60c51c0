"""Conferences: rooms, by the conference's id, in which calls hear one another.

A room is made by the first who comes and gone with the last who leaves. Its members are calls of this process: another
engine on the same store has a room of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from uuid import UUID

from flows.calls.ports import CallLeg

if TYPE_CHECKING:
    from engine.audio.buffer import AudioBuffer
    from engine.media.audio import AudioSink

JOINED: Final = "tone:440/80,660/120"
"""What everybody hears when somebody joins."""
LEFT: Final = "tone:660/80,440/120"
"""What the others hear when somebody leaves."""

MOST_MEMBERS: Final = 1000
"""Of one room, whatever its conference says."""

Ended = Literal["timeout", "left"]
"""How it was over for a member who is still there: the conference's time was up, or something else was played to it."""


@dataclass(slots=True, frozen=True)
class Conference:
    """A conference as its owner describes it. `timeout` is seconds from when the first joins; 0 in it and in
    `max_members` is no limit. `announce`: tones when somebody joins or leaves."""

    id: UUID
    customer_id: UUID
    name: str = ""
    timeout: float = 0.0
    max_members: int = 0
    announce: bool = True


class ConferenceFinder(Protocol):
    """Who knows the conferences (`service.contact_center.queue_directory.QueueDirectory`)."""

    def conference(self, reference: str, customer_id: UUID) -> Conference | None:
        """By its id or its name, as a call of this customer may join it."""
        ...


class Mixer(Protocol):
    """What makes a room's sound (`engine.audio.mixer.Mixer`)."""

    def join(self) -> Any:
        """A member: a `AudioSink` and a `AudioSource`; what it hears is told to its `overheard_by`."""

    def leave(self, member: Any) -> None: ...
    def play(self, clip: "AudioBuffer") -> None: ...
    def close(self) -> None: ...


class RoomFullError(Exception):
    """As many are in the room as may be."""


@dataclass(slots=True, eq=False)
class Seat:
    """A call in a room. `joined` is seconds since 1970."""

    call_id: str
    source: str
    joined: float


class _Room:
    __slots__ = ("conference", "mixer", "over", "seats", "timer")

    def __init__(self, conference: Conference) -> None:
        self.conference = conference
        self.mixer: Mixer | None = None
        self.seats: list[Seat] = []
        self.over = False
        self.timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """The time is up: everybody's sound ends, and with it their action."""
        self.over = True
        if self.mixer is not None:
            self.mixer.close()


class Conferences:
    """The rooms of one engine. `mixers` makes a room's sound; `wall` is seconds since 1970."""

    __slots__ = ("_mixers", "_rooms", "_wall", "finder")

    def __init__(
        self, finder: ConferenceFinder, mixers: Callable[[], Awaitable[Mixer]], wall: Callable[[], float]
    ) -> None:
        self.finder = finder
        self._mixers = mixers
        self._wall = wall
        self._rooms: dict[UUID, _Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def members(self, conference_id: UUID) -> Sequence[Seat]:
        """Who is in the conference now, in the order in which they came."""
        room = self._rooms.get(conference_id)
        return () if room is None else tuple(room.seats)

    async def attend(
        self,
        conference: Conference,
        call: CallLeg,
        call_id: str,
        source: str,
        joined: Callable[[int], None],
        overhears: "AudioSink | None" = None,
    ) -> Ended:
        """Talks with the others until the conference is over; a hangup cancels it.

        joined: Told, with the number of members, when the call is in.
        overhears: Hears what the caller hears, such as the second channel of its recording.

        Raises RoomFullError before the call is answered, CallEnded, and what is in MEDIA_FAILURES.
        """
        room, seat = self._enter(conference, call_id, source)
        member: Any = None
        try:
            if not call.answered:
                call.answer()  # early media is no place to talk
            await call.listen()
            if room.mixer is None:
                mixer = await self._mixers()
                room.mixer = room.mixer or mixer
            if room.over:
                return "timeout"
            member = room.mixer.join()
            member.overheard_by = overhears
            call.attach(member)
            self._announce(room, JOINED)
            joined(len(room.seats))
            await call.play(member)
            return "timeout" if room.over else "left"
        finally:
            if member is not None and room.mixer is not None:
                call.detach(member)
                room.mixer.leave(member)
            self._leave(room, seat)

    def close(self) -> None:
        """Ends all of them."""
        for room in self._rooms.values():
            room.close()
            if room.timer is not None:
                room.timer.cancel()

    def _enter(self, conference: Conference, call_id: str, source: str) -> tuple[_Room, Seat]:
        room = self._rooms.get(conference.id)
        if room is None or room.over:
            room = self._rooms[conference.id] = _Room(conference)
            if conference.timeout:
                room.timer = asyncio.get_running_loop().call_later(conference.timeout, room.close)
        most = min(conference.max_members or MOST_MEMBERS, MOST_MEMBERS)
        if len(room.seats) >= most:
            raise RoomFullError(f"the conference is full: {len(room.seats)} of {most} are in it")
        seat = Seat(call_id, source, self._wall())
        room.seats.append(seat)
        return room, seat

    def _leave(self, room: _Room, seat: Seat) -> None:
        room.seats.remove(seat)
        if room.seats:
            self._announce(room, LEFT)
            return
        if room.timer is not None:
            room.timer.cancel()
        if room.mixer is not None:
            room.mixer.close()
        if self._rooms.get(room.conference.id) is room:
            del self._rooms[room.conference.id]

    def _announce(self, room: _Room, source: str) -> None:
        if room.conference.announce and room.mixer is not None and not room.over:
            room.mixer.play(_tone(source))


@cache
def _tone(source: str) -> "AudioBuffer":
    from engine.audio import tones  # which needs numpy: a mixer has loaded it

    return tones.parse(source)[0]
