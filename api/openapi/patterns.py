"""What texts look like, as regular expressions of the OpenAPI document.

They say what the code refuses, for those who read the document: people, generators of clients, and schemathesis, which
holds the API to it. Only what every dialect knows (ECMA 262, Python, Rust): no look-around, no flags. U+0085, a space
to Python and to Rust, is none to ECMA 262: it is named beside `\\s`.
"""

from collections.abc import Iterable

ANY_TEXT = r"^[^\x00]*$"

NORMAL_NUMBER = r"^\+([1-79][0-9]{6,14}|8[0-8][0-9]{5,13}|89[0-8][0-9]{4,12})$"
"""E.164, and none of the virtual ones."""
VIRTUAL_NUMBER = r"^\+899([1-9][0-9]{8}|0[1-9][0-9]{7}|00[1-9][0-9]{6})$"
"""But for those that the platform keeps for itself, unless it says otherwise."""
CALLED_NUMBER = r"^\+[1-9]([ .-]?[0-9]){6,14}$"
ROUTE_TARGET = r"^(all|\+([1-79][0-9]{0,14}|8([0-8][0-9]{0,13})?|89([0-8][0-9]{0,12})?))$"

SIP_URI = r'^([^\s<>"$\x00-\x1f\x7f\x85]|\$+[^\s<>"${\x00-\x1f\x7f\x85])+$'
"""With or without its scheme; and without `${`, which stands for a variable."""
SIP_TEXT = r'^[^\s<>"\x00-\x1f\x7f\x85]+$'
NAME_OR_ID = r"^([^$\x00-\x1f\x7f]|\$+[^${\x00-\x1f\x7f])+$"


_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_PORT = rf"^({_LABEL}([.]{_LABEL})*[.]?|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?$"
HOST_PORT_OR_NONE = rf"^(({_LABEL}([.]{_LABEL})*[.]?|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?)?$"
POSTFIX = rf"^[^@\x00-\x1f\x7f]*(@({_LABEL}[.])*[A-Za-z]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?)?$"
HEADER_NAME = r"^[A-Za-z0-9.!%*_+`'~-]+$"
HEADER_VALUE = r"^[^\x00\r\n]*$"
CODEC_LIST = r"^([A-Za-z0-9.-]+(/[0-9]+){0,2}(, *[A-Za-z0-9.-]+(/[0-9]+){0,2})*)?$"
MUSIC = r"^(https?://[!-~]+|tone:[ -~]+|[A-Za-z0-9._/ -]*)$"
STATUS_OR_CLASS = r"^[3-6]([0-9]{2}|[xX]{2})$"


def but_for(words: Iterable[str]) -> dict[str, dict[str, str]]:
    """A schema for texts that are none of these words, in capitals or not."""
    either = (
        "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in word) for word in words
    )
    return {"not": {"pattern": f"^({'|'.join(either)})$"}}
