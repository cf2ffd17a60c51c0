"""Faults of a configuration: place, field, problem and advice.

A fault is one line: where (file and line, or the environment variable), which field, what is wrong, what to do.
Loading collects every fault before it gives up, so that a file is mended in one round.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.faults import FieldPath, format_path

__all__ = ["ConfigurationError", "Fault", "FieldPath", "format_path"]


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
