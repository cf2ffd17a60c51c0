"""Bridge: two connected calls, a back-to-back user agent (RFC 7092).

What the peer of one side does is done to the other. Descriptions pass the media path between the two; requests are made
anew: fresh Call-ID, tags, CSeq, and nothing of one leg's Via, Contact, Route or Record-Route on the other.
"""

import asyncio
from functools import partial

from engine.call import Call, CallEnded
from engine.dial import OutgoingCall
from engine.media.anchor import CALLEE, CALLER, AnchorError
from engine.party import relay_request, relay_update, relayed_status
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.dialog.session import Session
from engine.sip.message.message import Request, Response
from engine.sip.sdp.offer_answer import resumed
from engine.sip.transaction.server import ServerTransaction
from engine.transfer_request import TransferRequest

_MEDIA_LINES = (b"c=", b"m=", b"a=sendonly", b"a=recvonly", b"a=inactive")


class Bridge:
    """The caller's leg and the leg that was dialled for it. It is the user of both sessions."""

    __slots__ = (
        "_ended",
        "_held_ack",
        "_over",
        "_referred",
        "_waiting_answer",
        "callee",
        "callee_survives",
        "caller",
        "listener",
    )

    def __init__(self, caller: Call, leg: Call) -> None:
        self.caller = caller
        self.callee = leg
        self.callee_survives = False  # the end of the caller is not the callee's: it is about to talk to somebody else
        self._over = ""
        self._referred: TransferRequest | None = None
        self.listener: object = None  # who decides about transfers, and waits for one
        self._ended: asyncio.Event | None = None
        self._waiting_answer = False  # the caller's ACK will bring the answer to the far end's offer
        self._held_ack: tuple[Call, int] | None = None  # a re-INVITE without offer: the ACK waits for the answer

    @classmethod
    def connect(cls, caller: Call, leg: OutgoingCall) -> "Bridge":
        """Answer the caller with the leg's answer, acknowledge the leg, and relay from now on.

        Raises CallEnded when one of them is over (the leg is then hung up).
        """
        if caller.ended or leg.ended:
            leg.cancel()
            raise CallEnded("a leg was over before both were connected")
        now = caller.agent.now()
        bridge = cls(caller, leg)
        if caller.answered or not isinstance(caller.session, InviteServer):
            leg.acknowledge()
            bridge._attach()
            if not leg.path.terminated:
                bridge._move_caller_media(leg.answer_body)
            return bridge
        bridge._attach()
        # Where the caller made no offer, the 200 brings the far end's, and the caller's ACK its answer.
        bridge._waiting_answer = leg.offerless and bool(leg.answer_body)
        if not bridge._waiting_answer:
            leg.acknowledge()
        if leg.answer_body:
            caller.session.speak_for(leg.far_end, now)
        if not caller.session.dialog.renegotiated:
            caller.peer_body = caller.session.invite.body  # and not what it offered somebody else
        caller.session.accept(now, leg.answer_body, leg.answer_headers)
        caller.set_answered(now)
        if not leg.path.terminated:
            caller.close_media()
        return bridge

    @classmethod
    def join(cls, caller: Call, leg: Call) -> "Bridge":
        """Relay between two that talked with others until now, and whose media has been agreed on (`engine.rejoin`).
        Those others are left alone."""
        for call in (caller, leg):
            if call.bridged is not None:
                call.bridged.release()
        bridge = cls(caller, leg)
        bridge._attach()
        return bridge

    def expect_answer(self, towards: Call, cseq: int) -> None:
        """The next ACK that the other side sends brings the answer to the offer in `towards`' 2xx of this CSeq."""
        self._held_ack = (towards, cseq)

    def _attach(self) -> None:
        self.caller.bridged = self.callee.bridged = self
        self.caller.session.user = self
        self.callee.session.user = self

    def _move_caller_media(self, answer: bytes) -> None:
        """The caller was answered before, with media of ours: send it to the far end by re-INVITE."""
        caller, callee = self.caller, self.callee

        def on_final(status: int, response: Response | None, now: float) -> None:
            if response is None or not 200 <= status < 300:
                return  # it keeps sending to us; hearing nothing, the two will hang up
            caller.close_media()
            before, caller.peer_body = caller.peer_body, response.body
            if _media_lines(resumed(before)) != _media_lines(response.body) and not callee.ended:
                callee.renegotiate("INVITE", response.body, _ignore, retry_glare=True)

        caller.renegotiate("INVITE", answer, on_final, retry_glare=True)

    async def ended(self) -> str:
        """Who hung up first: "caller" or "callee". The caller's leg outlives the callee's."""
        if not self._over:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()
        return self._over

    async def event(self, listener: object = True) -> TransferRequest | None:
        """As `ended`, and what may come before that: the transfer that one of the two asks for, to be answered. None:
        one of them has hung up, or they were parted. While nobody waits here, transfers are refused. `listener`: who
        waits, for others to see."""
        self.listener = listener
        try:
            while not self._over and self._referred is None:
                self._ended = self._ended or asyncio.Event()
                await self._ended.wait()
                self._ended.clear()
        except asyncio.CancelledError:
            if self._referred is not None:
                self._referred.refuse()
            raise
        finally:
            self.listener = None
            referred, self._referred = self._referred, None
        return referred if referred is not None and referred.waits else None

    def release(self) -> None:
        """The two talk no more, and neither is hung up for that."""
        for call in (self.caller, self.callee):
            if call.bridged is self:
                self._detach(call)
            if not call.ended and call.session.user is self:
                call.session.user = call
        self._over = self._over or "parted"
        if self._ended is not None:
            self._ended.set()

    @staticmethod
    def _detach(call: Call) -> None:
        call.bridged = None
        call.peer_body = resumed(call.peer_body)  # its holder has gone

    def _take_refer(self, session: Session, now: float) -> None:
        subscription = session.subscription
        if subscription is None:
            return
        if self.listener is None or self._referred is not None:
            subscription.refuse(603, now)
            return
        by_caller = session is self.caller.session
        self._referred = TransferRequest(self.leg_of(session), "caller" if by_caller else "callee", subscription)
        if self._ended is not None:
            self._ended.set()

    def leg_of(self, session: Session) -> Call:
        """Whose session it is, of the two."""
        return self.caller if session is self.caller.session else self.callee

    def other(self, call: Call) -> Call:
        """Whom `call` talks with."""
        return self.callee if call is self.caller else self.caller

    def _other(self, session: Session) -> Session:
        return self.callee.session if session is self.caller.session else self.caller.session

    # ---- what either peer does (SessionUser)

    def on_progress(self, session: Session, response: Response, now: float) -> None:
        """Both are answered."""

    def on_answered(self, session: Session, response: Response, now: float) -> None:
        """Both are answered."""

    def on_acknowledged(self, session: Session, body: bytes, now: float) -> None:
        if self._waiting_answer and session is self.caller.session:
            self._waiting_answer = False
            assert isinstance(self.callee, OutgoingCall)
            self.callee.acknowledge(body)
            self.caller.peer_body = body or self.caller.peer_body
        elif self._held_ack is not None and self._held_ack[0].session is not session:
            (towards, cseq), self._held_ack = self._held_ack, None
            sender = self.leg_of(session)

            def answered(text: bytes, error: AnchorError | None) -> None:
                sender.peer_body = text or sender.peer_body
                towards.acknowledge_reinvite(cseq, text)
                sender.end_unusable(error)

            sender.path.answer(CALLEE, body, answered)

    def on_reinvite(self, session: Session, request: Request, now: float) -> None:
        """Hold, resume, a new address, new codecs: the other side decides (RFC 3261 §14)."""
        sender = self.leg_of(session)
        receiver, path = self.other(sender), sender.path
        offered = b""

        def pass_on(text: bytes, error: AnchorError | None) -> None:
            nonlocal offered
            offered = text
            if error is not None:
                session.refuse_reinvite(error.status, sender.agent.now())
            else:
                receiver.renegotiate("INVITE", text, on_final)

        def on_final(status: int, response: Response | None, later: float) -> None:
            if response is None or status >= 300:
                lines = reason = ""
                if response is not None:
                    lines = "".join(f"{name}: {value}\r\n" for name, value in response.explanation)
                    if "Min-SE" in response.first:
                        lines += f"Min-SE: {response.get('Min-SE')}\r\n"
                    reason = response.reason if relayed_status(status) == status else ""
                if offered:
                    path.refused(CALLEE)
                session.refuse_reinvite(relayed_status(status), later, lines, reason)
                return
            sender.peer_body = offered or sender.peer_body
            receiver.peer_body = response.body or receiver.peer_body
            if session.reinvited:
                (path.answer if offered else path.offer)(CALLER, response.body, partial(accept, response.cseq))
            else:  # its sender has taken it back
                path.refused(CALLEE)
                accept(response.cseq, b"", None)

        def accept(cseq: int, text: bytes, error: AnchorError | None) -> None:
            later = sender.agent.now()
            if error is not None:
                session.refuse_reinvite(error.status, later)
            taken = session.accept_reinvite(later, text)
            if not offered and taken:
                self._held_ack = (receiver, cseq)
            elif not offered:
                receiver.acknowledge_reinvite(cseq, b"")

        path.offer(CALLEE, request.body, pass_on)

    def on_request(self, session: Session, transaction: ServerTransaction, request: Request, now: float) -> None:
        if request.method == "REFER":
            self._take_refer(session, now)
        elif request.method in ("INFO", "MESSAGE"):
            relay_request(self._other(session), session, transaction, request, now)
        elif request.method == "UPDATE":
            sender = self.leg_of(session)
            relay_update(sender, self.other(sender), transaction, request.body)
        elif request.method == "PRACK":
            self._take_prack(session, transaction, request, now)
        else:
            session.reply(transaction, 200, now)

    def _take_prack(self, session: Session, transaction: ServerTransaction, request: Request, now: float) -> None:
        """The caller's, of a response that was sent before the answer which waits for it."""
        callee = self.callee
        if not self._waiting_answer or not isinstance(callee, OutgoingCall):
            relay_update(self.caller, callee, transaction, request.body)
        elif not callee.take_from_caller(session, transaction, request, now):
            self._waiting_answer = False
            callee.acknowledge(request.body)
            self.caller.peer_body = request.body
            session.reply(transaction, 200, now)

    def may_ring_on(self, session: Session) -> bool:
        """The two talk."""
        return False

    def on_ended(self, session: Session, by: str, status: int, reason: str, now: float) -> None:
        caller, callee = self.caller, self.callee
        first = not self._over
        if session is callee.session:
            self._over = self._over or "callee"
            callee.finish(by, status, session.end_reason or reason, now)
            if not caller.ended and caller.session.user is self:
                caller.session.user = caller
                self._detach(caller)
                if first:
                    caller.peer_reason = reason
        else:
            self._over = self._over or "caller"
            if self.callee_survives and not callee.ended:
                self._detach(callee)
                callee.session.user = callee
            elif not callee.ended:
                callee.session.bye(now, reason)
            caller.finish(by, status, session.end_reason or reason, now)
        if self._ended is not None:
            self._ended.set()


def _media_lines(body: bytes) -> list[bytes]:
    """The lines of a session description that say where media goes, and whether it does."""
    return [line.rstrip() for line in body.split(b"\n") if line.startswith(_MEDIA_LINES)]


def _ignore(status: int, response: Response | None, now: float) -> None:
    """The far end keeps what it has; there is nothing better to offer it."""
