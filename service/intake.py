"""What becomes of an incoming call: who calls, what was dialled, and what then happens to it.

The decision is made at once, without a task: a call that is refused costs no more than its response.
"""

import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from engine.call import Call
from engine.rate_limit import RateLimit
from engine.sip.digest import DigestServer, Verdict
from engine.sip.grammar import ParseError
from engine.sip.message import Request
from engine.sip.name_addr import NameAddr
from engine.sip.uri import SipUri, TelUri
from flows.contracts import Log
from flows.dial_out import dial_out
from flows.environment import FlowEnvironment
from flows.incoming import IncomingCall
from flows.interpreter import run
from flows.known_numbers import fetch_numbers, missing_numbers
from flows.record import CallRecord
from routing.admission import DialOut, Refuse, RunFlow, Source, admit, identify
from routing.directory import Directory
from routing.normalise import dialled
from routing.number_source import NumberUnavailable
from routing.settings import RoutingSettings

Users = dict[tuple[str, str], str]  # (realm, username) -> password

# What strangers bring about is logged so often, for each kind of it: a flood of it must not fill the disk.
STRANGERS_LINES = 2.0  # lines a second
STRANGERS_BURST = 10

UNAVAILABLE_RETRY_AFTER = 2  # s, where the store could not be asked for a number

_NO_LOGIN = Verdict(False, "", "missing")
# Credentials that another challenge would not mend: they were made for this call and are not good. Those with a nonce
# or an algorithm of yesterday (`stale`, `replayed`, `algorithm`) get a new one.
_WRONG = ("user", "password", "uri", "malformed")
_ASKED_MOST = 4096


class Intake:
    """Takes calls in. `routing` and `users` change when the configuration is reloaded."""

    def __init__(
        self,
        directory: Directory,
        routing: RoutingSettings,
        env: FlowEnvironment,
        log: Log,
        users: Users,
        algorithms: Sequence[str] = ("MD5",),
    ) -> None:
        self.directory = directory
        self.routing = routing
        self.env = env
        self.log = log
        self.log_calls = False  # a line per call, where somebody reads it
        self.users: Users = {}
        self._digests: dict[str, DigestServer] = {}
        self._algorithms: Sequence[str] = ()
        self._lines = RateLimit(STRANGERS_LINES, STRANGERS_BURST)
        self._unlogged: dict[str, int] = {}
        self._asked: dict[tuple[str, str], None] = {}  # calls that were challenged, by address and Call-ID
        self.set_users(users, algorithms)

    def set_users(self, users: Users, algorithms: Sequence[str]) -> None:
        """The clients that may authenticate themselves, and the algorithms that they are challenged with."""
        self.users = users
        if list(algorithms) != list(self._algorithms):
            self._algorithms = tuple(algorithms)
            self._digests = {}
        realms = dict.fromkeys(realm for realm, _ in users)
        self._digests = {
            realm: self._digests.get(realm) or DigestServer(realm, os.urandom(32), algorithms=algorithms)
            for realm in realms
        }

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
            tell = partial(self._tell, self.log.warning, "number not looked up")
            tell("call refused", call_id=call.id, status=503, detail=str(error), source=call.remote.host)
            return
        work = self._take(call)
        if work is not None:
            await work

    def _take(self, call: Call) -> Coroutine[Any, Any, Any] | None:
        invite = call.invite
        source = identify(self.directory, self.routing, call.remote.host)
        judged = _NO_LOGIN
        if source.kind == "guest" and self._digests and (shown := invite.lines("Authorization")):
            judged = self._judge(shown, call)
            if judged.accepted:
                source = identify(self.directory, self.routing, call.remote.host, authenticated=True)
        target = dialled(invite.uri, self.routing, self.directory.numbers)
        verdict = admit(self.directory, self.routing, source, target)
        if isinstance(verdict, Refuse):
            self._refuse(call, verdict, source, judged)
            return None
        record = self._record(call, source, target.number)
        if isinstance(verdict, DialOut):
            self._begin(call, record)
            return dial_out(verdict.target, call, self.env, record)
        return self._flow(call, verdict, record)

    def _flow(self, call: Call, verdict: RunFlow, record: CallRecord) -> Coroutine[Any, Any, Any] | None:
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
        return run(program, call, self.env, number=verdict.number, record=record)

    def _refuse(self, call: Call, verdict: Refuse, source: Source, judged: Verdict) -> None:
        not_let_in = verdict.cause in ("foreign_from_guest", "guests_not_allowed")
        status = verdict.status
        if not_let_in and self._may_log_in(call, judged):
            status = 401
            challenges = [
                ("WWW-Authenticate", value)
                for digest in self._digests.values()
                for value in digest.challenges(self.env.clock(), judged.stale)
            ]
            call.reject(status, headers=challenges)
        else:
            headers = [("Warning", f'399 trunkline "{verdict.warning}"')] if verdict.warning else []
            call.reject(status, verdict.reason, headers)
        final = not_let_in and status != 401
        if not (self.log_calls or final):
            return
        tell = self.log.warning if final else self.log.info
        if source.kind == "guest":
            tell = partial(self._tell, tell, f"{verdict.cause} {status}" if not_let_in else "")
        tell(
            "call refused",
            call_id=call.id,
            status=status,
            cause=verdict.cause,
            detail=verdict.detail,
            source=call.remote.host,
            known_as=source.kind,
        )

    def _may_log_in(self, call: Call, judged: Verdict) -> bool:
        """Whether a stranger is asked who it is: it may be a client that has not shown its credentials yet (RFC 3261
        §22.2). It is asked once a call; who then shows none, or wrong ones, is refused for good (§22.1)."""
        if not self._digests or judged.reason in _WRONG:
            return False
        asked = (call.remote.host, call.invite.call_id)
        if asked in self._asked:
            return judged.stale
        if len(self._asked) >= _ASKED_MOST:
            del self._asked[next(iter(self._asked))]
        self._asked[asked] = None
        return True

    def _tell(self, tell: Callable[..., Any], kind: str, event: str, **values: Any) -> None:
        """Log what a stranger did, unless much of this `kind` has been logged just now; `unlogged` tells how much."""
        if not self._lines.allows(event + kind, self.env.clock()):
            self._unlogged[event + kind] = self._unlogged.get(event + kind, 0) + 1
            return
        unlogged = self._unlogged.pop(event + kind, 0)
        tell(event, **values, **({"unlogged": unlogged} if unlogged else {}))

    def _judge(self, shown: Sequence[str], call: Call) -> Verdict:
        """What a guest's credentials are worth; those for another server's realm count as none."""
        invite = call.invite
        found = _NO_LOGIN
        for realm, digest in self._digests.items():
            verdict = digest.verify(
                shown,
                method="INVITE",
                uri=invite.uri_text,
                body=invite.body,
                password_of=partial(self._password, realm),
                now=self.env.clock(),
            )
            if verdict.accepted:
                return verdict
            if verdict.reason not in ("missing", "realm"):
                found = verdict
        # A nonce that has only grown old is no attempt at anything.
        if found.reason not in ("missing", "stale"):
            self._tell(
                self.log.warning,
                "",
                "credentials refused",
                call_id=call.id,
                user=found.username,
                reason=found.reason,
                source=call.remote.host,
            )
        return found

    def _password(self, realm: str, username: str) -> str | None:
        return self.users.get((realm, username))

    # ---- the record

    def _record(self, call: Call, source: Source, number: str) -> CallRecord:
        caller, name, private = self._caller(call.invite, source)
        record = CallRecord(
            call.id,
            "incoming",
            source=caller,
            source_name=name,
            source_type="tel" if caller[:1] == "+" or not caller else "sip",
            destination=number,
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

    def _caller(self, invite: Request, source: Source) -> tuple[str, str, bool]:
        """The caller's number and name, and whether it wants to stay unknown. A trunk's and a client's
        P-Asserted-Identity is believed (RFC 3325 §5), a guest's is not."""
        headers = invite.first
        private = "Privacy" in headers and "id" in (word.strip() for word in invite.get("Privacy").lower().split(";"))
        address = None
        if source.kind != "guest" and "P-Asserted-Identity" in headers:
            with suppress(ParseError):
                address = invite.address("P-Asserted-Identity")
        try:
            shown = invite.address("From")
            anonymous = shown.uri_text[:14].lower() == "sip:anonymous@"
            private = private or anonymous
            if address is None:
                if anonymous:
                    return "", "", True  # RFC 3323 §4.1.1.3: it is nobody's name or number
                address = shown
            return self._number(address), address.display, private
        except ParseError:
            return "", "", private

    def _number(self, address: NameAddr) -> str:
        uri = address.uri
        if not isinstance(uri, SipUri | TelUri):
            return ""
        named = dialled(uri, self.routing, self.directory.numbers)
        if named.kind == "number":
            return named.number
        return uri.user_text if isinstance(uri, SipUri) else uri.number

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
