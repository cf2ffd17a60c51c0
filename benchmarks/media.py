"""Media: what it costs to play, to relay and to mix, and how punctual it is. Prints a page of Markdown.

    python -m benchmarks.media [--quick] [--calls 200] [--seconds 7] [--part calls --part relay --part sound]

Under four minutes; `--quick` is for a look while working. Exit code 1 where a run was spoilt.
"""

import argparse
import contextlib
import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from benchmarks import media_calls, media_peers, media_streams, programs
from benchmarks.media_calls import Held
from benchmarks.media_peers import Relayed
from benchmarks.media_streams import KINDS, Result
from benchmarks.proc import machine
from benchmarks.report import table

PARTS = ("calls", "relay", "sound")
Found = TypeVar("Found")


def say(text: str) -> None:
    """Progress goes to standard error; the page to standard output."""
    print(text, file=sys.stderr, flush=True)


class Page:
    """One run of the media bench: what was asked, and the page that grows."""

    def __init__(self, asked: argparse.Namespace, words: list[str]) -> None:
        self.asked = asked
        self.spoilt = False
        self._notes: list[str] = []
        self._lines: list[str] = []
        self._head = [
            f"# Media, {datetime.datetime.now(tz=datetime.UTC).date().isoformat()}", "",
            f"- Machine: {machine()}",
            f"- Load average at the start: {os.getloadavg()[0]:.2f}",
            f"- {programs.version('trunkline')}, on {'uvloop' if find_spec('uvloop') else 'asyncio'}",
            f"- {programs.version('sipp')}" if shutil.which("sipp") else "- SIPp: not installed, its parts left out",
            f"- rtpengine {media_peers.version()}, user space, one thread for packets"
            if shutil.which("rtpengine") else "- rtpengine: not installed, its parts left out",
            "- Asterisk and FreeSWITCH are in no Debian 12 repository: not measured",
            f"- Command: `{' '.join(['python -m benchmarks.media', *words])}`",
        ]  # fmt: skip

    def calls(self) -> None:
        """Whole calls that are played to, and calls through that nobody touches."""
        calls, seconds = self.asked.calls, self.asked.seconds
        works: list[Callable[[], Held]] = []
        if shutil.which("sipp"):
            works += [
                partial(media_calls.trunkline, calls, seconds, what)
                for what in (media_calls.PLAYING, media_calls.TONES, media_calls.SILENT)
            ]
            works += [partial(media_calls.bridged, calls, seconds), partial(media_calls.sipp, calls, seconds)]
        if shutil.which("rtpengine"):
            works += [partial(media_peers.playing, calls, seconds)]
        runs = [found for found in (self._attempt("calls", work) for work in works) if found is not None]
        rows = [_held_row(found) for found in runs]
        head = ["program", "calls up", "% of a core a call", "CPU ms a whole call", "packets at the sink",
                "from", "UDP sockets", "waited for the core", "load's core", "spoilt by"]  # fmt: skip
        self._lines += ["## Calls that are up", "", *table(head, rows)]
        played = [found for found in runs if found.timing.packets]
        head = ["program", "p50 ms", "p99 ms", "p99.9 ms", "largest ms", "within 2 ms", "lost / UDP drops"]
        self._lines += [
            "## How far packets are from their 20 ms",
            "",
            *table(head, [_timing_row(one) for one in played]),
        ]
        self._judge([fault for found in runs for fault in found.faults])
        self._lines += _shares(runs)

    def relay(self) -> None:
        """Anchored calls."""
        names = ["trunkline", "trunkline, both sides decoded", *(["rtpengine"] if shutil.which("rtpengine") else [])]
        runs: list[Relayed] = []
        for name in names:
            work = partial(media_peers.relayed, name, self.asked.anchored, self.asked.seconds)
            found = self._attempt(f"relay, {name}", work)
            if found is not None:
                runs.append(found)
        head = [
            "program",
            "calls",
            "% of a core a call",
            "us of CPU a packet",
            "packets",
            "lost / UDP drops",
            "spoilt by",
        ]
        rows = [
            [one.program, one.calls, _percent(one.share), f"{one.packet_us:.1f}", one.sent,
             f"{one.lost} / {one.drops}", _spoilt(one.faults)]
            for one in runs
        ]  # fmt: skip
        self._lines += ["## Anchored calls, 50 packets a second each way", "", *table(head, rows)]
        self._judge([fault for found in runs for fault in found.faults])

    def sound(self) -> None:
        """The engine's streams without signalling."""
        runs: list[Result] = []
        for name in self.asked.kind or KINDS:
            kind = KINDS[name]
            if not media_streams.available(kind):
                self._notes.append(f"{name}: its library is not here, left out")
                continue
            calls = self.asked.calls if not kind.members else max(self.asked.calls // kind.members, 1) * kind.members
            seconds = self.asked.sound_seconds
            found = self._attempt(f"sound, {name}", partial(media_streams.measure, kind, calls, seconds))
            if found is not None:
                runs.append(found)
        plain = {found.kind: found.share for found in runs}
        rows = [_sound_row(found, plain) for found in runs]
        head = ["stream", "what it does", "streams", "us of CPU in 20 ms", "% of a core a stream", "to `hear` (`play`)",
                "p99 ms / within 2 ms", "waited", "spoilt by"]  # fmt: skip
        self._lines += ["## What a stream costs, without signalling", "", *table(head, rows)]
        self._judge([fault for found in runs for fault in found.faults])

    def _attempt(self, what: str, work: Callable[[], Found]) -> Found | None:
        """Does one measurement; what cannot be measured is noted and does not end the others."""
        try:
            found = work()
        except (programs.NotReadyError, subprocess.SubprocessError, OSError, RuntimeError) as error:
            self.spoilt = True
            said = (str(error).splitlines() or [type(error).__name__])[0]
            say(f"{what}: {error}")
            self._notes.append(f"{what} could not be measured: {said}")
            return None
        say(f"{what}: {found}")
        return found

    def _judge(self, faults: list[str]) -> None:
        self.spoilt = self.spoilt or bool(faults)

    def markdown(self) -> str:
        """The page."""
        return "\n".join([*self._head, *(f"- {note}" for note in self._notes), "", *self._lines]).rstrip() + "\n"


def _percent(share: float) -> str:
    return f"{share:.3%}".removesuffix("%") if share >= 0.00001 else "under 0.001"


def _spoilt(faults: list[str]) -> str:
    return "; ".join(faults) or "-"


def _held_row(found: Held) -> list[Any]:
    whole = f"{found.whole_ms:.2f}" if found.whole_ms else "-"
    return [
        found.program, found.calls, _percent(found.share), whole, found.timing.packets,
        ", ".join(found.sources) or "-", found.udp_sockets, f"{found.waited:.1%}", f"{found.load:.0%}",
        _spoilt(found.faults),
    ]  # fmt: skip


def _timing_row(found: Held) -> list[Any]:
    timing = found.timing
    cuts = [f"{cut / 1000:.2f}" for cut in (timing.p50, timing.p99, timing.p999, timing.largest)]
    return [found.program, *cuts, f"{timing.within:.2%}", f"{timing.lost} / {timing.drops}"]


def _shares(runs: list[Held]) -> list[str]:
    """What playing adds to a call, and what others need for the same."""
    by_name = {found.program: found for found in runs}
    playing, silent = by_name.get(media_calls.PLAYING), by_name.get(media_calls.SILENT)
    if playing is None or silent is None or not playing.share:
        return []
    lines = [
        f"- Media's share of the CPU of a call that is up and played to: {1 - silent.share / playing.share:.1%}; "
        f"{1 / playing.share:.0f} such calls would fill a core.",
    ]
    lines += [
        f"- {media_calls.PLAYING} / {found.program}: {playing.share / found.share:.2f}"
        for found in runs
        if found.timing.packets
        and found.share
        and found.program not in (media_calls.PLAYING, media_calls.BRIDGED, media_calls.TONES)
    ]
    bridged = by_name.get(media_calls.BRIDGED)
    if bridged is not None:
        whom = ", ".join(bridged.sources) or "nobody"
        lines.append(
            f"- {bridged.program}: {bridged.timing.packets} packets went from {whom} straight to the callers; the "
            f"program had {bridged.udp_sockets} UDP socket (SIP) and used {_percent(bridged.share)} % of a core a call."
        )
    return [*lines, ""]


def _sound_row(found: Result, plain: dict[str, float]) -> list[Any]:
    kind, timing = KINDS[found.kind], found.timing
    base = plain.get("hear" if kind.voices else "play")
    ratio = "" if not base else f"{found.share / base:.2f}"
    punctual = f"{timing.p99 / 1000:.2f} / {timing.within:.2%}" if timing.packets else "-"
    return [
        found.kind, kind.text, found.calls, f"{found.share * 20_000:.1f}", _percent(found.share), ratio, punctual,
        f"{found.waited:.1%}", _spoilt(found.faults),
    ]  # fmt: skip


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs for a look while working")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part (may be repeated)")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="only this stream of the part `sound`")
    parser.add_argument("--calls", type=int, default=200, help="calls at once (default 200)")
    parser.add_argument("--anchored", type=int, default=100, help="calls at once of the part `relay` (default 100)")
    parser.add_argument("--seconds", type=float, help="length of one run (default 7, quick 3)")
    parser.add_argument("--engine", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    asked.seconds = asked.seconds or (3.0 if asked.quick else 7.0)
    asked.sound_seconds = asked.seconds / 2
    return asked


def main(words: list[str]) -> int:
    """Runs what was asked."""
    asked = arguments(words)
    if asked.engine:
        name, calls, peer = asked.engine
        media_streams.run_engine(name, int(calls), int(peer))
        return 0
    with contextlib.suppress(OSError):  # one core: all share it, and the page says how long the program waited
        os.sched_setaffinity(0, {0})
    page = Page(asked, words)
    for part in asked.part or PARTS:
        {"calls": page.calls, "relay": page.relay, "sound": page.sound}[part]()
    print(page.markdown())
    return int(page.spoilt)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
