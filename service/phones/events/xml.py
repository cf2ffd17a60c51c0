"""XML of event packages: what peers have said is written so that it stays text, and read so that it stays small."""

from typing import Final, NamedTuple
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape

from engine.sip.message.grammar import ParseError

MOST_ELEMENTS: Final = 512
DEEPEST: Final = 32
_QUOTES: Final = {'"': "&quot;", "'": "&apos;"}
# What XML 1.0 cannot hold, escaped neither (§2.2): control characters, halves of surrogate pairs.
_UNWRITABLE: Final = (
    {code: "\ufffd" for code in range(0x20) if code not in (0x09, 0x0A, 0x0D)}
    | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
    | {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}
)


def text(value: str) -> str:
    """`value` as the content of an element or of an attribute in quotes, whatever is in it."""
    return escape(value.translate(_UNWRITABLE), _QUOTES)


class Element(NamedTuple):
    """One element of a document.

    Attributes:
        path: The names of those around it and its own, each with its namespace: "namespace name".
        text: Its text before the first element in it.
    """

    path: tuple[str, ...]
    text: str


def elements(document: bytes) -> list[Element]:
    """The elements of a document, in the order in which they begin. Raises ParseError where it is no XML, has a
    document type (and with it, entities), or is larger than any document of an event is."""
    reader = _Reader()
    try:
        reader.parser.Parse(document, True)
    except (ExpatError, ValueError, LookupError) as error:  # the latter two: an encoding that is not known
        raise ParseError("the document is no XML") from error
    return [Element(path, "".join(parts).strip()) for path, parts in reader.found]


class _Reader:
    def __init__(self) -> None:
        self.found: list[tuple[tuple[str, ...], list[str]]] = []
        self._open: list[tuple[tuple[str, ...], list[str]]] = []
        self._newest: list[str] | None = None
        self.parser = ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _refuse(self, *_declaration: object) -> None:
        raise ParseError("a document of an event has no document type")

    def _start(self, name: str, _attributes: object) -> None:
        if len(self._open) >= DEEPEST or len(self.found) >= MOST_ELEMENTS:
            raise ParseError("the document is too large")
        around = self._open[-1][0] if self._open else ()
        element: tuple[tuple[str, ...], list[str]] = ((*around, name), [])
        self.found.append(element)
        self._open.append(element)
        self._newest = element[1]

    def _end(self, _name: str) -> None:
        self._open.pop()
        self._newest = None

    def _characters(self, data: str) -> None:
        if self._newest is not None:
            self._newest.append(data)
