"""The table of offers and answers within a dialog: complete where it has to be, and never two requests at once."""

from typing import get_args

import pytest

from engine.sip.dialog.renegotiation import IDLE, OPENING, ROWS, TABLE, Action, Event, Own, Peer, SessionOffer, State

PENDING = {"INVITE": "peer INVITE", "UPDATE": "peer UPDATE", "2xx, UPDATE": "peer UPDATE"}


def by_the_rules(state: State, event: Event) -> tuple[State, Action] | None:
    """What RFC 3261 §14, RFC 3311 §5 and RFC 6337 make of an event, put another way than the table does; None: it does
    not happen."""
    own, peer = state
    unanswered, unacknowledged = peer == "INVITE", peer in ("2xx", "2xx, UPDATE")
    updating = peer in ("UPDATE", "2xx, UPDATE")
    verb, _, kind = event.partition(" ")
    sent: Own = "refresh sent" if kind == "refresh" else "offer sent"
    if verb in ("want", "try"):
        if own != "idle" or (unanswered and verb == "try"):
            return state, "refuse"
        if unanswered:
            return ("backing off", peer), "back off"
        return (("waiting for ACK", peer), "wait") if kind == "INVITE" and unacknowledged else ((sent, peer), "send")
    if verb == "retry":
        if own != "backing off":
            return None
        waits = unanswered or (kind == "INVITE" and unacknowledged)
        return (state, "back off") if waits else ((sent, peer), "send")
    if event in ("491", "final"):
        if own not in ("offer sent", "refresh sent"):
            return None
        return (("backing off", peer), "back off") if event == "491" else (("idle", peer), "")
    if verb == "peer":
        if peer == "opening" or (kind == "INVITE" and peer != "idle"):
            return state, "500"
        if own == "offer sent":
            return state, "491"
        if unanswered or updating:
            return state, "500"
        taken: Peer = "INVITE" if kind == "INVITE" else "2xx, UPDATE" if unacknowledged else "UPDATE"
        return (own, taken), "take"
    answers: dict[tuple[str, str], Peer] = {
        ("answer sent", "idle"): "idle",
        ("answer sent", "opening"): "idle",
        ("answer sent", "UPDATE"): "UPDATE",
        ("2xx sent", "idle"): "2xx",
        ("2xx sent", "opening"): "2xx",
        ("2xx sent", "INVITE"): "2xx",
        ("2xx sent", "UPDATE"): "2xx, UPDATE",
        ("INVITE refused", "INVITE"): "idle",
        ("UPDATE answered", "UPDATE"): "idle",
        ("UPDATE answered", "2xx, UPDATE"): "2xx",
        ("ACK", "2xx"): "idle",
        ("ACK", "2xx, UPDATE"): "UPDATE",
    }
    if (event, peer) not in answers:
        return None
    after = answers[event, peer]
    return (("offer sent", after), "send") if event == "ACK" and own == "waiting for ACK" else ((own, after), "")


def test_the_table_says_what_the_rules_say_wherever_a_session_can_be() -> None:
    found, new = set(), {IDLE, OPENING}
    while new:
        found |= new
        new = {row[0] for state in new for event in get_args(Event) if (row := by_the_rules(state, event))} - found
    for state in found:
        for event in get_args(Event):
            assert TABLE.get((state, event)) == by_the_rules(state, event), (state, event)


def test_no_two_rows_say_something_about_the_same_pair() -> None:
    pairs = sum(len(owns) * len(peers) * len(events) for owns, peers, events in ROWS)
    assert pairs == len(TABLE)


def test_every_event_and_action_has_a_row() -> None:
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
