"""Announcements to callers who wait: their place in the line, and for how long that may be."""

from collections.abc import Mapping
from math import ceil
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator, Field

from flows.values import spoken_language, spoken_text

SHORTEST_PAUSE: Final = 10_000
"""Milliseconds between two announcements at the least."""
ENGLISH: Final = "en-US"


class _Words(NamedTuple):
    first: str
    place: str
    minute: str
    minutes: str


WORDS: Final[Mapping[str, _Words]] = {
    "en": _Words(
        "You are next in line.",
        "You are number {} in line.",
        "The wait is about one minute.",
        "The wait is about {} minutes.",
    ),
    "de": _Words(
        "Sie sind als Nächstes an der Reihe.",
        "Sie sind an Position {}.",
        "Die Wartezeit beträgt etwa eine Minute.",
        "Die Wartezeit beträgt etwa {} Minuten.",
    ),
    "fr": _Words(
        "Vous êtes le prochain appel.",
        "Vous êtes en position {}.",
        "Le temps d'attente est d'environ une minute.",
        "Le temps d'attente est d'environ {} minutes.",
    ),
    "es": _Words(
        "Es el siguiente en la cola.",
        "Está en la posición {}.",
        "El tiempo de espera es de un minuto, aproximadamente.",
        "El tiempo de espera es de {} minutos, aproximadamente.",
    ),
    "it": _Words(
        "Lei è il prossimo in coda.",
        "Lei è in posizione {}.",
        "L'attesa è di circa un minuto.",
        "L'attesa è di circa {} minuti.",
    ),
    "nl": _Words(
        "U bent als eerste aan de beurt.",
        "U bent nummer {} in de rij.",
        "De wachttijd is ongeveer een minuut.",
        "De wachttijd is ongeveer {} minuten.",
    ),
    "pt": _Words(
        "A sua chamada é a próxima.",
        "A sua chamada está na posição {}.",
        "O tempo de espera é de cerca de um minuto.",
        "O tempo de espera é de cerca de {} minutos.",
    ),
    "pl": _Words(
        "Twoje połączenie jest następne w kolejce.",
        "Twoja pozycja w kolejce: {}.",
        "Czas oczekiwania w minutach: około 1.",
        "Czas oczekiwania w minutach: około {}.",
    ),
}
"""The words of our own, by language."""


def minutes(wait: float | None) -> str:
    """Seconds of waiting as whole minutes, at least one; "" where nobody knows."""
    return "" if wait is None else str(max(1, ceil(wait / 60)))


def words(language: str, place: int, wait: float | None) -> str:
    """Words of our own for a place in the line, and for the seconds of waiting where they are known."""
    mine = WORDS[_primary(language)]
    said = mine.first if place == 1 else mine.place.format(place)
    if wait is None:
        return said
    much = minutes(wait)
    return f"{said} {mine.minute if much == '1' else mine.minutes.format(much)}"


def unspoken(every: float, language: str, text: str) -> str:
    """Why a queue cannot announce so, in a sentence; "" where it can."""
    if not every or text or _primary(language) in WORDS:
        return ""
    return f"there are no words of our own in {language}, only in {', '.join(WORDS)}; give announce_text"


def _primary(language: str) -> str:
    return (language or ENGLISH).partition("-")[0].lower()


def _every(milliseconds: int) -> int:
    if 0 < milliseconds < SHORTEST_PAUSE:
        raise ValueError(f"must be 0 for never, or at least {SHORTEST_PAUSE}; write a larger number")
    return milliseconds


AnnounceEvery = Annotated[
    int,
    Field(ge=0, le=3_600_000, json_schema_extra={"anyOf": [{"const": 0}, {"minimum": SHORTEST_PAUSE}]}),
    AfterValidator(_every),
]
"""Milliseconds between two announcements; 0 for none."""
AnnounceLanguage = Annotated[
    str,
    Field(
        max_length=35, json_schema_extra={"pattern": "^([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$", "examples": ["de-DE"]}
    ),
    AfterValidator(lambda text: spoken_language(text) if text else text),
]
AnnounceText = Annotated[
    str,
    Field(max_length=1_000, json_schema_extra={"pattern": r"^([^<\x00]*[^<\x00\s][^<\x00]*)?$"}),
    AfterValidator(lambda text: spoken_text(text) if text else text),
]
"""What is said, with variables, plain or SSML."""
