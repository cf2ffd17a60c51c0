"""Requests of one leg passed to another: INFO (RFC 6086) and UPDATE (RFC 3311)."""

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


def relay_update(
    towards: Session, session: Session, transaction: ServerTransaction, request: Request, now: float
) -> None:
    """Pass an UPDATE's offer on, by re-INVITE where the other side knows no UPDATE, and the answer back."""

    def on_final(status: int, response: Response | None, later: float) -> None:
        session.reply(transaction, status, later, body=response.body if response is not None else b"")

    method = "UPDATE" if towards.peer_allows_update else "INVITE"
    towards.renegotiate(method, request.body, now, on_final)


def _content(message: Request | Response | None) -> tuple[str, bytes]:
    if message is None or not message.body:
        return "", b""
    lines = "".join(
        f"{name}: {message.get(name)}\r\n" for name in ("Content-Type", "Content-Disposition") if message.get(name)
    )
    return lines, message.body
