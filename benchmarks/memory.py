"""Memory per held call, and whether it stays flat when calls come and go."""

import time
from dataclasses import dataclass, field

from benchmarks import proc
from benchmarks.load import Callers
from benchmarks.programs import NUMBER
from benchmarks.steps import Bed, Say, target


@dataclass(slots=True)
class Memory:
    """One program: bytes per held call, and its memory after each round of hold and release."""

    program: str
    calls: int
    hold: float
    before: int = 0
    held: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    failed: int = 0

    @property
    def per_call(self) -> float:
        """Bytes per held call in the first round, while nothing freed can be used again."""
        return (self.held[0] - self.before) / self.calls if self.held else 0.0

    @property
    def growth(self) -> float:
        """Bytes that the program grew per round of churn, from the second release on."""
        return (self.released[-1] - self.released[1]) / (len(self.released) - 2) if len(self.released) > 2 else 0.0


def held_calls(name: str, calls: int, rate: int, hold: float, rounds: int, say: Say) -> Memory:
    """Holds `calls` calls for `hold` seconds after the last one came up, `rounds` times, and reads the memory.

    With a hold of 35 s or more the INVITE transactions are over (Timer L, RFC 6026 §7.1: 32 s); the calls are left.
    """
    found = Memory(name, calls, hold)
    ramp = calls / rate
    with Bed(name, "through") as bed:
        bed.load(rate, 1.0)
        time.sleep(1.0)
        found.before = proc.memory_bytes(bed.running.pids)
        for number in range(rounds):
            hold_ms = int((ramp + hold) * 1000)
            sipps = Callers(target(), NUMBER, hold_ms=hold_ms).start(rate, calls)
            try:
                time.sleep(ramp + hold - 0.5)
                found.held.append(proc.memory_bytes(bed.running.pids))
                for sipp in sipps:
                    sipp.process.wait(ramp * 3 + hold + 20)
                    found.failed += sipp.counts().failed + (calls - sipp.counts().successful)
            finally:
                for sipp in sipps:
                    sipp.close()
            time.sleep(min(hold, 5.0))
            found.released.append(proc.memory_bytes(bed.running.pids))
            say(
                f"memory {name} round {number + 1}: {found.held[-1] / 2**20:.1f} MB held, "
                f"{found.released[-1] / 2**20:.1f} MB after, {found.failed} failed"
            )
    return found
