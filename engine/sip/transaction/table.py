"""State machines as data (RFC 3261 §17): ``(state, event) -> (next state, actions)``.

A pair without a row is a programming error and raises KeyError; events that a state absorbs are listed.
"""

from typing import TypeVar

State = TypeVar("State", bound=str)
Event = TypeVar("Event", bound=str)
Action = TypeVar("Action")

Rows = dict[State, dict[Event, tuple[State, tuple[Action, ...]]]]


def absorbing(rows: Rows[State, Event, Action], absorbed: dict[State, tuple[Event, ...]]) -> Rows[State, Event, Action]:
    """`rows`, and one for each event that a state absorbs: it stays, and does nothing."""
    for state, events in absorbed.items():
        row = rows.setdefault(state, {})
        for event in events:
            row[event] = (state, ())
    return rows
