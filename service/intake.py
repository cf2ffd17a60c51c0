"""What becomes of an incoming call: who calls, what was dialled, and what then happens to it.

The decision is made at once, without a task: a call that is refused costs no more than its response.
"""

import os
from collections.abc import Coroutine
from functools import partial
from typing import Any

from engine.call import Call
from engine.sip.digest import DigestServer
from engine.sip.grammar import ParseError
from engine.sip.message import Request
from engine.sip.name_addr import NameAddr
from engine.sip.uri import SipUri, TelUri
from flows.contracts import Log
from flows.dial_out import dial_out
from flows.environment import FlowEnvironment
from flows.interpreter import run
from flows.record import CallRecord
from routing.admission import DialOut, Refuse, RunFlow, Source, admit, identify
from routing.directory import Directory
from routing.normalise import dialled
from routing.settings import RoutingSettings

Users = dict[tuple[str, str], str]  # (realm, username) -> password


class Intake:
    """Takes calls in. `routing` and `users` change when the configuration is reloaded."""

    def __init__(
        self, directory: Directory, routing: RoutingSettings, env: FlowEnvironment, log: Log, users: Users
    ) -> None:
        self.directory = directory
        self.routing = routing
        self.env = env
        self.log = log
        self.log_calls = False  # a line per call, where somebody reads it
        self.users: Users = {}
        self._digests: dict[str, DigestServer] = {}
        self.set_users(users)

    def set_users(self, users: Users) -> None:
        """The clients that may authenticate themselves."""
        self.users = users
        realms = dict.fromkeys(realm for realm, _ in users)
        self._digests = {realm: self._digests.get(realm) or DigestServer(realm, os.urandom(32)) for realm in realms}

    def __call__(self, call: Call) -> Coroutine[Any, Any, Any] | None:
        """The coroutine of the call; None for one that is refused."""
        invite = call.invite
        source = identify(self.directory, self.routing, call.remote.host)
        if source.kind == "guest" and self._digests and self._authenticated(invite):
            source = identify(self.directory, self.routing, call.remote.host, authenticated=True)
        target = dialled(invite.uri, self.routing, self.directory.numbers)
        verdict = admit(self.directory, self.routing, source, target)
        if isinstance(verdict, Refuse):
            self._refuse(call, verdict, source)
            return None
        record = self._record(call, source, target.number)
        if isinstance(verdict, DialOut):
            return dial_out(verdict.target, call, self.env, record)
        return self._flow(call, verdict, record)

    def _flow(self, call: Call, verdict: RunFlow, record: CallRecord) -> Coroutine[Any, Any, Any] | None:
        program = self.env.flows.find(verdict.number.call_flow_id)
        if verdict.note:
            record.note(verdict.note)
        if program is None:
            record.note("its call flow does not exist")
            call.reject(480, headers=[("Warning", f'399 trunkline "Number {verdict.number.number} has no call flow"')])
            return None
        return run(program, call, self.env, number=verdict.number, record=record)

    def _refuse(self, call: Call, verdict: Refuse, source: Source) -> None:
        guest = verdict.cause in ("foreign_from_guest", "guests_not_allowed")
        if guest and self._digests:
            # It may be a client that has not shown its credentials yet (RFC 3261 §22.2).
            challenges = [
                ("WWW-Authenticate", value)
                for digest in self._digests.values()
                for value in digest.challenges(self.env.clock())
            ]
            call.reject(401, headers=challenges)
            return
        headers = [("Warning", f'399 trunkline "{verdict.warning}"')] if verdict.warning else []
        call.reject(verdict.status, verdict.reason, headers)
        if self.log_calls or guest:
            tell = self.log.warning if guest else self.log.info
            tell(
                "call refused",
                call_id=call.id,
                status=verdict.status,
                cause=verdict.cause,
                detail=verdict.detail,
                source=call.remote.host,
                known_as=source.kind,
            )

    def _authenticated(self, invite: Request) -> bool:
        values = invite.lines("Authorization")
        if not values:
            return False
        for realm, digest in self._digests.items():
            verdict = digest.verify(
                values,
                method="INVITE",
                uri=invite.uri_text,
                body=invite.body,
                password_of=partial(self._password, realm),
                now=self.env.clock(),
            )
            if verdict.accepted:
                return True
            if verdict.reason not in ("missing", "realm"):
                self.log.warning("credentials refused", user=verdict.username, reason=verdict.reason)
        return False

    def _password(self, realm: str, username: str) -> str | None:
        return self.users.get((realm, username))

    # ---- the record

    def _record(self, call: Call, source: Source, number: str) -> CallRecord:
        caller, name, private = self._caller(call.invite, source)
        env = self.env
        record = CallRecord(
            call.id,
            "incoming",
            source=caller,
            source_name=name,
            destination=number,
            anonymous=private,
            created=env.wall(),
            begun=call.created,
        )
        env.calls.add(record)
        call.on_end = partial(self._over, record)
        return record

    def _caller(self, invite: Request, source: Source) -> tuple[str, str, bool]:
        """The caller's number and name, and whether it wants to stay unknown. A trunk's and a client's
        P-Asserted-Identity is believed (RFC 3325 §5), a guest's is not."""
        headers = invite.first
        try:
            address = invite.address("From")
            private = "Privacy" in headers and "id" in invite.get("Privacy").lower().split(";")
            private = private or address.uri_text[:14].lower() == "sip:anonymous@"
            if source.kind != "guest" and "P-Asserted-Identity" in headers:
                address = invite.address("P-Asserted-Identity")
        except ParseError:
            return "", "", False
        return self._number(address), address.display, private

    def _number(self, address: NameAddr) -> str:
        uri = address.uri
        if not isinstance(uri, SipUri | TelUri):
            return ""
        named = dialled(uri, self.routing, self.directory.numbers)
        if named.kind == "number":
            return named.number
        return uri.user_text if isinstance(uri, SipUri) else uri.number

    def _over(self, record: CallRecord, call: Call) -> None:
        record.finish(call, self.env.clock())
        if self.log_calls:
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
            )
