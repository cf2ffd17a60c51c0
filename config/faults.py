"""What is wrong with a configuration, told the way a user can mend it.

A fault is one line: where (file and line, or the environment variable), which field, what is wrong, what to do.
Loading collects every fault before it gives up, so that a file is mended in one round.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PathKey = str | int
FieldPath = tuple[PathKey, ...]


@dataclass(slots=True)
class Fault:
    """One thing that is wrong.

    `place` is `FILE:LINE`, `FILE`, or `environment variable NAME`; `path` the field in the document, empty where the
    document as a whole is meant; `line` orders the faults of a file (0 where there is none).
    """

    place: str
    path: FieldPath
    problem: str
    line: int = 0

    def __str__(self) -> str:
        field = format_path(self.path)
        return ": ".join(part for part in (self.place, field, self.problem) if part)


class ConfigurationError(Exception):
    """The configuration cannot be used. `faults` holds every reason, in the order of the file's lines."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = list(faults)


def format_path(path: Iterable[PathKey]) -> str:
    """`("providers", 0, "hostname")` as `providers[0].hostname`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{key}" if text else key
    return text
