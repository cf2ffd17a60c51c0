"""Requests of one party passed to the other: INFO (RFC 6086) and UPDATE (RFC 3311)."""

from functools import partial

from engine.call import Call
from engine.media.anchor import CALLEE, CALLER, AnchorError
from engine.sip.dialog.session import Session
from engine.sip.message.message import Request, Response
from engine.sip.transaction.server import ServerTransaction


def relay_info(
    towards: Session, session: Session, transaction: ServerTransaction, request: Request, now: float
) -> None:
    """Pass INFO on with its body (DTMF and the like), and the answer back."""

    def on_final(status: int, response: Response | None, later: float) -> None:
        session.reply(transaction, status, later, *_content(response))

    headers, body = _content(request)
    package = request.get("Info-Package")
    towards.request("INFO", now, headers + (f"Info-Package: {package}\r\n" if package else ""), body, on_final)


def relay_update(sender: Call, receiver: Call, transaction: ServerTransaction, body: bytes) -> None:
    """Pass the offer `body` of an UPDATE on, by re-INVITE where the other side knows no UPDATE, and the answer back."""
    session, path = sender.session, sender.path

    def offered(text: bytes, error: AnchorError | None) -> None:
        if error is not None:
            session.reply(transaction, error.status, sender.agent.now())
            return
        if sender.bridged is not None:
            sender.peer_body = text or sender.peer_body
        method = "UPDATE" if receiver.session.peer_allows_update else "INVITE"
        receiver.renegotiate(method, text, on_final)

    def on_final(status: int, response: Response | None, later: float) -> None:
        if response is None or status >= 300 or not response.body or transaction.answered:
            path.refused(CALLEE)
            session.reply(transaction, status, later)
        else:
            path.answer(CALLER, response.body, partial(answered, status))

    def answered(status: int, text: bytes, error: AnchorError | None) -> None:
        session.reply(transaction, status if error is None else error.status, sender.agent.now(), body=text)

    path.offer(CALLEE, body, offered)


def _content(message: Request | Response | None) -> tuple[str, bytes]:
    if message is None or not message.body:
        return "", b""
    lines = "".join(
        f"{name}: {message.get(name)}\r\n" for name in ("Content-Type", "Content-Disposition") if message.get(name)
    )
    return lines, message.body
