"""SoundError: what is wrong with a sound, for whoever asked for it."""


class SoundError(Exception):
    """A sound cannot be had. The text is a sentence for the author of a flow: what, and where it helps, what to do."""


def shown(source: str, most: int = 80) -> str:
    """`source` as an error may quote it: on one line, not too long, whatever is in it."""
    text = "".join(character if character.isprintable() else "?" for character in source[: most + 1])
    return f"{text[:most]}…" if len(text) > most else text
