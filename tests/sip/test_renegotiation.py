"""The table of offers and answers within a dialog: complete where it has to be, and never two requests at once."""

from typing import get_args

import pytest

from engine.sip.dialog.renegotiation import IDLE, OPENING, ROWS, TABLE, Action, Event, SessionOffer, State

PENDING = {"INVITE": "peer INVITE", "UPDATE": "peer UPDATE", "2xx, UPDATE": "peer UPDATE"}


def reachable() -> set[State]:
    found, new = set(), {IDLE, OPENING}
    while new:
        found |= new
        new = {to for (state, _), (to, _) in TABLE.items() if state in found} - found
    return found


def test_no_two_rows_say_something_about_the_same_pair() -> None:
    pairs = sum(len(owns) * len(peers) * len(events) for owns, peers, events in ROWS)
    assert pairs == len(TABLE)


def test_what_the_peer_and_our_user_may_do_at_any_time_has_a_row_everywhere() -> None:
    always: tuple[Event, ...] = ("peer INVITE", "peer UPDATE", "want INVITE", "want UPDATE", "want refresh")
    assert all((state, event) in TABLE for state in reachable() for event in always)
    assert {event for _, event in TABLE} == set(get_args(Event))
    assert {action for _, action in TABLE.values()} == set(get_args(Action))


def test_a_pair_without_a_row_raises() -> None:
    with pytest.raises(KeyError):
        TABLE[IDLE, "ACK"]
    with pytest.raises(KeyError):
        TABLE[IDLE, "final"]


def test_one_request_of_either_side_at_a_time_14_1() -> None:
    for ((own, peer), event), ((own_next, peer_next), action) in TABLE.items():
        if event[:4] in ("want", "try ") and own != "idle":
            assert action == "refuse" and (own_next, peer_next) == (own, peer)
        if PENDING.get(peer) == event:
            assert action in ("491", "500") and (own_next, peer_next) == (own, peer)
        if action == "send":
            assert own_next in ("offer sent", "refresh sent") and peer != "INVITE"


@pytest.mark.parametrize(
    ("method", "body", "retry", "events"),
    [
        ("INVITE", b"", True, ("want INVITE", "retry INVITE")),
        ("INVITE", b"v=0\r\n", False, ("try INVITE", "retry INVITE")),
        ("UPDATE", b"v=0\r\n", True, ("want UPDATE", "retry UPDATE")),
        ("UPDATE", b"", False, ("try refresh", "retry refresh")),
    ],
)
def test_what_is_sent_names_its_events(method: str, body: bytes, retry: bool, events: tuple[str, str]) -> None:
    offer = SessionOffer(method, body, "", lambda status, response, now: None, retry)
    assert (offer.wanted, offer.retried) == events
