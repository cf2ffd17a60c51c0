"""The protocol core of one node: bytes and the time go in; bytes to send, calls and the next deadline come out.

A message is parsed, matched to its transaction (RFC 3261 §17.1.3, §17.2.3), then to its dialog (§12), and what is left
opens something new (§8.2). There is no socket, task, clock or random source in here: they are handed in.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from engine.sip.capabilities import SUPPORTED
from engine.sip.core import Core, DialogUser, Hooks, Policy
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.dialog.next_hop import Named, misleading
from engine.sip.dialog.session import Session
from engine.sip.flow import SECURE, Flow, is_sips
from engine.sip.message.grammar import ParseError, split_list
from engine.sip.message.message import METHODS, Request, Response, response_to
from engine.sip.message.multipart import SDP, UNREFUSED, open_body
from engine.sip.message.parsing import BadMessage, parse, parse_whole
from engine.sip.message.uri import SipUri, TelUri
from engine.sip.method_handlers import Answerer, MethodHandler, RequestHandler
from engine.sip.peers import accused, is_scanner, source_of
from engine.sip.request import OutgoingRequest
from engine.sip.stateless import WAITS, Admission, Refusal, tag_of
from engine.sip.transaction.branch import Mark
from engine.sip.transaction.client import client_key
from engine.sip.transaction.server import ServerTransaction

VETTING_MOST = 1024  # strangers' calls at once whose names are looked up before the host hears of them

# Calls that are up can be transferred, and we ask for nothing outside of them (RFC 6665 §4.1.3).
_ONLY_IN_DIALOGS = {"BYE": 481, "PRACK": 481, "UPDATE": 481, "INFO": 481, "NOTIFY": 481, "REFER": 403}

OnClosed = Callable[[Flow, str, float], None]
"""Told the flow of a connection that is gone, why in words ("" where we closed it), and the time."""
OnStranger = Callable[[Session, Request], tuple[int, str, bool]]


class Endpoint(Core):
    """Transactions, dialogs and sessions of one node."""

    def __init__(
        self,
        hooks: Hooks,
        policy: Policy | None = None,
        *,
        on_invite: Callable[[InviteServer], None],
        on_stranger: OnStranger = lambda session, request: (403, "", False),
    ) -> None:
        """`on_invite` and `on_stranger`: see `Core`."""
        super().__init__(hooks, policy)
        self._on_invite = on_invite
        self._on_stranger = on_stranger
        self._connection_watchers: list[OnClosed] = []
        methods = self.methods
        methods["INVITE"] = MethodHandler(self._receive_invite, limited=True)
        methods["OPTIONS"] = MethodHandler(self._receive_options)
        for method, status in _ONLY_IN_DIALOGS.items():
            methods[method] = MethodHandler(partial(self._refuse_with, status))
        # Until the host takes texts.
        methods["MESSAGE"] = MethodHandler(partial(self._refuse_with, 405), limited=True, limited_within=True)

    def handle(self, method: str, handler: RequestHandler, *, limited: bool = False) -> None:
        """Let `handler` answer the requests of a method outside of any dialog; those within one are the dialog's. It is
        not asked again about a retransmission. `limited`: see `MethodHandler`, within dialogs too."""

        def new(request: Request, source: Flow, reply: Flow, now: float) -> None:
            handler(self._transaction(request, reply, self._known(source)), request, source, now)

        self.methods[method] = MethodHandler(new, limited, limited_within=limited)

    def watch_connections(self, on_closed: OnClosed) -> None:
        """Let `on_closed` hear of every connection that is lost, such as a registrar whose phones are reached by theirs
        (RFC 5626 §4.2.2). It tells its own by `flow.connection`; for a look-up in a dict that is cheap enough."""
        self._connection_watchers.append(on_closed)

    def answer(self, method: str, answers: Answerer, extensions: frozenset[str] = frozenset()) -> None:
        """Let `answers` say at once what is answered to requests of a method outside of any dialog. Limits of strangers
        apply; calls that are drained do not matter. `extensions`: see `MethodHandler`."""

        def new(request: Request, source: Flow, reply: Flow, now: float) -> None:
            admission = self.admits(request, source, now)
            if admission != "take":
                self.counters.overload += 1
                if admission == "refuse":
                    self._answer(request, reply, 503, f"Retry-After: {self.policy.limits.retry_after}\r\n")
                return
            answer = answers(request, source, now)
            if answer.kept:
                transaction = ServerTransaction(self.transactions, request, reply, self.token())
                headers = answer.headers + self.server_line
                if answer.after is None:
                    transaction.respond(answer.status, now, headers=headers)
                else:
                    answer.after(lambda at: transaction.respond(answer.status, at, headers=headers))
            else:
                self._answer(request, reply, answer.status, answer.headers)

        self.methods[method] = MethodHandler(new, extensions=extensions)

    def on_invite(self, session: DialogUser) -> None:
        """See `Core`."""
        assert isinstance(session, InviteServer)
        self._on_invite(session)

    def on_stranger(self, session: DialogUser, request: Request) -> tuple[int, str, bool]:
        """See `Core`."""
        assert isinstance(session, Session)
        return self._on_stranger(session, request)

    # ---- in

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One message from the network. Raises nothing, whatever it holds."""
        self.counters.received += 1
        try:
            message = parse(data) if flow.transport.connects else parse_whole(data)  # which is WebSocket
            if message.body and message.first.get("Content-Type") != SDP:
                self._open_body(message)
        except BadMessage as error:
            self._refuse_malformed(error, flow)
            return
        message.source = flow
        if isinstance(message, Response):
            transaction = self.transactions.client_for(message)
            if transaction is not None:
                transaction.receive(message, now)
            else:
                self.counters.stray += 1
        elif not self._unwanted(message, flow):
            self._receive_request(message, flow, now)

    def refuse_unframed(self, head: bytes, error: str, flow: Flow) -> None:
        """400 to a request of a stream that cannot be cut any further (RFC 3261 §18.3); `head` is its header."""
        self.counters.received += 1
        try:
            message: Request | Response | None = parse(head)
        except BadMessage as fault:
            message = fault.partial
        if isinstance(message, Request):
            self._refuse_malformed(BadMessage(error, 400, message), flow)
        else:
            self.counters.malformed += 1

    @staticmethod
    def _open_body(message: Request | Response) -> None:
        """See `open_body`. What is no request for an answer has no description where its body cannot be read."""
        try:
            open_body(message)
        except ParseError as error:
            message.body = b""
            if isinstance(message, Request) and message.method not in UNREFUSED:
                raise BadMessage(str(error), error.status, message) from None

    def _unwanted(self, request: Request, flow: Flow) -> bool:
        """Whether a request is dropped: its sender is to learn nothing, not even that this address answers."""
        scans = "User-Agent" in request.first and is_scanner(request.first["User-Agent"])
        if not scans and not self.peers.edge(flow.host):
            return False
        source = source_of(request, flow.host, self.peers)
        guilty = accused(request, source)
        if self.peers.banned(guilty):
            self.counters.banned += 1
            return True
        if scans:
            self.counters.scanners += 1
            # The connection of a peer that is never banned, such as an edge, is others' too.
            if flow.transport.reliable and self.peers.accuse(guilty, "scanner") and source == flow.host:
                flow.transport.drop(flow)
        return scans

    def run(self, now: float) -> None:
        """Do what is due."""
        self.deadlines.run(now)

    def next_deadline(self) -> float:
        """When `run` is to be called at the latest (s, on `clock`); infinity when nothing waits."""
        return self.deadlines.next()

    def closed(self, flow: Flow, error: str, now: float) -> None:
        """A connection is gone, and why; "" where we closed it."""
        for on_closed in self._connection_watchers:
            on_closed(flow, error, now)

    def failed(self, flow: Flow, data: bytes | None, error: str, now: float) -> None:
        """What the transport could not deliver: `data` as far as it is known, None for a connection that was lost."""
        if data is None:
            for lost in [client for client in self.transactions.clients.values() if flow.carries(client.flow)]:
                # A connection that is closed is no answer to an INVITE, which may be at work, and whose responses may
                # come over another one (§18.2.2): its timers run on. Nobody connects to us for WebSocket's anew so.
                if lost.method != "INVITE" or not flow.transport.connects:
                    lost.fail(error, now)
            return
        if data.startswith(b"SIP/2.0 "):
            return  # a response: the request's retransmission, or Timer H, settles it
        start = data.find(b";branch=", data.find(b"\r\n"))  # behind the Request-URI, which may hold one too
        if start < 0:
            return
        branch = data[start + 8 : start + 108].split(b"\r\n", 1)[0].split(b";", 1)[0].decode("latin-1")
        method = data[:20].partition(b" ")[0].decode("latin-1")
        transaction = self.transactions.clients.get(client_key(branch, method))
        # An ICMP message can be forged; what it quotes must at least be ours and have gone there.
        if transaction is not None and (transaction.flow.host, transaction.flow.port) == (flow.host, flow.port):
            transaction.fail(error, now)

    def take_unheard(self, flow: Flow) -> list[OutgoingRequest]:
        """The requests within dialogs that went this way, and of which nothing has been heard: whoever takes them sends
        them another way, or has them fail."""
        found = []
        for client in self.transactions.clients.values():
            request = client.user
            if client.flow != flow or client.state not in ("calling", "trying"):
                continue
            if isinstance(request, OutgoingRequest) and request.transaction is client and request.within_dialog:
                request.transaction = None
                found.append(request)
        return found

    # ---- requests

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        try:
            reply = self._note_source(request, flow)
            if flow.identity and flow.connection is not None and ";alias" in request.top_via:
                flow.connection.alias(request.via.port or 5061)
        except ParseError:
            self.counters.malformed += 1
            return
        method = request.method
        if method == "ACK":
            self._receive_ack(request, now)
            return
        transaction = self.transactions.server_for(request)
        if transaction is not None:
            transaction.fire("request", now)
            return
        if self._full(len(self.transactions.servers), self.policy.limits.transactions, flow):
            self.counters.overload += 1
            self._answer(request, reply, 503, f"Retry-After: {self.policy.limits.retry_after}\r\n")
            return
        if method == "CANCEL":
            self._receive_cancel(request, flow, reply, now)
        elif request.to_tag:
            self._receive_in_dialog(request, flow, reply, now)
        else:
            self._receive_new(request, flow, reply, now)

    def _receive_ack(self, request: Request, now: float) -> None:
        transaction = self.transactions.server_for(request, "INVITE")
        if transaction is not None and transaction.state != "accepted":
            transaction.fire("ACK", now)
            return
        session = self.dialogs.get((request.call_id, request.to_tag, request.from_tag))
        if session is not None and request.to_tag:  # without our tag it shows nothing of who sends it (§13.2.2.4)
            session.receive_ack(request, now)
        else:
            self.counters.stray += 1

    def _receive_cancel(self, request: Request, source: Flow, reply: Flow, now: float) -> None:
        """§9.2: a CANCEL is answered by itself, then its INVITE is ended if it still can be."""
        invite = self.transactions.server_for(request, "INVITE")
        if invite is None:
            # §8.2.7: where the INVITE was refused and nothing kept, there is nothing to say to its CANCEL.
            if (source.host, request.call_id) not in self.refused:
                self._refuse(request, source, reply, Refusal(status=481), now)
            return
        transaction = ServerTransaction(self.transactions, request, reply, invite.tag or self.token())
        transaction.respond(200, now, headers=self.server_line)
        if invite.answered:
            return
        if invite.user is not None:
            invite.user.on_cancel(invite, request, now)
        else:  # it waits for `decided`
            invite.respond(487, now, headers=self.server_line)

    def _receive_in_dialog(self, request: Request, source: Flow, reply: Flow, now: float) -> None:
        session = self.dialogs.get((request.call_id, request.to_tag, request.from_tag))
        if session is None:
            self._refuse(request, source, reply, Refusal(status=481), now)
            return
        row = self.methods.rows.get(request.method)
        if row is not None and row.limited_within and not self._admitted(request, source, reply, now):
            return
        transaction = ServerTransaction(self.transactions, request, reply, "")
        fault = self._fault(request)
        if fault is not None:
            transaction.respond(fault.status, now, headers=fault.headers)
        else:
            session.receive_request(transaction, request, now)

    def _receive_new(self, request: Request, source: Flow, reply: Flow, now: float) -> None:
        fault = self._fault(request) or self._uri_fault(request)
        if fault is not None:
            self._refuse(request, source, reply, fault, now)
            return
        row = self.methods.rows[request.method]
        if not row.limited or self._admitted(request, source, reply, now):
            row.new(request, source, reply, now)

    def _refuse_with(self, status: int, request: Request, source: Flow, reply: Flow, now: float) -> None:
        headers = self.methods.allow_line if status == 405 else ""
        self._refuse(request, source, reply, Refusal(status=status, headers=headers), now)

    def _receive_options(self, request: Request, source: Flow, reply: Flow, now: float) -> None:
        status, headers = 503 if self.draining else 200, self.methods.capabilities
        if self._known(source):
            self._respond_once(request, reply, Refusal(status=status, headers=headers), now)
        else:
            self._answer(request, reply, status, headers)

    def _receive_invite(self, request: Request, source: Flow, reply: Flow, now: float) -> None:
        fault = self._new_call_fault(request, source)
        if fault is not None:
            self._refuse(request, source, reply, fault, now)
            return
        known = self._known(source)
        marks = self.returned(request)
        screened = None if known or marks is not None else self.screen(request, source, now)
        if screened is WAITS:
            self._transaction(request, reply, known)
        elif isinstance(screened, Refusal):
            self._refuse(request, source, reply, screened, now)
        else:
            misled, names = self._misleading(request, source, marks is not None)
            if misled is not None:
                self._refuse(request, source, reply, misled, now)
            else:
                session = InviteServer(self, self._transaction(request, reply, known), request, source, screened)
                session.marks = marks
                session.start(now, names)

    def decided(self, request: Request, source: Flow, screened: object, now: float) -> None:
        """What becomes of an INVITE that `screen` could not decide about at once."""
        transaction = self.transactions.server_for(request)
        if transaction is None or transaction.answered:
            return  # it was cancelled
        refusal, names = (screened, []) if isinstance(screened, Refusal) else self._misleading(request, source, False)
        if refusal is None:
            InviteServer(self, transaction, request, source, screened).start(now, names)
        else:
            transaction.respond(refusal.status, now, refusal.reason, refusal.headers + self.server_line)
            self.count_refusal(request, source, refusal)

    def _transaction(self, request: Request, reply: Flow, known: bool) -> ServerTransaction:
        tag = self.token() if known else self.tag(request)
        return ServerTransaction(self.transactions, request, reply, tag, kept=known)

    def _misleading(self, request: Request, source: Flow, returned: bool) -> tuple[Refusal | None, list[Named]]:
        """See `misleading`: the refusal of an INVITE that names another's address, and the names to be looked up."""
        peer = source_of(request, source.party, self.peers)
        misled, names = misleading(self, request, peer, returned)
        if misled:
            self.on_misled(source.host, request.method)
            return Refusal(status=403, cause="misleading"), []
        if names and self.vetting >= VETTING_MOST and not self.peers.known(peer):
            return Refusal(status=503, headers=f"Retry-After: {self.policy.limits.retry_after}\r\n"), []
        return None, names

    def _known(self, source: Flow) -> bool:
        return source.transport.internal or self.peers.known(source.party)

    def _full(self, count: int, most: int, source: Flow) -> bool:
        """Whether there is no room for one more of a source's: what strangers fill leaves some for known peers."""
        return count >= most - most // 4 and (count >= most or not self._known(source))

    def returned(self, request: Request) -> tuple[Mark, ...] | None:
        """Of a request that we sent ourselves what its Vias say of it, the last one first, which may be nothing; None
        for a peer's. It is known by our branch, or by the socket that it came from, never by a host alone."""
        marks = self.branches.among(request)
        if marks or (request.source is not None and self.sent_from(request.source)):
            return marks
        return None

    def _admitted(self, request: Request, source: Flow, reply: Flow, now: float) -> bool:
        """Whether one more call or text may come in. One that may not has been answered, where it gets an answer."""
        limits = self.policy.limits
        admission: Admission = "refuse"
        full = request.method == "INVITE" and self._full(len(self.sessions), limits.sessions, source)
        if not (self.draining or full):
            admission = self.admits(request, source, now)
        if admission == "take" or (request.method == "INVITE" and self.urgent(request, source)):
            return True
        self.counters.overload += 1
        if admission == "refuse":
            self._answer(request, reply, 503, f"Retry-After: {limits.retry_after}\r\n")
        return False

    def _refuse(self, request: Request, source: Flow, reply: Flow, refusal: Refusal, now: float) -> None:
        """The final answer to a request that nothing comes of: to a stranger without a transaction."""
        if self._known(source):
            self.counters.refused += 1
            self._respond_once(request, reply, refusal, now)
        else:
            self._answer(request, reply, refusal.status, refusal.headers, refusal.reason)
            self.count_refusal(request, source, refusal)

    def count_refusal(self, request: Request, source: Flow, refusal: Refusal) -> None:
        """A stranger was refused: it counts once for a Call-ID and status."""
        if self.refused.add(source.host, request.call_id, refusal.status):
            self.counters.refused += 1
            self.on_refused(source.host, refusal.cause or str(refusal.status), request)
            if refusal.first is not None:
                refusal.first()

    def _respond_once(self, request: Request, reply: Flow, refusal: Refusal, now: float) -> None:
        tag = "" if request.to_tag else self.token()
        transaction = ServerTransaction(self.transactions, request, reply, tag)
        transaction.respond(refusal.status, now, refusal.reason, refusal.headers + self.server_line)

    def _fault(self, request: Request) -> Refusal | None:
        """Why a request cannot be served, whatever it is for (§8.2.1, §8.2.2.3)."""
        row = self.methods.rows.get(request.method)
        if row is None:
            return self._unserved(request)
        if is_sips(request.uri_text) and request.source is not None and not request.source.secure:
            return self._in_the_clear(request.source)
        if "Require" in request.first:
            unknown = request.tokens("Require") - SUPPORTED - row.extensions
            if unknown:
                return Refusal(status=420, headers=f"Unsupported: {', '.join(sorted(unknown))}\r\n")
        return None

    def _in_the_clear(self, source: Flow) -> Refusal:
        """A request for a SIPS URI that has not come over TLS: there is no reaching us by one that way (RFC 5630
        §5.1.2), and none at all where nothing listens for TLS."""
        if not any(self.select(name, source.host) for name in SECURE):
            return Refusal(status=416)
        return Refusal(status=480, headers='Warning: 380 trunkline "SIPS Not Allowed"\r\n')

    def _unserved(self, request: Request) -> Refusal:
        """A method that is not served here (§21.4.6, §21.5.2); a REGISTER for what cannot be registered is malformed
        before that."""
        if request.method == "REGISTER":
            try:
                address = request.address("To").uri
            except ParseError as error:
                return Refusal(status=error.status)
            if not isinstance(address, SipUri):
                return Refusal(status=400)  # RFC 3261 §10.2, RFC 4475 §3.3.4
        return Refusal(status=405 if request.method in METHODS else 501, headers=self.methods.allow_line)

    def _uri_fault(self, request: Request) -> Refusal | None:
        """§8.2.2.1: a scheme that is not ours, or a malformed URI."""
        try:
            uri = request.uri
        except ParseError as error:
            return Refusal(status=error.status)
        if not isinstance(uri, SipUri | TelUri):
            return Refusal(status=416)
        return None

    def _new_call_fault(self, request: Request, source: Flow) -> Refusal | None:
        arrived = self.dialogs.get((request.call_id, "", request.from_tag))
        if isinstance(arrived, InviteServer) and arrived.invite_cseq == request.cseq:
            # The same request over another path: one fork of it is being served (§8.2.2.2).
            return Refusal(status=482)
        fault = InviteServer.fault(
            request,
            self.policy.min_se,
            lambda content_type: self.carries(content_type, source),
            lambda: self.urgent(request, source),
        )
        return None if fault is None else Refusal(status=fault[0], headers=fault[1])

    def _refuse_malformed(self, error: BadMessage, flow: Flow) -> None:
        self.counters.malformed += 1
        request = error.partial
        if request is None or self._unwanted(request, flow) or request.method == "ACK":
            return
        try:
            request.sent_by = request.via.sent_by
            reply = self._note_source(request, flow)
        except (ParseError, KeyError):
            reply = flow
        self._answer(request, reply, error.status, f'Warning: 399 trunkline "{_quotable(str(error))}"\r\n')
        known = self._known(flow)
        if not known and self.refused.add(flow.host, request.get("Call-ID"), error.status):
            self.on_refused(flow.host, str(error.status), request)

    def _answer(self, request: Request, reply: Flow, status: int, headers: str, reason: str = "") -> None:
        """A response that nothing is kept for; retransmissions get the same tag (§8.2.7)."""
        data = response_to(request, status, reason, self.tag(request), headers + self.server_line)
        reply.send(data)

    def tag(self, request: Request) -> str:
        """The To tag of all answers to this request; see `stateless.tag_of`."""
        return tag_of(request, self._secret)

    def _note_source(self, request: Request, flow: Flow) -> Flow:
        """Note received and rport in the topmost Via and find where responses go (§18.2.1, §18.2.2, RFC 3581 §4)."""
        line, host = request.top_via, flow.host
        plain = request.plain_via
        if plain and ";rport" in line:
            request.top_via = line.replace(";rport", f";received={host};rport={flow.port}", 1)
            return _at_port(flow, _port_of(request.sent_by)) if flow.transport.reliable else flow
        if plain:
            sent_from, _, port = request.sent_by.rpartition(":")
            if sent_from == host:
                return _at_port(flow, int(port))
        via = request.via
        noted = "rport" in via.params
        if noted:
            via.params["rport"] = str(flow.port)
        if noted or via.host != host:
            via.params["received"] = host
        others = split_list(line)[1:] if "," in line else []
        request.top_via = ", ".join([str(via), *others])
        if flow.transport.reliable:
            return _at_port(flow, via.port or 0)
        return flow if noted else _at_port(flow, via.port or 5060)


def _at_port(flow: Flow, port: int) -> Flow:
    """Where a request is answered whose Via has this port: over its connection, and where that is gone, over one to
    this port of where it came from (§18.2.2)."""
    transport = flow.transport
    if port == flow.port:
        return flow
    if not transport.reliable:
        return Flow(transport, flow.host, port)
    connected = flow.connection is not None and transport.connects
    return replace(flow, port=port or 5060 + (transport.name in SECURE)) if connected else flow


def _port_of(sent_by: str) -> int:
    """The port of a sent-by; 0 for none."""
    port = sent_by[sent_by.rfind("]") + 1 :].partition(":")[2]
    return int(port) if port else 0


def _quotable(text: str) -> str:
    """Our own sentence inside a quoted-string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
