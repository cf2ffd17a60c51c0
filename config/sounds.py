"""Missing sound files of a configuration.

A file that is missing is no fault of the configuration itself: it may come later, and an action whose sound is missing
leaves it out and the flow goes on. Nobody means it, though.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from config.faults import FieldPath
from config.settings import MediaSettings
from flows.calls.address import PLACEHOLDER
from flows.faults import printable
from flows.language.model import Flow
from flows.queues.declared import DeclaredQueue


def missing_sounds(
    flows: Sequence[Flow], queues: Sequence[DeclaredQueue], media: MediaSettings, beside: Path
) -> Iterator[tuple[FieldPath, str]]:
    """The fields that name a file that cannot be played, and why. `beside` is the folder of the configuration file."""
    folder = beside / media.sounds
    for index, flow in enumerate(flows):
        actions = [(action.type, action.option) for action in flow.actions]
        for path, source in _sources(actions, ("flows", index, "actions")):
            if problem := _problem(folder, source, media.largest_sound):
                yield path, problem
    for index, queue in enumerate(queues):
        if queue.music and (problem := _problem(folder, queue.music, media.largest_sound)):
            yield ("queues", index, "music"), problem


def _sources(actions: Sequence[tuple[str, Mapping[str, Any]]], path: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    """What `play` names. The options are sound: the flow has been checked whole."""
    for index, (kind, option) in enumerate(actions):
        if kind == "play":
            for place, source in enumerate(option["sources"]):
                yield (*path, index, "option", "sources", place), source
        elif kind == "call":
            inner = [(action.get("type", ""), action.get("option") or {}) for action in option.get("actions", ())]
            yield from _sources(inner, (*path, index, "option", "actions"))


def _problem(folder: Path, source: str, largest: int) -> str:
    """Why a source cannot be played; "" for one that can, or of which nobody knows before the call."""
    if source.startswith("tone:") or "://" in source or PLACEHOLDER in source:
        return ""
    quoted = repr(printable(source))
    pure = PurePosixPath(source)
    try:
        root = folder.resolve()
        file = (root / pure).resolve()
        if pure.is_absolute() or ".." in pure.parts or not file.is_relative_to(root):
            return f"{quoted} leads out of the sounds folder; name the file by its path below that folder"
        if file.is_dir():
            return f"{quoted} is a folder; name a file in it"
        if not file.is_file():
            return f"there is no file {quoted} in the sounds folder, {printable(folder.absolute(), 200)}"
        size = file.stat().st_size
    except (OSError, ValueError, RuntimeError) as error:
        return f"{quoted} cannot be read: {error}"
    return f"{quoted} has {size} bytes; media.largest_sound allows {largest}" if size > largest else ""
