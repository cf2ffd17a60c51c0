"""A party of a call: its session, and the offers and answers between it and whom it talks with (RFC 3264).

They pass its media path, whatever that makes of them (`engine.media.path`). UPDATE (RFC 3311), INFO (RFC 6086) and
MESSAGE (RFC 3428 §8) are relayed from one party to the other.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from engine.media.anchor import CALLEE, CALLER, AnchorError
from engine.media.negotiation import NotAcceptable
from engine.media.path import DIRECT, MediaPath
from engine.media.port import MediaPort
from engine.media.refusal import warning
from engine.sip.dialog.session import Session
from engine.sip.dialog.usage import OnFinal
from engine.sip.message.message import Request, Response
from engine.sip.transaction.server import ServerTransaction

# What says what a body is (RFC 3261 §20.11 to §20.15).
_CONTENT = ("Content-Type", "Content-Disposition", "Content-Encoding", "Content-Language")


class Clock(Protocol):
    """Who knows the time."""

    def now(self) -> float: ...


class Party:
    """What a call is for whom its peer talks with.

    Attributes:
        path: What descriptions pass between the peer, its callee's side, and whom it talks with, its caller's side.
        peer_body: The session description last heard from the peer, as it is for whom it talks with.
        media_port: Our own media, where it ends here.
    """

    __slots__ = ("agent", "media_port", "path", "peer_body", "session")

    def __init__(self, agent: Clock, session: Session) -> None:
        self.agent = agent
        self.session = session
        self.path: MediaPath = DIRECT
        self.peer_body = b""
        self.media_port: MediaPort | None = None

    # ---- for whom the peer talks with

    def renegotiate(self, method: str, body: bytes, on_final: OnFinal, *, retry_glare: bool = False) -> None:
        """Send a re-INVITE or UPDATE with the offer of whom the peer talks with, or with none; see
        `Session.renegotiate`. What `on_final` gets in a 2xx is for that one to read."""
        path, session = self.path, self.session

        def offered(text: bytes, error: AnchorError | None) -> None:
            if error is None:
                session.renegotiate(method, text, self.agent.now(), final, retry_glare=retry_glare)
            else:
                on_final(error.status, None, self.agent.now())

        def final(status: int, response: Response | None, now: float) -> None:
            if response is None or status >= 300:
                if body:
                    path.refused(CALLER)
                on_final(status, response, now)
            elif not response.body:  # neither an answer nor an offer
                if body:
                    path.refused(CALLER)
                elif not session.ended:
                    session.acknowledge_reinvite(response.cseq, b"", now)
                on_final(488, None, now)
            else:
                (path.answer if body else path.offer)(CALLEE, response.body, partial(answered, response))

        def answered(response: Response, text: bytes, error: AnchorError | None) -> None:
            if error is None:
                response.body = text
                on_final(response.status, response, self.agent.now())
                return
            if not body and not session.ended:
                session.acknowledge_reinvite(response.cseq, b"", self.agent.now())  # its offer has no answer
            on_final(error.status, None, self.agent.now())

        path.offer(CALLER, body, offered)

    def acknowledge_reinvite(self, cseq: int, body: bytes) -> None:
        """The ACK for a 2xx to a re-INVITE without an offer, with the answer of whom the peer talks with."""

        def answered(text: bytes, error: AnchorError | None) -> None:
            if not self.session.ended:
                self.session.acknowledge_reinvite(cseq, text, self.agent.now())
                self.end_unusable(error)

        self.path.answer(CALLER, body, answered)

    def end_unusable(self, error: AnchorError | None) -> None:
        """An answer that cannot be passed on leaves the peer without media: the leg ends. Nothing without an error."""
        if error is not None and not self.session.ended:
            self.session.end_by_us(self.agent.now(), f"SIP;cause={error.status}", error.status, str(error))

    # ---- our own media

    def accept_answer(self, body: bytes, error: AnchorError | None) -> None:
        """The answer to an offer of our own media."""
        if self.media_port is None:
            return
        try:
            if error is not None:
                raise NotAcceptable(str(error), error.status)
            self.media_port.accept(body)
            self.peer_body = body
        except NotAcceptable:
            words = "no media agreed"
            self.session.end_by_us(self.agent.now(), f'SIP;cause=488;text="{words}"', 488, words)

    def answer_offer(self, offer: bytes, reply: Callable[[int, bytes, str], None]) -> None:
        """Have our own media answer an offer of the peer's, or make one where that made none. `reply` gets the status,
        our description, and header lines."""
        path = self.path

        def offered(text: bytes, error: AnchorError | None) -> None:
            media = self.media_port
            if error is not None or media is None:
                reply(488 if error is None else error.status, b"", "")
                return
            try:
                body = media.answer(text) if text else media.offer()
            except NotAcceptable as fault:
                path.refused(CALLEE)
                reply(fault.status, b"", f"Warning: {warning(fault)}\r\n")
                return
            (path.answer if text else path.offer)(CALLER, body, said)

        def said(text: bytes, error: AnchorError | None) -> None:
            reply(200 if error is None else error.status, text, "")

        path.offer(CALLEE, offer, offered)


def relayed_status(status: int) -> int:
    """What one party hears of the other's refusal: a challenge is between us and who has made it (RFC 3261 §22.2)."""
    return 403 if status in (401, 407) else status


def relay_request(
    towards: Session, session: Session, transaction: ServerTransaction, request: Request, now: float
) -> None:
    """Pass INFO (DTMF and the like) or MESSAGE on with its body, and the answer back."""

    def on_final(status: int, response: Response | None, later: float) -> None:
        session.reply(transaction, relayed_status(status), later, *_content(response))

    headers, body = _content(request)
    package = request.get("Info-Package")
    towards.request(request.method, now, headers + (f"Info-Package: {package}\r\n" if package else ""), body, on_final)


def relay_update(sender: Party, receiver: Party, transaction: ServerTransaction, body: bytes) -> None:
    """Pass the offer `body` of an UPDATE or PRACK on, by re-INVITE where the other side knows no UPDATE, and the answer
    back."""
    session, path = sender.session, sender.path
    offer = b""

    def offered(text: bytes, error: AnchorError | None) -> None:
        if error is not None:
            session.reply(transaction, error.status, sender.agent.now())
            return
        nonlocal offer
        offer = text
        method = "UPDATE" if receiver.session.peer_allows_update else "INVITE"
        receiver.renegotiate(method, text, on_final)

    def on_final(status: int, response: Response | None, later: float) -> None:
        if response is None or status >= 300 or transaction.answered:
            path.refused(CALLEE)
            session.reply(transaction, relayed_status(status), later)
        else:
            sender.peer_body, receiver.peer_body = offer, response.body
            path.answer(CALLER, response.body, partial(answered, status))

    def answered(status: int, text: bytes, error: AnchorError | None) -> None:
        session.reply(transaction, status if error is None else error.status, sender.agent.now(), body=text)

    path.offer(CALLEE, body, offered)


def _content(message: Request | Response | None) -> tuple[str, bytes]:
    if message is None or not message.body:
        return "", b""
    lines = "".join(f"{name}: {message.get(name)}\r\n" for name in _CONTENT if message.get(name))
    return lines, message.body
