"""A dialled leg whose session descriptions pass an anchor (`engine.media.anchor`).

Everything that the caller and this leg say to each other crosses this session: what the callee says comes out of it as
an event, what it is told goes in as an order. So it is here that descriptions are rewritten, in both directions, and
neither calls nor bridges know of it. A rewrite may take a while (an rtpengine is asked); whatever happens to the leg
meanwhile waits in order, except for its end.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from engine.anchored_events import AnchoredEvents
from engine.media.anchor import CALLEE, CALLER, Anchor, AnchorError
from engine.sip.dialog.invite_client import DialUser, Invitation, InviteClient, InviteFailure
from engine.sip.dialog.session import SessionUser
from engine.sip.dialog.usage import OnFinal
from engine.sip.message.message import Response
from engine.sip.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from engine.sip.endpoint import Endpoint

MOST_WAITING = 32
"""Events and orders that wait for one rewrite; a leg for which there are more has lost its senses, and is ended."""

Then = Callable[[bytes, AnchorError | None, float], None]
"""Told what to pass on, or why there is nothing to pass on, and the time (s)."""


class AnchoredSession(InviteClient):
    """A `InviteClient` that shows its user the callee's descriptions rewritten, and its callee the user's."""

    __slots__ = ("_as_it_is", "_events", "_rewriting", "_steps", "anchor")

    def __init__(self, endpoint: "Endpoint", invitation: Invitation, dialer: DialUser | None) -> None:
        self.anchor: Anchor | None = None  # until it is known where the callee is
        self._events = AnchoredEvents()
        self._steps: deque[Callable[[], None]] = deque()
        self._rewriting = False
        self._as_it_is = False
        super().__init__(endpoint, invitation, dialer)

    # The base class tells `user` what happens: it finds the one who rewrites it, and passes it on to its owner.

    @property
    def user(self) -> SessionUser | None:
        return cast(SessionUser, self._events) if self._events.user is not None else None

    @user.setter
    def user(self, user: SessionUser | None) -> None:
        self._events.user = user

    @property
    def owner(self) -> SessionUser | None:
        """See `Session.owner`."""
        return self._events.user

    # ---- one thing after another

    def in_turn(self, step: Callable[[], None]) -> None:
        """Do it now, or when what came before it is done."""
        if not self._rewriting:
            step()
        elif len(self._steps) < MOST_WAITING:
            self._steps.append(step)
        else:
            self.end_by_us(self.endpoint.clock(), "", 500, "too much at once")

    def rewrite(self, side: int, answer: bool, body: bytes, then: Then) -> None:
        """Have the anchor rewrite an offer or an answer of `side`; whatever else comes waits until `then` is told. On
        a leg that is over it is told of an error. Within `in_turn` only."""

        def rewritten(text: bytes, error: AnchorError | None) -> None:
            self._rewriting = False
            if self.ended and error is None:
                error = AnchorError("the leg is over", 487)
            then(text, error, self.endpoint.clock())
            while self._steps and not self._rewriting:
                self._steps.popleft()()

        if self.anchor is None:
            rewritten(b"", AnchorError("nothing is anchored yet", 500))
            return
        self._rewriting = True
        (self.anchor.answer if answer else self.anchor.offer)(side, body, rewritten)

    def _refused(self, side: int) -> None:
        if self.anchor is not None:
            self.anchor.refused(side)

    def _close_anchor(self) -> None:
        if self.anchor is not None:
            self.anchor.close()

    # ---- the INVITE

    def start(self, now: float) -> None:
        """Send the INVITE with the caller's offer, rewritten. Where that cannot be had, the outcome is `no_media`."""

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if error is None:
                self.invitation.body = text
                InviteClient.start(self, later)
            else:
                self.refuse_media(error, later)

        if self.invitation.body and self.anchor is not None:
            self.rewrite(CALLER, False, self.invitation.body, then)
        else:  # an INVITE without an offer; or the callee cannot be found, and the base class says so
            super().start(now)

    def refuse_media(self, error: AnchorError, now: float) -> None:
        """There is no anchor for the call: it is not sent."""
        self.end_status = error.status
        self._report("no_media", error.status, str(error), None, now)
        self._close(now)

    def acknowledge(self, now: float, body: bytes = b"") -> None:
        """See `InviteClient.acknowledge`."""

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if not self.ended:
                InviteClient.acknowledge(self, later, text)
                if error is not None:
                    self._unusable(error, later)

        if self.anchor is not None:
            self.anchor.chosen()
        if body:
            self.in_turn(lambda: self.rewrite(CALLER, True, body, then))
        else:
            self.in_turn(lambda: then(b"", None, self.endpoint.clock()))

    def prack(self, now: float, body: bytes) -> None:
        """See `InviteClient.prack`."""

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if not self.ended:
                InviteClient.prack(self, later, text)
                if error is not None:
                    self._unusable(error, later)

        self.in_turn(lambda: self.rewrite(CALLER, True, body, then))

    def _unusable(self, error: AnchorError, now: float) -> None:
        """An answer that cannot be passed on leaves the callee without media."""
        self.end_by_us(now, f"SIP;cause={error.status}", error.status, str(error))

    def _take_2xx(self, response: Response, now: float) -> None:
        if self.dialer is not None:
            self._events.dialer = self.dialer  # the base class forgets it before the answer is passed on
        super()._take_2xx(response, now)

    # ---- re-INVITE and UPDATE

    def renegotiate(
        self, method: str, body: bytes, now: float, on_final: OnFinal, headers: str = "", retry_glare: bool = False
    ) -> None:
        """See `Session.renegotiate`: `body` is the caller's offer, and so is what the callee answers."""
        if self._as_it_is:
            super().renegotiate(method, body, now, on_final, headers, retry_glare)
            return

        def final(status: int, response: Response | None, later: float) -> None:
            if response is None or status >= 300:
                if body:
                    self._refused(CALLER)
                on_final(status, response, later)
            elif not response.body:
                on_final(status, response, later)
            else:
                answer = partial(said, response)
                self.in_turn(lambda: self.rewrite(CALLEE, bool(body), response.body, answer))

        def said(response: Response, text: bytes, error: AnchorError | None, later: float) -> None:
            if error is None:
                response.body = text
                on_final(response.status, response, later)
                return
            if not body and not self.ended:
                InviteClient.acknowledge_reinvite(self, response.cseq, b"", later)  # its offer has no answer
            on_final(error.status, None, later)

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if error is None:
                InviteClient.renegotiate(self, method, text, later, final, headers, retry_glare)
            else:
                on_final(error.status, None, later)

        if body:
            self.in_turn(lambda: self.rewrite(CALLER, False, body, then))
        else:
            self.in_turn(lambda: then(b"", None, self.endpoint.clock()))

    def _refresh(self, now: float) -> None:
        # What it repeats is what the callee was sent, which has been rewritten.
        self._as_it_is = True
        super()._refresh(now)
        self._as_it_is = False

    def acknowledge_reinvite(self, cseq: int, body: bytes, now: float) -> None:
        """See `Session.acknowledge_reinvite`."""

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if not self.ended:
                InviteClient.acknowledge_reinvite(self, cseq, text, later)
                if error is not None:
                    self._unusable(error, later)

        if body:
            self.in_turn(lambda: self.rewrite(CALLER, True, body, then))
        else:
            self.in_turn(lambda: then(b"", None, self.endpoint.clock()))

    def accept_reinvite(self, now: float, body: bytes = b"", headers: str = "") -> bool:
        """See `Session.accept_reinvite`: `body` is the caller's answer, or its offer where the callee made none."""
        if self._reinvite is None:
            return False
        offered = bool(self._reinvite.request.body)

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if error is not None:
                self.refuse_reinvite(error.status, later)
            accepted = error is None and InviteClient.accept_reinvite(self, later, text, headers)
            user = self._events.user
            if not accepted and not offered and user is not None:
                user.on_acknowledged(self, b"", later)  # no ACK will come, and the caller waits for one

        if body:
            self.in_turn(lambda: self.rewrite(CALLER, offered, body, then))
        else:
            self.in_turn(lambda: then(b"", None, self.endpoint.clock()))
        return True

    def refuse_reinvite(self, status: int, now: float, headers: str = "", reason: str = "") -> None:
        """See `Session.refuse_reinvite`."""
        if self._reinvite is not None and self._reinvite.request.body:
            self._refused(CALLEE)
        super().refuse_reinvite(status, now, headers, reason)

    def reply(
        self, transaction: ServerTransaction, status: int, now: float, headers: str = "", body: bytes = b""
    ) -> None:
        """See `Session.reply`: to an UPDATE, `body` is the caller's answer."""
        if transaction.answered or transaction.method != "UPDATE" or not transaction.request.body:
            super().reply(transaction, status, now, headers, body)
            return
        if status >= 300 or not body:
            self._refused(CALLEE)
            super().reply(transaction, status, now, headers, body)
            return

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            InviteClient.reply(self, transaction, status if error is None else error.status, later, headers, text)

        self.in_turn(lambda: self.rewrite(CALLER, True, body, then))

    # ---- the end

    def cancel(self, now: float, reason: str = "") -> None:
        """See `InviteClient.cancel`; an answer that has come and waits for its rewrite is hung up."""
        if self._events.answering:
            self.bye(now, reason)
        else:
            super().cancel(now, reason)

    def _send_bye(self, reason: str, now: float) -> None:
        # The ACK that goes before it does not wait for anything.
        self._steps.clear()
        self._rewriting = False
        super()._send_bye(reason, now)

    def _report(self, kind: InviteFailure, status: int, reason: str, response: Response | None, now: float) -> None:
        super()._report(kind, status, reason, response, now)
        self._close_anchor()  # whoever answers after all is dismissed

    def _on_terminated(self, by: str, status: int, reason: str, now: float) -> None:
        user = self._events.user
        super()._on_terminated(by, status, reason, now)
        self._events.end(self, user, by, status, reason, now)
        self._close_anchor()
