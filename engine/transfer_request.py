"""Transfers that a peer asks for: REFER (RFC 3515) and INVITE with Replaces (RFC 3891).

Whoever has connected the call decides about them: see `Bridge.event` and `AgentHooks.on_replaces`.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from engine.call import Call
from engine.party import relayed_status
from engine.sip.dialog.refer import OVER, Subscription
from engine.sip.dialog.reference import Reference
from engine.sip.dialog.replaces import FITS, Replaces, find, read_replaces
from engine.sip.dialog.session import Session
from engine.sip.message.grammar import ParseError

LEAVES_WITHIN: Final = 3.0
"""Seconds that a peer has to hang up by itself when its part in the call is over."""

OnReplaces = Callable[[Call, Call], Coroutine[Any, Any, None] | None]
OnPickup = Callable[[Call, Replaces], Coroutine[Any, Any, None] | None]


class TransferRequest:
    """A REFER of one of two that talk. It is answered once; what nobody has answered when the leg ends gets 487.

    Attributes:
        by: "caller" or "callee": who leaves the call when it succeeds.
        party: Who it came from, as `Peers` is asked.
        reference: What it asks for.
    """

    __slots__ = ("_session", "_subscription", "by", "call", "reference")

    def __init__(self, call: Call, by: str, subscription: Subscription) -> None:
        self.call = call
        self.by = by
        self.reference: Reference = subscription.reference
        self._session: Session = call.session
        self._subscription = subscription

    @property
    def party(self) -> str:
        """The transferor."""
        return self.call.remote.party

    @property
    def waits(self) -> bool:
        """It has its end neither by an answer nor by that of its leg."""
        return self._subscription.state != OVER

    def replaced_call(self) -> tuple[Call | None, str]:
        """The other call of the transferor, which its REFER names (RFC 5589 §7), and its state as in
        `engine.sip.dialog.replaces.FITS`. Whether it really is a call of the same peer has to be found out. Raises
        ParseError where what it names is no dialog."""
        return _named(self.call, Replaces.parse(self.reference.replaces))

    def refuse(self, status: int = 603, why: str = "", reason: str = "") -> None:
        """The final response; `why` is a sentence for its Warning, without quotes."""
        warning = f'Warning: 399 trunkline "{why}"\r\n' if why else ""
        self._subscription.refuse(status, self.call.agent.now(), reason, warning)

    def accept(self) -> None:
        """202, and from now on the peer is notified of the progress."""
        self._subscription.accept(self.call.agent.now())

    def rings(self) -> None:
        """The target rings."""
        self._subscription.progress(180, self.call.agent.now())

    def succeeded(self) -> None:
        """The target has answered; the peer, whose part is over, has a moment to hang up before we do."""
        now = self.call.agent.now()
        self._subscription.final(200, "OK", now)
        if not self.call.ended:
            self._session.transferred(now + LEAVES_WITHIN)

    def failed(self, status: int, reason: str = "") -> None:
        """The target does not talk to anybody; the peer is where it was."""
        heard = relayed_status(status)
        self._subscription.final(heard, reason if heard == status else "", self.call.agent.now())


def _named(call: Call, replaces: Replaces) -> tuple[Call | None, str]:
    session, state = find(call.agent.endpoint, replaces)
    owner: Any = None if session is None else session.user  # a call, or the bridge of two
    return (None, state) if owner is None else (owner.leg_of(session), state)


def accept_replaces(
    call: Call, on_replaces: OnReplaces | None, on_pickup: OnPickup | None = None
) -> Coroutine[Any, Any, None] | None:
    """What becomes of an INVITE with Replaces (RFC 3891 §3): where it names a call that is answered, what `on_replaces`
    says (`AgentHooks.on_replaces`); where it names none of ours, what `on_pickup` says; otherwise its refusal."""
    try:
        replaces = read_replaces(call.invite)
    except ParseError as error:
        call.reject(400, headers=[_warning(str(error))])
        return None
    replaced, state = _named(call, replaces)
    if state == "unknown" and on_pickup is not None:
        return on_pickup(call, replaces)
    status, why = FITS[state, replaces.early_only]
    if status == 0 and replaced is not None and on_replaces is not None:
        return on_replaces(call, replaced)
    call.reject(status or 603, headers=[_warning(why)] if why else [])
    return None


def _warning(why: str) -> tuple[str, str]:
    text = why.replace("\\", "").replace('"', "'")
    return "Warning", f'399 trunkline "{text}"'
