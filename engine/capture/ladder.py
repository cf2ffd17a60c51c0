"""A SIP ladder as text: one column per participant, one arrow per message, times in milliseconds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from engine.capture.trace import Traced
from engine.sip.message.grammar import ParseError, escape
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from engine.transport.addresses import bracketed

_TIME_WIDTH = 8
_LINE_ROOM = 10  # what an arrow needs beside its text: two dashes, blanks, a head, lifelines
_SHORTEST_GAP = 12
_NOTE_GAP = 2


@dataclass(slots=True)
class LadderEntry:
    """One message, or with `source == destination` something that happened at one participant.

    `time` is in seconds on any clock; the first entry is shown as 0. `text` is the method or status line; `note`, where
    there is one, stands beside the arrow, or beneath it where it has no room.
    """

    time: float
    source: str
    destination: str
    text: str
    note: str = ""


class _Pen(NamedTuple):
    lifeline: str
    dash: str
    right: str
    left: str
    dot: str
    cut: str


_UNICODE = _Pen("│", "─", "▶", "◀", "●", "…")
_ASCII = _Pen("|", "-", ">", "<", "*", "~")


def draw(entries: Sequence[LadderEntry], width: int = 80, ascii_only: bool = False) -> str:
    """The ladder as lines of at most `width` cells, as far as that leaves room for the arrows; "" without entries.

    Participants stand in the order in which they first appear. Texts that do not fit are cut. What peers sent is
    escaped.
    """
    if not entries:
        return ""
    pen = _ASCII if ascii_only else _UNICODE
    texts = [_clean(entry.text, ascii_only) for entry in entries]
    notes = [_clean(entry.note, ascii_only) for entry in entries]
    names = list(dict.fromkeys(name for entry in entries for name in (entry.source, entry.destination)))
    column = {name: index for index, name in enumerate(names)}
    labels = [_clean(name, ascii_only) for name in names]
    gaps = _gaps([(column[entry.source], column[entry.destination]) for entry in entries], texts, labels, width)
    positions = [sum(gaps[:index]) for index in range(len(names))]
    last = positions[-1] + 1

    header = ""
    for index, label in enumerate(labels):
        room = gaps[index] - 1 if index < len(gaps) else max(width - _TIME_WIDTH - 1 - positions[index], 1)
        header = set_cell_size(header, positions[index]) + _cut(label, room, pen)
    lifelines = _row(positions, pen)
    lines = [f"{'ms':>{_TIME_WIDTH}} {header}".rstrip(), f"{'':{_TIME_WIDTH}} {lifelines}"]
    for entry, text, note in zip(entries, texts, notes, strict=True):
        source, destination = positions[column[entry.source]], positions[column[entry.destination]]
        row = _arrow(lifelines, source, destination, text, pen) if source != destination else ""
        if not row:
            row = _event(lifelines, source, text, pen, width - _TIME_WIDTH - 1)
        time = f"{(entry.time - entries[0].time) * 1000:.1f}"
        line = f"{time:>{_TIME_WIDTH}} {row}"
        indent = max(cell_len(line), _TIME_WIDTH + 1 + last) + _NOTE_GAP
        if note and indent + cell_len(note) <= width:
            lines.append(set_cell_size(line, indent) + note)
            continue
        lines.append(line.rstrip())
        if note:
            lines.append(f"{'':{_TIME_WIDTH}}   {_cut(note, width - _TIME_WIDTH - 3, pen)}")
    return "\n".join(lines)


def entries_of(messages: Iterable[Traced], us: str) -> list[LadderEntry]:
    """Messages of the trace as entries; `us` is the name of our own column. What is no SIP message is left out."""
    entries = []
    for traced in messages:
        try:
            message = parse(traced.data)
        except ParseError:
            continue
        peer = f"{bracketed(traced.flow.host)}:{traced.flow.port}"
        text = message.start_line().removesuffix(" SIP/2.0") if isinstance(message, Request) else ""
        if not isinstance(message, Request):
            text = f"{message.status} {message.reason} ({message.cseq_method})"
        note = "SDP" if message.body and "sdp" in message.get("Content-Type") else ""
        ends = (peer, us) if traced.inbound else (us, peer)
        entries.append(LadderEntry(traced.time, *ends, text, note))
    return entries


def _clean(text: str, ascii_only: bool) -> str:
    text = escape(text)
    return text.encode("ascii", "replace").decode("ascii") if ascii_only else text


def _cut(text: str, room: int, pen: _Pen) -> str:
    if cell_len(text) <= room:
        return text
    return set_cell_size(text, max(room - 1, 0)) + pen.cut


def _gaps(arrows: Sequence[tuple[int, int]], texts: Sequence[str], labels: Sequence[str], width: int) -> list[int]:
    """Cells from each lifeline to the next: what the texts and names want, or an equal share of what there is."""
    count = len(labels) - 1
    if count <= 0:
        return []
    wanted = [max(_SHORTEST_GAP, cell_len(label) + 2) for label in labels[:-1]]
    for (source, destination), text in zip(arrows, texts, strict=True):
        left, right = sorted((source, destination))
        # An arrow across several columns has their room together.
        for index in range(left, right):
            wanted[index] = max(wanted[index], -(-(cell_len(text) + _LINE_ROOM) // (right - left)))
    # The last column's name stands right of its lifeline.
    available = width - _TIME_WIDTH - 2 - min(cell_len(labels[-1]), width // 4)
    if sum(wanted) <= available:
        return wanted
    share = max(available // count, _SHORTEST_GAP)
    return [min(want, share) for want in wanted]


def _row(positions: Sequence[int], pen: _Pen) -> str:
    row = ""
    for position in positions:
        row = set_cell_size(row, position) + pen.lifeline
    return row


def _arrow(lifelines: str, source: int, destination: int, text: str, pen: _Pen) -> str:
    left, right = sorted((source, destination))
    room = right - left - 1
    label = _cut(text, room - 6, pen)
    body = f"{pen.dash * 2} {label} "
    body += pen.dash * (room - cell_len(body))
    body = body[:-1] + pen.right if source < destination else pen.left + body[1:]
    return lifelines[: left + 1] + body + lifelines[right:]


def _event(lifelines: str, position: int, text: str, pen: _Pen, width: int) -> str:
    label = f"{pen.dot} {_cut(text, width - position - 2, pen)}"
    end = position + cell_len(label)
    return lifelines[:position] + label + (lifelines[end:] if end < len(lifelines) else "")
