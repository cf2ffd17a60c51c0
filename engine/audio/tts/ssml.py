"""SSML as far as voices understand it: read strictly, kept to what is known, written anew for the voice.

What is known: speak, p, s, break, emphasis, prosody, say-as (characters, digits, telephone), sub. Of everything else
the tags go and the words stay, so that no voice is told to open a file (`audio`) or to become another one (`voice`).
W3C Speech Synthesis Markup Language 1.1 has the elements; there are no DTDs and no entities besides XML's own five.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from engine.audio.errors import SoundError, shown

LONGEST: Final = 10_000
"""Characters of a text, markup included: some ten minutes."""

LONGEST_BREAK: Final = 10.0
_DEPTH: Final = 32
_ELEMENTS: Final = 1_000

_DURATION = re.compile(r"\+?(\d{1,6}(?:\.\d{1,3})?|\.\d{1,3})(ms|s)", re.ASCII)
_SIGNED = r"[+-]?\d{1,4}(?:\.\d{1,3})?"
_ATTRIBUTES: Final = {
    ("break", "strength"): re.compile("none|x-weak|weak|medium|strong|x-strong"),
    ("emphasis", "level"): re.compile("strong|moderate|none|reduced"),
    ("prosody", "rate"): re.compile(rf"x-slow|slow|medium|fast|x-fast|default|{_SIGNED}%?", re.ASCII),
    ("prosody", "pitch"): re.compile(rf"x-low|low|medium|high|x-high|default|{_SIGNED}(?:%|Hz|st)", re.ASCII),
    ("prosody", "range"): re.compile(rf"x-low|low|medium|high|x-high|default|{_SIGNED}(?:%|Hz|st)", re.ASCII),
    ("prosody", "volume"): re.compile(rf"silent|x-soft|soft|medium|loud|x-loud|default|{_SIGNED}(?:dB|%)?", re.ASCII),
}
"""The attributes that are handed on, with what each may say. `break`'s time and those of say-as are read apart."""

_KNOWN: Final = frozenset({"speak", "p", "s", "break", "emphasis", "prosody", "say-as", "sub"})
_UNSPOKEN: Final = frozenset({"metadata", "meta", "desc", "lexicon"})
"""Elements whose text is not for the ear."""

_SPELLED: Final = frozenset({"characters", "spell-out", "verbatim"})
_DIGITS: Final = frozenset({"digits", "telephone"})
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Words:
    """What is to be said."""

    plain: str
    """The words alone, for a voice that knows no markup: sentences and pauses have become punctuation."""
    markup: str = ""
    """The same as an SSML document of known elements; "" where it was plain text."""


def read(text: str) -> Words:
    """Plain text, or SSML where it begins with `<speak`. Raises SoundError: too long, empty, or wrong SSML."""
    if len(text) > LONGEST:
        raise SoundError(f"the text has {len(text)} characters; {LONGEST} can be said at a time")
    stripped = _NOT_TEXT.sub(" ", text).strip()
    words = _Reader(stripped).words() if re.match(r"<\?xml|<speak[\s>/]", stripped) else Words(stripped)
    if not words.plain and "<break" not in words.markup:
        raise SoundError("there is nothing to say in the text")
    return words


@dataclass(slots=True)
class _Open:
    """An element that has not ended."""

    name: str
    end: str
    """What is written at its end."""
    unspoken: bool = False
    digits: bool = False
    spelled: bool = False
    alias: bool = False
    """Its text is replaced by what stood in its tag."""


@dataclass(slots=True)
class _Reader:
    """Reads one document, writing both forms as it goes."""

    text: str
    markup: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    elements: list[_Open] = field(default_factory=list)
    count: int = 0

    def words(self) -> Words:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(self.text.encode(), True)
        except expat.ExpatError as error:
            where = f"line {error.lineno}, column {error.offset + 1}"
            raise SoundError(f"the SSML is not well-formed: {where}: {expat.ErrorString(error.code)}") from None
        plain = re.sub(r"\s+", " ", "".join(self.plain))
        plain = re.sub(r"(?:\s*[,.])*\s*\.(?:\s*[,.])*", ".", re.sub(r"\s*,(?:\s*,)*", ",", plain))
        return Words(re.sub(r"([.,!?;:])\.", r"\1", plain).strip(" ,."), "".join(self.markup))

    def _doctype(self, *_: object) -> None:
        raise SoundError("the SSML has a DOCTYPE, which is not read; begin with <speak>")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        self.count += 1
        if self.count == 1 and name != "speak":
            raise SoundError(f"the SSML begins with <{shown(name)}>, not with <speak>")
        if self.count > _ELEMENTS or len(self.elements) >= _DEPTH:
            raise SoundError(f"the SSML has more than {_ELEMENTS} elements, or {_DEPTH} within each other")
        outer = self.elements[-1] if self.elements else None
        opened = _Open(name, "", outer is not None and outer.unspoken)
        if outer is not None:
            opened.digits, opened.spelled, opened.alias = outer.digits, outer.spelled, outer.alias
        self.elements.append(opened)
        if opened.unspoken or name in _UNSPOKEN:
            opened.unspoken = True
        elif opened.alias or name not in _KNOWN:
            self.plain.append(" ")
        elif name == "say-as":
            self._say_as(opened, attributes)
        elif name == "sub":
            self._characters(attributes.get("alias", ""))
            opened.alias = "alias" in attributes
        elif name == "break":
            self.markup.append(f"<break{_pause(attributes)}/>")
            self.plain.append(", ")
        else:
            self.markup.append(f"<{name}{_kept(name, attributes)}>")
            opened.end = f"</{name}>"
            self.plain.append(". " if name in ("p", "s") else "")

    def _end(self, _name: str) -> None:
        closed = self.elements.pop()
        self.markup.append(closed.end)
        if closed.name in ("p", "s") and not closed.unspoken:
            self.plain.append(". ")

    def _say_as(self, opened: _Open, attributes: dict[str, str]) -> None:
        kind = attributes.get("interpret-as", "")
        if kind in _SPELLED:
            self.markup.append('<say-as interpret-as="characters">')
            opened.end, opened.spelled = "</say-as>", True
        elif kind in _DIGITS:
            opened.digits = True
        elif not kind:
            raise SoundError("<say-as> does not say what to read its text as; write interpret-as, such as digits")

    def _characters(self, text: str) -> None:
        inner = self.elements[-1]
        if inner.unspoken or inner.alias:
            return
        if inner.digits:
            text = re.sub(r"(?<=\d)(?=\d)", " ", text)
        self.markup.append(escape(text))
        self.plain.append(re.sub(r"(?<=\S)(?=\S)", " ", text) if inner.spelled else text)


def _pause(attributes: dict[str, str]) -> str:
    time = attributes.get("time")
    if time is None:
        return _kept("break", attributes)
    match = _DURATION.fullmatch(time.strip())
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match is not None else -1.0
    if not 0 <= seconds <= LONGEST_BREAK:
        raise SoundError(f"<break>: time {shown(time)!r}; write 500ms or 2s, up to {LONGEST_BREAK:g}s")
    return f' time="{round(seconds * 1000)}ms"'


def _kept(name: str, attributes: dict[str, str]) -> str:
    """The attributes that a voice is told. Raises SoundError for one that says what it cannot."""
    kept = ""
    for attribute, value in attributes.items():
        form = _ATTRIBUTES.get((name, attribute))
        if form is None:
            continue
        if form.fullmatch(value.strip()) is None:
            raise SoundError(f"<{name}>: {attribute} {shown(value)!r} is not one that SSML has")
        kept += f" {attribute}={quoteattr(value.strip())}"
    return kept
