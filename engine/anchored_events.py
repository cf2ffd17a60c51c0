"""What the callee of an anchored leg says, rewritten for whoever owns the leg (see `engine.anchored_session`)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.media.anchor import CALLEE, AnchorError
from engine.sip.dialog.invite_client import DialUser, InviteClient, InviteFailure
from engine.sip.dialog.session import SessionUser
from engine.sip.message.message import Request, Response
from engine.sip.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from engine.anchored_session import AnchoredSession

Then = Callable[[bytes, AnchorError | None, float], None]


class AnchoredEvents:
    """The `SessionUser` that an anchored session really has; it holds no session, so that no circle stays behind.

    Attributes:
        user: The one that it seems to have.
        dialer: Who dialled, kept until it has been told of the answer.
        answering: The callee's 2xx has come, and nobody has been told yet.
    """

    __slots__ = ("_answer", "answering", "dialer", "user")

    def __init__(self) -> None:
        self.user: SessionUser | None = None
        self.dialer: DialUser | None = None
        self.answering = False
        self._answer = (b"", b"")  # the callee's last answer, and what became of it: a 200 repeats that of a 183

    # ---- until the answer

    def on_progress(self, session: "AnchoredSession", response: Response, now: float) -> None:
        """It rings, with early media or without."""

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            response.body = text  # none where it cannot be had: it rings all the same
            if self.user is not None and not session.ended:
                self.user.on_progress(session, response, later)

        # An offer may not travel in an unreliable response (RFC 3262 §5).
        usable = bool(session.invitation.body) or "RSeq" in response.first
        body = response.body if usable else b""
        session.in_turn(lambda: self._describe(session, body, then))

    def on_answered(self, session: "AnchoredSession", response: Response, now: float) -> None:
        """The 2xx."""
        self.answering = True

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if not self.answering:
                return  # the end was quicker
            if error is not None:
                self._take_back(session, "refused", error.status, str(error), later)
                InviteClient.acknowledge(session, later)
                session.end_by_us(later, f"SIP;cause={error.status}", error.status, str(error))
                return
            self.answering, self.dialer = False, None
            response.body = text
            if self.user is not None:
                self.user.on_answered(session, response, later)

        session.in_turn(lambda: self._describe(session, response.body, then))

    def _describe(self, session: "AnchoredSession", body: bytes, then: Then) -> None:
        """The callee's answer to the INVITE, or its offer where that made none."""
        if not body:
            then(b"", None, session.endpoint.clock())
            return
        offered = bool(session.invitation.body)
        if offered and body == self._answer[0]:
            then(self._answer[1], None, session.endpoint.clock())
            return

        def rewritten(text: bytes, error: AnchorError | None, later: float) -> None:
            self._answer = (body, text) if error is None else (b"", b"")
            then(text, error, later)

        session.rewrite(CALLEE, offered, body, rewritten)

    def _take_back(self, session: "AnchoredSession", kind: InviteFailure, status: int, words: str, now: float) -> None:
        """The answer will not be told: whoever waits for the outcome hears of something else."""
        self.answering = False
        dialer, self.dialer = self.dialer, None
        if dialer is not None:
            dialer.on_refused(session, kind, status, words, None, now)

    # ---- after the answer

    def on_acknowledged(self, session: "AnchoredSession", body: bytes, now: float) -> None:
        """The ACK for a 2xx of ours, with an answer where the callee's re-INVITE made no offer."""

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if self.user is not None:
                self.user.on_acknowledged(session, text, later)
            if error is not None and not session.ended:
                session.end_by_us(later, f"SIP;cause={error.status}", error.status, str(error))

        self._pass(session, True, body, then)

    def on_reinvite(self, session: "AnchoredSession", request: Request, now: float) -> None:
        """Hold, resume, another address."""

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if error is not None:
                session.refuse_reinvite(error.status, later)
            elif self.user is not None:
                request.body = text
                self.user.on_reinvite(session, request, later)

        self._pass(session, False, request.body, then)

    def on_request(
        self, session: "AnchoredSession", transaction: ServerTransaction, request: Request, now: float
    ) -> None:
        """UPDATE with an offer. INFO has no description, and passes."""

        def then(text: bytes, error: AnchorError | None, later: float) -> None:
            if error is not None:
                InviteClient.reply(session, transaction, error.status, later)
            elif self.user is not None:
                request.body = text
                self.user.on_request(session, transaction, request, later)

        if request.method == "UPDATE":
            self._pass(session, False, request.body, then)
        elif self.user is not None:
            self.user.on_request(session, transaction, request, now)

    def _pass(self, session: "AnchoredSession", answer: bool, body: bytes, then: Then) -> None:
        if body:
            session.in_turn(lambda: session.rewrite(CALLEE, answer, body, then))
        else:
            session.in_turn(lambda: then(b"", None, session.endpoint.clock()))

    # ---- the end, which waits for nothing

    def may_ring_on(self, session: "AnchoredSession") -> bool:
        """It is dialled, and has timers of its own."""
        return False

    def on_ended(self, session: "AnchoredSession", by: str, status: int, reason: str, now: float) -> None:
        """The session tells `end` as well, and that knows who `user` was."""

    def end(
        self, session: "AnchoredSession", user: SessionUser | None, by: str, status: int, reason: str, now: float
    ) -> None:
        """The leg is over, `user` being its owner until now."""
        if self.answering:
            kind: InviteFailure = "cancelled" if by == "local" else "refused"
            self._take_back(session, kind, 487 if by == "local" else 480, reason, now)
        if user is not None:
            user.on_ended(session, by, status, reason, now)
