"""The SIP ladder in a terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console

from engine.capture.ladder import LadderEntry, draw


def show(entries: Sequence[LadderEntry]) -> None:
    """Print the ladder to standard output, as wide as the terminal and with the characters it can show."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    print(draw(entries, Console().width, ascii_only=not encoding.startswith("utf8")))
