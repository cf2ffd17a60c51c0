"""Keywords in the texts of people."""

import unicodedata
from typing import Final

WRITTEN_BY_PEOPLE: Final = frozenset({"message.text"})
"""Variables whose values conditions and branches compare as keywords."""


def normalise_keyword(text: str) -> str:
    """`text` as keywords are compared: case-folded, in Unicode's NFKC form, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
