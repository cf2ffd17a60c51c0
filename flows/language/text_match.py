"""When two texts of people are the same word."""

import unicodedata
from typing import Final

WRITTEN_BY_PEOPLE: Final = frozenset({"message.text"})
"""Variables that conditions compare so."""


def folded(text: str) -> str:
    """`text` as keywords are compared: capitals, spaces and ways to write the same letters make no difference."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
