"""Text messages (RFC 3428): an incoming one, which is answered once, and the sending of one."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from engine.call import Call
from engine.dial import DialSpec, Outcome, OutcomeKind, credentials
from engine.log import Log, RefusalLog
from engine.settings import AgentSettings
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request, Response
from engine.sip.message.text_message import ACCEPT, text_of
from engine.sip.message.uri import Uri
from engine.sip.out_of_dialog import OutOfDialogRequest, RequestSpec
from engine.sip.stateless import Refusal
from engine.sip.transaction.server import ServerTransaction
from engine.strangers import Strangers

MAX_WAITING = 1000
"""Messages that are being dealt with at once; a further one gets 503."""
STRANGERS_WAITING = 750
"""How many there may be for one more of a stranger to be taken: known peers always find room beside them."""


class MessageAgent(Protocol):
    """What messages need of the user agent (`engine.user_agent.UserAgent`)."""

    endpoint: Endpoint
    loop: asyncio.AbstractEventLoop
    log: Log
    refusals: RefusalLog
    settings: AgentSettings
    strangers: Strangers

    def now(self) -> float: ...
    def call_id(self) -> str: ...


class IncomingMessage:
    """A MESSAGE (RFC 3428). It is answered once; what has not been answered when its task ends is answered 480.

    A 200 says that the text was taken: answer when it is safe.
    """

    __slots__ = ("_agent", "_transaction", "id", "marks", "remote", "request", "text", "within")

    def __init__(
        self,
        agent: MessageAgent,
        transaction: ServerTransaction,
        request: Request,
        remote: Flow,
        text: str,
        within: Call | None = None,
    ) -> None:
        self._agent = agent
        self._transaction = transaction
        self.id = agent.call_id()
        self.request = request
        self.remote = remote
        self.text = text
        self.within = within
        """The call within which it came; None: it stands alone."""
        self.marks = agent.endpoint.returned(request)
        """Of a request of ours that has come back what its Vias say of it; None for a peer's."""

    @property
    def uri(self) -> Uri | str:
        """Whom it is for: the Request-URI, which within a call is our Contact and names nobody (RFC 3261 §12.2.1.1);
        there it is the number that the call is with."""
        call = self.within
        if call is None:
            return self.request.uri
        return call.dialled if call.direction == "incoming" else self.request.address("To").uri

    @property
    def answered(self) -> bool:
        """A final response has been sent."""
        return self._transaction.answered

    def loops(self, dialled: str) -> bool:
        """Whether it is a text for `dialled` that has led to this one (RFC 3261 §16.3 step 4)."""
        stands_for = self._agent.endpoint.branches.stands_for(dialled)
        return any(mark.dialled == stands_for for mark in self.marks or ())

    @property
    def depth(self) -> int:
        """How many texts of ours led to this one, that came back to us one after the other."""
        return 0 if self.marks is None else 1 + max((mark.depth for mark in self.marks), default=0)

    def answer(self, status: int = 200, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """The final response; nothing when there was one."""
        if not self._transaction.answered:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers) + self._agent.endpoint.server_line
            self._transaction.respond(status, self._agent.now(), reason, lines)

    def keep(self) -> None:
        """Its sender is no stranger any more: a refusal is kept for its retransmissions, as anybody's is."""
        self._transaction.kept = True

    def refuse(self, refusal: Refusal) -> None:
        """As `answer`, with what has been made ready; it is counted."""
        if self._transaction.answered:
            return
        endpoint = self._agent.endpoint
        self._transaction.respond(
            refusal.status, self._agent.now(), refusal.reason, refusal.headers + endpoint.server_line
        )
        if not self._transaction.kept:
            endpoint.count_refusal(self.request, self.remote, refusal)
        elif refusal.first is not None:
            refusal.first()


OnMessage = Callable[[IncomingMessage], Coroutine[Any, Any, None] | None]
"""Says what happens to a message: a coroutine, which runs as a task of the agent's, or None where it was answered."""


class Messages:
    """The texts of a user agent. `on_message` says what happens to those that come; None: they are refused."""

    def __init__(self, agent: MessageAgent, on_message: OnMessage | None) -> None:
        self._agent = agent
        self._on_message = on_message
        self.tasks: set[asyncio.Task[None]] = set()

    def came(
        self, transaction: ServerTransaction, request: Request, source: Flow, now: float, within: Call | None = None
    ) -> None:
        """A MESSAGE from the network: refused at once, or dealt with in a task."""
        agent = self._agent
        message = IncomingMessage(agent, transaction, request, source, "", within)
        if self._on_message is None:
            message.refuse(Refusal(status=405, headers=agent.endpoint.methods.allow_line))
            return
        known = source.transport.internal or not agent.strangers.source(request, source)
        if len(self.tasks) >= (MAX_WAITING if known else STRANGERS_WAITING):
            agent.refusals.add("messages", source.host)
            message.answer(503, headers=[("Retry-After", str(agent.settings.policy.limits.retry_after))])
            return
        try:
            message.text = text_of(request)
        except ParseError as error:
            message.refuse(Refusal(status=error.status, headers=ACCEPT if error.status == 415 else ""))
            return
        work = self._on_message(message)
        if work is None:
            message.answer(480)
            return
        task = agent.loop.create_task(work, name=f"message {message.id}")
        self.tasks.add(task)
        task.add_done_callback(lambda done: self._done(message, done))

    def _done(self, message: IncomingMessage, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._agent.log.error("message failed", message_id=message.id, error=repr(error))
        message.answer(500 if error is not None else 503 if task.cancelled() else 480)

    async def send(self, spec: DialSpec, text: str) -> Outcome:
        """Send `text` as `spec` says; waits for `no_reply_timeout` of it, and for no longer.

        The outcome's kind is `answered` (2xx: 200 delivered, 202 accepted), `refused`, `no_reply` or `unreachable`.
        """
        agent = self._agent
        done: asyncio.Future[Outcome] = agent.loop.create_future()

        def tell(response: Response | None, cause: str) -> None:
            if done.done():
                return
            if response is None:
                kind: OutcomeKind = "no_reply" if cause == "timeout" else "unreachable"
                done.set_result(Outcome(kind=kind, status=0, reason=cause))
            else:
                kind = "answered" if response.status < 300 else "refused"
                status, reason = response.status, response.reason
                done.set_result(
                    Outcome(
                        kind=kind,
                        status=status,
                        reason=reason,
                        retry_after=response.retry_after,
                        first_reply=agent.now(),
                    )
                )

        sent = OutOfDialogRequest(agent.endpoint, _request_spec(agent, spec, text), tell)
        handle = agent.loop.call_later(spec.no_reply_timeout, tell, None, "timeout")
        try:
            return await done
        finally:
            handle.cancel()
            sent.abandon(agent.now())


def _request_spec(agent: MessageAgent, spec: DialSpec, text: str) -> RequestSpec:
    headers = "".join(f"{name}: {value}\r\n" for name, value in spec.headers)
    return RequestSpec(
        method="MESSAGE",
        uri=spec.request_uri,
        destination=spec.destination,
        flow=spec.flow,
        from_=spec.from_,
        to=spec.to,
        headers=f"{headers}Content-Type: text/plain;charset=UTF-8\r\n",
        body=text.encode("utf-8", "replace"),
        credentials=credentials(spec.peer),
        contact=False,
        contact_host=spec.peer.contact_host,
        tls=spec.peer.tls_terms,
        allows=spec.allows,
        mark=spec.mark(agent.endpoint.branches),
    )
