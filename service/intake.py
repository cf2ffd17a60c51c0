"""What becomes of an incoming call: who calls, what was dialled, and what then happens to it.

The decision is made at once, without a task: a call that is refused costs no more than its response.
"""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from engine.call import Call
from engine.sip.digest_server import Verdict
from flows.contracts import Log
from flows.dial_out import dial_out
from flows.environment import FlowEnvironment
from flows.incoming import IncomingCall
from flows.interpreter import run
from flows.known_numbers import fetch_numbers, missing_numbers
from flows.record import CallRecord
from flows.tree import MOST_DEEP, Branch, Tree
from routing.admission import DialOut, Refuse, RunFlow, Source, admit, identify, looped
from routing.directory import Directory
from routing.normalise import dialled
from routing.number_source import NumberUnavailable
from routing.peers import KnownPeers
from routing.settings import RoutingSettings
from service.callers import caller_of
from service.logins import NO_LOGIN, Logins, Users
from service.stranger_log import StrangerLog

_AS_CLIENT = Source("client")
UNAVAILABLE_RETRY_AFTER = 2  # s, where the store could not be asked for a number


class Intake:
    """Takes calls in. `routing` and the users of `logins` change when the configuration is reloaded."""

    def __init__(
        self,
        directory: Directory,
        routing: RoutingSettings,
        env: FlowEnvironment,
        log: Log,
        users: Users,
        algorithms: Sequence[str] = ("MD5",),
        peers: KnownPeers | None = None,
    ) -> None:
        self.directory = directory
        self.routing = routing
        self.env = env
        self.log = log
        self.log_calls = False  # a line per call, where somebody reads it
        self.current: Callable[[], bool] = lambda: True  # whether the directory is that of the store
        self.strangers = StrangerLog(self._now)
        peers = peers or KnownPeers(directory, routing, self._now)
        self.logins = Logins(self._now, log, self.strangers, users, algorithms, peers)

    def _now(self) -> float:
        return self.env.clock()

    def __call__(self, call: Call) -> Coroutine[Any, Any, Any] | None:
        """The coroutine of the call; None for one that is refused."""
        if not self.directory.complete and (missing := missing_numbers(self.env, call.invite.uri)):
            return self._later(call, missing)
        return self._take(call)

    async def _later(self, call: Call, missing: Sequence[str]) -> None:
        """What is dialled may be a number of ours that is not in memory: the store is asked first."""
        try:
            await fetch_numbers(self.env, missing)
        except NumberUnavailable as error:
            call.reject(503, headers=[("Retry-After", str(UNAVAILABLE_RETRY_AFTER))])
            tell = partial(self.strangers.tell, self.log.warning, "number not looked up")
            tell("call refused", call_id=call.id, status=503, detail=str(error), source=call.remote.host)
            return
        work = self._take(call)
        if work is not None:
            await work

    def _take(self, call: Call) -> Coroutine[Any, Any, Any] | None:
        invite = call.invite
        if call.origin is not None:
            return self._delivered(call, call.origin.branch)
        own = call.returned
        source = identify(self.directory, self.routing, call.remote.host, own=own)
        judged = NO_LOGIN
        if source.kind == "guest" and not own:
            judged = self.logins.judge(invite, call.remote.host, call.id)
            if judged.accepted:
                call.session.receives = True  # its answer has our nonce
                source = identify(self.directory, self.routing, call.remote.host, authenticated=True)
        target = dialled(invite.uri, self.routing, self.directory.numbers)
        call.dialled = target.number or target.text
        if own and (call.depth >= MOST_DEEP or call.loops(call.dialled)):
            self.directory.count_refusal("loop")
            self._refuse(call, looped(target), source, judged)
            return None
        verdict = admit(self.directory, self.routing, source, target)
        if isinstance(verdict, Refuse):
            self._refuse(call, verdict, source, judged)
            return None
        record = self._record(call, source, target.number)
        record.logged_in = judged.accepted
        if isinstance(verdict, DialOut):
            self._begin(call, record)
            return dial_out(verdict.target, call, self.env, record)
        branch = Branch(Tree(guest=record.guest), call.depth) if own else None
        return self._flow(call, verdict, record, branch)

    def _delivered(self, call: Call, branch: Branch) -> Coroutine[Any, Any, Any] | None:
        """A call that this engine makes to a number of its own."""
        target = dialled(call.invite.uri, self.routing, self.directory.numbers)
        call.dialled = target.number or target.text
        verdict = admit(self.directory, self.routing, _AS_CLIENT, target)
        if isinstance(verdict, RunFlow):
            record = self._record(call, _AS_CLIENT, target.number)
            record.guest = branch.tree.guest
            return self._flow(call, verdict, record, branch)
        status, reason = (verdict.status, verdict.reason) if isinstance(verdict, Refuse) else (404, "Not Found")
        call.reject(status, reason)  # it was a number of ours a moment ago
        return None

    def _flow(
        self, call: Call, verdict: RunFlow, record: CallRecord, branch: Branch | None = None
    ) -> Coroutine[Any, Any, Any] | None:
        number = record.number_row = verdict.number
        record.number = number.number
        record.customer_id = number.customer_id
        record.call_flow_id = number.call_flow_id
        program = self.env.flows.find(number.call_flow_id)
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
        return run(program, call, self.env, number=verdict.number, record=record, branch=branch)

    def _refuse(self, call: Call, verdict: Refuse, source: Source, judged: Verdict) -> None:
        not_let_in = verdict.cause in ("foreign_from_guest", "guests_not_allowed")
        status = verdict.status
        if verdict.cause == "unknown_number" and not self.current():
            # Somebody may have been given it since: "not found" would be taken for good, "later" sends to another node.
            status = 503
            call.reject(status, headers=[("Retry-After", str(UNAVAILABLE_RETRY_AFTER))])
        elif not_let_in and not call.returned and self.logins.asks(call.invite, call.remote.host, judged):
            status = 401
            call.reject(status, headers=self.logins.challenges(call.invite, call.remote.host, judged))
        else:
            headers = [("Warning", f'399 trunkline "{verdict.warning}"')] if verdict.warning else []
            call.reject(status, verdict.reason, headers)
        final = not_let_in and status != 401
        if not (self.log_calls or final):
            return
        tell = self.log.warning if final else self.log.info
        if source.kind == "guest":
            tell = partial(self.strangers.tell, tell, f"{verdict.cause} {status}" if not_let_in else "")
        tell(
            "call refused",
            call_id=call.id,
            status=status,
            cause=verdict.cause,
            detail=verdict.detail,
            source=call.remote.host,
            known_as=source.kind,
        )

    # ---- the record

    def _record(self, call: Call, source: Source, number: str) -> CallRecord:
        caller, name, private = caller_of(call.invite, source, self.routing, self.directory)
        record = CallRecord(
            call.id,
            "incoming",
            source=caller,
            source_name=name,
            source_type="tel" if caller[:1] == "+" or not caller else "sip",
            destination=number,
            guest=source.kind == "guest",
            anonymous=private,
            sip_call_ids=[call.sip_call_id],
            created=self.env.wall(),
            begun=call.created,
        )
        if source.provider is not None:
            record.provider_id = source.provider.id
        return record

    def _begin(self, call: Call, record: CallRecord) -> None:
        """From now on the call can be found, and its record follows it."""
        IncomingCall(self.env, call, record, self._log_end if self.log_calls else None).begin()

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
