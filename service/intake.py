"""Intake of calls: who calls, what was dialled, and what becomes of it.

The decision is made at once, without a task: a call that is refused costs no more than its response.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from engine.call import Call
from engine.dial import credentials
from engine.log import Log, RateLimitedLog
from engine.sip.auth.digest_server import Verdict as Login
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.flow import Flow, is_sips
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.uri import SipUri
from engine.sip.stateless import Refusal
from flows.actions.connect import conclude
from flows.calls.dial import ConnectTerms, always
from flows.calls.inbound import InboundCallTracker
from flows.calls.ports import CallLeg
from flows.calls.record import CallRecord
from flows.calls.tree import MOST_DEEP, Branch, Tree
from flows.connect import SIPS_NOT_ALLOWED, connect_number, ring_extension
from flows.language.interpreter import Interpreter
from flows.language.program import Program, Step
from flows.language.run import Run
from routing.access.admission import (
    Decision,
    DialOut,
    Refuse,
    RingExtension,
    RunFlow,
    Source,
    admit,
    identify,
    judge,
    looped,
    phone_of_customer,
)
from routing.access.called_number import called_number, called_uris
from routing.access.peers import KnownPeers, PeerKind
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.directory.number_source import NumberUnavailable
from routing.hunt.carried import fields_of, location_of, number_parameters
from routing.numbers.normalise import DialledNumber, normalise_dialled
from routing.numbers.short_numbers import is_emergency, short_digits
from routing.settings import RoutingSettings
from service.caller_identity import caller_of, phone_of
from service.logins import NO_LOGIN, Logins, NonceSource

ASKED: Final = ("foreign_from_guest", "guests_not_allowed", "unknown_extension")
"""Why a guest may be refused that turns out to be a phone once it has shown its credentials."""
_CLIENT: Final = Source("client")
UNAVAILABLE_RETRY_AFTER = 2  # s, where the store could not be asked for a number
_SHOWN = 128  # characters of a Call-ID in the log


# A trusted client's call to a foreign number is a flow of one connect. Everything but the number is the same for all:
# it is what the step carries.
_TERMS, _OVER_TLS = ConnectTerms(), ConnectTerms(secure=True)


class RegisteredPhones(Protocol):
    """Who knows the devices that have registered (`service.phones.contacts.ExtensionContacts`)."""

    def extension_at(self, source: Flow, claimed: str = "") -> ExtensionRow | None: ...


@dataclass(slots=True, kw_only=True)
class _Judged:
    """An INVITE, who sent it, and what is to become of it."""

    request: Request
    source: Source
    login: Login
    phone: ExtensionRow | None  # whose it is: by its login, or by the flow that it has registered from
    target: DialledNumber
    verdict: Decision
    own: bool  # we sent it ourselves, and it has come back


class Intake:
    """Takes calls in. `routing` and the algorithms of `logins` change when the configuration is reloaded."""

    def __init__(
        self,
        directory: Directory,
        routing: RoutingSettings,
        flows: Interpreter,
        log: Log,
        algorithms: Sequence[str] = ("MD5",),
        peers: KnownPeers | None = None,
        *,
        phones: RegisteredPhones | None = None,
        log_calls: bool = False,
        current: Callable[[], bool] = lambda: True,
        nonces: NonceSource | None = None,
    ) -> None:
        """log_calls: A line per call, where somebody reads it. current: Whether the directory is that of the store.
        nonces: What the challenges of clients are made with; None: at random."""
        self.directory = directory
        self.routing = routing
        self.flows = flows
        self.log = log
        self.log_calls = log_calls
        self._phones = phones
        self.current = current
        self.strangers = RateLimitedLog(self._now)
        peers = peers or KnownPeers(directory, routing, self._now)
        self.logins = Logins(self._now, log, self.strangers, directory, algorithms, peers, nonces)

    def _now(self) -> float:
        return self.flows.calls.clock()

    def screen(self, request: Request, source: Flow, fetched: bool) -> object:
        """Why a stranger's INVITE is refused, before there is a call, or how it is judged; see `AgentHooks.screen`."""
        if not fetched and (missing := self.missing_numbers(request, source)):
            return self._fetch(missing, request, source)
        judged = self._judge(request, source, request.call_id[:_SHOWN])
        if isinstance(judged.verdict, Refuse):
            return self._refusal(judged, judged.verdict, source.host, request.call_id[:_SHOWN])
        return judged

    def calls_for_help(self, request: Request, kind: PeerKind) -> bool:
        """Whether an INVITE of one who may make emergency calls, so far as its address tells, is one."""
        uri = request.uri
        text = uri.user_text if isinstance(uri, SipUri) else getattr(uri, "number", "")
        return kind in ("trusted", "phone") and is_emergency(short_digits(text), self.routing)

    def missing_numbers(self, request: Request, source: Flow) -> list[str]:
        """The numbers that reading what is called depends on and that memory does not tell of; [] nearly always."""
        if self.directory.complete:
            return []
        provider = identify(self.directory, self.routing, source.party).provider
        country = "" if provider is None else provider.country
        services = self.flows.calls
        return [number for uri in called_uris(request, provider) for number in services.missing_numbers(uri, country)]

    async def _fetch(self, missing: Sequence[str], request: Request, source: Flow) -> Refusal | None:
        """What is dialled may be a number of ours that is not in memory: the store is asked first."""
        try:
            await self.flows.calls.fetch_numbers(missing)
        except NumberUnavailable as error:
            return self._unavailable(error, source.host, request.call_id[:_SHOWN])
        return None

    def __call__(self, call: Call) -> Coroutine[Any, Any, Any] | None:
        """The coroutine of the call; None for one that is refused."""
        session = call.session
        if isinstance(session, InviteServer) and isinstance(session.screened, _Judged):
            return self._take(call, session.screened)
        if missing := self.missing_numbers(call.invite, call.remote):
            return self._later(call, missing)
        return self._decide(call)

    async def _later(self, call: Call, missing: Sequence[str]) -> None:
        """The same for a known caller's call."""
        try:
            await self.flows.calls.fetch_numbers(missing)
        except NumberUnavailable as error:
            self._reject(call, self._unavailable(error, call.remote.host, call.id))
            return
        work = self._decide(call)
        if work is not None:
            await work

    def _decide(self, call: Call) -> Coroutine[Any, Any, Any] | None:
        if call.origin is not None:
            return self._delivered(call, call.origin.branch)
        return self._take(call, self._judge(call.invite, call.remote, call.id, call))

    def _judge(self, invite: Request, flow: Flow, call_id: str, call: Call | None = None) -> _Judged:
        own = call is not None and call.returned
        source, login, phone = self.sender(invite, flow, call_id, own=own)
        target = called_number(invite, source.provider, self.routing, self.directory)
        if call is not None and own and (call.depth >= MOST_DEEP or call.loops(target.number or target.text)):
            verdict: Decision = looped(target)
        else:
            verdict = judge(self.directory, self.routing, source, target)
        return _Judged(request=invite, source=source, login=login, phone=phone, target=target, verdict=verdict, own=own)

    def sender(
        self, request: Request, flow: Flow, call_id: str, *, own: bool = False
    ) -> tuple[Source, Login, ExtensionRow | None]:
        """Who sends a request from outside of a dialog; what its credentials are worth; and the extension whose phone
        it is. `own`: we have sent it ourselves."""
        source = identify(self.directory, self.routing, flow.party, own=own)
        if own or source.kind == "trunk":
            return source, NO_LOGIN, None
        if source.kind == "client":
            # A phone in a trusted network is not asked for credentials by its calls: it has shown them in its REGISTER.
            phone = self._registered_at(request, flow)
            return (source if phone is None else phone_of_customer(phone.customer_id)), NO_LOGIN, phone
        login = self.logins.judge(request, flow.host, call_id)
        phone = self.logins.phone(login)
        if phone is not None:
            known_as = identify(self.directory, self.routing, flow.party, authenticated=login.accepted)
            if known_as.kind == "client":
                source = phone_of_customer(phone.customer_id)
        return source, login, phone

    def trusted_phone(self, request: Request, flow: Flow) -> ExtensionRow | None:
        """The extension whose phone sends a request from a trusted network, where it is registered."""
        source = identify(self.directory, self.routing, flow.party)
        return self._registered_at(request, flow) if source.kind == "client" else None

    def _registered_at(self, request: Request, flow: Flow) -> ExtensionRow | None:
        return None if self._phones is None else self._phones.extension_at(flow, _user_of(request))

    def _take(self, call: Call, judged: _Judged) -> Coroutine[Any, Any, Any] | None:
        verdict, target = judged.verdict, judged.target
        call.dialled = target.number or target.text
        if isinstance(verdict, Refuse):
            self._reject(call, self._refusal(judged, verdict, call.remote.host, call.id))
            return None
        if judged.source.provider is not None:
            call.session.credentials = credentials(judged.source.provider)  # a trunk may challenge our BYE (§22.2)
        record = self._record(call, judged.source, target.number, judged.phone)
        record.logged_in = judged.login.accepted
        if judged.login.accepted:
            call.session.receives = True  # its answer has our nonce
        if isinstance(verdict, RingExtension):
            return self._extension(call, verdict.extension, record)
        if isinstance(verdict, DialOut):
            if record.phone is not None:
                record.customer_id = record.phone.customer_id
            record.destination = record.destination or verdict.target
            self._begin(call, record)
            return dial_out(self.flows, verdict.target, call, record)
        branch = Branch(Tree(guest=record.guest), call.depth) if judged.own else None
        return self._flow(call, verdict, record, branch)

    def _delivered(self, call: Call, branch: Branch) -> Coroutine[Any, Any, Any] | None:
        """A call that this engine makes to a number of its own."""
        target = normalise_dialled(call.invite.uri, self.routing, self.directory.numbers)
        call.dialled = target.number or target.text
        verdict = admit(self.directory, self.routing, _CLIENT, target)
        if isinstance(verdict, RunFlow):
            record = self._record(call, _CLIENT, target.number)
            record.guest = branch.tree.guest
            return self._flow(call, verdict, record, branch)
        status, reason = (verdict.status, verdict.reason) if isinstance(verdict, Refuse) else (404, "Not Found")
        call.reject(status, reason)  # it was a number of ours a moment ago
        return None

    def _extension(self, call: Call, extension: ExtensionRow, record: CallRecord) -> Coroutine[Any, Any, Any]:
        """A call for an extension by its name. It is its customer's."""
        record.destination, record.destination_type = extension.name, "extension"
        record.customer_id = extension.customer_id
        if record.phone is not None:
            record.source, record.source_type = record.phone.name, "extension"
            record.source_name = record.phone.display_name or record.source_name
        self._begin(call, record)
        return call_extension(self.flows, extension, call, record, secure=is_sips(call.invite.uri_text))

    def _flow(
        self, call: Call, verdict: RunFlow, record: CallRecord, branch: Branch | None = None
    ) -> Coroutine[Any, Any, Any] | None:
        number = record.number_row = verdict.number
        record.number = number.number
        record.customer_id = number.customer_id
        record.call_flow_id = number.call_flow_id
        program = self.flows.library.find(number.call_flow_id)
        if verdict.note:
            record.note(verdict.note)
        if program is None:
            record.note("its call flow does not exist")
        else:
            record.flow = program.title
        self._begin(call, record)
        if program is None:
            call.reject(480, headers=[("Warning", f'399 trunkline "Number {verdict.number.number} has no call flow"')])
            return None
        return self.flows.run(program, call, record, number=verdict.number, branch=branch)

    # ---- refusals

    @staticmethod
    def _reject(call: Call, refusal: Refusal) -> None:
        call.refuse(refusal)
        if refusal.first is not None:
            refusal.first()

    def _unavailable(self, error: NumberUnavailable, host: str, call_id: str) -> Refusal:
        tell = partial(self.strangers.write, self.log.warning, "number not looked up")
        told = partial(tell, "call refused", call_id=call_id, status=503, detail=str(error), source=host)
        headers = f"Retry-After: {UNAVAILABLE_RETRY_AFTER}\r\n"
        return Refusal(status=503, headers=headers, cause="number_unavailable", first=told)

    def _refusal(self, judged: _Judged, verdict: Refuse, host: str, call_id: str) -> Refusal:
        not_let_in = judged.source.kind == "guest" and verdict.cause in ASKED
        status, reason, headers = verdict.status, verdict.reason, ""
        if verdict.cause == "unknown_number" and not self.current():
            # Somebody may have been given it since: "not found" would be taken for good, "later" sends to another node.
            status, reason, headers = 503, "", f"Retry-After: {UNAVAILABLE_RETRY_AFTER}\r\n"
        elif not_let_in and not judged.own and self.logins.asks(judged.request, host, judged.login):
            status, reason = 401, ""
            headers = "".join(
                f"{name}: {value}\r\n" for name, value in self.logins.challenges(judged.request, host, judged.login)
            )
        elif verdict.warning:
            headers = f'Warning: 399 trunkline "{verdict.warning}"\r\n'
        return Refusal(
            status=status,
            reason=reason,
            headers=headers,
            cause="challenged" if status == 401 else verdict.cause,
            first=partial(self._note, judged.source, verdict, status, host, call_id),
        )

    def _note(self, source: Source, verdict: Refuse, status: int, host: str, call_id: str) -> None:
        """Count a refusal, and log it as far as somebody wants to read it."""
        self.directory.count_refusal(verdict.cause)
        not_let_in = verdict.cause in ("foreign_from_guest", "guests_not_allowed")
        asked = status == 401  # every call of a phone begins so
        final = not_let_in and not asked
        if not (self.log_calls or final):
            return
        tell = self.log.warning if final else self.log.info
        if source.kind == "guest":
            tell = partial(self.strangers.write, tell, f"{verdict.cause} {status}" if not_let_in else "")
        tell(
            "call asked to log in" if asked else "call refused",
            call_id=call_id,
            status=status,
            cause=verdict.cause,
            detail=verdict.detail,
            source=host,
            known_as=source.kind,
        )

    # ---- the record

    def _record(self, call: Call, source: Source, number: str, phone: ExtensionRow | None = None) -> CallRecord:
        if phone is None:
            caller = caller_of(call.invite, source, self.routing, self.directory)
        else:
            caller = phone_of(call.invite, phone, self.routing, self.directory)
        record = CallRecord(
            call.id,
            "incoming",
            **caller.on_record(),
            source_type=_type_of(caller.number, caller.shown, phone),
            destination=number,
            phone=phone,
            guest=source.kind == "guest",
            sip_call_ids=[call.sip_call_id],
            created=self.flows.calls.wall(),
            begun=call.created,
        )
        if source.provider is not None:
            record.provider_id = source.provider.id
        if source.kind != "guest":  # a guest has nothing carried to a carrier at our cost
            invite = call.invite
            record.own_fields, record.number_parameters = fields_of(invite), number_parameters(invite)
            record.parts, record.location = invite.parts, location_of(invite)
        return record

    def _begin(self, call: Call, record: CallRecord) -> None:
        """From now on the call can be found, and its record follows it."""
        call.keep()
        InboundCallTracker(self.flows.calls, call, record, self._log_end if self.log_calls else None).begin()

    def _log_end(self, record: CallRecord) -> None:
        more = {}
        if record.attempts:
            more["tried"] = record.attempts_in_words()
        if record.notes:
            more["notes"] = "; ".join(record.notes)
        self.log.info(
            "call ended",
            call_id=record.id,
            source=record.source,
            destination=record.destination,
            flow=record.flow,
            status=record.end_status,
            hangup_reason=record.hangup_reason,
            hangup_by=record.hangup_by,
            answered_ms=record.answered_ms,
            ended_ms=record.ended_ms,
            attempts=len(record.attempts),
            **more,
        )


def _type_of(caller: str, shown: str, phone: ExtensionRow | None) -> str:
    if phone is not None and not shown:
        return "extension"
    return "tel" if shown or not caller or caller[:1] == "+" else "sip"


def _user_of(request: Request) -> str:
    """The user part of From."""
    try:
        uri = request.address("From").uri
    except ParseError:
        return ""
    return uri.user_text if isinstance(uri, SipUri) else ""


async def _ring(run: Run, extension: ExtensionRow) -> int | None:
    return conclude(run, await ring_extension(run.context, _TERMS, extension, always), relay_reason=True)


async def _ring_over_tls(run: Run, extension: ExtensionRow) -> int | None:
    result = await ring_extension(run.context, _OVER_TLS, extension, always)
    if result.reason == SIPS_NOT_ALLOWED and not run.call.answered:
        warning = f'380 trunkline "{SIPS_NOT_ALLOWED}"'
        run.call.reject(480, "Temporarily Unavailable", headers=[("Warning", warning)])
    return conclude(run, result, relay_reason=True)


def call_extension(
    flows: Interpreter, extension: ExtensionRow, call: CallLeg, record: CallRecord, *, secure: bool = False
) -> Coroutine[Any, Any, CallRecord]:
    """Connects `call` to the phones of an extension; the caller hears what they say. `secure`: to those over TLS."""
    ring = _ring_over_tls if secure else _ring
    return flows.run(
        Program(name="extension", steps=[Step(type="connect", function=ring, option=extension, waits=True)]),
        call,
        record,
    )


async def _connect(run: Run, target: str) -> int | None:
    return conclude(run, await connect_number(run.context, _TERMS, target, always), relay_reason=True)


def dial_out(flows: Interpreter, target: str, call: CallLeg, record: CallRecord) -> Coroutine[Any, Any, CallRecord]:
    """Connects `call` to a foreign number (in normal form) through the providers; the caller hears the far end's
    status."""
    return flows.run(
        Program(name="dial out", steps=[Step(type="connect", function=_connect, option=target, waits=True)]),
        call,
        record,
    )
