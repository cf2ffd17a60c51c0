"""Pacer: one clock for the sound of all calls; every stream has a turn every 20 ms, without a task of its own.

The 20 ms are cut into slots of 4 ms, and a stream keeps the slot that it got: two hundred calls are forty packets
every 4 ms in place of two hundred at once, each of which would wait for those before it. (Finer slots cost more: waking
the loop takes as long as ten packets, `benchmarks/media.py` has the figures.) Turns are counted from a fixed
beginning, so that no delay of one turn moves the next; which turn it is also says what the time is, and RTP timestamps
are made of it (RFC 3550 §5.1: they follow the sampling clock, not the moment of sending).
"""

import math
from collections.abc import Callable
from typing import Final, Protocol

FRAME: Final = 0.02
"""Seconds between two turns of one stream."""

SLOTS: Final = 5
"""Slots of a frame."""

STEP: Final = FRAME / SLOTS
"""Seconds between two slots."""

CATCH_UP: Final = 2 * SLOTS
"""Slots that are made up for after a stall, as fast as they can be sent. A peer's jitter buffer takes 40 ms at once;
what is older is skipped, and counted: sent now, it would only be thrown away there."""

_EARLY: Final = 0.0005
"""Seconds that a turn may come too soon: loops round their timers to milliseconds, and waking twice costs more."""


class Paced(Protocol):
    """What has a turn every 20 ms."""

    def tick(self, frame: int) -> None:
        """It is the turn of `frame`: they rise by one, by more where a stalled process has skipped some. May leave the
        pacer, and let others leave."""
        ...


class Timer(Protocol):
    """What `call_at` returns."""

    def cancel(self) -> None: ...


class Pacer:
    """The turns of all streams. It sleeps while there is none.

    Attributes:
        turns: Turns given so far.
        skipped: Turns of a slot that were left out, since the process was held up for longer than `CATCH_UP`.
        latest: The longest that a slot was late, in seconds.
        fault: Told of what a turn has raised; whose turn it was has left the pacer then.
    """

    __slots__ = (
        "_armed",
        "_begin",
        "_call_at",
        "_clock",
        "_next",
        "_slots",
        "_slots_of",
        "_timer",
        "fault",
        "latest",
        "skipped",
        "turns",
    )

    def __init__(
        self, clock: Callable[[], float], call_at: Callable[[float, Callable[[], None]], Timer], begin: float = 0.0
    ) -> None:
        """`clock` gives seconds that never go back; `call_at` (of an event loop) calls at such a second. Frames are
        counted from `begin`."""
        self._clock = clock
        self._call_at = call_at
        self._begin = begin
        # Tuples, made anew when somebody comes or goes, which is rare: what runs through one is not disturbed.
        self._slots: list[tuple[Paced, ...]] = [()] * SLOTS
        self._slots_of: dict[Paced, int] = {}
        self._timer: Timer | None = None
        self._armed = 0  # the step that the timer waits for
        self._next = 0  # the first step that has not had its turn
        self.turns = 0
        self.skipped = 0
        self.latest = 0.0
        self.fault: Callable[[Exception], None] | None = None

    def __len__(self) -> int:
        return len(self._slots_of)

    def __contains__(self, paced: Paced) -> bool:
        return paced in self._slots_of

    @property
    def frame(self) -> int:
        """The frame that runs."""
        return self._step() // SLOTS

    def _step(self) -> int:
        return math.floor((self._clock() - self._begin) / STEP)

    def add(self, paced: Paced) -> None:
        """From now on `paced` has its turns, the first within 20 ms. Nothing where it has them already."""
        if paced in self._slots_of:
            return
        sleeping = self._timer is None
        if sleeping:
            self._next = max(self._next, self._step() + 1)
        # The least populated slot; of several the one whose turn comes next.
        slots, start = self._slots, self._next
        ahead = min(range(SLOTS), key=lambda wait: len(slots[(start + wait) % SLOTS]))
        slot = (start + ahead) % SLOTS
        slots[slot] += (paced,)
        self._slots_of[paced] = slot
        if sleeping or start + ahead < self._armed:
            self._arm()

    def remove(self, paced: Paced) -> None:
        """`paced` has no turns any more. Nothing where it had none."""
        slot = self._slots_of.pop(paced, None)
        if slot is not None:
            self._slots[slot] = tuple(one for one in self._slots[slot] if one is not paced)
            if not self._slots_of:
                self.stop()

    def stop(self) -> None:
        """Ends it; streams that are still in it have no turns until another one comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.stop()
        slots, start = self._slots, self._next
        for wait in range(SLOTS):
            if slots[(start + wait) % SLOTS]:
                self._armed = start + wait
                self._timer = self._call_at(self._begin + self._armed * STEP, self._wake)
                return

    def _wake(self) -> None:
        now = self._clock() - self._begin
        due = math.floor((now + _EARLY) / STEP)
        self.latest = max(self.latest, now - self._armed * STEP)
        step = self._armed
        if due - step >= CATCH_UP:
            behind = (due - step - CATCH_UP) // SLOTS + 1
            step += behind * SLOTS  # whole frames: everybody loses as many
            self.skipped += behind * len(self._slots_of)
        slots_of = self._slots_of
        while step <= due:
            frame, slot = divmod(step, SLOTS)
            step += 1
            self._next = step
            for paced in self._slots[slot]:
                if paced in slots_of:
                    self.turns += 1
                    try:
                        paced.tick(frame)
                    except Exception as error:  # one call's fault is not to cost the others their turn
                        self.remove(paced)
                        if self.fault is None:
                            raise
                        self.fault(error)
        if slots_of:
            self._arm()
