"""Offers and answers within a dialog, as a table: which side may send an INVITE or UPDATE, and when (RFC 3261 §14;
RFC 3264 §4, RFC 3311 §5, RFC 6337).

Each side of a dialog has at most one request under way that changes the session. The state is what our side does and
what the peer's does; the table says what the next event makes of both. What the bodies say is not looked at.
"""

from typing import Final, Literal

from engine.sip.dialog.usage import OnFinal
from engine.sip.request import OutgoingRequest

Own = Literal["idle", "waiting for ACK", "backing off", "offer sent", "refresh sent"]
"""Our re-INVITE or UPDATE: none; one that waits for the ACK of our 2xx, or for its next try after a 491; one that was
sent and makes or asks for an offer; an UPDATE without a body that was sent."""

Peer = Literal["idle", "opening", "INVITE", "UPDATE", "2xx", "2xx, UPDATE"]
"""The peer's: none; the INVITE that opens the dialog, whose offer has no answer yet; a re-INVITE or an UPDATE with an
offer, not answered yet; an INVITE with a 2xx that has no ACK yet; that and an UPDATE."""

State = tuple[Own, Peer]

Event = Literal[
    "want INVITE",  # our user has one to send; after a 491 it is to be sent again
    "want UPDATE",
    "want refresh",
    "try INVITE",  # the same, but a 491 is final
    "try UPDATE",
    "try refresh",
    "retry INVITE",  # the back-off time of §14.1 is over
    "retry UPDATE",
    "retry refresh",
    "491",  # the response to ours, which is to be sent again
    "final",  # any other final response, or none in time
    "peer INVITE",
    "peer UPDATE",  # with an offer
    "answer sent",  # in a provisional response
    "2xx sent",  # to an INVITE
    "INVITE refused",
    "UPDATE answered",
    "ACK",
]

Action = Literal["", "refuse", "wait", "back off", "send", "take", "491", "500"]
"""Ours: refuse it with 491 to the user, wait for the ACK, back off (§14.1), send it. The peer's: take it, respond 491
(glare), respond 500 with Retry-After (§14.2)."""

IDLE: Final[State] = ("idle", "idle")
OPENING: Final[State] = ("idle", "opening")

_BUSY: Final[tuple[Own, ...]] = ("waiting for ACK", "backing off", "offer sent", "refresh sent")
_NOT_OFFERING: Final[tuple[Own, ...]] = ("idle", "waiting for ACK", "backing off", "refresh sent")
_NOT_WAITING: Final[tuple[Own, ...]] = ("idle", "backing off", "offer sent", "refresh sent")
_ANY: Final[tuple[Own, ...]] = ("idle", *_BUSY)

_CLEAR: Final[tuple[Peer, ...]] = ("idle", "opening", "UPDATE")  # nothing of the peer's holds an INVITE of ours up
_UNACKED: Final[tuple[Peer, ...]] = ("2xx", "2xx, UPDATE")
_ANYTHING: Final[tuple[Peer, ...]] = ("INVITE", *_CLEAR, *_UNACKED)

_Pairs = tuple[tuple[Own, ...], tuple[Peer, ...], tuple[Event, ...]]

ROWS: Final[dict[_Pairs, tuple[Own | None, Peer | None, Action]]] = {
    # Ours. One at a time; none while an INVITE of the peer is unanswered; no INVITE before the ACK of our 2xx (§14.1).
    (_BUSY, _ANYTHING, ("want INVITE", "want UPDATE", "want refresh", "try INVITE", "try UPDATE", "try refresh")): (
        None,
        None,
        "refuse",
    ),
    (("idle",), ("INVITE",), ("try INVITE", "try UPDATE", "try refresh")): (None, None, "refuse"),
    (("idle",), ("INVITE",), ("want INVITE", "want UPDATE", "want refresh")): ("backing off", None, "back off"),
    (("idle",), _UNACKED, ("want INVITE", "try INVITE")): ("waiting for ACK", None, "wait"),
    (("idle",), _CLEAR, ("want INVITE", "try INVITE")): ("offer sent", None, "send"),
    (("idle",), (*_CLEAR, *_UNACKED), ("want UPDATE", "try UPDATE")): ("offer sent", None, "send"),
    (("idle",), (*_CLEAR, *_UNACKED), ("want refresh", "try refresh")): ("refresh sent", None, "send"),
    (("backing off",), ("INVITE", *_UNACKED), ("retry INVITE",)): (None, None, "back off"),
    (("backing off",), ("INVITE",), ("retry UPDATE", "retry refresh")): (None, None, "back off"),
    (("backing off",), _CLEAR, ("retry INVITE",)): ("offer sent", None, "send"),
    (("backing off",), (*_CLEAR, *_UNACKED), ("retry UPDATE",)): ("offer sent", None, "send"),
    (("backing off",), (*_CLEAR, *_UNACKED), ("retry refresh",)): ("refresh sent", None, "send"),
    (("offer sent", "refresh sent"), _ANYTHING, ("491",)): ("backing off", None, "back off"),
    (("offer sent", "refresh sent"), _ANYTHING, ("final",)): ("idle", None, ""),
    # The peer's. Glare with an offer of ours: 491 (§14.2, RFC 3311 §5.2). The next before the last is settled: 500.
    (_ANY, ("opening", "INVITE", "UPDATE", *_UNACKED), ("peer INVITE",)): (None, None, "500"),
    (("offer sent",), ("idle",), ("peer INVITE",)): (None, None, "491"),
    (_NOT_OFFERING, ("idle",), ("peer INVITE",)): (None, "INVITE", "take"),
    (_ANY, ("opening",), ("peer UPDATE",)): (None, None, "500"),
    (("offer sent",), ("idle", "INVITE", "UPDATE", *_UNACKED), ("peer UPDATE",)): (None, None, "491"),
    (_NOT_OFFERING, ("INVITE", "UPDATE", "2xx, UPDATE"), ("peer UPDATE",)): (None, None, "500"),
    (_NOT_OFFERING, ("idle",), ("peer UPDATE",)): (None, "UPDATE", "take"),
    (_NOT_OFFERING, ("2xx",), ("peer UPDATE",)): (None, "2xx, UPDATE", "take"),
    # Our answers, and the ACK.
    (_ANY, _CLEAR[:2], ("answer sent",)): (None, "idle", ""),
    (_ANY, ("UPDATE",), ("answer sent",)): (None, None, ""),
    (_ANY, ("idle", "opening", "INVITE"), ("2xx sent",)): (None, "2xx", ""),
    (_ANY, ("UPDATE",), ("2xx sent",)): (None, "2xx, UPDATE", ""),
    (_ANY, ("INVITE",), ("INVITE refused",)): (None, "idle", ""),
    (_ANY, ("UPDATE",), ("UPDATE answered",)): (None, "idle", ""),
    (_ANY, ("2xx, UPDATE",), ("UPDATE answered",)): (None, "2xx", ""),
    (("waiting for ACK",), ("2xx",), ("ACK",)): ("offer sent", "idle", "send"),
    (("waiting for ACK",), ("2xx, UPDATE",), ("ACK",)): ("offer sent", "UPDATE", "send"),
    (_NOT_WAITING, ("2xx",), ("ACK",)): (None, "idle", ""),
    (_NOT_WAITING, ("2xx, UPDATE",), ("ACK",)): (None, "UPDATE", ""),
}
"""(our states, the peer's states, events) -> (our next state, the peer's next state, action); None: as it was."""

TABLE: Final[dict[tuple[State, Event], tuple[State, Action]]] = {
    ((own, peer), event): ((own_next or own, peer_next or peer), action)
    for (owns, peers, events), (own_next, peer_next, action) in ROWS.items()
    for own in owns
    for peer in peers
    for event in events
}
"""(state, event) -> (state, action). A pair without a row is a mistake of ours: KeyError."""


Kind = Literal["INVITE", "UPDATE", "refresh"]

_WANT: Final[dict[Kind, Event]] = {"INVITE": "want INVITE", "UPDATE": "want UPDATE", "refresh": "want refresh"}
_TRY: Final[dict[Kind, Event]] = {"INVITE": "try INVITE", "UPDATE": "try UPDATE", "refresh": "try refresh"}
_RETRY: Final[dict[Kind, Event]] = {"INVITE": "retry INVITE", "UPDATE": "retry UPDATE", "refresh": "retry refresh"}


class SessionOffer:
    """A re-INVITE or UPDATE of ours that is under way, or waits.

    Attributes:
        method: "INVITE" or "UPDATE".
        body: The offer; empty for an INVITE that asks for one, and for an UPDATE that refreshes the session.
        headers: Further header lines, each ended by CRLF.
        on_final: Told the final status, the response (None without one) and the time.
        retry_glare: After a 491 it is sent again.
        request: The request as it was sent last; None while it waits.
    """

    __slots__ = ("_kind", "body", "headers", "method", "on_final", "request", "retry_glare")

    def __init__(self, method: str, body: bytes, headers: str, on_final: OnFinal, retry_glare: bool) -> None:
        self.method = method
        self.body = body
        self.headers = headers
        self.on_final = on_final
        self.retry_glare = retry_glare
        self.request: OutgoingRequest | None = None
        self._kind: Kind = "INVITE" if method == "INVITE" else "UPDATE" if body else "refresh"

    @property
    def wanted(self) -> Event:
        """The event that it is to be sent."""
        return (_WANT if self.retry_glare else _TRY)[self._kind]

    @property
    def retried(self) -> Event:
        """The event that its back-off time is over."""
        return _RETRY[self._kind]
